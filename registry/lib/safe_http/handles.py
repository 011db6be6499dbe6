"""One libcurl handle: how it is set up, and what its callbacks allow and gather."""

from __future__ import annotations

import errno
import re
import socket
from math import ceil
from typing import TYPE_CHECKING, NamedTuple

import pycurl

from registry.lib.safe_http.results import Outcome, Stop

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from registry.lib.safe_http.policy import Policy
    from registry.lib.safe_http.results import Limits, Method, Request
    from registry.lib.safe_http.urls import Target

_POOL_SECONDS = 300  # no longer than an answer of the name servers is believed
_IDLE_SECONDS = 60

_EMPTY_LINE = re.compile(rb"\n\r?\n")
_Socket = socket.SocketType
_NONBLOCK: int = socket.SOCK_NONBLOCK
_SOCKET_BAD: int = pycurl.SOCKET_BAD
_GO_ON: int = pycurl.PREREQFUNC_OK
_ABORT: int = pycurl.PREREQFUNC_ABORT
_E_TOO_LARGE = 100  # CURLE_TOO_LARGE; pycurl has no name for it
_TLS_ERRORS = frozenset({
    pycurl.E_SSL_CONNECT_ERROR, pycurl.E_PEER_FAILED_VERIFICATION, pycurl.E_SSL_CERTPROBLEM, pycurl.E_SSL_CIPHER,
    pycurl.E_SSL_CACERT_BADFILE, pycurl.E_SSL_ISSUER_ERROR, pycurl.E_SSL_SHUTDOWN_FAILED,
    pycurl.E_SSL_INVALIDCERTSTATUS, pycurl.E_SSL_ENGINE_NOTFOUND, pycurl.E_SSL_ENGINE_SETFAILED,
})  # fmt: skip
# OpenSSL found no issuer for the last certificate that the server sent: X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT,
# …_LOCALLY and X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE. Browsers find many of them by themselves.
_ISSUER_UNKNOWN = frozenset({2, 20, 21})
_BROKEN_OFF = frozenset({pycurl.E_GOT_NOTHING, pycurl.E_RECV_ERROR, pycurl.E_SEND_ERROR})
_UNREACHABLE = frozenset({
    errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.ENETDOWN, errno.EACCES,
    errno.EPERM,
})  # fmt: skip


class Answer(NamedTuple):
    """What one hop answered; `head` is its header lines."""

    status: int
    head: bytes
    body: bytes
    cut: bool


class Handle:
    """One libcurl handle, used again and again for the same method, and what its callbacks gather."""

    __slots__ = (
        "address",
        "body",
        "body_limit",
        "connected",
        "curl",
        "cut",
        "done",
        "family",
        "fault",
        "head_left",
        "header_lines",
        "keeps",
        "limits",
        "lines",
        "method",
        "milliseconds",
        "opened",
        "overflow",
        "port",
        "repeats",
        "strayed",
    )  # fmt: skip

    done: asyncio.Future[Answer]

    def __init__(
        self, policy: Policy, method: Method, opened: Callable[[int], object] = lambda _socket: None
    ) -> None:
        """`opened(descriptor)` is called with each new socket."""
        self.curl = pycurl.Curl()
        self.opened = opened
        self.header_lines: list[str] | None = None
        self.keeps = True
        self.milliseconds = 0
        self.limits: Limits | None = None
        self.method = method
        self._set_up(policy, method)
        self.forget()

    def _set_up(self, policy: Policy, method: Method) -> None:
        option = self.curl.setopt
        option(pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS)
        option(pycurl.FOLLOWLOCATION, 0)
        option(pycurl.PROXY, "")  # else the environment's is used
        option(pycurl.NOPROXY, "*")
        option(pycurl.NETRC, pycurl.NETRC_IGNORED)
        option(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1)
        option(pycurl.HTTP09_ALLOWED, 0)
        option(pycurl.HTTP_CONTENT_DECODING, 0)
        option(pycurl.PATH_AS_IS, 1)
        option(pycurl.NOSIGNAL, 1)
        option(
            pycurl.DNS_CACHE_TIMEOUT, 0
        )  # it holds only addresses here, and pruning it takes time for each entry
        option(pycurl.MAXAGE_CONN, _IDLE_SECONDS)
        option(pycurl.MAXLIFETIME_CONN, _POOL_SECONDS)
        option(pycurl.SSL_VERIFYPEER, 1)
        option(pycurl.SSL_VERIFYHOST, 2)
        option(pycurl.SSLVERSION, pycurl.SSLVERSION_TLSv1_2)
        if policy.certificates:
            option(pycurl.CAINFO, policy.certificates)
        option(pycurl.USERAGENT, policy.user_agent)
        option(pycurl.OPENSOCKETFUNCTION, self._open)
        option(pycurl.PREREQFUNCTION, self._before_request)
        option(pycurl.HEADERFUNCTION, self._on_header)
        option(pycurl.WRITEFUNCTION, self._on_body)
        if method == "HEAD":
            option(pycurl.NOBODY, 1)
        elif method == "POST":
            option(pycurl.POST, 1)
        else:
            option(pycurl.HTTPGET, 1)

    def prepare(
        self, target: Target, address: str, *, request: Request, lines: list[str], seconds: float
    ) -> None:
        """Set what this request asks for, as far as it is not what the last one asked for."""
        option = self.curl.setopt
        limits = request.limits
        self.address = address
        self.port = target.port
        self.head_left = limits.header_bytes
        self.body_limit = limits.body_bytes
        option(pycurl.URL, target.url)
        pinned = f"[{address}]" if ":" in address else address
        option(pycurl.CONNECT_TO, [f"::{pinned}:{target.port}"])  # whatever host and port: only ever here
        if lines is not self.header_lines:
            option(pycurl.HTTPHEADER, lines)
            self.header_lines = lines
        milliseconds = ceil(seconds * 1000)
        if milliseconds != self.milliseconds:
            option(pycurl.TIMEOUT_MS, milliseconds)
            self.milliseconds = milliseconds
        if limits is not self.limits:
            option(pycurl.CONNECTTIMEOUT_MS, max(1, int(limits.connect_seconds * 1000)))
            option(pycurl.LOW_SPEED_LIMIT, limits.slow_bytes)
            option(pycurl.LOW_SPEED_TIME, limits.slow_seconds)
            self.limits = limits
        if request.keeps is not self.keeps:
            option(pycurl.FORBID_REUSE, not request.keeps)
            self.keeps = request.keeps
        if self.method == "POST":
            option(pycurl.POSTFIELDS, request.body)

    def forget(self) -> None:
        """Let go of what the last request gathered."""
        self.lines: list[bytes] = []
        self.body = bytearray()  # a list of what comes would be one of millions, if by single bytes
        self.connected = False
        self.cut = False
        self.overflow = False
        self.repeats = False
        self.strayed = False
        self.fault: OSError | None = None

    # What libcurl calls. None of these may raise: libcurl cannot pass an exception on.

    def _open(self, _purpose: int, wanted: pycurl.CurlSockAddr) -> int:
        """Make the socket, for the judged address only."""
        if wanted.addr[0] != self.address or wanted.addr[1] != self.port:
            self.strayed = True
            return _SOCKET_BAD
        try:  # libcurl owns and closes it; it would make it non-blocking by two more system calls
            descriptor = _Socket(wanted.family, wanted.socktype | _NONBLOCK, wanted.protocol).detach()
        except OSError as error:
            self.fault = error
            return _SOCKET_BAD
        self.opened(descriptor)
        return descriptor

    def _before_request(self, address: str, _own: str, port: int, _own_port: int) -> int:
        """The connection is there, perhaps from the pool; nothing is sent yet.

        Where the server closes a connection from the pool, libcurl would ask once more by itself: without a last look,
        and without a pause.
        """
        if address != self.address or port != self.port:
            self.strayed = True
            return _ABORT
        if self.connected:
            self.repeats = True
            return _ABORT
        self.connected = True
        return _GO_ON

    def _on_header(self, line: bytes) -> int | None:
        self.head_left -= len(line)
        if self.head_left < 0:
            self.overflow = True
            return -1
        self.lines.append(line)
        return None

    def _on_body(self, data: bytes) -> int | None:
        room = self.body_limit - len(self.body)
        if len(data) > room:
            self.body += data[:room]
            self.cut = True
            return -1  # ends the transfer and the connection
        self.body += data
        return None

    def answer(self, error: int) -> Answer:
        """What came, or Stop with what went wrong instead. Raises OSError for a fault of this process."""
        if self.strayed:
            raise Stop(Outcome.SSRF_BLOCKED, "not_the_pinned_address")
        if self.fault is not None and self.fault.errno not in _UNREACHABLE:
            raise self.fault
        if error and not (self.cut and error == pycurl.E_WRITE_ERROR):
            raise self._failure(error)
        return Answer(
            self.curl.getinfo(pycurl.RESPONSE_CODE), _last_head(self.lines), bytes(self.body), self.cut
        )

    def _failure(self, error: int) -> Stop:
        if self.repeats:
            return Stop(Outcome.RESET, "repeat")
        if self.overflow or error == _E_TOO_LARGE:
            return Stop(Outcome.TOO_LARGE, "headers")
        if error == pycurl.E_OPERATION_TIMEDOUT:
            if self.connected:
                return Stop(Outcome.READ_TIMEOUT, "read")
            return Stop(Outcome.CONNECT_TIMEOUT, "connect")
        if error == pycurl.E_COULDNT_CONNECT:
            number = self.curl.getinfo(pycurl.OS_ERRNO)
            if self.fault is not None or number in _UNREACHABLE:
                return Stop(Outcome.CONNECT_TIMEOUT, "unreachable")
            if number == errno.ETIMEDOUT:
                return Stop(Outcome.CONNECT_TIMEOUT, "connect")
            return Stop(Outcome.CONNECT_REFUSED, "connect")
        if error in _TLS_ERRORS:
            says = self.curl.getinfo(pycurl.SSL_VERIFYRESULT)
            return Stop(Outcome.TLS_ERROR, "incomplete_chain" if says in _ISSUER_UNKNOWN else f"curl_{error}")
        if error in _BROKEN_OFF:
            return Stop(Outcome.RESET, f"curl_{error}")
        if error == pycurl.E_URL_MALFORMAT:
            return Stop(Outcome.INVALID_URL, "unparsable")
        return Stop(Outcome.PROTOCOL_ERROR, f"curl_{error}")


def _last_head(lines: list[bytes]) -> bytes:
    """The header lines of the answer itself: not those of interim ones, its status line, the empty one, or trailers.

    Raises Stop for a head that has no end, which libcurl takes as it is.
    """
    if lines and lines[-1] == b"\r\n" and lines.index(b"\r\n") == len(lines) - 1:  # nearly always
        return b"".join(lines[1:-1])
    head = b"".join(lines)
    start = head.find(b"\n", head.rfind(b"\nHTTP/") + 1)
    end = _EMPTY_LINE.search(head, start)
    if start < 0 or end is None:
        raise Stop(Outcome.PROTOCOL_ERROR, "unfinished_head")
    return head[start + 1 : end.start() + 1]
