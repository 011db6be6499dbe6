"""What resolvers say of many domains: whether each is there, its name servers and its addresses.

This is a census, not a lookup before a dial: nothing is ever connected to what comes back, so nothing is judged. It asks
the same two plain questions of millions of names and needs the fastest way, so the messages of RFC 1035 are written and
read here: over UDP with EDNS, with a random id from one of several random ports, and only an answer of the resolver that
repeats its question is taken. A program that looks a name up for a connection uses `resolver`, never this.
"""

from __future__ import annotations

import re
import secrets
import select
import socket
import struct
import time
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

import pycares

from registry.lib.safe_http.policy import endpoint

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Self

IN_FLIGHT = 256  # questions that wait for an answer at once
MAX_VALUES = 16  # name servers or addresses of a domain; more are cut off, in their order
_PORTS = 8  # sockets for each resolver: a stranger has to guess the port as well as the id
_TRIES, _TRY_SECONDS = 3, 2.0  # each try waits longer than the one before
_DNS_PORT = 53
_A, _NS = 1, 2
_NOERROR, _NXDOMAIN = 0, 3
_CLASS_IN = b"\0\1"
_MAX_NAME, _MAX_LABEL = 253, 63
_HOST = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*")
_READ_BYTES = 4096
# An additional record that says how long an answer over UDP may be: what fits into every network unbroken.
_EDNS = b"\0" + struct.pack(">HHIH", 41, 1232, 0, 0)
_HEAD, _RECORD = struct.Struct(">HHHHHH"), struct.Struct(">HHIH")
_RECURSE = 0x0100
_IS_ANSWER, _TRUNCATED, _CODE = 0x8000, 0x0200, 0x000F


class Presence(Enum):
    """What a resolver says of a name: it is there, there is no such name (NXDOMAIN), or nothing that could be used."""

    THERE = "there"
    ABSENT = "absent"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Records:
    """Of one domain: its name servers (lower case, without the last dot) and IPv4 addresses, sorted.

    None stands for a question that was not answered, which says nothing; an empty tuple for an answer that there are none.
    """

    presence: Presence
    name_servers: tuple[str, ...] | None = None
    addresses: tuple[str, ...] | None = None


def records_of(domains: Sequence[str], name_servers: Sequence[str] = ()) -> list[Records]:
    """Ask for the name servers and addresses of each domain (lower-case ASCII); returns them in the same order.

    `name_servers` are the resolvers to ask, `address` or `address:port`; none: those that the machine is set up with.
    Blocks until every question was answered or given up, 12 seconds after the last was first asked at most. Raises
    ValueError for a resolver that is no address, OSError where this process cannot open a socket.
    """
    answers = _ask([(domain, kind) for domain in domains for kind in (_NS, _A)], name_servers)
    return [_records(*pair) for pair in zip(answers[::2], answers[1::2], strict=True)]


def presences_of(domains: Sequence[str], name_servers: Sequence[str]) -> list[Presence]:
    """Ask only whether each domain is there; returns that in the same order. Raises as `records_of`."""
    return [presence for presence, _ in _ask([(domain, _NS) for domain in domains], name_servers)]


_Answer = tuple[Presence, tuple[str, ...] | None]
_NOTHING: _Answer = (Presence.UNKNOWN, None)


def _records(servers: _Answer, addresses: _Answer) -> Records:
    """Both answers as one. A name is absent only where neither question found it."""
    said = {servers[0], addresses[0]}
    if Presence.THERE in said:
        return Records(Presence.THERE, servers[1], addresses[1])
    return Records(Presence.UNKNOWN if Presence.UNKNOWN in said else Presence.ABSENT)


@dataclass(slots=True)
class _Question:
    """One question on its way: its place among all, its bytes, how often it was asked, and until when it waits."""

    number: int
    kind: int
    wire: bytes
    tried: int = 0
    until: float = 0.0


def _ask(questions: Sequence[tuple[str, int]], name_servers: Sequence[str]) -> list[_Answer]:
    """The answer to each (name, kind), in order."""
    answers = [_NOTHING] * len(questions)
    fresh = _written(questions)
    waiting: dict[tuple[int, int], _Question] = {}
    more, tick = True, time.monotonic()
    with _Sockets(name_servers or _of_this_machine()) as sockets:
        while more or waiting:
            while more and len(waiting) < IN_FLIGHT:
                question = next(fresh, None)
                if question is None:
                    more = False
                else:
                    sockets.send(question, waiting)
            for file, data in sockets.received(0.2):
                key = file, int.from_bytes(data[:2])
                asked = waiting.get(key)
                if asked is None or data[12 : 12 + len(asked.wire)] != asked.wire:
                    continue  # not what this socket asked: late, or a forgery
                answer = _read(data, asked)
                del waiting[key]
                if answer is not None:
                    answers[asked.number] = answer
                elif asked.tried < _TRIES:
                    sockets.send(asked, waiting)
            now = time.monotonic()
            if now >= tick:
                tick = now + 0.2
                for key in [key for key, one in waiting.items() if one.until <= now]:
                    late = waiting.pop(key)
                    if late.tried < _TRIES:
                        sockets.send(late, waiting)
    return answers


def _written(questions: Sequence[tuple[str, int]]) -> Iterator[_Question]:
    """Each question as it is sent. What can be no name is left out: no resolver could answer it."""
    for number, (name, kind) in enumerate(questions):
        labels = name.encode("ascii", "replace").split(b".")
        if (
            not name.isascii()
            or len(name) > _MAX_NAME
            or not all(0 < len(one) <= _MAX_LABEL for one in labels)
        ):
            continue
        wire = b"".join(bytes((len(one),)) + one for one in labels)
        yield _Question(number, kind, wire + b"\0" + kind.to_bytes(2) + _CLASS_IN)


def _of_this_machine() -> list[str]:
    """The resolvers that the machine is set up with."""
    channel = pycares.Channel()
    try:
        return list(channel.servers)
    finally:
        channel.close()


class _Sockets:
    """Several sockets for each resolver, each connected, so that only the resolver's own packets arrive."""

    def __init__(self, name_servers: Sequence[str]) -> None:
        self._servers = [endpoint(text) for text in name_servers]

    def __enter__(self) -> Self:
        self._poll = select.epoll()
        self._of_server: list[list[socket.socket]] = []
        self._by_file: dict[int, socket.socket] = {}
        for address, port in self._servers:
            sockets = [self._open(address, port or _DNS_PORT) for _ in range(_PORTS)]
            self._of_server.append(sockets)
        self._turn = 0
        return self

    def __exit__(self, *_error: object) -> None:
        self._poll.close()
        for one in self._by_file.values():
            one.close()

    def _open(self, address: str, port: int) -> socket.socket:
        one = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
        one.setblocking(False)
        one.connect((address, port))  # gives it a random port of this machine
        self._by_file[one.fileno()] = one
        self._poll.register(one, select.EPOLLIN)
        return one

    def send(self, question: _Question, waiting: dict[tuple[int, int], _Question]) -> None:
        """Ask, each further try of the next resolver, and note in `waiting` by whom and which id the answer will come."""
        sockets = self._of_server[question.tried % len(self._of_server)]
        self._turn = (self._turn + 1) % _PORTS
        one = sockets[self._turn]
        number = secrets.randbits(16)
        while (one.fileno(), number) in waiting:
            number = secrets.randbits(16)
        question.tried += 1
        question.until = time.monotonic() + _TRY_SECONDS * question.tried
        waiting[one.fileno(), number] = question
        try:
            one.send(_HEAD.pack(number, _RECURSE, 1, 0, 0, 1) + question.wire + _EDNS)
        except OSError:  # nobody listens, or there is no room just now: as if it were lost on the way
            return

    def received(self, seconds: float) -> Iterator[tuple[int, bytes]]:
        """The packets that are there, with the file of their socket, after waiting for the first for `seconds`."""
        for file, _ in self._poll.poll(seconds):
            one = self._by_file[file]
            while True:
                try:
                    data = one.recv(_READ_BYTES)
                except OSError:  # no more of them, or nobody listens there
                    break
                if len(data) >= _HEAD.size:
                    yield file, data


def _read(data: bytes, asked: _Question) -> _Answer | None:
    """What an answer says; None where it cannot be used, so that another resolver may be asked."""
    _, flags, _, count, _, _ = _HEAD.unpack_from(data)
    code = flags & _CODE
    if not flags & _IS_ANSWER or flags & _TRUNCATED:
        return None
    if code == _NXDOMAIN:
        return Presence.ABSENT, None
    if code != _NOERROR:
        return None
    values: set[str] = set()
    place = _HEAD.size + len(asked.wire)
    try:
        for _ in range(count):
            place = _after_name(data, place)
            kind, _, _, length = _RECORD.unpack_from(data, place)
            place += _RECORD.size
            if kind == asked.kind:
                values.add(
                    _name(data, place) if kind == _NS else socket.inet_ntoa(data[place : place + length])
                )
            place += length
    except (IndexError, struct.error, OSError, ValueError):  # cut short, or written to confuse
        return None
    return Presence.THERE, tuple(sorted(values)[:MAX_VALUES])


def _after_name(data: bytes, place: int) -> int:
    """Where the name that begins at `place` ends. Raises IndexError."""
    while length := data[place]:
        if length >= 0xC0:  # the rest stands elsewhere
            return place + 2
        place += length + 1
    return place + 1


def _name(data: bytes, place: int) -> str:
    """The name at `place`, in lower case. Raises IndexError, and ValueError for what is no host's name."""
    labels: list[bytes] = []
    size = jumps = 0
    while length := data[place]:
        if length >= 0xC0:
            place = (length & 0x3F) << 8 | data[place + 1]
            jumps += 1
        else:
            labels.append(data[place + 1 : place + 1 + length])
            place += length + 1
            size += length + 1
        if jumps > MAX_VALUES or size > _MAX_NAME:  # around in a circle
            raise ValueError("not a name")
    text = b".".join(labels).decode("ascii").lower()  # UnicodeDecodeError is a ValueError
    if not _HOST.fullmatch(text):  # it will be stored and shown
        raise ValueError("not a name")
    return text
