"""The web servers that the demo's links lead to: four hosts on this machine's loopback, each with a character.

They run in the demo's own process and end with it. They answer what is planted here and keep a log, so that what the
site says of the links, and how politely it asked, can be held against what the servers know.
"""

from __future__ import annotations

import errno
import threading
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from socketserver import TCPServer
from typing import TYPE_CHECKING, Any, Self

from takedowns.management.demo.steps import StepFailed

if TYPE_CHECKING:
    from types import TracebackType

KEPT, GONE, MOVED, CLOSED = HOSTS = ("127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5")
ROBOTS = "User-agent: *\nDisallow: /private/\n"


@dataclass(frozen=True, slots=True)
class Planted:
    """One link: what its server answers, and how the site is to call it after one check."""

    host: str
    path: str
    status: int
    state: str
    headers: tuple[tuple[str, str], ...] = ()


def planted(port: int) -> list[Planted]:
    """Every link of the demo but the one that is reported, with hosts that listen on `port`."""
    onward = (("Location", f"http://{KEPT}:{port}/new-home.jpg"),)
    within = (("Location", "/arrived.jpg"),)
    start = (("Location", "/"),)
    return [
        *(Planted(KEPT, f"/{number}.jpg", 200, "alive") for number in range(4)),
        Planted(KEPT, "/unwanted.jpg", 200, "alive", (("X-Robots-Tag", "noai"),)),
        *(Planted(GONE, f"/{number}.jpg", 404, "failing") for number in range(2)),
        Planted(GONE, "/gone.jpg", 410, "failing"),
        Planted(GONE, "/left.jpg", 200, "alive"),
        *(Planted(MOVED, f"/{number}.jpg", 301, "moved", onward) for number in range(2)),
        Planted(MOVED, "/renamed.jpg", 302, "alive", within),
        Planted(MOVED, "/swept-away.jpg", 302, "failing", start),
        Planted(CLOSED, "/members.jpg", 401, "unverifiable"),
        Planted(CLOSED, "/blocked.jpg", 451, "unverifiable"),
        Planted(CLOSED, "/forbidden.jpg", 403, "unverifiable"),
        *(Planted(CLOSED, f"/private/{number}.jpg", 200, "unverifiable") for number in range(2)),
    ]


REPORTED = (KEPT, "/reported.jpg")  # somebody reported it, so it is never asked for: it cannot be told


@dataclass(frozen=True, slots=True)
class Asked:
    """One request, as the server saw it; `at` in seconds."""

    at: float
    host: str
    method: str
    path: str


class Street:
    """The servers; a context manager. `port` is the same on every host."""

    def __init__(self, port: int = 0) -> None:
        """`port` 0 takes a free one. Raises StepFailed where the addresses cannot be listened on."""
        self.log: list[Asked] = []
        self._servers: list[ThreadingHTTPServer] = []
        self._opened = ExitStack()
        self._answers: dict[tuple[str, str], Planted] = {}
        try:
            for host in HOSTS:
                server = _Server((host, port), self._handler(host))
                self._opened.callback(server.server_close)
                self._servers.append(server)
                port = server.server_port
        except OSError as error:
            self._opened.close()
            if error.errno == errno.EADDRINUSE:
                raise StepFailed(
                    f"Port {port}, which the demo's links name, is taken by another program. Stop that one first."
                ) from error
            raise StepFailed(
                f"The demo's links lead to {HOSTS[0]} to {HOSTS[-1]}, which cannot be listened on: {error}."
            ) from error
        self.port = port
        self._answers = {(one.host, one.path): one for one in planted(port)}

    @property
    def targets(self) -> str:
        """The servers, as LINKS_TEST_TARGETS has them."""
        return ",".join(f"{host}:{self.port}" for host in HOSTS)

    def url(self, host: str, path: str) -> str:
        """The address of what `host` has at `path`."""
        return f"http://{host}:{self.port}{path}"

    def states(self) -> Counter[str]:
        """How many links of each state are planted, with the one that was reported."""
        return Counter([one.state for one in planted(self.port)] + ["unverifiable"])

    def shortest_pause(self) -> float:
        """The least seconds between two requests that one host got."""
        pauses = [
            after - before
            for host in HOSTS
            for before, after in pairwise(one.at for one in self.log if one.host == host)
        ]
        return min(pauses, default=0.0)

    def unwanted(self) -> int:
        """Requests for what robots.txt denies, or for the link that was reported."""
        return sum(one.path.startswith("/private/") or (one.host, one.path) == REPORTED for one in self.log)

    def _handler(self, host: str) -> type[BaseHTTPRequestHandler]:
        street = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                street.log.append(Asked(time.monotonic(), host, self.command, self.path))
                if self.path == "/robots.txt":
                    self._answer(200, (("Content-Type", "text/plain"),), ROBOTS.encode())
                    return
                one = street._answers.get((host, self.path))
                self._answer(one.status if one else 200, one.headers if one else ())

            def do_HEAD(self) -> None:
                self.do_GET()

            def _answer(self, status: int, headers: tuple[tuple[str, str], ...], body: bytes = b"") -> None:
                self.send_response(status)
                for name, value in headers:
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(body)

            def log_message(self, *_args: Any) -> None:
                """Say nothing: the log above is kept instead."""

        return Handler

    def __enter__(self) -> Self:
        for server in self._servers:
            threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True).start()
            self._opened.callback(server.shutdown)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def server_bind(self) -> None:
        """Bind, without looking a name up for the address as the base class does."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = self.socket.getsockname()[:2]
