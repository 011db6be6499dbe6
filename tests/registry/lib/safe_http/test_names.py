from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from registry.lib.safe_http import Client, Outcome, Policy, Refused, Request, Response, fetch
from registry.lib.safe_http import resolver as resolver_module
from registry.lib.safe_http.resolver import Resolver
from registry.lib.safe_http.results import Stop
from tests.registry.lib.safe_http.servers import NXDOMAIN, SERVFAIL, NameServer, Record, WebServer, answers

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def look_up(names: NameServer, host: str) -> tuple[str, ...] | tuple[Outcome, str]:
    async def run() -> tuple[str, ...] | tuple[Outcome, str]:
        resolver = Resolver([names.address])
        try:
            return await resolver.addresses(host)
        except Stop as stop:
            return stop.outcome, stop.rule
        finally:
            await resolver.close()

    return asyncio.run(run())


def test_it_gives_all_addresses_ipv4_first(names: NameServer) -> None:
    names.knows("site.example.com", "2606:4700::1", "8.8.4.4", "8.8.8.8", "2606:4700::2")
    assert look_up(names, "site.example.com") == ("8.8.4.4", "8.8.8.8", "2606:4700::1", "2606:4700::2")
    assert sorted(names.asked) == [("site.example.com", "A"), ("site.example.com", "AAAA")]


def test_a_name_is_asked_for_as_it_is_without_search_domains(names: NameServer) -> None:
    assert look_up(names, "gone.com") == (Outcome.DNS_NXDOMAIN, "dns_notfound")
    assert {name for name, _ in names.asked} == {"gone.com"}


def test_the_hosts_file_is_not_read(
    names: NameServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    aliases = tmp_path / "aliases"
    aliases.write_text("gone www.example.com\n")
    monkeypatch.setenv("HOSTALIASES", str(aliases))
    monkeypatch.setenv("LOCALDOMAIN", "example.com")
    assert look_up(names, "localhost.localdomain") == (Outcome.DNS_NXDOMAIN, "dns_notfound")
    assert look_up(names, "gone") == (Outcome.DNS_NXDOMAIN, "dns_notfound")


@pytest.mark.parametrize(
    ("zone", "outcome"),
    [
        (NXDOMAIN, Outcome.DNS_NXDOMAIN),
        (SERVFAIL, Outcome.DNS_FAILURE),
        ([], Outcome.DNS_NODATA),
        ([("site.com", "CNAME", "other.com", 60)], Outcome.DNS_NODATA),
        ([("site.com", "A", f"8.8.8.{n}", 60) for n in range(17)], Outcome.DNS_FAILURE),
        (
            [(f"{'a' * n}site.com", "CNAME", f"{'a' * (n + 1)}site.com", 60) for n in range(9)]
            + [(f"{'a' * 9}site.com", "A", "8.8.8.8", 60)],
            Outcome.DNS_FAILURE,
        ),
    ],
    ids=["nxdomain", "servfail", "empty", "alias to nothing", "17 answers", "9 aliases"],
)
def test_what_is_no_answer_has_its_outcome(
    names: NameServer, zone: list[Record] | int, outcome: Outcome
) -> None:
    names.zone["site.com"] = zone
    assert look_up(names, "site.com")[0] == outcome


def test_sixteen_answers_and_eight_aliases_are_not_too_many(names: NameServer) -> None:
    names.zone["site.com"] = [
        (f"{'a' * n}site.com", "CNAME", f"{'a' * (n + 1)}site.com", 60) for n in range(8)
    ] + [(f"{'a' * 8}site.com", "A", f"8.8.8.{n}", 60) for n in range(16)]
    assert len(look_up(names, "site.com")) == 16


@pytest.mark.parametrize(
    "garbage", [b"\0", b"\0" * 12, b"\xff" * 500], ids=["a byte", "an empty head", "noise"]
)
def test_a_server_that_makes_no_sense_is_a_failure_in_time(
    names: NameServer, garbage: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolver_module, "LOOKUP_SECONDS", 1.0)
    names.garbage = garbage
    began = time.monotonic()
    assert look_up(names, "site.com")[0] == Outcome.DNS_FAILURE
    assert time.monotonic() - began < 2


def test_a_silent_server_is_a_failure_after_five_seconds(names: NameServer) -> None:
    names.silent = True
    began = time.monotonic()
    assert look_up(names, "site.com") == (Outcome.DNS_FAILURE, "dns_timeout")
    assert 3 < time.monotonic() - began < 6


def test_an_answer_is_remembered_as_long_as_it_says_and_five_minutes_at_most(
    names: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    names.knows("short.com", "8.8.8.8", ttl=10)
    names.knows("long.com", "8.8.8.8", ttl=86400)
    names.knows("never.com", "8.8.8.8", ttl=0)
    clock = [1000.0]
    monkeypatch.setattr("registry.lib.safe_http.resolver.time.monotonic", lambda: clock[0])

    async def run() -> None:
        resolver = Resolver([names.address])
        for host in ("short.com", "long.com", "never.com"):
            await resolver.addresses(host)
        assert resolver.known("never.com") is None
        clock[0] += 9
        assert resolver.known("short.com") == ("8.8.8.8",)
        clock[0] += 2
        assert resolver.known("short.com") is None
        clock[0] += 280
        assert resolver.known("long.com") == ("8.8.8.8",)
        clock[0] += 20
        assert resolver.known("long.com") is None
        # The library below remembers for an hour; this answer is a new one all the same.
        names.knows("long.com", "8.8.4.4", ttl=86400)
        assert await resolver.addresses("long.com") == ("8.8.4.4",)
        await resolver.close()

    asyncio.run(run())


def test_many_who_ask_for_one_name_ask_once(names: NameServer) -> None:
    names.knows("site.com", "8.8.8.8")

    async def run() -> None:
        resolver = Resolver([names.address])
        impatient = asyncio.create_task(resolver.addresses("site.com"))
        others = [asyncio.create_task(resolver.addresses("site.com")) for _ in range(20)]
        await asyncio.sleep(0)
        impatient.cancel()
        assert await asyncio.gather(*others) == [("8.8.8.8",)] * 20
        await resolver.close()

    asyncio.run(run())
    assert len(names.asked) == 2


def test_what_is_remembered_has_a_bound(names: NameServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolver_module, "CACHE_NAMES", 10)

    async def run() -> None:
        resolver = Resolver([names.address])
        for number in range(30):
            names.knows(f"h{number}.com", "8.8.8.8")
            await resolver.addresses(f"h{number}.com")
        assert len(resolver._known) == 10
        assert resolver.known("h29.com")
        await resolver.close()

    asyncio.run(run())


@pytest.mark.parametrize(
    "bad", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "::ffff:127.0.0.1", "fd00::1"]
)
@pytest.mark.parametrize("first", [True, False], ids=["before", "after"])
def test_one_bad_answer_refuses_the_name(names: NameServer, bad: str, first: bool) -> None:  # noqa: FBT001  -- a case
    with WebServer(answers(), host="127.0.0.2") as server:
        policy = Policy(name_servers=(names.address,), test_targets=frozenset({server.target}))
        names.knows("both.com", *([bad, "127.0.0.2"] if first else ["127.0.0.2", bad]))
        result = fetch(Request(f"http://both.com:{server.port}/"), policy=policy)
        assert isinstance(result, Refused)
        assert result.outcome == Outcome.SSRF_BLOCKED
        assert server.connections == 0


def flips(*stages: list[Record]) -> Callable[[], list[Record]]:
    """A zone that gives each stage once, and the last one from then on."""
    left = list(stages)
    return lambda: left.pop(0) if len(left) > 1 else left[0]


def test_a_name_that_turns_to_an_inner_address_is_refused_before_anybody_connects(names: NameServer) -> None:
    with (
        WebServer(answers(b"public"), host="127.0.0.2") as public,
        WebServer(answers(b"SECRET"), host="127.0.0.3", port=public.port) as inner,
    ):
        names.zone["rebind.com"] = flips(
            [("rebind.com", "A", "127.0.0.2", 0)], [("rebind.com", "A", "127.0.0.3", 0)]
        )
        policy = Policy(name_servers=(names.address,), test_targets=frozenset({public.target}))

        async def run() -> list[Response | Refused]:
            request = Request(f"http://rebind.com:{public.port}/")
            async with Client(policy) as client:
                return [await client.fetch(request) for _ in range(3)]

        first, *later = asyncio.run(run())
        assert isinstance(first, Response)
        assert (first.body, first.address) == (b"public", "127.0.0.2")
        assert [(r.outcome, r.rule) for r in later if isinstance(r, Refused)] == [
            ("ssrf_blocked", "loopback")
        ] * 2
        assert (public.connections, inner.connections) == (1, 0)
        assert (
            names.asked.count(("rebind.com", "A")) == 3
        )  # the judged answer is the dialled one: nothing asks a second time


def test_a_name_that_turns_while_its_redirect_is_followed_is_refused(names: NameServer) -> None:
    with WebServer(lambda c, r: None, host="127.0.0.2") as public:
        public.handler = answers(b"", status="302 Found", headers="Location: /next\r\n")
        names.zone["rebind.com"] = flips(
            [("rebind.com", "A", "127.0.0.2", 0)], [("rebind.com", "A", "10.0.0.1", 0)]
        )
        policy = Policy(name_servers=(names.address,), test_targets=frozenset({public.target}))
        result = fetch(Request(f"http://rebind.com:{public.port}/"), policy=policy)
        assert isinstance(result, Refused)
        assert result.outcome == Outcome.SSRF_BLOCKED
        assert [hop.status for hop in result.hops] == [302]
        assert len(public.requests) == 1


def test_a_kept_connection_is_not_used_once_its_name_points_elsewhere(names: NameServer) -> None:
    with (
        WebServer(answers(b"old"), host="127.0.0.2") as old,
        WebServer(answers(b"new"), host="127.0.0.3", port=old.port) as new,
    ):
        names.zone["moves.com"] = flips(
            [("moves.com", "A", "127.0.0.2", 0)], [("moves.com", "A", "127.0.0.3", 0)]
        )
        policy = Policy(name_servers=(names.address,), test_targets=frozenset({old.target, new.target}))

        async def run() -> list[Response | Refused]:
            async with Client(policy) as client:
                return [await client.fetch(Request(f"http://moves.com:{old.port}/")) for _ in range(3)]

        bodies = [result.body for result in asyncio.run(run()) if isinstance(result, Response)]
        assert bodies == [b"old", b"new", b"new"]
        assert (old.connections, new.connections) == (1, 1)
