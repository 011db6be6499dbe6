from __future__ import annotations

import asyncio
import math
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from registry.lib.safe_http import Client, Outcome, Refused, Request, Response
from registry.lib.safe_http.crowds import APART, AT_ONCE, Crowds
from tests.registry.lib.safe_http.asking import policy_for
from tests.registry.lib.safe_http.servers import WebServer, answers

if TYPE_CHECKING:
    import socket

ADDRESS = "192.0.2.1"


async def place(crowds: Crowds, address: str = ADDRESS) -> bool:
    return crowds.takes(address) or await crowds.wait(address)


def test_a_few_begin_at_once_and_who_leaves_lets_the_next_in() -> None:
    async def work() -> None:
        crowds = Crowds(math.inf)
        assert [crowds.takes(ADDRESS) for _ in range(AT_ONCE + 1)] == [True] * AT_ONCE + [False]
        waiting = asyncio.ensure_future(crowds.wait(ADDRESS))
        await asyncio.sleep(2 * APART)
        assert not waiting.done()
        crowds.leave(ADDRESS)
        assert await waiting
        assert crowds.takes("192.0.2.2")  # another address is another matter

    asyncio.run(work())


def test_beginnings_are_apart_however_short_each_request_is() -> None:
    async def work() -> float:
        crowds, began = Crowds(math.inf), asyncio.get_running_loop().time()
        for _ in range(AT_ONCE + 6):
            assert await place(crowds)
            crowds.leave(ADDRESS)
        return asyncio.get_running_loop().time() - began

    assert asyncio.run(work()) >= 6 * APART


def test_processes_that_know_nothing_of_each_other_keep_to_their_shares() -> None:
    async def work(sharers: int) -> tuple[int, float]:
        crowds, began = Crowds(math.inf, sharers=sharers), asyncio.get_running_loop().time()
        at_once = [crowds.takes(ADDRESS) for _ in range(AT_ONCE)].count(True)
        for _ in range(at_once):
            crowds.leave(ADDRESS)
        for _ in range(3):
            assert await place(crowds)
            crowds.leave(ADDRESS)
        return at_once, asyncio.get_running_loop().time() - began

    for sharers, share in ((2, AT_ONCE // 2), (8, 1)):
        at_once, seconds = asyncio.run(work(sharers))
        assert at_once == share
        assert seconds >= 3 * APART * sharers


def test_who_waits_longest_is_next() -> None:
    async def work() -> list[int]:
        crowds, order = Crowds(math.inf), list[int]()

        async def one(number: int) -> None:
            await place(crowds)
            order.append(number)
            crowds.leave(ADDRESS)

        await asyncio.gather(*(one(number) for number in range(12)))
        return order

    assert asyncio.run(work()) == list(range(12))


def test_waiting_ends_when_it_closes_and_loses_no_place() -> None:
    async def work() -> None:
        crowds = Crowds(asyncio.get_running_loop().time() + 0.2)
        for _ in range(AT_ONCE):
            crowds.takes(ADDRESS)
        assert await asyncio.gather(*(crowds.wait(ADDRESS) for _ in range(3))) == [False] * 3
        for _ in range(AT_ONCE):
            crowds.leave(ADDRESS)
        await asyncio.sleep(AT_ONCE * APART)
        assert [crowds.takes(ADDRESS) for _ in range(AT_ONCE)] == [True] * AT_ONCE

    asyncio.run(work())


def test_who_gives_up_waiting_holds_no_place_and_no_slot() -> None:
    def slow(connection: socket.socket, request: bytes) -> None:

        time.sleep(0.3)
        answers()(connection, request)

    async def work(server: WebServer) -> list[Response | Refused]:
        async with Client(policy_for(server), concurrency=6, crowds=Crowds(math.inf)) as client:
            tasks = [asyncio.ensure_future(client.fetch(Request(server.url))) for _ in range(20)]
            await asyncio.sleep(0.1)
            for task in tasks[3:]:
                task.cancel()
            for task in tasks[3:]:
                with suppress(asyncio.CancelledError):
                    await task
            assert [isinstance(await task, Response) for task in tasks[:3]] == [True] * 3
            await asyncio.sleep(AT_ONCE * APART)
            return await asyncio.gather(*(client.fetch(Request(server.url)) for _ in range(9)))

    with WebServer(slow) as server:
        assert [isinstance(one, Response) for one in asyncio.run(work(server))] == [True] * 9


def test_a_request_without_a_place_in_time_is_refused_and_sends_nothing() -> None:
    def slow(connection: socket.socket, request: bytes) -> None:

        time.sleep(0.5)
        answers()(connection, request)

    async def work(server: WebServer) -> list[Response | Refused]:
        crowds = Crowds(asyncio.get_running_loop().time() + 0.2)
        async with Client(policy_for(server), crowds=crowds) as client:
            return await asyncio.gather(*(client.fetch(Request(server.url)) for _ in range(AT_ONCE + 2)))

    with WebServer(slow) as server:
        results = asyncio.run(work(server))
        refused = [one for one in results if isinstance(one, Refused)]
        assert [(one.outcome, one.rule) for one in refused] == [(Outcome.POLICY_NO_FETCH, "crowded")] * 2
        assert len(server.requests) == AT_ONCE
