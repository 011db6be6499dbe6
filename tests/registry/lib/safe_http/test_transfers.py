from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from registry.lib.safe_http import Client, Refused, Request, Response
from registry.lib.safe_http.transfers import Transfers
from tests.registry.lib.safe_http.asking import good, policy_for
from tests.registry.lib.safe_http.servers import WebServer, answers, writes


def test_many_are_under_way_at_once_and_no_more_than_allowed() -> None:
    lock, now, most = threading.Lock(), [0], [0]

    def slow(connection: socket.socket, request: bytes) -> None:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.05)
        with lock:
            now[0] -= 1
        answers()(connection, request)

    with WebServer(slow) as server:

        async def run() -> list[Response | Refused]:
            async with Client(policy_for(server), concurrency=8) as client:
                return await asyncio.gather(*[client.fetch(Request(f"{server.url}{n}")) for n in range(40)])

        results = asyncio.run(run())
        assert all(good(result).status == 200 for result in results)
        assert [good(result).url for result in results] == [f"{server.url}{n}" for n in range(40)]
        assert 2 <= most[0] <= 8
        assert server.connections <= 8


def test_answers_never_reach_another_request() -> None:
    def echo(connection: socket.socket, request: bytes) -> None:
        answers(request.split(b" ")[1])(connection, request)

    with WebServer(echo) as one, WebServer(echo, host="127.0.0.2") as two:

        async def run() -> None:
            async with Client(policy_for(one, two), concurrency=16) as client:

                async def check_one(number: int) -> None:
                    server = (one, two)[number % 2]
                    result = good(await client.fetch(Request(f"{server.url}{number}")))
                    assert (result.body, result.address) == (f"/{number}".encode(), server.host)

                await asyncio.gather(*[check_one(number) for number in range(300)])

        asyncio.run(run())


def test_connections_are_kept_and_a_closed_one_is_replaced() -> None:
    with WebServer(answers()) as server:

        async def run() -> None:
            async with Client(policy_for(server)) as client:
                for _ in range(5):
                    assert good(await client.fetch(Request(server.url))).status == 200
                assert server.connections == 1
                server._open[0].shutdown(socket.SHUT_RDWR)
                await asyncio.sleep(1.2)  # within a second libcurl does not look whether it is still there
                assert good(await client.fetch(Request(server.url))).status == 200
                assert server.connections == 2

        asyncio.run(run())


def test_a_socket_with_the_number_of_a_closed_one_is_watched_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    last = writes(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    numbers: list[int] = []

    def slowly(connection: socket.socket, request: bytes) -> None:
        time.sleep(0.01)  # so that the answer has to be waited for
        last(connection, request)

    class Noting(Transfers):
        def _opened(self, descriptor: int) -> None:
            numbers.append(descriptor)
            super()._opened(descriptor)

    monkeypatch.setattr("registry.lib.safe_http.client.Transfers", Noting)
    with WebServer(slowly) as server:

        async def run() -> None:
            async with Client(policy_for(server)) as client:
                for number in range(20):
                    assert good(await client.fetch(Request(f"{server.url}{number}"))).seconds < 2

        asyncio.run(run())
        assert server.connections == len(numbers) == 20
        assert len(set(numbers)) < 20


def test_no_socket_is_left_open_or_handed_to_other_programs() -> None:
    inherited: list[bool] = []

    def sockets() -> set[int]:
        found = set()
        for entry in Path("/proc/self/fd").iterdir():
            with suppress(FileNotFoundError):  # the one that lists them
                if str(entry.readlink()).startswith("socket:"):
                    found.add(int(entry.name))
        return found

    def handler(connection: socket.socket, request: bytes) -> None:
        inherited.extend(map(os.get_inheritable, sockets() - before))
        answers()(connection, request)

    with WebServer(handler) as server:
        before = sockets()

        async def run() -> None:
            async with Client(policy_for(server)) as client:
                assert good(await client.fetch(Request(server.url))).status == 200

        asyncio.run(run())
        assert len(inherited) >= 2  # both ends, at least
        assert not any(inherited)
        assert sockets() - before <= {connection.fileno() for connection in server._open}


def test_a_cancelled_request_harms_no_other() -> None:
    def handler(connection: socket.socket, request: bytes) -> None:
        if b"/slow" in request:
            time.sleep(0.3)
        answers()(connection, request)

    with WebServer(handler) as server:

        async def run() -> None:
            async with Client(policy_for(server), concurrency=2) as client:
                slow = asyncio.create_task(client.fetch(Request(f"{server.url}slow")))
                await asyncio.sleep(0.1)
                slow.cancel()
                results = await asyncio.gather(
                    *[client.fetch(Request(f"{server.url}{n}")) for n in range(10)]
                )
                assert all(good(result).status == 200 for result in results)
                with pytest.raises(asyncio.CancelledError):
                    await slow

        asyncio.run(run())


def test_leaving_ends_what_is_under_way() -> None:
    with WebServer(lambda c, r: time.sleep(1)) as server:

        async def run() -> None:
            async with Client(policy_for(server)) as client:
                waiting = asyncio.create_task(client.fetch(Request(server.url)))
                await asyncio.sleep(0.1)
            with pytest.raises(asyncio.CancelledError):
                await waiting

        asyncio.run(run())
