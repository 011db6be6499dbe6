"""Servers that the tests start on loopback: one that answers whatever its handler writes, and one that knows names."""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    Handler = Callable[[socket.socket, bytes], None]

TYPES = {"A": 1, "NS": 2, "CNAME": 5, "AAAA": 28}
NXDOMAIN, SERVFAIL = 3, 2
# owner, type, value, seconds to live
Record = tuple[str, str, str, int]


def answers(body: bytes = b"hello", *, status: str = "200 OK", headers: str = "") -> Handler:
    """A well-behaved answer, the connection left open."""
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode("latin-1")
    return lambda connection, request: connection.sendall(
        head + (b"" if request.startswith(b"HEAD") else body)
    )


def writes(*parts: bytes) -> Handler:
    """These bytes, and then the end of the connection."""

    def handler(connection: socket.socket, _request: bytes) -> None:
        for part in parts:
            connection.sendall(part)
        connection.shutdown(socket.SHUT_WR)

    return handler


def redirects(location: str, status: str = "302 Found") -> Handler:
    """A redirect."""
    return answers(b"", status=status, headers=f"Location: {location}\r\n")


class WebServer:
    """Reads requests and lets `handler` answer; counts connections and keeps what was asked."""

    def __init__(
        self, handler: Handler, *, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None, port: int = 0
    ) -> None:
        self.handler = handler
        self.host = host
        self.connections = 0
        self.requests: list[bytes] = []
        self._tls = tls
        self._open: list[socket.socket] = []
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, port), family=family, backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        self._thread.join(5)

    @property
    def target(self) -> tuple[str, int]:
        """Address and port."""
        return self.host, self.port

    @property
    def url(self) -> str:
        """Its address as a URL."""
        return (
            f"http://[{self.host}]:{self.port}/" if ":" in self.host else f"http://{self.host}:{self.port}/"
        )

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError):  # whoever is refused hangs up
            self._open.append(connection)
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
                self._open.append(connection)
            connection.settimeout(20)
            while request := self._read(connection):
                self.requests.append(request)
                self.handler(connection, request)
        connection.close()

    @staticmethod
    def _read(connection: socket.socket) -> bytes:
        """One request: its head, and a body of the length that it gives."""
        data = b""
        while b"\r\n\r\n" not in data:
            more = connection.recv(65536)
            if not more:
                return b""
            data += more
        head, _, body = data.partition(b"\r\n\r\n")
        length = 0
        for line in head.split(b"\r\n"):
            if line.lower().startswith(b"content-length:"):
                length = int(line[15:])
        while len(body) < length:
            body += connection.recv(65536)
        return head + b"\r\n\r\n" + body


class NameServer:
    """Answers A, AAAA and NS from `zone`: names to records, to a response code, or to a function called for each A."""

    def __init__(self) -> None:
        self.zone: dict[str, list[Record] | int | Callable[[], list[Record]]] = {}
        self.asked: list[tuple[str, str]] = []
        self.silent = False
        self.garbage: bytes | None = None
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._socket.sendto(b"", self._socket.getsockname())
        self._thread.join(5)
        self._socket.close()

    def knows(self, name: str, *addresses: str, ttl: int = 60) -> None:
        """Give `name` these addresses."""
        self.zone[name] = [(name, "AAAA" if ":" in text else "A", text, ttl) for text in addresses]

    def _serve(self) -> None:
        while True:
            data, sender = self._socket.recvfrom(4096)
            if not data:
                return
            if self.garbage is not None:
                self._socket.sendto(self.garbage, sender)
            elif not self.silent:
                self._socket.sendto(self._answer(data), sender)

    def _answer(self, data: bytes) -> bytes:
        end = data.index(b"\0", 12) + 5
        kind = next((k for k, n in TYPES.items() if data[end - 4 : end - 2] == struct.pack(">H", n)), "?")
        name, place = [], 12
        while data[place]:
            name.append(data[place + 1 : place + 1 + data[place]].decode())
            place += data[place] + 1
        host = ".".join(name).lower()
        self.asked.append((host, kind))
        found = self.zone.get(host, NXDOMAIN)
        if callable(found):
            found = found() if kind == "A" else []
        code = found if isinstance(found, int) else 0
        records = [] if isinstance(found, int) else [r for r in found if r[1] in {kind, "CNAME"}]
        body = b"".join(self._record(record) for record in records)
        return data[:2] + struct.pack(">HHHHH", 0x8180 | code, 1, len(records), 0, 0) + data[12:end] + body

    @staticmethod
    def _record(record: Record) -> bytes:
        owner, kind, value, ttl = record
        if kind in {"CNAME", "NS"}:
            content = _wire(value)
        else:
            content = socket.inet_pton(socket.AF_INET6 if kind == "AAAA" else socket.AF_INET, value)
        return _wire(owner) + struct.pack(">HHIH", TYPES[kind], 1, ttl, len(content)) + content


def _wire(name: str) -> bytes:
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"
