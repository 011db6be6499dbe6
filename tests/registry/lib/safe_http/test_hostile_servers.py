"""Servers that mean harm. Each request runs in a child process, whose time and memory are measured."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from registry.embedded.servers import ROOT
from tests.registry.lib.safe_http.servers import NameServer, WebServer, answers, redirects, writes

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator

    Handler = Callable[[socket.socket, bytes], None]

TOTAL_SECONDS = 2.0
GROWTH_BYTES = 64 * 1024**2
OK = b"HTTP/1.1 200 OK\r\n"

CHILD = """
import json, re, sys
from pathlib import Path
from registry.lib.safe_http import Limits, Policy, Request, Response, fetch

def kilobytes(name):
    return int(re.search(name + r":\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

for line in sys.stdin:
    asked = json.loads(line)
    policy = Policy(
        name_servers=tuple(asked["names"]), ca_file=asked["ca"],
        test_targets=frozenset((address, port) for address, port in asked["targets"]),
    )
    limits = Limits(connect_seconds=1, total_seconds=asked["seconds"], slow_seconds=1, body_bytes=asked["body"])
    Path("/proc/self/clear_refs").write_text("5")  # forget the highest memory so far
    before = kilobytes("VmRSS")
    result = fetch(Request(asked["url"], method=asked["method"], limits=limits), policy=policy)
    answer = {"seconds": result.seconds, "growth": 1024 * (kilobytes("VmHWM") - before), "hops": len(result.hops)}
    if isinstance(result, Response):
        answer |= {"outcome": "answer", "status": result.status, "size": len(result.body), "cut": result.cut}
    else:
        answer |= {"outcome": str(result.outcome), "rule": result.rule}
    print(json.dumps(answer), flush=True)
"""


class Child:
    """Fetches in a process of its own."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
        )

    def fetch(
        self, url: str, *servers: WebServer, names: str = "", ca: str = "", body: int = 65536, method: str = "GET",
        seconds: float = TOTAL_SECONDS,
    ) -> dict[str, Any]:  # fmt: skip
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        asked: dict[str, Any] = {
            "url": url,
            "targets": [server.target for server in servers],
            "names": [names] if names else [],
        }
        asked |= {"ca": ca, "body": body, "method": method, "seconds": seconds}
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        began = time.monotonic()
        result: dict[str, Any] = json.loads(self.process.stdout.readline())
        assert time.monotonic() - began < seconds + 1
        assert result["growth"] < GROWTH_BYTES
        return result

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()


@pytest.fixture(scope="module")
def child() -> Iterator[Child]:
    one = Child()
    with WebServer(answers()) as server:
        one.fetch(server.url, server, seconds=20)  # what is loaded only once is not the server's doing
    yield one
    one.close()


def endlessly(*parts: bytes, first: bytes = b"", pause: float = 0) -> Handler:
    def handler(connection: socket.socket, _request: bytes) -> None:
        connection.sendall(first)
        ends = time.monotonic() + 10
        with suppress(OSError):
            while time.monotonic() < ends:
                for part in parts:
                    connection.sendall(part)
                    time.sleep(pause)

    return handler


def closes(connection: socket.socket, _request: bytes) -> None:
    connection.close()


def sleeps(_connection: socket.socket, _request: bytes) -> None:
    time.sleep(4)


@dataclass(frozen=True)
class Case:
    handler: Handler
    outcome: str
    cut: bool = False
    body: int = 65536
    method: str = "GET"


BOMB = gzip.compress(bytes(200 * 1024**2))
CASES = {
    "headers a byte at a time": Case(endlessly(b"x", first=OK + b"X: ", pause=0.1), "read_timeout"),
    "status line a byte at a time": Case(endlessly(b" ", first=b"HTTP/1.1", pause=0.1), "read_timeout"),
    "a header line at a time": Case(endlessly(b"X: y\r\n", first=OK, pause=0.05), "read_timeout"),
    "a body a byte at a time": Case(endlessly(b"x", first=OK + b"Content-Length: 1000\r\n\r\n", pause=0.1), "read_timeout"),
    "a body just above the low speed": Case(
        endlessly(b"x" * 20, first=OK + b"Content-Length: 9999999\r\n\r\n", pause=0.1), "read_timeout"
    ),
    "headers without end": Case(endlessly(b"X-Header: " + b"x" * 1000 + b"\r\n", first=OK), "too_large"),
    "one header without end": Case(endlessly(b"x" * 65536, first=OK + b"X: "), "too_large"),
    "one header of 8 MB": Case(writes(OK + b"X: " + b"x" * 8 * 1024**2 + b"\r\n\r\n"), "too_large"),
    "short headers without end": Case(endlessly(b"a:b\r\n" * 1000, first=OK), "too_large"),
    "a status line without end": Case(endlessly(b"x" * 65536, first=b"HTTP/1.1 200 "), "too_large"),
    "a body without end": Case(endlessly(b"x" * 65536, first=OK + b"\r\n"), "answer", cut=True),
    "a body without end, 10 MB wanted": Case(
        endlessly(b"x" * 65536, first=OK + b"\r\n"), "answer", cut=True, body=10 * 1024**2
    ),
    "a length of 8 exabytes": Case(
        endlessly(b"x" * 65536, first=OK + b"Content-Length: 9223372036854775807\r\n\r\n"), "answer", cut=True
    ),
    "chunks without end": Case(
        endlessly(b"400\r\n" + b"x" * 1024 + b"\r\n", first=OK + b"Transfer-Encoding: chunked\r\n\r\n"), "answer", cut=True
    ),
    "tiny chunks without end": Case(
        endlessly(b"1\r\nx\r\n" * 1000, first=OK + b"Transfer-Encoding: chunked\r\n\r\n"), "answer", cut=True
    ),
    "a chunk size without end": Case(
        endlessly(b"0" * 1024, first=OK + b"Transfer-Encoding: chunked\r\n\r\n"), "reset"
    ),
    "a chunk's extension without end": Case(
        endlessly(b"x" * 65536, first=OK + b"Transfer-Encoding: chunked\r\n\r\n1;"), "read_timeout"
    ),
    "trailers without end": Case(
        endlessly(b"X: " + b"y" * 500 + b"\r\n", first=OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n"), "too_large"
    ),
    "a gzip bomb": Case(
        writes(OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(BOMB), BOMB), "answer", cut=True
    ),
    "a gzip bomb that fits": Case(
        writes(OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(BOMB), BOMB), "answer", body=2**20
    ),
    "a gzip bomb as transfer encoding": Case(
        writes(OK + b"Transfer-Encoding: gzip\r\n\r\n", BOMB), "protocol_error"
    ),
    "interim answers without end": Case(endlessly(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"), "too_large"),
    "continues without end": Case(endlessly(b"HTTP/1.1 100 Continue\r\n\r\n"), "too_large"),
    "an upgrade": Case(writes(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n"), "reset"),
    "redirects in a circle": Case(redirects("/"), "redirect_loop"),
    "a location of a megabyte": Case(redirects("/" + "a" * 2**20), "too_large"),
    "a location of 20 KB": Case(redirects("/" + "a" * 20_000), "invalid_url"),
    "a redirect to an inner address": Case(redirects("http://10.0.0.1/"), "ssrf_blocked"),
    "a redirect to the metadata service": Case(redirects("http://169.254.169.254/latest/"), "ssrf_blocked"),
    "a redirect to loopback": Case(redirects("http://127.0.0.1/"), "ssrf_blocked"),
    "a redirect to loopback in disguise": Case(redirects("http://2130706433/"), "ssrf_blocked"),
    "a redirect to a mapped address": Case(redirects("http://[::ffff:127.0.0.1]/"), "ssrf_blocked"),
    "a redirect without a scheme": Case(redirects("//10.0.0.1/"), "ssrf_blocked"),
    "a redirect to an inner name": Case(redirects("http://localhost/"), "ssrf_blocked"),
    "a redirect to a file": Case(redirects("file:///etc/passwd"), "invalid_url"),
    "a redirect to gopher": Case(redirects("gopher://example.com/_x"), "invalid_url"),
    "a redirect with user info": Case(redirects("http://user:pw@example.com/"), "invalid_url"),
    "a redirect with a carriage return": Case(redirects("/a\rX: y"), "protocol_error"),
    "a redirect with a body without end": Case(
        endlessly(b"x" * 65536, first=b"HTTP/1.1 302 Found\r\nLocation: http://10.0.0.1/\r\n\r\n"), "ssrf_blocked"
    ),
    "a banner of HTTP/0.9": Case(writes(b"SSH-2.0-OpenSSH_9.2\r\n"), "protocol_error"),
    "a page of HTTP/0.9": Case(writes(b"<html>hello</html>"), "protocol_error"),
    "HTTP/2 without asking": Case(writes(b"HTTP/2 200\r\n\r\n"), "answer"),
    "a length that is too long": Case(writes(OK + b"Content-Length: 100\r\n\r\nshort"), "protocol_error"),
    "a length that is too short": Case(writes(OK + b"Content-Length: 2\r\n\r\nlong body"), "answer"),
    "two lengths": Case(writes(OK + b"Content-Length: 2\r\nContent-Length: 5\r\n\r\nhello"), "protocol_error"),
    "a length that is no number": Case(writes(OK + b"Content-Length: -5\r\n\r\nhello"), "protocol_error"),
    "a place in a trailer": Case(
        writes(b"HTTP/1.1 302 Found\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nLocation: http://10.0.0.1/\r\n\r\n"), "answer"
    ),
    "a NUL in a header": Case(writes(OK + b"X: a\0b\r\n\r\n"), "protocol_error"),
    "a header without a colon": Case(writes(OK + b"nonsense\r\n\r\n"), "protocol_error"),
    "a status beyond reason": Case(writes(b"HTTP/1.1 99999 What\r\n\r\n"), "answer"),
    "nothing at all": Case(closes, "reset"),
    "an end within the headers": Case(writes(OK + b"X: "), "protocol_error"),
    "silence": Case(sleeps, "read_timeout"),
    "a body for HEAD": Case(endlessly(b"x" * 65536, first=OK + b"Content-Length: 9\r\n\r\n"), "answer", method="HEAD"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_it_ends_in_time_and_in_little_memory(child: Child, name: str) -> None:
    case = CASES[name]
    with WebServer(case.handler) as server:
        result = child.fetch(server.url, server, body=case.body, method=case.method)
    assert result["outcome"] == case.outcome, result
    if case.outcome == "answer":
        assert result["cut"] == case.cut
        assert result["size"] <= case.body


def test_its_memory_is_really_measured(child: Child) -> None:
    with WebServer(CASES["a body without end, 10 MB wanted"].handler) as server:
        assert child.fetch(server.url, server, body=10 * 1024**2)["growth"] > 5 * 1024**2


@pytest.mark.parametrize("size", [1, 2])
def test_a_body_in_many_small_chunks_takes_no_more_memory_than_in_few(child: Child, size: int) -> None:
    chunks = (b"%x\r\n" % size + b"x" * size + b"\r\n") * 20_000
    case = endlessly(chunks, first=OK + b"Transfer-Encoding: chunked\r\n\r\n")
    with WebServer(case) as server:
        result = child.fetch(server.url, server, body=3 * 1024**2, seconds=20)
    assert (result["outcome"], result["size"], result["cut"]) == ("answer", 3 * 1024**2, True)


def test_slow_redirects_share_one_time(child: Child) -> None:
    count = iter(range(1000))

    def handler(connection: socket.socket, request: bytes) -> None:
        time.sleep(0.7)
        redirects(f"/{next(count)}")(connection, request)

    with WebServer(handler) as server:
        result = child.fetch(server.url, server)
    assert (result["outcome"], result["hops"]) == ("read_timeout", 2)


def test_a_silent_name_server_takes_no_more_than_the_whole_time(child: Child, names: NameServer) -> None:
    names.silent = True
    result = child.fetch("http://site.com/", names=names.address)
    assert (result["outcome"], result["rule"]) == ("dns_failure", "dns_timeout")
