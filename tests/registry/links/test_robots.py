"""Reading what an origin's robots.txt says and to whom, where it leads, and keeping it."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from registry.lib.safe_http import Headers, Outcome, Refused, Request, Response, Stop
from registry.links.errands import Errands
from registry.links.models import Host, RobotsFile
from registry.links.robots import LIMITS, Origins, Rules, origin_of, robots_known, robots_record

if TYPE_CHECKING:
    from collections.abc import Mapping


@pytest.mark.django_db
def test_only_those_that_are_asked_for_are_looked_up() -> None:
    host = Host.objects.create(name="a.example.com")
    now = timezone.now()
    for origin, at in [("http://a.example.com", now), ("https://a.example.com", now - timedelta(days=1))]:
        RobotsFile.objects.create(host=host, origin=origin, status=200, asked_at=at)
    both = {(host.pk, "http://a.example.com"), (host.pk, "https://a.example.com")}
    assert set(robots_known(both)) == {(host.pk, "http://a.example.com")}
    assert robots_known({(host.pk, "https://a.example.com:8443")}) == {}
    assert robots_known(set()) == {}


@pytest.mark.django_db
@pytest.mark.parametrize(("named", "count"), [(None, 1), (-1, 1), (1, 0)])
def test_what_was_read_before_its_owner_named_the_host_is_not_remembered(
    named: int | None, count: int
) -> None:
    """It was read in a batch that ended later, when he had changed it and been told that it is read again."""
    now = timezone.now()
    asked = None if named is None else now + timedelta(seconds=named)
    host = Host.objects.create(name="a.example.com", opt_out_asked_at=asked)
    robots_record([RobotsFile(host=host, origin="http://a.example.com", status=404, asked_at=now)])
    assert RobotsFile.objects.count() == count


@pytest.mark.django_db
def test_an_origin_of_a_host_has_one() -> None:
    host = Host.objects.create(name="a.example.com")
    one = {"host": host, "origin": "http://a.example.com", "status": 200, "asked_at": timezone.now()}
    RobotsFile.objects.create(**one)
    with pytest.raises(IntegrityError, match="robotsfile_origin_once"), transaction.atomic():
        RobotsFile.objects.create(**one)


@pytest.mark.django_db
@pytest.mark.parametrize(
    "origin", ["", "null", "a.example.com", "ftp://a", "http://a/", "http://a/robots.txt"]
)
def test_what_is_no_origin_is_refused(origin: str) -> None:
    host = Host.objects.create(name="a.example.com")
    with pytest.raises(IntegrityError, match="robotsfile_origin_is_one"), transaction.atomic():
        RobotsFile.objects.create(host=host, origin=origin, status=200, asked_at=timezone.now())


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("http://A.example.com:80/x?y#z", "http://a.example.com"),
        ("https://a.example.com:443/", "https://a.example.com"),
        ("https://a.example.com:8443/x", "https://a.example.com:8443"),
        ("http://a.example.com:443", "http://a.example.com:443"),
        ("HTTP://u:p@münchen.de/x", "http://xn--mnchen-3ya.de"),
        ("http://[2001:DB8::1]:8080/", "http://[2001:db8::1]:8080"),
    ],
)
def test_an_origin_is_written_in_one_way(url: str, origin: str) -> None:
    assert origin_of(url) == origin


HOST = Host(pk=1, name="a.example.com")
ORIGIN = "https://a.example.com"


def learn(
    pages: Mapping[str, Response | Refused], errands: Errands | None = None
) -> tuple[Rules | Refused | None, list[str]]:
    """What is made of an origin whose URLs answer so, and what it was asked for."""
    asked: list[str] = []

    async def ask(request: Request) -> Response | Refused:
        asked.append(request.url)
        return pages.get(request.url) or answer(request.url, 404)

    def redirected(url: str, location: str) -> str:
        if location == "javascript:":
            raise Stop(Outcome.INVALID_URL, "scheme")
        return location

    origins = Origins(HOST, {}, ask, redirected, Errands() if errands is None else errands)
    return asyncio.run(origins.rules(f"{ORIGIN}/private")), asked


def answer(url: str, status: int, *, location: str = "", body: bytes = b"") -> Response:
    head = f"Location: {location}".encode() if location else b""
    return Response(url, status, Headers(head), body, False, "9.9.9.9", (), 0.0)


def steps(count: int) -> dict[str, Response | Refused]:
    """So many redirects within the host, and a robots.txt that denies all at their end."""
    urls = [f"{ORIGIN}/robots.txt", *(f"{ORIGIN}/{number}" for number in range(1, count + 1))]
    pages: dict[str, Response | Refused] = {
        url: answer(url, 301, location=onward) for url, onward in pairwise(urls)
    }
    return pages | {urls[-1]: answer(urls[-1], 200, body=b"User-agent: *\nDisallow: /\n")}


def test_five_redirects_are_followed_and_a_sixth_means_that_there_is_none() -> None:
    rules, asked = learn(steps(5))
    assert isinstance(rules, Rules)
    assert (rules.allow(f"{ORIGIN}/private"), len(asked)) == (False, 6)
    rules, asked = learn(steps(6))
    assert isinstance(rules, Rules)
    assert (rules.allow(f"{ORIGIN}/private"), len(asked)) == (True, 6)


@pytest.mark.parametrize("location", ["javascript:", "", "data:,x"])
def test_a_redirect_that_is_not_followed_means_that_there_is_none(location: str) -> None:
    url = f"{ORIGIN}/robots.txt"
    rules, asked = learn({url: answer(url, 302, location=location)})
    assert isinstance(rules, Rules)
    assert (rules.allow(f"{ORIGIN}/private"), asked) == (True, [url])


@pytest.mark.parametrize("count", [1, 5])
def test_a_redirect_to_another_host_leaves_an_errand_and_says_nothing_yet(count: int) -> None:
    pages = steps(count - 1)
    last = [*pages][-1]
    away, errands = "https://www.example.com/robots.txt", Errands()
    rules, asked = learn(pages | {last: answer(last, 302, location=away)}, errands)
    assert (rules, len(asked)) == (None, count)
    assert [one.url for one in errands.taken_new()] == [away]
    assert errands.holds(f"{ORIGIN}/private")
    assert not errands.holds("http://a.example.com/private")


def test_a_sixth_redirect_is_not_followed_to_another_host_either() -> None:
    pages, errands = steps(5), Errands()
    last = [*pages][-1]
    rules, _ = learn(pages | {last: answer(last, 302, location="https://www.example.com/")}, errands)
    assert isinstance(rules, Rules)
    assert (rules.allow(f"{ORIGIN}/private"), errands.taken_new()) == (True, [])


@pytest.mark.parametrize(
    ("status", "allowed"), [(404, True), (403, True), (429, False), (500, False), (503, False)]
)
def test_a_server_that_fails_or_limits_us_denies_all(status: int, *, allowed: bool) -> None:
    url = f"{ORIGIN}/robots.txt"
    rules, _ = learn({url: answer(url, status)})
    assert isinstance(rules, Rules)
    assert rules.allow(f"{ORIGIN}/private") is allowed


def test_what_cannot_be_reached_says_why_and_is_asked_once() -> None:
    refused = Refused(Outcome.TLS_ERROR, "tls", (), 0.0)
    rules, asked = learn({f"{ORIGIN}/robots.txt": refused})
    assert (rules, asked) == (refused, [f"{ORIGIN}/robots.txt"])


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
