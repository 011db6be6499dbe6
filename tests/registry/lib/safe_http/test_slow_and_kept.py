"""Who sends next to nothing is given up before all time is over, and no connection is kept for longer than is believed."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pycares
import pytest

from registry.lib.safe_http import Client, Limits, Outcome, Request, handles
from registry.lib.safe_http.resolver import Resolver
from tests.registry.lib.safe_http.asking import ask, bad, good, policy_for
from tests.registry.lib.safe_http.servers import NameServer, WebServer, answers

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from tests.registry.lib.safe_http.servers import Handler


def drips(size: int, seconds: float, times: int) -> Handler:
    def handler(connection: socket.socket, _request: bytes) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (size * times))
        for _ in range(times):
            connection.sendall(b"x" * size)
            time.sleep(seconds)

    return handler


def test_who_sends_fewer_bytes_a_second_than_wanted_is_given_up() -> None:
    limits = Limits(total_seconds=18, slow_bytes=64, slow_seconds=1)
    began = time.monotonic()
    with WebServer(drips(1, 0.25, 60)) as server:
        result = bad(ask(server, limits=limits))
    assert result.outcome == Outcome.READ_TIMEOUT
    assert time.monotonic() - began < 9


def test_who_sends_more_than_that_is_not() -> None:
    with WebServer(drips(200, 0.2, 12)) as server:
        result = good(ask(server, limits=Limits(slow_bytes=64, slow_seconds=1)))
    assert len(result.body) == 2_400


@pytest.mark.parametrize("how_long", ["_POOL_SECONDS", "_IDLE_SECONDS"])
def test_a_connection_is_kept_for_a_time_only(how_long: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (handles._POOL_SECONDS, handles._IDLE_SECONDS) == (300, 60)
    monkeypatch.setattr(handles, how_long, 1)

    async def twice(server: WebServer, pause: float) -> None:
        async with Client(policy_for(server)) as client:
            for _ in range(2):
                good(await client.fetch(Request(server.url)))
                await asyncio.sleep(pause)

    with WebServer(answers()) as server:
        asyncio.run(twice(server, 0.0))
        assert server.connections == 1
        asyncio.run(twice(server, 2.3))
        assert server.connections == 3


def test_names_are_asked_for_as_they_are_and_nothing_is_connected_to_while_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """c-ares would sort what it finds by connecting a socket to each address, before that was judged."""
    told: list[tuple[str, object]] = []
    real: Callable[..., object] = pycares.Channel.getaddrinfo

    def getaddrinfo(self: pycares.Channel, host: str, *args: object, **how: object) -> object:
        if "www" in host:
            told.append((host, how["flags"]))
        return real(self, host, *args, **how)

    made: list[object] = []
    make: Callable[..., None] = pycares.Channel.__init__

    def init(self: pycares.Channel, **how: object) -> None:
        made.append(how["lookups"])
        make(self, **how)

    monkeypatch.setattr(pycares.Channel, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr(pycares.Channel, "__init__", init)

    async def look(names: NameServer) -> tuple[str, ...]:
        resolver = Resolver([names.address])
        try:
            return await resolver.addresses("www.example.com")
        finally:
            await resolver.close()

    with NameServer() as names:
        names.knows("www.example.com", "9.9.9.9")
        assert asyncio.run(look(names)) == ("9.9.9.9",)
    assert told == [("www.example.com.", 1 << 7)]  # ARES_AI_NOSORT
    assert set(made) == {"b"}  # no /etc/hosts
