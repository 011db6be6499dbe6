from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from registry.lib.safe_http import Client, Refused, Request, Response
from registry.lib.safe_http.transfers import Transfers
from tests.registry.lib.safe_http.asking import good, policy_for
from tests.registry.lib.safe_http.servers import WebServer, answers, writes

if TYPE_CHECKING:
    import pycurl

    from tests.registry.lib.safe_http.servers import NameServer


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


def test_a_connection_that_nobody_needs_any_more_is_closed_at_once() -> None:
    hung_up = threading.Event()

    def watching(connection: socket.socket, request: bytes) -> None:
        answers(b"x" * 1000)(connection, request)
        if not connection.recv(1):
            hung_up.set()

    with WebServer(watching) as server:

        async def run() -> None:
            async with Client(policy_for(server)) as client:
                result = good(await client.fetch(Request(server.url, keeps=False)))
                assert len(result.body) == 1000
                assert await asyncio.to_thread(hung_up.wait, 5)
                # The handle that was told so keeps connections for the next.
                server.handler = answers()
                for _ in range(2):
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


def test_who_is_cancelled_as_his_answer_comes_ends_nobody_elses_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def run() -> None:
        later: list[asyncio.Task[Response | Refused]] = []

        class AtOnce(Transfers):
            """As the first answer comes, another request is ready to go, and whoever waited for the answer is cancelled."""

            def _finish(self, curl: pycurl.Curl, error: int) -> None:
                if later:
                    super()._finish(curl, error)
                else:
                    later.append(asyncio.create_task(client.fetch(Request(f"{server.url}second"))))
                    super()._finish(curl, error)
                    first.cancel()

        monkeypatch.setattr("registry.lib.safe_http.client.Transfers", AtOnce)
        async with Client(policy_for(server)) as client:
            first = asyncio.create_task(client.fetch(Request(f"{server.url}first")))
            with pytest.raises(asyncio.CancelledError):
                await first
            assert good(await asyncio.wait_for(later[0], 5)).url == f"{server.url}second"

    with WebServer(answers()) as server:
        asyncio.run(run())


@pytest.mark.parametrize("waits_for", ["a slot", "the last look", "its name", "an answer"])
def test_leaving_cancels_all_who_wait_and_starts_nothing_for_them(names: NameServer, waits_for: str) -> None:
    names.silent = True

    async def look(_url: str) -> None:
        if waits_for == "the last look":
            await asyncio.sleep(0.2)

    def slow(connection: socket.socket, request: bytes) -> None:
        time.sleep(0.2)
        answers()(connection, request)

    async def run() -> None:
        client = Client(
            policy_for(server, names=names), concurrency=1 if waits_for == "a slot" else 8, before_dial=look
        )
        host = "site.com" if waits_for == "its name" else "127.0.0.1"
        async with client:
            waiting = [
                asyncio.create_task(client.fetch(Request(f"http://{host}:{server.port}/{n}")))
                for n in range(4)
            ]
            await asyncio.sleep(0.05)
        asked = len(server.requests), len(names.asked)
        await asyncio.wait(waiting, timeout=2)
        assert all(one.cancelled() for one in waiting)
        assert (len(server.requests), len(names.asked)) == asked

    with WebServer(slow) as server:
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
