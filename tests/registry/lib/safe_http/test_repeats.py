"""Each request that a server sees was asked for: libcurl repeats none by itself."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from registry.lib.safe_http import Client, Outcome, Refused, Request, Response
from tests.registry.lib.safe_http.asking import policy_for
from tests.registry.lib.safe_http.servers import WebServer, answers

if TYPE_CHECKING:
    import socket


def closes_on_the_second(connection: socket.socket, request: bytes) -> None:
    """Answer what comes first on a connection, and hang up on reading what comes next."""
    if b"/first" in request:
        answers()(connection, request)
    else:
        connection.close()


def test_a_kept_connection_that_is_closed_on_reading_is_a_reset_and_dialled_once() -> None:
    dialled: list[str] = []

    def dials(url: str) -> None:
        dialled.append(url)

    async def both(server: WebServer) -> tuple[Response | Refused, Response | Refused]:
        async with Client(policy_for(server), before_dial=dials) as client:
            first = await client.fetch(Request(f"{server.url}first", method="HEAD"))
            return first, await client.fetch(Request(f"{server.url}second", method="HEAD"))

    with WebServer(closes_on_the_second) as server:
        first, second = asyncio.run(both(server))
        assert isinstance(first, Response)
        assert isinstance(second, Refused)
        assert (second.outcome, second.rule) == (Outcome.RESET, "repeat")
        assert [one.split(b" ")[1] for one in server.requests] == [b"/first", b"/second"]
        assert len(dialled) == len(server.requests)


def test_after_that_the_same_client_asks_anew() -> None:
    async def thrice(server: WebServer) -> list[Response | Refused]:
        async with Client(policy_for(server)) as client:
            return [await client.fetch(Request(server.url + path)) for path in ("first", "second", "first")]

    with WebServer(closes_on_the_second) as server:
        results = asyncio.run(thrice(server))
        assert [isinstance(one, Response) for one in results] == [True, False, True]
        assert len(server.requests) == 3
