"""Servers that mean harm before a byte of HTTP is said, or behind a good certificate: measured in a child process."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.registry.lib.safe_http.servers import NameServer, WebServer, answers
from tests.registry.lib.safe_http.test_hostile_servers import OK, Child, child, endlessly, sleeps
from tests.registry.lib.safe_http.test_tls import Authority

if TYPE_CHECKING:
    import socket
    from pathlib import Path

    from tests.registry.lib.safe_http.servers import Handler

__all__ = ["child"]

NAME = "site.example.com"
# Kinds of TLS records: 20 change of cipher, 21 alert, 22 handshake.
HANDSHAKE = b"\x16\x03\x03"
SERVER_HELLO = b"\x02\x00\x00\x56\x03\x03" + bytes(32)
LONGEST_MESSAGE = b"\x02\xff\xff\xff\x03\x03"


class WordlessServer(WebServer):
    """Lets its handler speak as soon as the client said anything, which it does not understand."""

    @staticmethod
    def _read(connection: socket.socket) -> bytes:
        return connection.recv(65536)


@dataclass(frozen=True)
class Case:
    handler: Handler
    outcomes: frozenset[str]


def record(content: bytes) -> bytes:
    return HANDSHAKE + len(content).to_bytes(2, "big") + content


TIMEOUT, BROKEN = frozenset({"connect_timeout"}), frozenset({"tls_error", "reset", "connect_timeout"})
HANDSHAKES = {
    "silence": Case(sleeps, TIMEOUT),
    "a record a byte at a time": Case(
        endlessly(*(bytes([one]) for one in record(SERVER_HELLO)), pause=0.1), TIMEOUT
    ),
    "the head of a record and no more": Case(
        endlessly(first=HANDSHAKE + b"\x40\x00", pause=0.1), TIMEOUT
    ),
    "a record that is filled a byte at a time": Case(
        endlessly(b"x", first=HANDSHAKE + b"\x40\x00", pause=0.05), TIMEOUT
    ),
    "a message of 16 MB": Case(
        endlessly(record(bytes(16_384)), first=record(LONGEST_MESSAGE + bytes(16_000))), BROKEN
    ),
    "records without content": Case(endlessly(record(b"") * 1_000), BROKEN),
    "warnings without end": Case(endlessly(b"\x15\x03\x03\x00\x02\x01\x5a" * 1_000), BROKEN),
    "changes of cipher without end": Case(endlessly(b"\x14\x03\x03\x00\x01\x01" * 1_000), BROKEN),
    "random bytes without end": Case(endlessly(bytes(range(256)) * 256), BROKEN),
    "an answer in plain text without end": Case(endlessly(OK + b"X: " + b"x" * 65_536), BROKEN),
}  # fmt: skip


@pytest.mark.parametrize("name", HANDSHAKES)
def test_a_handshake_ends_in_time_and_in_little_memory(child: Child, names: NameServer, name: str) -> None:
    case = HANDSHAKES[name]
    with WordlessServer(case.handler) as server:
        names.knows(NAME, server.host)
        began = time.monotonic()
        result = child.fetch(f"https://{NAME}:{server.port}/", server, names=names.address)
        took = time.monotonic() - began
    assert result["outcome"] in case.outcomes, result
    assert took < 2  # a second to connect in, and a second


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "trusted")


def ask(child: Child, names: NameServer, authority: Authority, server: WebServer) -> dict[str, object]:
    names.knows(NAME, server.host)
    url = f"https://{NAME}:{server.port}/"
    return child.fetch(url, server, names=names.address, ca=str(authority.file))


def test_a_chain_of_thousands_of_certificates_is_refused(
    child: Child, names: NameServer, authority: Authority, tmp_path: Path
) -> None:
    context = authority.context(NAME)
    chain = tmp_path / "chain.pem"
    own = (tmp_path / f"{NAME}-0-server.pem").read_bytes()
    chain.write_bytes(own + authority.file.read_bytes() * 5_000)
    context.load_cert_chain(chain)
    with WebServer(answers(), tls=context) as server:
        assert ask(child, names, authority, server)["outcome"] in {"tls_error", "reset"}
        assert server.requests == []


def test_a_chain_that_fits_is_taken(child: Child, names: NameServer, authority: Authority) -> None:
    """Or the one above would prove nothing."""
    with WebServer(answers(), tls=authority.context(NAME)) as server:
        assert ask(child, names, authority, server)["outcome"] == "answer"


AFTERWARDS = {
    "silence": (sleeps, "read_timeout"),
    "headers a byte at a time": (endlessly(b"x", first=OK + b"X: ", pause=0.1), "read_timeout"),
    "headers without end": (endlessly(b"X-Header: " + b"x" * 1_000 + b"\r\n", first=OK), "too_large"),
    "a body without end": (endlessly(b"x" * 65_536, first=OK + b"\r\n"), "answer"),
}


@pytest.mark.parametrize("name", AFTERWARDS)
def test_a_good_certificate_buys_no_time_and_no_memory(
    child: Child, names: NameServer, authority: Authority, name: str
) -> None:
    handler, outcome = AFTERWARDS[name]
    with WebServer(handler, tls=authority.context(NAME)) as server:
        result = ask(child, names, authority, server)
    assert result["outcome"] == outcome
    if outcome == "answer":
        assert (result["cut"], result["size"]) == (True, 65_536)
