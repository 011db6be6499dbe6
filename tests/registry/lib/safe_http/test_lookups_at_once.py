"""Very many names at once: no more questions than a name server and this machine have room for, and none given up for it."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from registry.lib.safe_http import Outcome
from registry.lib.safe_http import resolver as resolver_module
from registry.lib.safe_http.resolver import IN_FLIGHT, Resolver
from registry.lib.safe_http.results import Stop
from tests.registry.lib.safe_http.servers import NameServer

if TYPE_CHECKING:
    from collections.abc import Iterator

PAUSE = 0.02


class SmallServer(NameServer):
    """Has room for so many questions at a time and looks at them every PAUSE seconds; what does not fit is lost."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room
        self.most = 0

    def _serve(self) -> None:
        while True:
            self._socket.setblocking(True)
            came = [self._socket.recvfrom(4096)]
            time.sleep(PAUSE)
            self._socket.setblocking(False)
            with suppress(BlockingIOError):
                while True:
                    came.append(self._socket.recvfrom(4096))
            if not all(data for data, _ in came):
                return
            self.most = max(self.most, len(came))
            for data, sender in came[: self.room]:
                self._socket.sendto(self._answer(data), sender)


@pytest.fixture
def small() -> Iterator[SmallServer]:
    with SmallServer(room=2 * IN_FLIGHT) as server:
        yield server


def look_up(names: NameServer, hosts: list[str]) -> list[tuple[str, ...] | Outcome]:
    async def one(resolver: Resolver, host: str) -> tuple[str, ...] | Outcome:
        try:
            return await resolver.addresses(host)
        except Stop as stop:
            return stop.outcome

    async def run() -> list[tuple[str, ...] | Outcome]:
        resolver = Resolver([names.address])
        try:
            return await asyncio.gather(*(one(resolver, host) for host in hosts))
        finally:
            await resolver.close()

    return asyncio.run(run())


def test_a_server_with_little_room_is_asked_each_question_once(small: SmallServer) -> None:
    hosts = [f"h{number}.example.com" for number in range(5 * IN_FLIGHT)]
    for host in hosts:
        small.knows(host, "8.8.8.8")
    assert look_up(small, hosts) == [("8.8.8.8",)] * len(hosts)
    assert small.most <= 2 * IN_FLIGHT
    assert sorted(small.asked) == sorted((host, kind) for host in hosts for kind in ("A", "AAAA"))


def test_who_waits_for_room_has_all_of_his_time_left(
    small: SmallServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolver_module, "LOOKUP_SECONDS", 0.4)
    monkeypatch.setattr(resolver_module, "IN_FLIGHT", 1)
    hosts = [f"h{number}.example.com" for number in range(40)]
    for host in hosts:
        small.knows(host, "8.8.8.8")
    began = time.monotonic()
    assert look_up(small, hosts) == [("8.8.8.8",)] * len(hosts)
    assert time.monotonic() - began > 0.4
    assert small.most <= 2


def test_a_name_that_nobody_answers_makes_room_for_the_next(
    names: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolver_module, "LOOKUP_SECONDS", 0.3)
    monkeypatch.setattr(resolver_module, "IN_FLIGHT", 1)
    names.silent = True
    began = time.monotonic()
    assert look_up(names, ["a.com", "b.com", "c.com"]) == [Outcome.DNS_FAILURE] * 3
    assert 0.9 <= time.monotonic() - began < 2


def test_who_gives_up_waiting_takes_nobodys_room(names: NameServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolver_module, "IN_FLIGHT", 1)
    names.silent = True
    names.knows("last.com", "8.8.8.8")

    async def run() -> None:
        resolver = Resolver([names.address])
        first, second, last = (
            asyncio.create_task(resolver.addresses(host)) for host in ("first.com", "second.com", "last.com")
        )
        await asyncio.sleep(0.05)
        for host in ("second.com", "first.com"):  # one that waits for room, and the one who has it
            resolver._asking[host].cancel()
        await asyncio.gather(first, second, return_exceptions=True)
        names.silent = False
        assert await last == ("8.8.8.8",)
        assert resolver._slots._free == 1
        await resolver.close()

    asyncio.run(run())
    assert "second.com" not in {name for name, _ in names.asked}


def test_no_socket_stays_open(names: NameServer) -> None:
    names.knows("a.com", "8.8.8.8")
    files = Path("/proc/self/fd")
    look_up(names, ["a.com"])
    before = len(list(files.iterdir()))
    for _ in range(5):
        look_up(names, ["a.com", "gone.com"])
    assert len(list(files.iterdir())) <= before
