"""How far a link is followed, hop by hop, and where it is not."""

from __future__ import annotations

import pytest

from registry.lib.safe_http import Headers, Outcome, Refused, Response
from registry.links.models import Link
from registry.links.outcomes import Outcome as Told
from registry.links.outcomes import seen
from registry.links.turns import Walk

START = "http://a.example.com/0"


def redirect(url: str, location: str, headers: str = "", status: int = 302) -> Response:
    head = Headers(f"Location: {location}\r\n{headers}".encode())
    return Response(url, status, head, b"", cut=False, address="9.9.9.9", hops=(), seconds=0.1)


def walked(*locations: str, headers: str = "", status: int = 302) -> Walk:
    """A walk after these redirects, each answered by where the one before led."""
    walk = Walk(Link(url=START), START)
    for location in locations:
        if not walk.step(redirect(walk.url, location, headers, status)):
            break
    return walk


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_five_redirects_are_followed_and_the_sixth_is_not(status: int) -> None:
    walk = walked(*(f"/{n}" for n in range(1, 6)), status=status)
    assert (walk.result, walk.url, len(walk.hops)) == (None, "http://a.example.com/5", 5)
    walk = walked(*(f"/{n}" for n in range(1, 7)), status=status)
    assert isinstance(walk.result, Refused)
    assert (walk.result.outcome, walk.url) == (Outcome.REDIRECT_LOOP, "http://a.example.com/5")


@pytest.mark.parametrize("status", [300, 304, 305, 306, 200, 404])
def test_nothing_else_is_followed(status: int) -> None:
    walk = walked("/1", status=status)
    assert isinstance(walk.result, Response)
    assert (walk.result.status, walk.url, walk.hops) == (status, START, [])


def test_a_circle_ends_when_it_closes_and_with_cookies_it_cannot_be_told() -> None:
    plain, walled = walked("/1", "/0"), walked("/1", "/0", headers="Set-Cookie: seen=1")
    assert plain.result is not None
    assert walled.result is not None
    assert seen(START, plain.result).outcome == Told.REDIRECT_LOOP
    assert seen(START, walled.result).outcome == Told.BOT_CHALLENGE


@pytest.mark.parametrize(
    ("location", "outcome"),
    [
        ("file:///etc/passwd", Outcome.INVALID_URL),
        ("http://user:pw@b.example.com/", Outcome.INVALID_URL),
        ("http://b.example.com:22/", Outcome.SSRF_BLOCKED),
        ("http://127.1/", Outcome.SSRF_BLOCKED),
        ("http://printer.local/", Outcome.SSRF_BLOCKED),
        ("//localhost/", Outcome.SSRF_BLOCKED),
        ("javascript:alert(1)", Outcome.INVALID_URL),
        ("http://b.example.com\\@c.example.com/", Outcome.INVALID_URL),
    ],
)
def test_a_redirect_goes_through_the_gate_before_its_host_is_even_noted(
    location: str, outcome: Outcome
) -> None:
    walk = walked(location)
    assert isinstance(walk.result, Refused)
    assert (walk.result.outcome, walk.url, walk.hops) == (outcome, START, [])
