from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from registry.lib.safe_http import Hop, Limits, Outcome
from tests.registry.lib.safe_http.asking import ask, bad, by_path, good
from tests.registry.lib.safe_http.servers import WebServer, answers, redirects, writes

if TYPE_CHECKING:
    from registry.lib.safe_http.results import Method


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_get_and_head_follow_redirects(method: Method) -> None:
    with WebServer(
        by_path(root=redirects("/a"), a=redirects("b", "308 Permanent Redirect"), b=answers())
    ) as server:
        result = good(ask(server, method=method))
        assert result.hops == (Hop(server.url, 302), Hop(f"{server.url}a", 308))
        assert result.url == f"{server.url}b"
        assert result.body == (b"hello" if method == "GET" else b"")
        assert {request.split(b" ")[0] for request in server.requests} == {method.encode()}
        assert server.connections == 1


@pytest.mark.parametrize("count", [5, 6])
def test_five_redirects_are_followed_and_the_sixth_is_not(count: int) -> None:
    with WebServer(lambda c, r: None) as server:
        steps = {f"s{n}": redirects(f"/s{n + 1}") for n in range(count)} | {f"s{count}": answers()}
        server.handler = by_path(**steps)
        result = ask(server, "s0")
        if count == 5:
            assert len(good(result).hops) == 5
        else:
            assert (bad(result).outcome, bad(result).rule) == (Outcome.REDIRECT_LOOP, "too_many")
            assert len(server.requests) == 6


def test_a_circle_is_noticed_when_it_closes() -> None:
    with WebServer(by_path(root=redirects("/a"), a=redirects("/#x"))) as server:
        result = bad(ask(server))
        assert (result.outcome, result.rule, len(server.requests)) == (Outcome.REDIRECT_LOOP, "again", 2)


def test_redirects_can_be_left_to_the_caller() -> None:
    with WebServer(redirects("/a")) as server:
        assert good(ask(server, limits=Limits(redirects=0))).status == 302


@pytest.mark.parametrize(
    "status", ["300 Multiple Choices", "304 Not Modified", "305 Use Proxy", "306 Unused", "200 OK"]
)
def test_other_answers_with_a_location_are_answers(status: str) -> None:
    with WebServer(
        writes(f"HTTP/1.1 {status}\r\nLocation: http://10.0.0.1/\r\nContent-Length: 0\r\n\r\n".encode())
    ) as server:
        assert good(ask(server)).status == int(status[:3])


def test_a_redirect_without_a_place_is_an_answer() -> None:
    with WebServer(answers(b"", status="302 Found")) as server:
        assert good(ask(server)).status == 302


def test_two_different_places_are_a_fault_of_the_server() -> None:
    with WebServer(
        answers(b"", status="302 Found", headers="Location: /a\r\nLocation: http://10.0.0.1/\r\n")
    ) as server:
        result = bad(ask(server))
        assert result.outcome == Outcome.PROTOCOL_ERROR
