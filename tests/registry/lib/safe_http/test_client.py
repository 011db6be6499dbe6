from __future__ import annotations

import asyncio
import errno
import socket
import threading
import time
from typing import TYPE_CHECKING

import pycurl
import pytest

from registry.lib.safe_http import Client, Hop, Limits, Outcome, Policy, Refused, Request, Response, fetch
from tests.registry.lib.safe_http.servers import NameServer, WebServer, answers, redirects, writes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from registry.lib.safe_http.results import Method


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


def test_an_answer_comes_with_its_status_headers_and_body() -> None:
    with WebServer(
        answers(b"hello", status="404 Not Found", headers="ETag: x\r\nX-A: 1\r\nx-a: 2\r\n")
    ) as server:
        result = good(ask(server, "page?x=1#here"))
    assert (result.status, result.body, result.cut, result.hops) == (404, b"hello", False, ())
    assert (result.url, result.address) == (f"{server.url}page?x=1", "127.0.0.1")
    assert (result.headers.get("etag"), result.headers.all("x-a"), result.headers.get("gone")) == (
        "x",
        ["1", "2"],
        None,
    )
    assert [name for name, _ in result.headers] == ["content-length", "etag", "x-a", "x-a"]
    assert 0 < result.seconds < 5


def test_it_sends_what_it_must_and_nothing_of_this_machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".netrc").write_text("default login me password secret\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", f"{tmp_path}/.netrc")
    with WebServer(answers(b"PROXY")) as proxy, WebServer(answers(b"direct")) as server:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        request = Request(server.url, headers={"Range": "bytes=0-9"})
        result = good(fetch(request, policy=policy_for(server, agent="Expunge (+https://expunge.org)")))
        assert result.body == b"direct"
        assert proxy.connections == 0
        assert server.requests[0].split(b"\r\n") == [
            b"GET / HTTP/1.1",
            f"Host: 127.0.0.1:{server.port}".encode(),
            b"User-Agent: Expunge (+https://expunge.org)",
            b"Accept: */*",
            b"Accept-Encoding: identity",
            b"Range: bytes=0-9",
            b"",
            b"",
        ]


def test_cookies_of_an_answer_are_not_sent_back() -> None:
    with WebServer(
        by_path(
            root=answers(b"", status="302 Found", headers="Location: /x\r\nSet-Cookie: a=b\r\n"), x=answers()
        )
    ) as server:
        assert good(ask(server)).status == 200
        assert b"cookie" not in server.requests[1].lower()


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


def test_post_sends_its_body_and_follows_nothing() -> None:
    with WebServer(redirects("/elsewhere", "307 Temporary Redirect")) as server:
        result = good(
            ask(
                server,
                method="POST",
                body=b'{"a": 1}' * 50_000,
                headers={"Content-Type": "application/json", "X-Signature": "s"},
            )
        )
        assert (result.status, result.headers.get("location"), result.hops) == (307, "/elsewhere", ())
        (request,) = server.requests
        head, _, body = request.partition(b"\r\n\r\n")
        assert body == b'{"a": 1}' * 50_000
        assert b"Content-Type: application/json\r\n" in head
        assert b"X-Signature: s" in head
        assert b"expect" not in head.lower()


def test_a_post_without_a_body_is_one() -> None:
    with WebServer(answers()) as server:
        assert good(ask(server, method="POST")).status == 200
        assert b"Content-Length: 0" in server.requests[0]


def test_headers_stay_within_their_origin() -> None:
    with WebServer(answers(b"other"), host="127.0.0.2") as other, WebServer(lambda c, r: None) as server:
        server.handler = by_path(root=redirects("/same"), same=redirects(other.url))
        request = Request(server.url, headers={"X-Token": "secret", "Range": "bytes=0-9", "User-Agent": "Me"})
        assert good(fetch(request, policy=policy_for(server, other))).body == b"other"
        assert all(b"X-Token: secret" in seen for seen in server.requests)
        assert b"secret" not in other.requests[0]
        assert b"Range: bytes=0-9" in other.requests[0]
        assert b"User-Agent: Me" in other.requests[0]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Cookie", "a=b"), ("Authorization", "Basic x"), ("host", "127.0.0.1"), ("Content-Length", "5"),
        ("Transfer-Encoding", "chunked"), ("Connection", "upgrade"), ("X", "a\r\nY: b"), ("X", "a\nb"), ("X", ""),
        ("X", " a"), ("X", "ü"), ("X: y", "b"), ("", "b"), ("X\r\nY", "b"), ("X\0", "b"),
    ],
)  # fmt: skip
def test_a_header_that_is_not_the_callers_is_a_mistake(name: str, value: str) -> None:
    with pytest.raises(ValueError, match="header"):
        Request("http://example.com/", headers={name: value})


def test_other_mistakes_of_the_caller_are_told_too() -> None:
    for wrong in (
        lambda: Request("http://example.com/", method="PUT"),  # type: ignore[arg-type]
        lambda: Request("http://example.com/", body=b"x"),
        lambda: Limits(body_bytes=11 * 1024**2),
        lambda: Limits(total_seconds=0),
    ):
        with pytest.raises(ValueError, match=r"not|only|must|no such"):
            wrong()


def test_the_limits_are_those_that_we_promise() -> None:
    assert Limits() == Limits(
        connect_seconds=5,
        total_seconds=20,
        slow_bytes=64,
        slow_seconds=5,
        header_bytes=32768,
        body_bytes=65536,
        redirects=5,
    )


def test_a_long_body_is_cut_and_ten_megabytes_can_be_asked_for() -> None:
    with WebServer(answers(b"x" * 10 * 1024**2)) as server:
        result = good(ask(server))
        assert (len(result.body), result.cut) == (65536, True)
        result = good(ask(server, limits=Limits(body_bytes=10 * 1024**2)))
        assert (len(result.body), result.cut) == (10 * 1024**2, False)
        result = good(ask(server, limits=Limits(body_bytes=0)))
        assert (result.body, result.cut) == (b"", True)


def test_a_body_of_exactly_the_limit_is_whole() -> None:
    with WebServer(answers(b"x" * 65536)) as server:
        assert not good(ask(server)).cut


def test_compressed_bodies_are_left_as_they_are() -> None:
    with WebServer(answers(b"\x1f\x8bnot gzip at all", headers="Content-Encoding: gzip\r\n")) as server:
        assert good(ask(server)).body == b"\x1f\x8bnot gzip at all"


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


def test_before_dial_is_asked_before_every_dial_and_can_refuse() -> None:
    seen: list[str] = []

    def before_dial(url: str) -> str | None:
        seen.append(url)
        return "excluded" if url.endswith("/b") else None

    with WebServer(by_path(root=redirects("/a"), a=redirects("/b"), b=answers())) as server:
        written = f"HTTP://127.0.0.1:{server.port}/#f"
        result = bad(fetch(Request(written), policy=policy_for(server), before_dial=before_dial))
        assert (result.outcome, result.rule) == (Outcome.POLICY_NO_FETCH, "excluded")
        assert seen == [written, f"{server.url}a", f"{server.url}b"]
        assert len(server.requests) == 2
        assert (
            bad(fetch(Request(f"{server.url}b"), policy=policy_for(server), before_dial=before_dial)).rule
            == "excluded"
        )
        assert server.connections == 1


def test_it_is_asked_after_the_name_is_looked_up(names: NameServer) -> None:
    with WebServer(answers()) as server:
        names.knows("site.com", "127.0.0.1")
        late: list[int] = []
        fetch(
            Request(f"http://site.com:{server.port}/"),
            policy=policy_for(server, names=names),
            before_dial=lambda _url: late.append(len(names.asked)),
        )
        assert late == [2]


def test_a_dead_address_is_passed_over_for_the_next(names: NameServer) -> None:
    asked: list[str] = []
    with WebServer(answers(b"alive"), host="127.0.0.3") as server:
        names.knows("site.com", "127.0.0.2", "127.0.0.3")
        policy = Policy(
            name_servers=(names.address,), test_targets=frozenset({("127.0.0.2", server.port), server.target})
        )
        result = good(
            fetch(Request(f"http://site.com:{server.port}/"), policy=policy, before_dial=asked.append)
        )
        assert (result.body, result.address) == (b"alive", "127.0.0.3")
        assert len(asked) == 2


def test_the_host_is_named_to_the_server_as_the_url_has_it(names: NameServer) -> None:
    with WebServer(answers()) as server:
        names.knows("site.com", "127.0.0.1")
        good(fetch(Request(f"http://SITE.com:{server.port}/"), policy=policy_for(server, names=names)))
        assert f"Host: site.com:{server.port}\r\n".encode() in server.requests[0]


def test_a_refused_connection_is_one() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        policy = Policy(test_targets=frozenset({("127.0.0.1", port)}))
        assert (
            bad(fetch(Request(f"http://127.0.0.1:{port}/"), policy=policy)).outcome == Outcome.CONNECT_REFUSED
        )


def test_an_address_that_never_answers_is_a_connect_timeout() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        waiting = [socket.socket() for _ in range(4)]  # fill its queue, so that the kernel drops the next
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
        policy = Policy(test_targets=frozenset({("127.0.0.1", port)}))
        request = Request(f"http://127.0.0.1:{port}/", limits=Limits(connect_seconds=0.5, total_seconds=3))
        result = bad(fetch(request, policy=policy))
        for one in waiting:
            one.close()
        assert result.outcome == Outcome.CONNECT_TIMEOUT
        assert result.seconds < 1.5


def test_what_is_refused_is_never_connected_to() -> None:
    with WebServer(answers()) as server:
        nobody = Policy()
        for url in (server.url, f"http://127.0.0.1:{server.port}/", "http://127.0.0.1/", "http://[::1]/"):
            assert bad(fetch(Request(url), policy=nobody)).outcome == Outcome.SSRF_BLOCKED
        # The same port on another address of loopback is another target.
        elsewhere = Policy(test_targets=frozenset({("127.0.0.2", server.port)}))
        assert bad(fetch(Request(server.url), policy=elsewhere)).rule == "loopback"
        assert server.connections == 0


def test_the_socket_itself_refuses_another_address() -> None:
    from registry.lib.safe_http.handles import Handle
    from registry.lib.safe_http.urls import check

    with WebServer(answers()) as server:
        policy = policy_for(server)
        handle = Handle(policy, "GET")
        handle.prepare(check(server.url, policy), "127.0.0.1", lines=[], body=b"", limits=Limits(), seconds=5)
        handle.curl.setopt(
            pycurl.CONNECT_TO, [f"::127.0.0.2:{server.port}"]
        )  # as if a mistake had unpinned it
        with pytest.raises(pycurl.error):
            handle.curl.perform()
        assert handle.strayed
        assert server.connections == 0
        handle.curl.close()


def test_a_connection_of_another_address_is_not_used_again() -> None:
    from registry.lib.safe_http.handles import Handle
    from registry.lib.safe_http.urls import check

    with WebServer(answers()) as server:
        policy = policy_for(server)
        handle = Handle(policy, "GET")
        handle.prepare(check(server.url, policy), "127.0.0.1", lines=[], body=b"", limits=Limits(), seconds=5)
        handle.curl.perform()
        handle.address = (
            "127.0.0.9"  # judged meanwhile to be the right one; the connection is still the old one
        )
        with pytest.raises(pycurl.error):
            handle.curl.perform()
        assert handle.strayed
        assert len(server.requests) == 1
        handle.curl.close()


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
                await asyncio.sleep(0.05)
                assert good(await client.fetch(Request(server.url))).status == 200
                assert server.connections == 2

        asyncio.run(run())


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


def test_plain_code_cannot_block_an_event_loop() -> None:
    async def run() -> None:
        with pytest.raises(RuntimeError, match="event loop"):
            fetch(Request("http://example.com/"), policy=Policy())

    asyncio.run(run())


def test_a_refusal_is_logged_by_its_rule_and_without_the_url(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="registry.lib.safe_http"):
        fetch(Request("http://127.0.0.1/secret?token=1"), policy=Policy())
    assert "ssrf_blocked loopback" in caplog.text
    assert "secret" not in caplog.text
    assert "127.0.0.1" not in caplog.text


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6 loopback")
def test_ipv6_is_pinned_and_reached_too(names: NameServer) -> None:
    with WebServer(answers(b"six"), host="::1") as server:
        names.knows("six.com", "::1")
        policy = policy_for(server, names=names)
        for url in (server.url, f"http://six.com:{server.port}/"):
            result = good(fetch(Request(url), policy=policy))
            assert (result.body, result.address) == (b"six", "::1")


def test_a_host_that_this_machine_cannot_reach_is_not_called_refusing(
    names: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_such_family(*_how: int) -> socket.socket:
        raise OSError(errno.EAFNOSUPPORT, "no IPv6 here")

    monkeypatch.setattr("registry.lib.safe_http.handles._Lent", no_such_family)
    with WebServer(answers()) as server:
        result = bad(ask(server))
        assert (result.outcome, result.rule) == (Outcome.CONNECT_TIMEOUT, "unreachable")


def test_running_out_of_sockets_is_our_fault_and_not_the_links(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_more(*_how: int) -> socket.socket:
        raise OSError(errno.EMFILE, "too many open files")

    monkeypatch.setattr("registry.lib.safe_http.handles._Lent", no_more)
    with WebServer(answers()) as server, pytest.raises(OSError, match="too many open files"):
        ask(server)


def test_a_folded_line_is_no_header_of_its_own() -> None:
    with WebServer(
        writes(b"HTTP/1.1 302 Found\r\nX: a\r\n Location: http://10.0.0.1/\r\nContent-Length: 0\r\n\r\n")
    ) as server:
        result = good(ask(server))
        assert result.status == 302
        assert result.headers.get("location") is None
