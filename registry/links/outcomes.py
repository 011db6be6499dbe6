"""What one attempt to reach a link saw: a pure function of the door's answer.

An answer that refuses *us* (a login, a block, a challenge, a limit) says nothing about whether the link still works, so
it has a name of its own and never counts as a failure (`states.py`). Challenges are told by their headers, for no body
is asked for. An opt-out that an answer declares is evidence beside the outcome, also when the link is alive.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from django.db import models

from expunge.keys import registrable_domain, url_host
from registry.lib import safe_http

if TYPE_CHECKING:
    from registry.lib.safe_http import Headers, Refused, Response


class Outcome(models.TextChoices):
    """What one attempt saw."""

    OK = "ok", "Answers"
    NOT_MODIFIED = "not_modified", "Not modified"
    REDIRECT_SAME_SITE = "redirect_same_site", "Redirects within its site"
    REDIRECT_CROSS_SITE = "redirect_cross_site", "Redirects to another site"
    SOFT_404 = "soft_404", "Redirects to a start or error page"
    NOT_FOUND = "not_found", "Not found (404)"
    GONE = "gone", "Gone (410)"
    AUTH_REQUIRED = "auth_required", "Asks for a login or payment"
    FORBIDDEN = "forbidden", "Forbidden (403)"
    LEGAL_BLOCK = "legal_block", "Blocked for legal reasons (451)"
    BOT_CHALLENGE = "bot_challenge", "Asks for a proof of being a person"
    RATE_LIMITED = "rate_limited", "Asks us to come later"
    CLIENT_ERROR = "client_error", "Refuses the request as made"
    SERVER_ERROR = "server_error", "Fails inside (5xx)"
    DNS_NXDOMAIN = "dns_nxdomain", "The name does not exist"
    DNS_NODATA = "dns_nodata", "The name has no address"
    DNS_FAILURE = "dns_failure", "The name could not be looked up"
    CONNECT_REFUSED = "connect_refused", "Refuses connections"
    CONNECT_TIMEOUT = "connect_timeout", "Cannot be connected to"
    READ_TIMEOUT = "read_timeout", "Does not answer in time"
    RESET = "reset", "Breaks the connection off"
    TLS_ERROR = "tls_error", "Has no valid certificate"
    PROTOCOL_ERROR = "protocol_error", "Does not speak HTTP"
    TOO_LARGE = "too_large", "Sends more headers than we take"
    REDIRECT_LOOP = "redirect_loop", "Redirects without end"
    INVALID_URL = "invalid_url", "Not a URL that we ask for"
    SSRF_BLOCKED = "ssrf_blocked", "Leads to no public address"
    ROBOTS_DISALLOWED = "robots_disallowed", "robots.txt says no"
    OPTED_OUT = "opted_out", "The host opted out"
    POLICY_NO_FETCH = "policy_no_fetch", "Excluded: never asked for"


@dataclass(frozen=True, slots=True)
class Seen:
    """What one attempt saw. `status` is the last answer's, 0 without any; `target` where redirects led, else "".

    `opt_outs` are the directives against our kind of use that the answer declares, sorted: `noai`, `tdm-reservation` …
    `in_doubt`: the trouble may as well be ours, so it says nothing of the link.
    """

    outcome: Outcome
    status: int = 0
    target: str = ""
    opt_outs: tuple[str, ...] = ()
    in_doubt: bool = False


def seen(url: str, result: Response | Refused) -> Seen:
    """Name what came back for `url`."""
    if isinstance(result, safe_http.Refused):
        status = result.hops[-1].status if result.hops else 0
        outcome = _RULES.get(result.rule, Outcome(result.outcome.value))
        return Seen(outcome, status, in_doubt=result.rule in _IN_DOUBT)
    target = result.url if result.hops else ""
    outcome = _of_answer(url, result)
    return Seen(outcome, result.status, target, opt_outs(result.headers))


def opt_outs(headers: Headers) -> tuple[str, ...]:
    """The directives of `X-Robots-Tag` and `TDM-Reservation` that concern us, sorted and each once."""
    found = {"tdm-reservation" for value in headers.all("tdm-reservation") if value.strip() == "1"}
    for value in headers.all("x-robots-tag"):
        agent = ""
        for part in value.lower().split(","):
            name, colon, rest = part.strip().partition(":")
            if (
                colon and name not in _WITH_VALUE
            ):  # `agent: directive, directive`: it holds to the end of the line
                agent, name = name.strip(), rest.strip()
            if name in _OPT_OUTS and agent in {"", "*", "expunge"}:
                found.add(name)
    return tuple(sorted(found))


_OPT_OUTS = frozenset({"noai", "noimageai", "noindex", "noimageindex", "noml", "none"})
_WITH_VALUE = frozenset({"max-snippet", "max-image-preview", "max-video-preview", "unavailable_after"})

# Rules of ours by which a dial was refused (`turns.py`), where the door itself only knows that it was, and redirects that
# only go round because we carry no cookies.
_RULES = {
    "robots": Outcome.ROBOTS_DISALLOWED,
    "opted_out": Outcome.OPTED_OUT,
    "cookie_wall": Outcome.BOT_CHALLENGE,
}
# We could not cope with an answer; a chain of certificates lacks one that browsers fetch or remember, or ends in an
# authority that this machine does not know.
_IN_DOUBT = frozenset({"fault", "incomplete_chain"})

_BY_STATUS = {
    304: Outcome.NOT_MODIFIED,
    401: Outcome.AUTH_REQUIRED,
    402: Outcome.AUTH_REQUIRED,
    403: Outcome.FORBIDDEN,
    404: Outcome.NOT_FOUND,
    407: Outcome.AUTH_REQUIRED,
    408: Outcome.SERVER_ERROR,  # it waited for us in vain: its trouble or the network's
    410: Outcome.GONE,
    425: Outcome.SERVER_ERROR,
    429: Outcome.RATE_LIMITED,
    451: Outcome.LEGAL_BLOCK,
    503: Outcome.RATE_LIMITED,  # also without Retry-After: the default of the limits of nginx
    511: Outcome.AUTH_REQUIRED,  # the login page of a network on the way
    999: Outcome.BOT_CHALLENGE,  # what some large sites answer whom they take for a robot
}

# A status with which the guards below refuse us; the same from anybody else is taken at its word.
_GUARDED = frozenset({202, 403, 405, 406, 429, 503})
_GUARD_SERVERS = ("cloudflare", "ddos-guard", "akamaighost", "sucuri", "imperva", "qrator", "datadome")
_GUARD_HEADERS = ("x-datadome", "x-sucuri-block", "x-iinfo", "x-px-block")

_MISSING = re.compile(
    r"(?:^|[/_.-])(?:404|410|not[_-]?found|page[_-]?not[_-]?found|image[_-]?not[_-]?found|removed|deleted)(?:[/_.-]|$)"
)
_LOGIN = re.compile(r"(?:^|/)(?:log-?in|sign-?in|sso|auth|oauth2?|authorize)(?:[/.]|$)")
_CHECKPOINT = re.compile(r"(?:^|/)(?:captcha|challenge|checkpoint|cdn-cgi/challenge-platform)(?:[/.]|$)")


def _of_answer(url: str, answer: Response) -> Outcome:
    status = answer.status
    if _is_challenge(answer):
        return Outcome.BOT_CHALLENGE
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if status == 416 and (answer.headers.get("content-range") or "").replace(" ", "") == "bytes*/0":
        return _of_success(url, answer)  # there, and empty
    if 200 <= status < 300:
        return _of_success(url, answer)
    if 400 <= status < 500:
        return Outcome.CLIENT_ERROR
    if 500 <= status < 600:
        return Outcome.SERVER_ERROR
    return Outcome.PROTOCOL_ERROR  # a redirect to nowhere, or a number that HTTP does not know


def _is_challenge(answer: Response) -> bool:
    headers = answer.headers
    if headers.get("cf-mitigated") or headers.get("x-amzn-waf-action") in {"challenge", "captcha"}:
        return True
    if answer.status not in _GUARDED or answer.status == 429:
        return False
    if any(headers.get(name) for name in _GUARD_HEADERS):
        return True
    server = (headers.get("server") or "").lower()
    return server.startswith(_GUARD_SERVERS) and (answer.status != 503 or not headers.get("retry-after"))


def _of_success(url: str, answer: Response) -> Outcome:
    """Tell arriving from being led astray."""
    if not answer.hops:
        return Outcome.OK
    asked, arrived = urlsplit(url), urlsplit(answer.url)
    path = arrived.path.lower()
    if _CHECKPOINT.search(path) and not _CHECKPOINT.search(asked.path.lower()):
        return Outcome.BOT_CHALLENGE
    if _LOGIN.search(path) and not _LOGIN.search(asked.path.lower()):
        return Outcome.AUTH_REQUIRED
    if _MISSING.search(path) and not _MISSING.search(asked.path.lower()):
        return Outcome.SOFT_404
    if arrived.path in {"", "/"} and (asked.path not in {"", "/"} or (asked.query and not arrived.query)):
        return Outcome.SOFT_404
    return Outcome.REDIRECT_SAME_SITE if _site(url) == _site(answer.url) else Outcome.REDIRECT_CROSS_SITE


def _site(url: str) -> str | None:
    """The registrable domain, or the host where it has none."""
    host = url_host(url)
    return None if host is None else registrable_domain(host) or host
