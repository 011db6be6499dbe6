"""How long, how much and how often of a robots.txt, in numbers that stand here, and which part of it speaks to us."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from registry.links.models import Host, RobotsFile
from registry.links.robots import LIMITS, Rules, robots_known

ORIGIN = "http://a.example.com"


def rules(text: str, status: int = 200) -> Rules:
    return Rules.of(RobotsFile(text=text, status=status))


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("age", "known"),
    [(timedelta(0), True), (timedelta(hours=23, minutes=59), True), (timedelta(hours=24, minutes=1), False)],
)
def test_it_is_believed_for_a_day(age: timedelta, *, known: bool) -> None:
    host = Host.objects.create(name="a.example.com")
    RobotsFile.objects.create(host=host, origin=ORIGIN, status=200, asked_at=timezone.now() - age)
    assert bool(robots_known({(host.pk, ORIGIN)})) is known


def test_at_least_500_kib_of_it_are_read_and_its_redirects_are_ours_to_follow() -> None:
    assert LIMITS.body_bytes >= 500 * 1024
    assert LIMITS.redirects == 0


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 418, 451])
def test_a_client_error_means_that_there_is_none(status: int) -> None:
    assert rules("", status).allow(f"{ORIGIN}/private")


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504, 599])
def test_a_servers_error_or_a_limit_means_that_nothing_may_be_asked_for(status: int) -> None:
    assert not rules("", status).allow(f"{ORIGIN}/")


def test_an_empty_file_allows_everything() -> None:
    assert rules("").allow(f"{ORIGIN}/private")


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ("User-agent: *\nDisallow: /", False),
        ("User-agent: expunge\nDisallow: /", False),
        ("User-agent: EXPUNGE\nDisallow: /p", False),
        ("User-agent: otherbot\nDisallow: /", True),
        ("User-agent: *\nDisallow: /\n\nUser-agent: Expunge\nDisallow: /elsewhere", True),
        ("User-agent: *\nAllow: /\n\nUser-agent: Expunge\nDisallow: /", False),
        ("User-agent: *\nDisallow: /p*e$", False),
        ("User-agent: *\nDisallow: /\nAllow: /private", True),
        ("User-agent: *\nDisallow: /private\nAllow: /", False),
        ("User-agent: *\nDisallow:", True),
        ("<html>no such file</html>", True),
    ],
)
def test_what_speaks_to_us_by_name_counts_more_than_what_speaks_to_all(text: str, *, allowed: bool) -> None:
    assert rules(text).allow(f"{ORIGIN}/private") is allowed


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("", 1.0),
        ("User-agent: *\nCrawl-delay: 0.1", 1.0),
        ("User-agent: *\nCrawl-delay: 5", 5.0),
        ("User-agent: *\nCrawl-delay: 59.5", 59.5),
        ("User-agent: *\nCrawl-delay: 3600", 60.0),
        ("User-agent: *\nCrawl-delay: -3", 1.0),
        ("User-agent: *\nCrawl-delay: soon", 1.0),
        ("User-agent: *\nCrawl-delay: nan", 1.0),
        ("User-agent: *\nCrawl-delay: inf", 1.0),
        ("User-agent: Expunge\nCrawl-delay: 7\n\nUser-agent: *\nCrawl-delay: 2", 7.0),
        ("User-agent: otherbot\nCrawl-delay: 30", 1.0),
    ],
)
def test_a_pause_that_it_asks_for_lies_between_a_second_and_a_minute(text: str, seconds: float) -> None:
    assert rules(text).delay == seconds
