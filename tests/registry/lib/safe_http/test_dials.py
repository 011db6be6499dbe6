from __future__ import annotations

import errno
import socket

import pycurl
import pytest

from registry.lib.safe_http import Limits, Outcome, Policy, Request, fetch
from tests.registry.lib.safe_http.asking import ask, bad, by_path, good, policy_for
from tests.registry.lib.safe_http.servers import NameServer, WebServer, answers, redirects


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
        handle.prepare(
            check(server.url, policy), "127.0.0.1", request=Request(server.url), lines=[], seconds=5
        )
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
        handle.prepare(
            check(server.url, policy), "127.0.0.1", request=Request(server.url), lines=[], seconds=5
        )
        handle.curl.perform()
        handle.address = (
            "127.0.0.9"  # judged meanwhile to be the right one; the connection is still the old one
        )
        with pytest.raises(pycurl.error):
            handle.curl.perform()
        assert handle.strayed
        assert len(server.requests) == 1
        handle.curl.close()


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

    monkeypatch.setattr("registry.lib.safe_http.handles._Socket", no_such_family)
    with WebServer(answers()) as server:
        result = bad(ask(server))
        assert (result.outcome, result.rule) == (Outcome.CONNECT_TIMEOUT, "unreachable")


def test_running_out_of_sockets_is_our_fault_and_not_the_links(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_more(*_how: int) -> socket.socket:
        raise OSError(errno.EMFILE, "too many open files")

    monkeypatch.setattr("registry.lib.safe_http.handles._Socket", no_more)
    with WebServer(answers()) as server, pytest.raises(OSError, match="too many open files"):
        ask(server)
