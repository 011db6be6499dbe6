"""How far a link is followed, hop by hop, and how long a host is left alone after each thing that it may answer."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING

import pytest
from django.utils import timezone

from registry.lib.safe_http import Headers, Outcome, Refused, Request, Response
from registry.links.models import Host, Link
from registry.links.outcomes import Outcome as Told
from registry.links.outcomes import seen
from registry.links.turns import Round, Turn, Walk, retry_after

if TYPE_CHECKING:
    from collections.abc import Sequence

    Result = Response | Refused

URL = "http://a.example.com/1"
MINUTES_15, A_DAY = timedelta(minutes=15), timedelta(hours=24)


def answer(status: int = 200, retry: str = "", *, seconds: float = 0.1) -> Response:
    head = f"Retry-After: {retry}".encode() if retry else b""
    return Response(URL, status, Headers(head), b"", cut=False, address="9.9.9.9", hops=(), seconds=seconds)


def silence(outcome: Outcome = Outcome.READ_TIMEOUT) -> Refused:
    return Refused(outcome, "any", (), 5.0)


class Script:
    """A client of the door that answers what stands here, one after the other."""

    def __init__(self, results: Sequence[Result]) -> None:
        self._results = iter(results)

    async def fetch(self, _request: Request) -> Result:
        return next(self._results)


def asked(host: Host, *results: Result) -> tuple[list[timedelta], list[float]]:
    """How long the host is left alone after each of these, and how often its pace was written at once by then."""
    kept: list[float] = []

    async def keep(host: Host) -> None:
        kept.append(host.delay)

    async def ask() -> list[timedelta]:
        shared = Round(timezone.now() + timedelta(days=9), keep=keep)
        turn = Turn(Script(results), host, shared)  # type: ignore[arg-type]  # as much of a client as it needs
        pauses = []
        for _ in results:
            host.next_at = before = timezone.now()
            await turn.request(Request(URL))
            pauses.append(host.next_at - before)
        return pauses

    return asyncio.run(ask()), kept


def new(**fields: object) -> Host:
    return Host(**{"name": "a.example.com", "delay": 1.0, "fails": 0, "next_at": timezone.now()} | fields)


def close_to(pause: timedelta, wanted: timedelta) -> bool:
    return timedelta(0) <= pause - wanted < timedelta(seconds=2)


def test_a_second_lies_between_two_requests_however_fast_or_slow_the_answer() -> None:
    host = new()
    pauses, _ = asked(host, answer(seconds=0.001), answer(seconds=19.0), answer(404), answer(301))
    assert all(close_to(pause, timedelta(seconds=1)) for pause in pauses)
    assert host.delay == 1.0


def test_each_answer_takes_a_tenth_from_the_pause_and_only_down_to_a_second() -> None:
    host = new(delay=2.0)
    delays = []
    for _ in range(8):
        asked(host, answer())
        delays.append(round(host.delay, 3))
    assert delays == [1.8, 1.62, 1.458, 1.312, 1.181, 1.063, 1.0, 1.0]


@pytest.mark.parametrize("status", [500, 502, 504, 429, 503])
def test_an_error_doubles_the_pause_up_to_a_minute(status: int) -> None:
    host = new()
    delays = []
    for _ in range(8):
        asked(host, answer(status))
        delays.append(host.delay)
    assert delays == [2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]


@pytest.mark.parametrize("status", [500, 502, 504])
def test_an_error_that_is_no_limit_asks_for_no_rest(status: int) -> None:
    host = new()
    pauses, kept = asked(host, answer(status))
    assert close_to(pauses[0], timedelta(seconds=2))
    assert (host.fails, kept) == (0, [])


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("retry", "rest"),
    [("60", timedelta(seconds=60)), ("0", timedelta(seconds=1)), ("86400", A_DAY), ("604800", A_DAY), ("", MINUTES_15),
     ("soon", MINUTES_15)],
)  # fmt: skip
def test_a_limit_asks_for_a_rest_that_is_written_at_once(status: int, retry: str, rest: timedelta) -> None:
    host = new()
    pauses, kept = asked(host, answer(status, retry))
    assert close_to(pauses[0], rest)
    assert (kept, host.fails) == ([2.0], 1)


@pytest.mark.parametrize("status", [200, 403, 404, 500])
def test_others_that_say_when_are_not_waited_for(status: int) -> None:
    host = new()
    pauses, _ = asked(host, answer(status, "3600"))
    assert pauses[0] < timedelta(seconds=4)


def test_a_rest_without_a_time_doubles_each_time_in_a_row_up_to_a_day() -> None:
    host = new()
    pauses = [asked(host, answer(429))[0][0] for _ in range(12)]
    wanted = [min(MINUTES_15 * 2**n, A_DAY) for n in range(12)]
    assert all(close_to(pause, rest) for pause, rest in zip(pauses, wanted, strict=True))
    assert wanted[-1] == A_DAY
    asked(host, answer())
    assert host.fails == 0
    assert close_to(asked(host, answer(429))[0][0], MINUTES_15)


@pytest.mark.parametrize(
    "outcome",
    [Outcome.READ_TIMEOUT, Outcome.RESET, Outcome.CONNECT_TIMEOUT, Outcome.CONNECT_REFUSED, Outcome.TLS_ERROR,
     Outcome.DNS_FAILURE],
)  # fmt: skip
def test_the_third_silence_in_a_row_ends_a_turn(outcome: Outcome) -> None:
    host = new()
    pauses, _ = asked(host, silence(outcome), silence(outcome), silence(outcome))
    assert max(pauses[:2]) < timedelta(seconds=5)
    assert close_to(pauses[2], MINUTES_15)
    assert host.fails == 1


def test_an_answer_between_two_silences_begins_the_count_anew() -> None:
    host = new()
    pauses, _ = asked(host, silence(), silence(), answer(), silence(), silence())
    assert max(pauses) < timedelta(seconds=9)
    assert host.fails == 0


@pytest.mark.parametrize("outcome", [Outcome.DNS_NXDOMAIN, Outcome.DNS_NODATA])
def test_a_name_that_is_not_there_is_asked_for_once(outcome: Outcome) -> None:
    host = new()
    pauses, _ = asked(host, silence(outcome))
    assert close_to(pauses[0], MINUTES_15)


def test_hosts_that_keep_us_waiting_twice_get_more_time_between() -> None:
    host = new()
    asked(host, silence())
    assert host.delay == 1.0  # it may only dislike HEAD
    host = new()
    asked(host, silence(), silence())
    assert host.delay == 2.0
    host = new()
    asked(host, silence(Outcome.CONNECT_REFUSED), silence(Outcome.CONNECT_REFUSED))
    assert host.delay == 1.0


@pytest.mark.parametrize(
    ("written", "rest"),
    [
        ("Fri, 31 Dec 9999 23:59:59 GMT", A_DAY),
        ("Sun, 06 Nov 1994 08:49:37 GMT", timedelta(seconds=1)),
        ("Sun, 06 Nov 1994 08:49:37 +0200", timedelta(seconds=1)),
        ("120", timedelta(seconds=120)),
        ("00120", timedelta(seconds=120)),
        ("1m30s", None),
        ("120.5", None),
        ("+120", None),
        ("1e3", None),
        ("Sun, 06 Nov 1994 08:49:37", None),  # in whose zone?
        ("Sun, 99 Nov 1994 08:49:37 GMT", None),
        ("120, 240", None),
    ],
)
def test_each_way_to_say_when_is_read(written: str, rest: timedelta | None) -> None:
    read = retry_after(answer(429, written))
    if rest is None:
        assert read is None
    else:
        assert read is not None
        assert abs(read - rest) < timedelta(minutes=1)
        assert timedelta(seconds=1) <= read <= A_DAY


@pytest.mark.parametrize(
    ("ahead", "rest"), [(timedelta(hours=2), timedelta(hours=2)), (timedelta(days=9), A_DAY)]
)
def test_a_date_to_come_is_waited_for_up_to_a_day(ahead: timedelta, rest: timedelta) -> None:
    read = retry_after(answer(429, format_datetime(timezone.now() + ahead, usegmt=True)))
    assert read is not None
    assert abs(read - rest) < timedelta(seconds=10)


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
