"""Servers as there are many, each on a host of its own: what they answer for `/pictures/1.jpg`, and what that makes of it.

Those that lead to another host each lead to one of its own, for one host after the other would only take long.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from registry.links.outcomes import Outcome
from registry.links.states import LinkState
from tests.registry.lib.safe_http.servers import answers, redirects, writes

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from tests.registry.lib.safe_http.servers import Handler

PATH = "/pictures/1.jpg"
ALIVE, MOVED, FAILING, DEAD = LinkState.ALIVE, LinkState.MOVED, LinkState.FAILING, LinkState.DEAD
UNVERIFIABLE = LinkState.UNVERIFIABLE
NO_ROBOTS = answers(b"", status="404 Not Found")
GOOD = answers(b"x" * 100, headers="Content-Type: image/jpeg\r\n")


@dataclass(frozen=True)
class Behaviour:
    """What one host does. `state` is that of its link after three looks, each 72 hours after the one before."""

    handler: Handler
    outcome: Outcome
    state: LinkState
    beside_a_good_one: bool = False  # the host has another link, which answers


def says(status: str, headers: str = "") -> Handler:
    return answers(b"", status=status, headers=headers)


def head_and_get(head: Handler, get: Handler) -> Handler:
    return lambda connection, request: (head if request.startswith(b"HEAD") else get)(connection, request)


def paths(**handlers: Handler) -> Handler:
    """By the last part of the path, as a word; the picture itself is `picture`, what is not named is found."""

    def handle(connection: socket.socket, request: bytes) -> None:
        path = request.split(b" ")[1].decode()
        word = "picture" if path == PATH else path.strip("/").partition("?")[0].replace("/", "_") or "start"
        handlers.get(word, NO_ROBOTS if path == "/robots.txt" else GOOD)(connection, request)

    return handle


def leads(location: str, status: str = "302 Found", **handlers: Handler) -> Handler:
    return paths(picture=redirects(location, status), **handlers)


def walled(location: str) -> Handler:
    return says("302 Found", f"Location: {location}\r\nSet-Cookie: seen=1; Path=/\r\n")


def ever_onward(connection: socket.socket, request: bytes) -> None:
    redirects(f"/on/{time.monotonic_ns()}")(connection, request)


def silent(_connection: socket.socket, _request: bytes) -> None:
    time.sleep(3)


def hangs_up(connection: socket.socket, _request: bytes) -> None:
    connection.close()


ELSEWHERE = 4


def behaviours(elsewhere: Sequence[str]) -> dict[str, Behaviour]:
    """All of them by name; `elsewhere` are the addresses of ELSEWHERE other hosts, without a slash at their end."""
    missing, start, login, moved = elsewhere
    good = {
        "a picture": GOOD,
        "no HEAD: 403": head_and_get(says("403 Forbidden"), GOOD),
        "no HEAD: 404": head_and_get(says("404 Not Found"), GOOD),
        "no HEAD: 405": head_and_get(says("405 Not Allowed"), says("206 Partial Content")),
        "no HEAD: 500": head_and_get(says("500 Oh"), GOOD),
        "no HEAD: 501": head_and_get(says("501 Not Implemented"), GOOD),
        "no HEAD: it hangs up": head_and_get(hangs_up, GOOD),
        "nothing inside": says("204 No Content"),
        "an empty file": says("416 Range Not Satisfiable", "Content-Range: bytes */0\r\n"),
        "a plain 202": says("202 Accepted"),
        "an opt-out beside it": says("200 OK", "X-Robots-Tag: noai\r\n"),
        "HTTP/1.0": writes(b"HTTP/1.0 200 OK\r\n\r\n"),
        "a body for HEAD": writes(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"),
    }
    same_site = {
        "moved within": leads("/new/1.jpg", "301 Moved"),
        "three hops": leads("/a", "307 Temporary", a=redirects("/b", "308 Permanent"), b=redirects("/c")),
    }
    absent = {
        "404": (says("404 Not Found"), Outcome.NOT_FOUND),
        "410": (says("410 Gone"), Outcome.GONE),
        "404 after a redirect": (leads("/new", new=says("404 Not Found")), Outcome.NOT_FOUND),
        "404 elsewhere": (leads(f"{missing}/missing"), Outcome.NOT_FOUND),
        "to the start page": (leads("/"), Outcome.SOFT_404),
        "to the start page of another": (leads(f"{start}/"), Outcome.SOFT_404),
        "to a page that says 404": (leads("/errors/404.html"), Outcome.SOFT_404),
        "to the picture that says removed": (leads("/removed.png"), Outcome.SOFT_404),
        "a circle": (redirects(PATH), Outcome.REDIRECT_LOOP),
        "a circle of two": (leads("/b", b=redirects(PATH)), Outcome.REDIRECT_LOOP),
        "ever onward": (ever_onward, Outcome.REDIRECT_LOOP),
        "a redirect to nowhere": (says("302 Found"), Outcome.PROTOCOL_ERROR),
        "an SSH banner": (writes(b"SSH-2.0-OpenSSH_9.6\r\n"), Outcome.PROTOCOL_ERROR),
    }
    trouble = {
        "500": (says("500 Oh"), Outcome.SERVER_ERROR),
        "502": (says("502 Bad Gateway"), Outcome.SERVER_ERROR),
        "504": (says("504 Gateway Timeout"), Outcome.SERVER_ERROR),
        "522 of Cloudflare's": (says("522 Timed Out", "Server: cloudflare\r\n"), Outcome.SERVER_ERROR),
        "it hangs up": (hangs_up, Outcome.RESET),
        "an end without a word": (writes(), Outcome.RESET),
        "silence": (silent, Outcome.READ_TIMEOUT),
    }
    refuses_us = {
        "401": (says("401 Unauthorized", 'WWW-Authenticate: Basic realm="x"\r\n'), Outcome.AUTH_REQUIRED),
        "402": (says("402 Payment Required"), Outcome.AUTH_REQUIRED),
        "511": (says("511 Network Authentication Required"), Outcome.AUTH_REQUIRED),
        "to a login page": (leads(f"/login?next={PATH}"), Outcome.AUTH_REQUIRED),
        "to a login elsewhere": (leads(f"{login}/signin/v2"), Outcome.AUTH_REQUIRED),
        "403": (says("403 Forbidden", "Server: nginx\r\n"), Outcome.FORBIDDEN),
        "451": (says("451 Unavailable For Legal Reasons"), Outcome.LEGAL_BLOCK),
        "a challenge of Cloudflare's": (says("403 Forbidden", "cf-mitigated: challenge\r\n"), Outcome.BOT_CHALLENGE),
        "a block of Cloudflare's": (says("403 Forbidden", "Server: cloudflare\r\n"), Outcome.BOT_CHALLENGE),
        "Cloudflare's wait page": (says("503 Wait", "Server: cloudflare\r\n"), Outcome.BOT_CHALLENGE),
        "a challenge that says 200": (says("200 OK", "cf-mitigated: challenge\r\n"), Outcome.BOT_CHALLENGE),
        "a challenge of AWS's": (says("202 Accepted", "x-amzn-waf-action: challenge\r\n"), Outcome.BOT_CHALLENGE),
        "a captcha of AWS's": (says("405 No", "x-amzn-waf-action: captcha\r\n"), Outcome.BOT_CHALLENGE),
        "a block of Akamai's": (says("403 Forbidden", "Server: AkamaiGHost\r\n"), Outcome.BOT_CHALLENGE),
        "a block of DataDome's": (says("403 Forbidden", "X-DataDome: protected\r\n"), Outcome.BOT_CHALLENGE),
        "to a captcha": (leads("/captcha/?u=1"), Outcome.BOT_CHALLENGE),
        "999": (says("999 Request Denied"), Outcome.BOT_CHALLENGE),
        "a cookie wall": (walled(PATH), Outcome.BOT_CHALLENGE),
        "a cookie wall of two": (paths(picture=walled("/check"), check=redirects(PATH)), Outcome.BOT_CHALLENGE),
        "429 that says when": (says("429 Too Many", "Retry-After: 60\r\n"), Outcome.RATE_LIMITED),
        "429 that does not": (says("429 Too Many"), Outcome.RATE_LIMITED),
        "503 that says when": (says("503 Busy", "Retry-After: 3600\r\n"), Outcome.RATE_LIMITED),
        "503 as nginx limits": (says("503 Service Temporarily Unavailable", "Server: nginx\r\n"), Outcome.RATE_LIMITED),
        "400": (says("400 Bad Request"), Outcome.CLIENT_ERROR),
        "405 to all": (says("405 Not Allowed", "Allow: POST\r\n"), Outcome.CLIENT_ERROR),
        "406": (says("406 Not Acceptable"), Outcome.CLIENT_ERROR),
        "headers without end": (writes(b"HTTP/1.1 200 OK\r\n", b"X: yes yes yes\r\n" * 5000), Outcome.TOO_LARGE),
        "to an inner address": (redirects("http://10.0.0.1/"), Outcome.SSRF_BLOCKED),
        "to the metadata service": (redirects("http://169.254.169.254/latest/"), Outcome.SSRF_BLOCKED),
        "to a file": (redirects("file:///etc/passwd"), Outcome.INVALID_URL),
    }  # fmt: skip
    return (
        {name: Behaviour(handler, Outcome.OK, ALIVE) for name, handler in good.items()}
        | {name: Behaviour(handler, Outcome.REDIRECT_SAME_SITE, ALIVE) for name, handler in same_site.items()}
        | {
            "not modified": Behaviour(says("304 Not Modified"), Outcome.NOT_MODIFIED, ALIVE),
            "moved elsewhere": Behaviour(leads(f"{moved}/1.jpg"), Outcome.REDIRECT_CROSS_SITE, MOVED),
        }
        | {name: Behaviour(handler, outcome, DEAD) for name, (handler, outcome) in absent.items()}
        # Of a host that has nothing else it may be the host's trouble as a whole, which counts once.
        | {name: Behaviour(handler, outcome, FAILING) for name, (handler, outcome) in trouble.items()}
        | {
            f"{name}, beside a good one": Behaviour(
                paths(picture=trouble[name][0]), trouble[name][1], DEAD, beside_a_good_one=True
            )
            for name in ("500", "502")
        }
        | {name: Behaviour(handler, outcome, UNVERIFIABLE) for name, (handler, outcome) in refuses_us.items()}
        | {
            "robots.txt says no": Behaviour(
                paths(**{"robots.txt": answers(b"User-agent: *\nDisallow: /pictures/\n"), "picture": GOOD}),
                Outcome.ROBOTS_DISALLOWED,
                UNVERIFIABLE,
            )
        }
    )
