"""Guards in front of sites, soft 404s and opt-outs, each way of saying it by itself."""

from __future__ import annotations

import pytest

from registry.lib.safe_http import Headers, Hop, Response
from registry.links.outcomes import Outcome, opt_outs, seen

URL = "https://www.site.example/pictures/1.jpg"
GUARDS = ("cloudflare", "ddos-guard", "AkamaiGHost", "Sucuri/Cloudproxy", "Imperva", "QRATOR", "DataDome")
MARKS = ("X-DataDome: protected", "X-Sucuri-Block: EXPVP16", "X-Iinfo: 1-2-3", "X-PX-Block: 1")


def answer(status: int, headers: str = "", *, final: str = "") -> Response:
    hops = (Hop(URL, 302),) if final else ()
    return Response(final or URL, status, Headers(headers.encode()), b"", False, "192.0.2.1", hops, 0.1)


def told(status: int, headers: str = "", *, final: str = "", asked: str = URL) -> Outcome:
    return seen(asked, answer(status, headers, final=final)).outcome


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


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ("X-Robots-Tag: none", ("none",)),
        ("X-Robots-Tag: noimageindex", ("noimageindex",)),
        ("X-Robots-Tag: NOML", ("noml",)),
        ("X-Robots-Tag: *: noai", ("noai",)),
        ("X-Robots-Tag: Expunge: noai", ("noai",)),
        (
            "X-Robots-Tag: otherbot: nofollow, noai, noindex",
            (),
        ),  # an agent's name holds to the end of the line
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
def test_each_way_to_opt_out_is_read(lines: str, found: tuple[str, ...]) -> None:
    assert opt_outs(Headers(lines.encode())) == found


@pytest.mark.parametrize("status", [200, 403, 404, 429, 500])
def test_an_opt_out_is_recorded_whatever_the_answer_is(status: int) -> None:
    assert seen(URL, answer(status, "X-Robots-Tag: noai")).opt_outs == ("noai",)
