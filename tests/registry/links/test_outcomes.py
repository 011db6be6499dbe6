"""A corpus of what servers do, most of it constructed, and some from servers that really behave so."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from registry.lib.safe_http import Headers, Hop, Limits, Policy, Refused, Request, Response, fetch
from registry.lib.safe_http import Outcome as Door
from registry.links.outcomes import Outcome, Seen, opt_outs, seen
from registry.links.states import ABSENT, REFUSES_US, TROUBLE, LinkState, Standing, after
from tests.registry.lib.safe_http.servers import WebServer, answers, redirects, writes

if TYPE_CHECKING:
    from tests.registry.lib.safe_http.servers import Handler

URL = "https://www.site.example/pictures/1.jpg"


def answer(status: int = 200, headers: str = "", final: str = "", via: int = 301) -> Response:
    """An answer with these header lines, after a redirect to `final` if that is given."""
    hops = (Hop(URL, via),) if final else ()
    return Response(
        final or URL, status, Headers(headers.encode("latin-1")), b"", False, "192.0.2.1", hops, 0.1
    )


def refused(outcome: Door, rule: str = "any") -> Refused:
    return Refused(outcome, rule, (), 0.1)


ANSWERS: dict[str, tuple[Response | Refused, Outcome]] = {
    "a picture": (answer(), Outcome.OK),
    "a part of it": (answer(206), Outcome.OK),
    "nothing inside": (answer(204), Outcome.OK),
    "an empty file asked for a range": (answer(416, "Content-Range: bytes */0"), Outcome.OK),
    "a range that cannot be": (answer(416, "Content-Range: bytes */900"), Outcome.CLIENT_ERROR),
    "not modified": (answer(304), Outcome.NOT_MODIFIED),
    "http to https": (answer(final=URL + "?"), Outcome.REDIRECT_SAME_SITE),
    "www to bare name": (answer(final="https://site.example/pictures/1.jpg"), Outcome.REDIRECT_SAME_SITE),
    "to its image host": (
        answer(final="https://img.site.example/1.jpg", via=302),
        Outcome.REDIRECT_SAME_SITE,
    ),
    "to another domain": (answer(final="https://new.example.org/1.jpg"), Outcome.REDIRECT_CROSS_SITE),
    "to a user's pages": (answer(final="https://bob.github.io/1"), Outcome.REDIRECT_CROSS_SITE),
    "404": (answer(404), Outcome.NOT_FOUND),
    "404 after a redirect": (answer(404, final="https://new.example.org/1.jpg"), Outcome.NOT_FOUND),
    "410": (answer(410), Outcome.GONE),
    "to the start page": (answer(final="https://www.site.example/"), Outcome.SOFT_404),
    "to the start page of a parking site": (answer(final="https://parked.example.net"), Outcome.SOFT_404),
    "to a page that says 404": (answer(final="https://www.site.example/errors/404.html"), Outcome.SOFT_404),
    "to a page not found": (answer(final="https://www.site.example/page-not-found"), Outcome.SOFT_404),
    "to the picture that says removed": (
        answer(final="https://i.site.example/removed.png"),
        Outcome.SOFT_404,
    ),
    "401": (answer(401, 'WWW-Authenticate: Basic realm="x"'), Outcome.AUTH_REQUIRED),
    "402": (answer(402), Outcome.AUTH_REQUIRED),
    "407": (answer(407), Outcome.AUTH_REQUIRED),
    "a network's own login page": (answer(511), Outcome.AUTH_REQUIRED),
    "to a login page": (
        answer(final="https://www.site.example/login?next=/pictures/1.jpg"),
        Outcome.AUTH_REQUIRED,
    ),
    "to a login elsewhere": (answer(final="https://accounts.example.org/signin/v2"), Outcome.AUTH_REQUIRED),
    "403": (answer(403, "Server: nginx"), Outcome.FORBIDDEN),
    "451": (answer(451), Outcome.LEGAL_BLOCK),
    "a challenge of Cloudflare's": (
        answer(403, "cf-mitigated: challenge\r\nServer: cloudflare"),
        Outcome.BOT_CHALLENGE,
    ),
    "a block of Cloudflare's": (answer(403, "Server: cloudflare"), Outcome.BOT_CHALLENGE),
    "Cloudflare's older wait page": (answer(503, "Server: cloudflare"), Outcome.BOT_CHALLENGE),
    "a challenge that says 200": (answer(200, "cf-mitigated: challenge"), Outcome.BOT_CHALLENGE),
    "a challenge of AWS's": (answer(202, "x-amzn-waf-action: challenge"), Outcome.BOT_CHALLENGE),
    "a captcha of AWS's": (answer(405, "x-amzn-waf-action: captcha"), Outcome.BOT_CHALLENGE),
    "a block of Akamai's": (answer(403, "Server: AkamaiGHost"), Outcome.BOT_CHALLENGE),
    "a block of DataDome's": (answer(403, "X-DataDome: protected"), Outcome.BOT_CHALLENGE),
    "to a captcha": (answer(final="https://www.site.example/captcha/?u=1"), Outcome.BOT_CHALLENGE),
    "999": (answer(999), Outcome.BOT_CHALLENGE),
    "a plain 202": (answer(202), Outcome.OK),
    "429": (answer(429, "Retry-After: 120"), Outcome.RATE_LIMITED),
    "429 behind Cloudflare": (answer(429, "Server: cloudflare"), Outcome.RATE_LIMITED),
    "503 that says when": (answer(503, "Retry-After: 3600"), Outcome.RATE_LIMITED),
    "503 that does not": (answer(503), Outcome.RATE_LIMITED),
    "500": (answer(500), Outcome.SERVER_ERROR),
    "502": (answer(502), Outcome.SERVER_ERROR),
    "Cloudflare cannot reach the origin": (answer(522, "Server: cloudflare"), Outcome.SERVER_ERROR),
    "408": (answer(408), Outcome.SERVER_ERROR),
    "400": (answer(400), Outcome.CLIENT_ERROR),
    "405": (answer(405, "Allow: POST"), Outcome.CLIENT_ERROR),
    "418": (answer(418), Outcome.CLIENT_ERROR),
    "a redirect to nowhere": (answer(302), Outcome.PROTOCOL_ERROR),
    "a status of its own": (answer(777), Outcome.PROTOCOL_ERROR),
    "robots": (refused(Door.POLICY_NO_FETCH, "robots"), Outcome.ROBOTS_DISALLOWED),
    "opted out": (refused(Door.POLICY_NO_FETCH, "opted_out"), Outcome.OPTED_OUT),
    "excluded": (refused(Door.POLICY_NO_FETCH, "excluded"), Outcome.POLICY_NO_FETCH),
    "an inner address": (refused(Door.SSRF_BLOCKED, "private"), Outcome.SSRF_BLOCKED),
    "no URL": (refused(Door.INVALID_URL, "scheme"), Outcome.INVALID_URL),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_each_answer_gets_its_name(name: str) -> None:
    result, expected = ANSWERS[name]
    assert seen(URL, result).outcome == expected


@pytest.mark.parametrize("failure", [one for one in Door if one is not Door.POLICY_NO_FETCH])
def test_every_failure_of_the_door_has_the_same_name_here(failure: Door) -> None:
    assert seen(URL, refused(failure)).outcome.value == failure.value


def test_whoever_asks_for_a_start_page_may_be_led_to_one() -> None:
    home = Response("https://www.site.example/", 200, Headers(b""), b"", False, "a", (Hop("x", 301),), 0.1)
    assert seen("http://site.example/", home).outcome == Outcome.REDIRECT_SAME_SITE
    assert seen("http://site.example/?id=7", home).outcome == Outcome.SOFT_404


def test_a_path_that_always_said_so_is_not_an_error_page() -> None:
    url = "http://site.example/404/photo.jpg"
    led = Response(
        "https://site.example/404/photo.jpg", 200, Headers(b""), b"", False, "a", (Hop(url, 301),), 0.1
    )
    assert seen(url, led).outcome == Outcome.REDIRECT_SAME_SITE


def test_status_and_target_are_kept() -> None:
    moved = answer(final="https://new.example.org/1.jpg")
    assert seen(URL, moved) == Seen(Outcome.REDIRECT_CROSS_SITE, 200, "https://new.example.org/1.jpg")
    assert seen(URL, refused(Door.RESET)) == Seen(Outcome.RESET)


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ("X-Robots-Tag: noai, noimageai", ("noai", "noimageai")),
        ("X-Robots-Tag: NoIndex\nX-Robots-Tag: noml", ("noindex", "noml")),
        ("X-Robots-Tag: otherbot: noindex", ()),
        ("X-Robots-Tag: expunge: noindex, noai", ("noai", "noindex")),
        ("X-Robots-Tag: unavailable_after: 25 Jun 2027, noai", ("noai",)),
        ("TDM-Reservation: 1", ("tdm-reservation",)),
        ("TDM-Reservation: 0", ()),
        ("X-Robots-Tag: all", ()),
        ("X-Robots-Tag: none", ("none",)),
        ("X-Robots-Tag: noimageindex", ("noimageindex",)),
        ("X-Robots-Tag: NOML", ("noml",)),
        ("X-Robots-Tag: *: noai", ("noai",)),
        ("X-Robots-Tag: Expunge: noai", ("noai",)),
        # An agent's name holds to the end of the line.
        ("X-Robots-Tag: otherbot: nofollow, noai, noindex", ()),
        ("X-Robots-Tag: otherbot: noai\r\nX-Robots-Tag: noindex", ("noindex",)),
        ("X-Robots-Tag: max-snippet: 5, noai", ("noai",)),
        ("X-Robots-Tag: max-image-preview: large, noai", ("noai",)),
        ("X-Robots-Tag: max-video-preview: 3, noindex", ("noindex",)),
        ("X-Robots-Tag: noaixyz, nofollow, noarchive", ()),
        ("TDM-Reservation:  1 ", ("tdm-reservation",)),
        ("TDM-Reservation: yes", ()),
        ("TDM-Reservation: 0\r\nTDM-Reservation: 1", ("tdm-reservation",)),
        ("X-Robots-Tag: noindex\r\nTDM-Reservation: 1", ("noindex", "tdm-reservation")),
    ],
)
def test_an_opt_out_is_evidence_beside_the_outcome(lines: str, found: tuple[str, ...]) -> None:
    assert opt_outs(Headers(lines.encode())) == found
    assert seen(URL, answer(200, lines)) == Seen(Outcome.OK, 200, "", found)


def test_nobody_who_refuses_us_makes_a_link_dead() -> None:
    from datetime import UTC, datetime, timedelta

    at = datetime(2026, 1, 1, tzinfo=UTC)
    for name, (result, _) in ANSWERS.items():
        outcome = seen(URL, result).outcome
        standing = Standing()
        for month in range(12):
            standing = after(standing, outcome, at + timedelta(days=30 * month))
        dead = standing.state == LinkState.DEAD
        assert dead == (outcome in ABSENT | TROUBLE), name
        assert not (dead and outcome in REFUSES_US), name


GUARDS = ("cloudflare", "ddos-guard", "AkamaiGHost", "Sucuri/Cloudproxy", "Imperva", "QRATOR", "DataDome")
MARKS = ("X-DataDome: protected", "X-Sucuri-Block: EXPVP16", "X-Iinfo: 1-2-3", "X-PX-Block: 1")


def told(status: int, headers: str = "", *, final: str = "", asked: str = URL) -> Outcome:
    return seen(asked, answer(status, headers, final)).outcome


@pytest.mark.parametrize("status", [202, 403, 405, 406, 503])
@pytest.mark.parametrize("guard", [*(f"Server: {name}" for name in GUARDS), *MARKS])
def test_a_guard_that_refuses_us_wants_a_proof_of_being_a_person(guard: str, status: int) -> None:
    assert told(status, guard) == Outcome.BOT_CHALLENGE


@pytest.mark.parametrize("guard", [*(f"Server: {name}" for name in GUARDS), *MARKS])
@pytest.mark.parametrize(
    ("status", "outcome"),
    [(200, Outcome.OK), (404, Outcome.NOT_FOUND), (410, Outcome.GONE), (429, Outcome.RATE_LIMITED),
     (451, Outcome.LEGAL_BLOCK), (500, Outcome.SERVER_ERROR)],
)  # fmt: skip
def test_what_a_guard_lets_through_is_taken_at_its_word(guard: str, status: int, outcome: Outcome) -> None:
    assert told(status, guard) == outcome


@pytest.mark.parametrize(
    ("headers", "outcome"),
    [
        ("Server: cloudflare\r\nRetry-After: 60", Outcome.RATE_LIMITED),
        ("Server: notcloudflare", Outcome.RATE_LIMITED),
        ("X-Datadome: x\r\nRetry-After: 60", Outcome.BOT_CHALLENGE),
    ],
)
def test_a_503_of_a_guard_that_says_when_is_a_limit(headers: str, outcome: Outcome) -> None:
    assert told(503, headers) == outcome


@pytest.mark.parametrize("action", ["challenge", "captcha"])
def test_what_amazons_guard_asks_for_is_told_whatever_the_status(action: str) -> None:
    assert told(200, f"x-amzn-waf-action: {action}") == Outcome.BOT_CHALLENGE
    assert told(404, f"x-amzn-waf-action: {action}") == Outcome.BOT_CHALLENGE
    assert told(404, "x-amzn-waf-action: allow") == Outcome.NOT_FOUND


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(408, Outcome.SERVER_ERROR), (425, Outcome.SERVER_ERROR), (511, Outcome.AUTH_REQUIRED),
     (407, Outcome.AUTH_REQUIRED), (409, Outcome.CLIENT_ERROR), (599, Outcome.SERVER_ERROR),
     (600, Outcome.PROTOCOL_ERROR), (100, Outcome.PROTOCOL_ERROR), (300, Outcome.PROTOCOL_ERROR)],
)  # fmt: skip
def test_a_rare_status_has_its_name_too(status: int, outcome: Outcome) -> None:
    assert told(status) == outcome


@pytest.mark.parametrize(
    "path",
    ["/404", "/404.html", "/errors/410", "/notfound", "/not-found.php", "/not_found", "/pagenotfound",
     "/page_not_found", "/img/image-not-found.gif", "/imagenotfound.png", "/i/removed.png", "/deleted/x", "/a-404-b",
     "/Errors/404.HTML"],
)  # fmt: skip
def test_a_path_that_says_so_is_a_soft_404(path: str) -> None:
    assert told(200, final=f"https://www.site.example{path}") == Outcome.SOFT_404


@pytest.mark.parametrize("path", ["/40404.jpg", "/unremoved.jpg", "/undeleted/1.jpg", "/foundling/2.jpg"])
def test_a_path_that_only_looks_like_it_is_not(path: str) -> None:
    assert told(200, final=f"https://www.site.example{path}") == Outcome.REDIRECT_SAME_SITE


@pytest.mark.parametrize(
    "path",
    ["/login", "/log-in", "/signin", "/sign-in/v2", "/sso", "/auth/start", "/oauth/authorize", "/oauth2/x",
     "/authorize", "/Login.aspx"],
)  # fmt: skip
def test_who_is_led_to_a_login_cannot_tell(path: str) -> None:
    assert told(200, final=f"https://www.site.example{path}") == Outcome.AUTH_REQUIRED
    assert told(404, final=f"https://www.site.example{path}") == Outcome.NOT_FOUND


@pytest.mark.parametrize(
    "path", ["/captcha", "/challenge", "/checkpoint/1", "/cdn-cgi/challenge-platform/h", "/x/Captcha.html"]
)
def test_who_is_led_to_a_captcha_cannot_tell_either(path: str) -> None:
    assert told(200, final=f"https://www.site.example{path}") == Outcome.BOT_CHALLENGE


@pytest.mark.parametrize("path", ["/login/1.jpg", "/captcha/1.jpg"])
def test_whose_own_path_was_always_called_so_was_led_nowhere(path: str) -> None:
    asked = f"http://www.site.example{path}"
    assert told(200, final=f"https://www.site.example{path}", asked=asked) == Outcome.REDIRECT_SAME_SITE


@pytest.mark.parametrize("written", ["bytes */0", "bytes*/0", "bytes  */0"])
def test_an_empty_file_has_no_range_however_that_is_written(written: str) -> None:
    assert told(416, f"Content-Range: {written}") == Outcome.OK


@pytest.mark.parametrize("status", [200, 403, 404, 429, 500])
def test_an_opt_out_is_recorded_whatever_the_answer_is(status: int) -> None:
    assert seen(URL, answer(status, "X-Robots-Tag: noai")).opt_outs == ("noai",)


# --- the same from servers that really behave so ---------------------------------------------------------------------

QUICK = Limits(total_seconds=3, connect_seconds=1, slow_seconds=1)

SERVERS: dict[str, tuple[Handler, Outcome]] = {
    "a picture": (answers(b"x" * 100, headers="Content-Type: image/jpeg\r\n"), Outcome.OK),
    "404": (answers(b"no", status="404 Not Found"), Outcome.NOT_FOUND),
    "410": (answers(b"", status="410 Gone"), Outcome.GONE),
    "403": (answers(b"no", status="403 Forbidden", headers="Server: nginx\r\n"), Outcome.FORBIDDEN),
    "a challenge": (
        answers(b"", status="403 Forbidden", headers="cf-mitigated: challenge\r\n"),
        Outcome.BOT_CHALLENGE,
    ),
    "429": (answers(b"", status="429 Too Many", headers="Retry-After: 60\r\n"), Outcome.RATE_LIMITED),
    "451": (answers(b"", status="451 Unavailable"), Outcome.LEGAL_BLOCK),
    "401": (answers(b"", status="401 Unauthorized"), Outcome.AUTH_REQUIRED),
    "500": (answers(b"", status="500 Oh"), Outcome.SERVER_ERROR),
    "an SSH banner": (writes(b"SSH-2.0-OpenSSH_9.6\r\n"), Outcome.PROTOCOL_ERROR),
    "an end without a word": (writes(), Outcome.RESET),
    "a circle": (redirects("/1.jpg"), Outcome.REDIRECT_LOOP),
    "to an inner address": (redirects("http://10.0.0.1/"), Outcome.SSRF_BLOCKED),
    "to a file": (redirects("file:///etc/passwd"), Outcome.INVALID_URL),
    "headers without end": (
        writes(b"HTTP/1.1 200 OK\r\n", b"X-Filler: yes yes yes\r\n" * 5000),
        Outcome.TOO_LARGE,
    ),
}


@pytest.mark.parametrize("name", SERVERS)
def test_real_servers_get_the_same_names(name: str) -> None:
    handler, expected = SERVERS[name]
    with ExitStack() as stack:
        server = stack.enter_context(WebServer(handler))
        url = f"http://127.0.0.1:{server.port}/1.jpg"
        policy = Policy(test_targets=frozenset({server.target}))
        result = fetch(Request(url, method="HEAD", limits=QUICK), policy=policy)
    assert seen(url, result).outcome == expected


def test_a_closed_port_refuses_connections() -> None:
    with WebServer(answers()) as server:
        policy, url = Policy(test_targets=frozenset({server.target})), f"http://127.0.0.1:{server.port}/"
    assert seen(url, fetch(Request(url, limits=QUICK), policy=policy)).outcome == Outcome.CONNECT_REFUSED
