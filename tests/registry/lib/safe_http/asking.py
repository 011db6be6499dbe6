"""Asking the servers of `servers` through the door, and what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from registry.lib.safe_http import Policy, Refused, Request, Response, fetch

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from tests.registry.lib.safe_http.servers import NameServer, WebServer


def policy_for(*servers: WebServer, names: NameServer | None = None, agent: str = "Expunge") -> Policy:
    return Policy(
        user_agent=agent,
        name_servers=(names.address,) if names else (),
        test_targets=frozenset(server.target for server in servers),
    )


def ask(server: WebServer, path: str = "", **how: object) -> Response | Refused:
    return fetch(Request(server.url + path, **how), policy=policy_for(server))  # type: ignore[arg-type]


def good(result: Response | Refused) -> Response:
    assert isinstance(result, Response), result
    return result


def bad(result: Response | Refused) -> Refused:
    assert isinstance(result, Refused), result
    return result


def by_path(**handlers: Callable[[socket.socket, bytes], None]) -> Callable[[socket.socket, bytes], None]:
    def handler(connection: socket.socket, request: bytes) -> None:
        handlers[request.split(b" ")[1].strip(b"/").decode() or "root"](connection, request)

    return handler
