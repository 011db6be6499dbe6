from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from registry.lib.safe_http import Limits, Policy, Request, fetch
from tests.registry.lib.safe_http.asking import ask, by_path, good, policy_for
from tests.registry.lib.safe_http.servers import WebServer, answers, redirects, writes

if TYPE_CHECKING:
    from pathlib import Path


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


def test_a_folded_line_is_no_header_of_its_own() -> None:
    with WebServer(
        writes(b"HTTP/1.1 302 Found\r\nX: a\r\n Location: http://10.0.0.1/\r\nContent-Length: 0\r\n\r\n")
    ) as server:
        result = good(ask(server))
        assert result.status == 302
        assert result.headers.get("location") is None
