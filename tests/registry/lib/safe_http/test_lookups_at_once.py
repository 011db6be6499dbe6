"""Very many names at once: no more questions than a name server and this machine have room for, and none given up for it."""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pycares
import pytest

from registry.lib.safe_http import Client, Limits, Outcome, Policy, Refused, Request, Response
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


def test_who_waits_for_room_waits_no_longer_than_a_request_may_take(
    names: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolver_module, "LOOKUP_SECONDS", 0.4)
    monkeypatch.setattr(resolver_module, "IN_FLIGHT", 1)
    names.silent = True

    async def run() -> list[Response | Refused]:
        limits = Limits(total_seconds=0.6)
        async with Client(Policy(name_servers=(names.address,)), concurrency=4) as client:
            return await asyncio.gather(
                *(client.fetch(Request(f"http://h{n}.com/", limits=limits)) for n in range(4))
            )

    results = asyncio.run(run())
    assert {result.outcome for result in results if isinstance(result, Refused)} == {Outcome.DNS_FAILURE}
    assert max(result.seconds for result in results) < 1


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


def test_the_library_below_remembers_no_more_names_than_we_do(
    names: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolver_module, "CACHE_NAMES", 10)
    hosts = [f"h{number}.example.com" for number in range(30)]
    for host in hosts:
        names.knows(host, "8.8.8.8")

    async def run() -> None:
        resolver = Resolver([names.address])
        for host in [*hosts, hosts[0]]:
            await resolver.addresses(host)
        assert len(resolver._channels) <= 2
        await resolver.close()

    asyncio.run(run())
    assert names.asked.count((hosts[0], "A")) == 2


def test_a_channel_that_forgot_where_to_look_is_made_again(
    names: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[pycares.Channel] = []
    plain = pycares.Channel

    def channel(**how: Any) -> pycares.Channel:
        made.append(plain(**how if made else how | {"lookups": "\x10"}))
        return made[-1]

    monkeypatch.setattr(pycares, "Channel", channel)
    names.knows("a.com", "8.8.8.8")
    assert look_up(names, ["a.com"]) == [("8.8.8.8",)]
    assert len(made) == 2
    assert sorted(names.asked) == [("a.com", "A"), ("a.com", "AAAA")]


def test_an_answer_on_its_way_outlasts_the_channel_it_was_asked_through(
    names: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolver_module, "CACHE_NAMES", 1)
    hosts = [f"h{number}.example.com" for number in range(10)]
    for host in hosts:
        names.knows(host, "8.8.8.8")
    names.silent = True

    async def run() -> None:
        resolver = Resolver([names.address])
        first = asyncio.create_task(resolver.addresses("h0.example.com"))
        await asyncio.sleep(0.05)
        names.silent = False
        for host in hosts[1:]:
            await resolver.addresses(host)
        assert await first == ("8.8.8.8",)  # asked again a second later
        await resolver.close()

    asyncio.run(run())


def test_a_failure_that_nobody_waits_for_any_more_is_not_spoken_of(
    names: NameServer, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        resolver = Resolver([names.address])
        waits = asyncio.create_task(resolver.addresses("gone.com"))
        await asyncio.sleep(0)
        waits.cancel()
        await asyncio.wait(resolver._asking.values())
        await resolver.close()

    asyncio.run(run())
    gc.collect()
    assert not caplog.records


@pytest.mark.parametrize("before", [True, False], ids=["its channel", "its question"])
def test_running_out_of_sockets_is_our_fault_and_not_the_names(names: NameServer, *, before: bool) -> None:
    names.knows("a.com", "8.8.8.8")
    names.knows("b.com", "8.8.8.8")

    async def run() -> None:
        resolver = Resolver([names.address])
        if not before:
            await resolver.addresses("a.com")
        with no_more_files():
            for _ in range(2):
                with pytest.raises(OSError, match="Too many open files"):
                    await resolver.addresses("b.com")
        assert await resolver.addresses("b.com") == ("8.8.8.8",)
        await resolver.close()

    asyncio.run(run())


@contextmanager
def no_more_files() -> Iterator[None]:
    """This process has all the files open that it may."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    held = [os.dup(0)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (held[0] + 1, before[1]))
    try:
        with suppress(OSError):
            while True:
                held.append(os.dup(0))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        for file in held:
            os.close(file)


def test_no_socket_stays_open(names: NameServer) -> None:
    names.knows("a.com", "8.8.8.8")
    files = Path("/proc/self/fd")
    look_up(names, ["a.com"])
    before = len(list(files.iterdir()))
    for _ in range(5):
        look_up(names, ["a.com", "gone.com"])
    assert len(list(files.iterdir())) <= before
