"""What hosts asked of us holds: when a batch fails, when its worker dies, while it is under way, and beside a host that hangs."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from registry.hooks import hooks
from registry.links import checker, schedule, services
from registry.links.models import Host, Link, LinkPolicy, Observation, RobotsFile
from registry.links.opt_outs.services import host_opt_out
from registry.links.tasks import links_check, links_wake
from tests.factories import make_user
from tests.processes import Worker
from tests.registry.lib.safe_http.servers import NameServer, answers, redirects
from tests.registry.links.test_checker import link, polite

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Collection, Sequence

    from pytest_django import Settings

    from registry.datasets.models import Version
    from registry.embedded import Servers
    from tests.registry.links.conftest import Town

    MakePanel = Callable[[Sequence[str]], Version]

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("store_folder")]
A, B, C = "127.0.0.2", "127.0.0.3", "127.0.0.4"
A_DAY = answers(b"", status="429 Too Many", headers="Retry-After: 86000\r\n")


def hangs(_connection: socket.socket, _request: bytes) -> None:
    """Say nothing for longer than we wait."""
    time.sleep(7)


def test_a_rest_is_kept_when_the_batch_fails(
    town: Town, make_panel: MakePanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    town.pages |= {(A, "/1"): A_DAY, (B, "/1"): answers(b"", status="500 Oops")}
    make_panel([town.url(A, "/1"), *(town.url(B, f"/{n}") for n in range(1, 4))])

    def gone(_keys: Collection[tuple[str, bytes]]) -> set[tuple[str, bytes]]:
        if "GET /1" in town.paths(B):
            raise OperationalError("gone")
        return set()

    monkeypatch.setattr(hooks, "keys_excluded", [gone])
    with pytest.raises(OperationalError):
        services.links_check()
    monkeypatch.setattr(hooks, "keys_excluded", [])
    a, b = Host.objects.get(name=A), Host.objects.get(name=B)
    assert a.next_at > timezone.now() + timedelta(seconds=85_000)
    assert (a.delay, b.delay, a.lease, b.lease) == (2.0, 4.0, None, None)
    assert set(RobotsFile.objects.values_list("host__name", flat=True)) == {A, B}
    asked = len(town.paths(A))
    Link.objects.filter(host__name=B).update(due_at=timezone.now() + timedelta(days=1))
    assert services.links_check() == 0
    assert len(town.paths(A)) == asked


def test_a_rest_is_kept_when_the_worker_is_killed(
    servers: Servers, town: Town, make_panel: MakePanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    targets = ",".join(f"{host}:{port}" for host, port in town.ports.items())
    monkeypatch.setenv("LINKS_TEST_TARGETS", targets)  # for the worker's own process
    town.pages[A, "/0"] = A_DAY
    make_panel([town.url(A, "/0"), *(town.url(B, f"/{n}") for n in range(8))])
    with Worker(servers) as worker:
        links_check.delay()
        worker.wait_for(lambda: "HEAD /0" in town.paths(A) and "HEAD /1" in town.paths(B))
        worker.kill()
    assert not Observation.objects.exists()
    assert Host.objects.get(name=A).next_at > timezone.now() + timedelta(seconds=85_000)
    asked = town.paths(A)
    with Worker(servers) as worker:
        Host.objects.update(lease_until=timezone.now() - timedelta(seconds=1))  # the minutes that they last
        links_wake.delay()
        worker.wait_for(lambda: Link.objects.filter(state="alive").count() == 8, 60)
    assert town.paths(A) == asked


def test_opting_out_ends_a_batch_under_way(town: Town, make_panel: MakePanel) -> None:
    make_panel([town.url(A, f"/{n}") for n in range(6)])
    operator = make_user(is_superuser=True)
    since: list[float] = []

    def opt_out() -> None:
        while len(town.log) < 3:
            time.sleep(0.02)
        host_opt_out(actor=operator, name=A)
        since.append(time.monotonic())
        connection.close()

    other = threading.Thread(target=opt_out)
    other.start()
    began = time.monotonic()
    services.links_check()
    other.join()
    assert time.monotonic() - began < 5  # the others are not waited for, one by one
    assert [one.path for one in town.log if one.at > since[0]] == []
    assert len(town.log) == 3
    assert set(Link.objects.values_list("state", "outcome")) == {("unverifiable", "opted_out")}
    assert not Host.objects.exclude(lease=None).exists()


def test_what_was_seen_before_an_opt_out_is_not_written_after_it(
    town: Town, make_panel: MakePanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes after the last request of the batch, and before its results."""
    make_panel([town.url(A, "/1")])
    record = schedule.batch_record

    def late(*args: object, **how: object) -> int:
        host_opt_out(actor=make_user(is_superuser=True), name=A)
        return record(*args, **how)  # type: ignore[arg-type]  # as they came

    monkeypatch.setattr("registry.links.checker.batch_record", late)
    assert services.links_check() == 0
    assert (Link.objects.get().state, Link.objects.get().outcome) == ("unverifiable", "opted_out")
    assert not Observation.objects.exists()


def test_a_host_that_hangs_is_asked_less_and_then_left_alone(town: Town, make_panel: MakePanel) -> None:
    town.pages |= {(A, f"/{n}"): hangs for n in range(8)}
    make_panel([town.url(A, f"/{n}") for n in range(8)])
    assert services.links_check() == 1
    host = Host.objects.get(name=A)
    assert (host.fails, host.delay > 1) == (1, True)
    assert host.next_at > timezone.now() + timedelta(minutes=14)
    assert len(town.log) <= 4
    assert set(Link.objects.values_list("state", "host_failures")) == {("failing", 1), ("unchecked", 0)}


def test_what_a_head_alone_said_of_a_silent_host_is_written_of_no_link(
    town: Town, make_panel: MakePanel
) -> None:
    def closes(connection: socket.socket, _request: bytes) -> None:
        connection.close()

    town.pages |= {(A, f"/{n}"): closes for n in range(4)}
    make_panel([town.url(A, f"/{n}") for n in range(4)])
    assert services.links_check() == 1
    assert town.paths(A) == ["GET /robots.txt", "HEAD /0", "GET /0", "HEAD /1"]
    assert link(town.url(A, "/1")).state == "unchecked"
    assert polite(town.log)


def test_a_slow_host_keeps_no_redirect_of_others_waiting(
    town: Town, make_panel: MakePanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checker, "BATCH_SECONDS", 12.0)
    monkeypatch.setattr(checker, "ROUND_SECONDS", 3.0)
    town.pages[B, "/old"] = redirects("/new")
    make_panel([*(town.url(A, f"/{n}") for n in range(30)), town.url(B, "/old")])
    services.links_check()
    new = next(one for one in town.log if one.path == "/new")
    assert new.at - min(one.at for one in town.log) < 6
    assert link(town.url(B, "/old")).state == "alive"
    assert Link.objects.filter(host__name=A, state="alive").count() >= 8  # over several rounds
    assert town.paths(A).count("GET /robots.txt") == 1
    assert polite(town.log)


def test_a_round_does_not_begin_before_anybody_may_be_asked(
    town: Town, make_panel: MakePanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds: list[int] = []
    real = checker._round

    async def counted(*args: object) -> list[object]:
        rounds.append(1)
        return await real(*args)  # type: ignore[arg-type, return-value]  # as they came

    monkeypatch.setattr(checker, "_round", counted)
    monkeypatch.setattr(checker, "ROUND_SECONDS", 0.5)
    town.pages[A, "/robots.txt"] = answers(b"User-agent: *\nCrawl-delay: 3\n")
    make_panel([town.url(A, f"/{n}") for n in range(2)])
    assert services.links_check() == 2
    assert len(rounds) <= 3


def dead_names(settings: Settings, names: NameServer) -> None:
    """Let every name below evil.com be one whose own name servers do not answer."""
    from tests.registry.lib.safe_http.servers import SERVFAIL

    settings.NAME_SERVERS = [names.address]
    names.zone |= {f"h{n}.evil.com": SERVFAIL for n in range(checker.MANY_HOSTS + 10)}


def test_hosts_whose_own_name_servers_are_silent_are_written(
    make_panel: MakePanel, settings: Settings
) -> None:
    with NameServer() as names:
        dead_names(settings, names)
        names.zone["com"] = [("com", "NS", "a.gtld-servers.net", 60)]
        make_panel([f"http://h{n}.evil.com/" for n in range(checker.MANY_HOSTS + 10)])
        assert services.links_check() == checker.MANY_HOSTS + 10
        assert services.links_check() == 0
    assert set(Link.objects.values_list("state", "outcome")) == {("failing", "dns_failure")}
    assert LinkPolicy.objects.get().spent == checker.MANY_HOSTS + 10


def test_a_resolver_that_knows_nothing_at_all_is_to_blame(make_panel: MakePanel, settings: Settings) -> None:
    from tests.registry.lib.safe_http.servers import SERVFAIL

    with NameServer() as names:
        dead_names(settings, names)
        names.zone |= dict.fromkeys(checker.SURE_NAMES, SERVFAIL)
        make_panel([f"http://h{n}.evil.com/" for n in range(checker.MANY_HOSTS)])
        with pytest.raises(checker.NoResolverError):
            services.links_check()
    assert set(Link.objects.values_list("state", flat=True)) == {"unchecked"}
