"""What an errand brings to the origins that sent it, and to those whose robots.txt it came by."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from registry.lib.safe_http import Headers, Outcome, Refused, Response, Stop
from registry.links.errands import Errand, Errands, errands_known
from registry.links.models import Host, RobotsFile
from registry.links.robots import Away, Robots, Rules

A, B, C = "https://a.example.com", "https://b.example.com", "https://c.example.com"
WALL = b"User-agent: *\nDisallow: /\n"


def redirected(_url: str, location: str) -> str:
    if location == "javascript:":
        raise Stop(Outcome.INVALID_URL, "scheme")
    return location


def answer(url: str, status: int = 200, *, location: str = "", body: bytes = WALL) -> Response:
    head = f"Location: {location}".encode() if location else b""
    return Response(url, status, Headers(head), body, False, "9.9.9.9", (), 0.0)


def told(errand: Errand, given: Response, errands: Errands | None = None) -> bool:
    """Let it be answered so; returns whether it goes on."""
    return errand.step((Errands() if errands is None else errands).heard(2, errand, given))


def sent(errands: Errands, origin: str = A, url: str = f"{B}/robots.txt", used: int = 1) -> Errand | None:
    """The errand that comes up when redirects lead from this origin's robots.txt to that URL; None where one is under way."""
    errands.send(1, origin, Away(url, used, 302), redirected)
    return next(iter(errands.taken_new()), None)


def walked(errand: Errand, count: int) -> None:
    """Let it be redirected so often."""
    for number in range(count):
        assert told(errand, answer(errand.url, 302, location=f"{B}/{number}"))


def brought(errands: Errands) -> dict[str, tuple[int, bool]]:
    """By origin: the status of its robots.txt, and whether that allows a page."""
    files: Robots = {}
    errands.settle(files)
    return {origin: (file.status, Rules.of(file).allow(f"{origin}/x")) for (_, origin), file in files.items()}


def test_what_it_brings_is_of_the_origin_that_sent_it() -> None:
    errands = Errands()
    errand = sent(errands)
    assert errand
    assert errands.holds(f"{A}/x")
    assert brought(errands) == {}
    assert not told(errand, answer(f"{B}/robots.txt"))
    assert not errands.holds(f"{A}/x")
    assert brought(errands) == {A: (200, False)}
    assert not errands


def test_one_errand_serves_all_who_are_led_to_its_url() -> None:
    errands = Errands()
    errand = sent(errands)
    assert errand
    assert sent(errands, C) is None
    told(errand, answer(errand.url))
    assert brought(errands) == {A: (200, False), C: (200, False)}
    assert sent(errands, "https://late.example.com") is None
    assert brought(errands) == {"https://late.example.com": (200, False)}


def test_five_redirects_are_followed_in_all() -> None:
    errands = Errands()
    errand = sent(errands)
    assert errand
    walked(errand, 4)
    assert not told(errand, answer(errand.url))
    assert brought(errands) == {A: (200, False)}


def test_a_sixth_means_that_there_is_none() -> None:
    errands = Errands()
    errand = sent(errands)
    assert errand
    walked(errand, 4)
    assert not told(errand, answer(errand.url, 302, location=f"{B}/more"))
    assert brought(errands) == {A: (302, True)}


def test_redirects_before_it_are_counted_for_each_origin_that_sent_it() -> None:
    errands = Errands()
    errand = sent(errands)
    assert errand
    sent(errands, C, used=2)
    walked(errand, 4)
    told(errand, answer(errand.url))
    assert brought(errands) == {A: (200, False), C: (302, True)}


@pytest.mark.parametrize("location", ["javascript:", "data:,x", f"{B}/robots.txt"])
def test_a_redirect_that_leads_nowhere_or_back_means_that_there_is_none(location: str) -> None:
    errands = Errands()
    errand = sent(errands)
    assert errand
    assert not told(errand, answer(errand.url, 301, location=location))
    assert brought(errands) == {A: (301, True)}


@pytest.mark.parametrize("outcome", [Outcome.SSRF_BLOCKED, Outcome.INVALID_URL])
def test_where_the_door_does_not_go_there_is_none(outcome: Outcome) -> None:
    errands = Errands()
    errand = sent(errands)
    assert errand
    assert not errand.step(Refused(outcome, "address", (), 0.0))
    assert brought(errands) == {A: (302, True)}
    assert not errands.is_unknown(A)


@pytest.mark.parametrize("outcome", [Outcome.CONNECT_REFUSED, Outcome.DNS_NXDOMAIN, Outcome.POLICY_NO_FETCH])
def test_what_cannot_or_may_not_be_reached_is_not_known(outcome: Outcome) -> None:
    errands = Errands()
    errand = sent(errands)
    assert errand
    assert not errand.step(Refused(outcome, "excluded", (), 0.0))
    assert brought(errands) == {}
    assert errands.is_unknown(A)


def test_it_serves_an_origin_whose_own_file_it_comes_by() -> None:
    errands = Errands()
    errand = sent(errands)
    assert errand
    assert told(errand, answer(errand.url, 301, location=f"{C}/robots.txt"), errands)
    assert errands.holds(f"{B}/x")
    assert not told(errand, answer(errand.url), errands)
    assert brought(errands) == {A: (200, False), B: (200, False), C: (200, False)}


def test_an_origin_on_the_way_is_not_denied_redirects_of_its_own() -> None:
    errands = Errands()
    errand = sent(errands)
    assert errand
    walked(errand, 3)
    assert told(errand, answer(errand.url, 302, location=f"{C}/robots.txt"))
    assert not told(errand, answer(errand.url, 302, location=f"{C}/more"), errands)
    assert brought(errands) == {A: (302, True)}
    assert not errands.holds(f"{C}/x")


def test_where_two_ways_meet_nobody_is_asked_twice_and_each_has_its_own_redirects() -> None:
    errands, meeting = Errands(), f"{C}/rules"
    one, other = sent(errands), sent(errands, "https://d.example.com", f"{B}/d", used=4)
    assert one
    assert other
    assert told(one, answer(one.url, 302, location=meeting), errands)
    assert told(other, answer(other.url, 302, location=meeting), errands)
    assert errands.said(meeting) is None
    assert told(one, answer(meeting, 302, location=f"{C}/more"), errands)
    said = errands.said(meeting)
    assert said
    assert other.step(said)
    assert (one.url, other.url) == (f"{C}/more", f"{C}/more")
    assert not told(one, answer(one.url), errands)
    said = errands.said(other.url)
    assert said
    assert not other.step(said)
    assert brought(errands) == {A: (200, False), B: (200, False), "https://d.example.com": (302, True)}


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("age", "status", "is_known"),
    [(timedelta(hours=23), 200, True), (timedelta(hours=25), 200, False), (timedelta(0), 429, False)],
)
def test_what_the_host_said_within_a_day_is_not_asked_for_again(
    age: timedelta, status: int, *, is_known: bool
) -> None:
    host, asked_at = Host.objects.create(name="b.example.com"), timezone.now() - age
    RobotsFile.objects.create(host=host, origin=B, text=WALL.decode(), status=status, asked_at=asked_at)
    errands = Errands()
    own, page = sent(errands), sent(errands, C, f"{B}/rules")
    assert own
    assert page
    assert errands_known([own, page], {}) == ([page] if is_known else [own, page])
    files: Robots = {}
    errands.settle(files)
    # It is not taken for younger than it is.
    assert {key: file.asked_at for key, file in files.items()} == ({(1, A): asked_at} if is_known else {})
