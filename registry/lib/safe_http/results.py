"""What is asked of the door and what it answers."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Method = Literal["GET", "HEAD", "POST"]

MAX_BODY_BYTES = 10 * 1024**2
REDIRECTS = frozenset({301, 302, 303, 307, 308})  # the statuses by which an answer leads elsewhere

# As HTTP means it: of text, more would be stripped.
_SPACE = " \t\n\r\x0b\f"
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")
# Credentials have no way out through this door, and the others decide where a message ends or goes.
_NOT_TO_SET = frozenset({
    "accept-encoding", "authorization", "connection", "content-length", "cookie", "expect", "host", "keep-alive",
    "proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
})  # fmt: skip


# libcurl's own: without these lines it would send some of them with values of its choice.
_ALWAYS = {"accept": "Accept: */*", "accept-encoding": "Accept-Encoding: identity"}
_POST_ONLY = {"expect": "Expect:", "content-type": "Content-Type: application/octet-stream"}


class Outcome(StrEnum):
    """Why there is no answer; a refusal's `rule` says more."""

    INVALID_URL = "invalid_url"
    SSRF_BLOCKED = "ssrf_blocked"
    POLICY_NO_FETCH = "policy_no_fetch"  # `before_dial` said no
    DNS_NXDOMAIN = "dns_nxdomain"
    DNS_NODATA = "dns_nodata"
    DNS_FAILURE = "dns_failure"
    CONNECT_REFUSED = "connect_refused"
    CONNECT_TIMEOUT = "connect_timeout"
    READ_TIMEOUT = "read_timeout"
    RESET = "reset"
    TLS_ERROR = "tls_error"
    PROTOCOL_ERROR = "protocol_error"
    TOO_LARGE = "too_large"
    REDIRECT_LOOP = "redirect_loop"


@dataclass(frozen=True, slots=True)
class Limits:
    """How long and how much. Raises ValueError for a body above 10 MiB."""

    connect_seconds: float = 5.0  # to connect and shake hands, for each address tried
    total_seconds: float = 20.0  # for everything: names, connections, redirects, bodies
    slow_bytes: int = 64  # fewer bytes a second than this …
    slow_seconds: int = 5  # … for so long end the transfer
    header_bytes: int = 32 * 1024  # of one hop, interim answers included
    body_bytes: int = 64 * 1024  # what is longer is cut here
    redirects: int = 5  # 0: a redirect is an answer like any other

    def __post_init__(self) -> None:
        if not 0 <= self.body_bytes <= MAX_BODY_BYTES:
            raise ValueError(f"body_bytes must be within 0 and {MAX_BODY_BYTES}, not {self.body_bytes}")
        if min(self.connect_seconds, self.total_seconds, self.slow_seconds) <= 0:
            raise ValueError("times must be positive: zero would mean without end")


DEFAULT_LIMITS = Limits()


@dataclass(slots=True)  # not frozen, which would take longer than all else that is done to make one
class Request:
    """One thing to fetch. `headers` go with every hop within the first origin; few of them leave it (`to_elsewhere`).

    Raises ValueError for what the caller did wrong: a header with a line break, one that carries credentials or frames
    the message, a body that is not POSTed. A bad `url` is data, not a mistake: it becomes a `Refused`.
    """

    url: str
    method: Method = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    limits: Limits = DEFAULT_LIMITS
    keeps: bool = True  # whether the connection waits for another request to that host, or is closed at once
    # As they are sent, from what was checked: whoever changes his mapping afterwards changes nothing here.
    lines: list[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.method not in {"GET", "HEAD", "POST"}:
            raise ValueError(f"no such method here: {self.method!r}")
        if self.body and self.method != "POST":
            raise ValueError("only POST has a body")
        self.lines = header_lines(self.method, tuple(self.headers.items()))


@dataclass(frozen=True, slots=True)
class Hop:
    """A redirect that was followed: where it stood (as dialled) and its status."""

    url: str
    status: int


class Headers:
    """The header lines of an answer as they came; names are found in any case, values are Latin-1 as HTTP has it."""

    __slots__ = ("_head", "_values")

    def __init__(self, head: bytes) -> None:
        self._head = head
        self._values: dict[str, list[str]] | None = None  # read when the first is asked for

    def __iter__(self) -> Iterator[tuple[str, str]]:
        """Each header in order, its name in lower case."""
        for line in self._head.decode("latin-1").split("\n"):
            name, colon, value = line.partition(":")
            if colon:
                yield name.rstrip(_SPACE).lower(), value.strip(_SPACE)

    def all(self, name: str) -> list[str]:
        """Every value of a header; `name` in lower case."""
        if self._values is None:
            self._values = {}
            for key, value in self:
                self._values.setdefault(key, []).append(value)
        return list(self._values.get(name, ()))

    def get(self, name: str) -> str | None:
        """The first value of a header, or None; `name` in lower case."""
        return next(iter(self.all(name)), None)


@dataclass(slots=True)
class Response:
    """An answer. `body` is as sent (never decoded), and `cut` tells that it went on beyond the limit.

    Not frozen, for millions of these are made: that would take as long as reading the head of one.
    """

    url: str  # of the last hop, as dialled
    status: int
    headers: Headers
    body: bytes
    cut: bool
    address: str  # of the last hop
    hops: tuple[Hop, ...]  # the redirects followed on the way
    seconds: float


@dataclass(frozen=True, slots=True)
class Refused:
    """No answer, and why: `rule` names the check, the limit or the failure. Nothing a server wrote is in it."""

    outcome: Outcome
    rule: str
    hops: tuple[Hop, ...]  # the redirects followed before
    seconds: float


class Stop(Exception):  # noqa: N818  -- ends one fetch with an answer of its own; only the URL gate raises it to callers
    """No answer will come: `outcome` and `rule` of the `Refused`."""

    def __init__(self, outcome: Outcome, rule: str) -> None:
        super().__init__(outcome, rule)
        self.outcome = outcome
        self.rule = rule


@lru_cache(
    maxsize=256
)  # a batch sends the same few with every request, which a transfer then need not set again
def header_lines(method: Method, headers: tuple[tuple[str, str], ...]) -> list[str]:
    """The lines to send, ours among them. Raises ValueError for those that are not the caller's to set, or malformed."""
    wanted = {**_ALWAYS, **(_POST_ONLY if method == "POST" else {})}
    for name, value in headers:
        if not _NAME.fullmatch(name) or name.lower() in _NOT_TO_SET:
            raise ValueError(f"this header is not the caller's to set: {name!r}")
        if not _VALUE.fullmatch(value):
            raise ValueError(f"not a header's value, printable ASCII without space at its ends: {name}")
        wanted[name.lower()] = f"{name}: {value}"
    return list(wanted.values())
