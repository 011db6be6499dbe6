"""Leases are short and renewed: a dead worker's hosts are soon another's, a slow one's are not, a paused one asks nothing."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.db import OperationalError, connection, transaction
from django.utils import timezone

from registry.lib.safe_http import Client, Request
from registry.links import leases, services
from registry.links.leases import Holding, LeaseLostError, database_thread, lease_free
from registry.links.models import Host, Link, Observation
from registry.links.schedule import Batch, batch_claim, batch_release, hosts_take, is_anything_due
from registry.links.tasks import links_check, links_wake
from registry.links.turns import Round, Turn, policy
from tests.processes import Worker
from tests.registry.lib.safe_http.servers import answers, redirects
from tests.registry.links.conftest import no_robots
from tests.registry.links.test_checker import polite

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pytest_django import Settings

    from registry.datasets.models import Version
    from registry.embedded import Servers
    from tests.registry.links.conftest import Town

    MakePanel = Callable[[Sequence[str]], Version]

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("store_folder")]
A, B, C = "127.0.0.2", "127.0.0.3", "127.0.0.4"
LEASE = 4  # seconds: renewed after one, and nothing is asked after three


@pytest.fixture(autouse=True)
def short(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leases that run out while a test waits, here and in workers."""
    settings.LINKS_LEASE_SECONDS = LEASE
    monkeypatch.setenv("LINKS_LEASE_SECONDS", str(LEASE))


@pytest.fixture
def targets(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let workers reach the hosts of the town."""
    where = ",".join(f"{host}:{port}" for host, port in town.ports.items())
    monkeypatch.setenv("LINKS_TEST_TARGETS", where)


@contextmanager
def meanwhile(work: Callable[[], None]) -> Iterator[None]:
    """Do `work` in a thread, with a connection of its own, which ends with the block; what it raises is raised there."""

    def done() -> None:
        try:
            work()
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(done)
        yield
        future.result(30)


def wait_until(condition: Callable[[], object], seconds: float = 20) -> None:
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.02)


def take_away(*names: str) -> uuid.UUID:
    """Let another batch have these hosts, as if their leases had run out."""
    thief = uuid.uuid4()
    until = timezone.now() + timedelta(hours=1)
    Host.objects.filter(name__in=names).update(lease=thief, lease_until=until)
    return thief


@pytest.mark.usefixtures("targets")
def test_the_hosts_of_a_killed_worker_are_handed_out_again_after_a_short_lease(
    servers: Servers, town: Town, make_panel: MakePanel
) -> None:
    make_panel([town.url(host, f"/{number}") for host in (A, B) for number in range(4)])
    with Worker(servers) as worker:
        links_check.delay()
        worker.wait_for(lambda: len(town.log) >= 5)
        worker.kill()
    killed = time.monotonic()
    before = len(town.log)
    assert 0 < before < 10
    assert not is_anything_due()  # its lease still holds, and it counts as the one batch under way

    def is_done() -> bool:
        links_wake()  # as beat does
        return not Link.objects.exclude(state="alive").exists() and Observation.objects.count() == 8

    with Worker(servers) as worker:
        worker.wait_for(is_done, 60)
    again = town.log[before:]
    assert min(one.at for one in again) > killed + LEASE / 2
    asked = Counter((one.host, one.path) for one in town.log if one.method == "HEAD")
    assert len(asked) == 8
    assert max(asked.values()) <= 2
    assert polite(town.log[:before])
    assert polite(again)


def test_a_batch_that_is_longer_than_its_lease_keeps_its_hosts(town: Town, make_panel: MakePanel) -> None:
    town.pages |= {
        (A, "/0"): redirects(town.url(C, "/new")),
        (A, "/1"): redirects(town.url(C, "/newer")),
        (C, "/robots.txt"): answers(b"User-agent: *\nCrawl-delay: 6\n"),
    }
    make_panel([town.url(A, f"/{number}") for number in range(3)])
    looks: list[int] = []
    held: set[str] = set()
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.1):
            leased = Host.objects.exclude(lease=None)
            held.update(leased.values_list("name", flat=True))
            looks.append(leased.filter(lease_free()).count())

    began = time.monotonic()
    with meanwhile(watch):
        try:
            assert services.links_check() == 3
        finally:
            over.set()
    assert time.monotonic() - began > 2 * LEASE
    assert held == {A, C}  # that to which a redirect led, too
    assert len(looks) > 20
    assert not any(looks)
    assert polite(town.log)


def test_a_host_that_another_took_ends_its_own_turn_alone(town: Town, make_panel: MakePanel) -> None:
    make_panel([town.url(host, f"/{number}") for host in (A, B) for number in range(7)])
    thief: list[tuple[uuid.UUID, float]] = []

    def steal() -> None:
        wait_until(lambda: len(town.paths(A)) >= 2)
        thief.append((take_away(A), time.monotonic()))

    with meanwhile(steal):
        assert services.links_check() == 7
    [(lease, at)] = thief
    assert [
        one.path for one in town.log if one.host == A and one.at > at + LEASE * leases.RENEWED_AFTER + 0.5
    ] == []
    assert len(town.paths(A)) < 7
    assert len(town.paths(B)) == 8
    assert set(Link.objects.values_list("host__name", "state")) == {(A, "unchecked"), (B, "alive")}
    assert dict(Host.objects.values_list("name", "lease")) == {A: lease, B: None}


def test_a_batch_that_lost_every_host_ends_at_once(town: Town, make_panel: MakePanel) -> None:
    slow = answers(b"User-agent: *\nCrawl-delay: 25\n")
    town.pages |= {(A, "/robots.txt"): slow, (B, "/robots.txt"): slow}
    make_panel([town.url(host, f"/{number}") for host in (A, B) for number in range(2)])

    def steal() -> None:
        wait_until(lambda: len(town.log) == 4)  # now each turn waits for its host
        take_away(A, B)

    began = time.monotonic()
    with meanwhile(steal):
        assert services.links_check() == 0
    assert time.monotonic() - began < 12
    assert len(town.log) == 4
    assert set(Link.objects.values_list("state", flat=True)) == {"unchecked"}
    assert Host.objects.exclude(lease=None).count() == 2


@pytest.mark.usefixtures("targets")
@pytest.mark.parametrize("is_taken", [True, False])
def test_a_worker_that_was_stopped_asks_nothing_once_its_lease_ran_out(
    servers: Servers, town: Town, make_panel: MakePanel, *, is_taken: bool
) -> None:
    make_panel([town.url(A, f"/{number}") for number in range(12)])
    with Worker(servers) as worker:
        links_check.delay()
        worker.wait_for(lambda: len(town.log) >= 3)
        with transaction.atomic(), connection.cursor() as cursor:
            # So that the answer to its last look is what it finds first when it goes on, before it hears of any loss.
            cursor.execute("LOCK TABLE registry_host IN ACCESS EXCLUSIVE MODE")
            time.sleep(1.5)
            os.killpg(worker.processes["worker"].pid, signal.SIGSTOP)
        try:
            stopped = time.monotonic()
            [theirs] = Host.objects.values_list("lease", flat=True)
            wait_until(lambda: Host.objects.filter(lease_free()).exists())
            assert time.monotonic() - stopped < LEASE + 1
            batch = batch_claim() if is_taken else None
        finally:
            os.killpg(worker.processes["worker"].pid, signal.SIGCONT)
        if batch is not None:
            assert len(batch.links) == 12
            time.sleep(2 * LEASE)
            assert [one.path for one in town.log if one.at > stopped] == []
            assert Host.objects.get().lease == batch.lease != theirs
            assert not Observation.objects.exists()
            batch_release(batch)
        else:  # nobody had it: it may have it again, and what it saw before still counts
            worker.wait_for(Observation.objects.exists, 30)
            worker.wait_for(lambda: not Host.objects.exclude(lease=None).exists())
    assert set(Link.objects.values_list("state", flat=True)) <= {"alive", "unchecked"}
    assert polite(town.log)


def test_nothing_is_dialled_after_a_pause_before_the_lease_was_renewed(
    town: Town, make_panel: MakePanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_panel([town.url(A, "/1")])
    batch = batch_claim()
    assert batch is not None
    now = [leases.clock()]
    monkeypatch.setattr(leases, "clock", lambda: now[0])
    batch.held_since = now[0]

    def steal() -> None:
        take_away(A)
        connection.close()

    async def ask() -> list[str | None]:
        said: list[str | None] = []
        url = town.url(A, "/1")

        async def slow(_url: str) -> None:
            now[0] += LEASE  # stopped here, after the last look was answered

        with database_thread() as database:
            holding = Holding(batch, database)
            said.append(await holding.before_dial()(url))
            said.append(await holding.before_dial(slow)(url))
            await holding.during(asyncio.sleep(0.3))
            said.append(await holding.before_dial()(url))
            await asyncio.to_thread(steal)
            now[0] += LEASE
            assert await holding.during(asyncio.sleep(20)) == []
            said.append(await holding.before_dial()(url))
            return said

    assert asyncio.run(ask()) == [None, leases.LEASE_LOST, None, leases.LEASE_LOST]


def test_who_lost_a_host_learns_nothing_of_it(town: Town) -> None:
    host = Host.objects.create(name=A)

    async def ask() -> None:
        async with Client(policy(), before_dial=lambda _url: leases.LEASE_LOST) as client:
            await Turn(client, host, Round(timezone.now())).request(Request(town.url(A, "/1")))

    with pytest.raises(LeaseLostError):
        asyncio.run(ask())
    assert (host.fails, host.delay) == (0, 1.0)
    assert town.log == []


def test_a_renewal_that_fails_ends_the_batch_and_gives_its_hosts_back(
    town: Town, make_panel: MakePanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_panel([town.url(A, f"/{number}") for number in range(9)])
    no_robots()

    def gone(_batch: Batch) -> set[int]:
        raise OperationalError("gone")

    monkeypatch.setattr(leases, "_renewed", gone)
    with pytest.raises(OperationalError):
        services.links_check()
    assert len(town.log) <= 3
    assert not Host.objects.exclude(lease=None).exists()
    assert not Observation.objects.exists()


def test_a_short_batch_renews_nothing(
    town: Town, make_panel: MakePanel, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    settings.LINKS_LEASE_SECONDS = 120
    renewals: list[Batch] = []
    monkeypatch.setattr(leases, "_renewed", renewals.append)
    make_panel([town.url(A, "/1")])
    assert services.links_check() == 1
    assert renewals == []


def test_whose_clock_is_ahead_takes_no_host_before_its_time(
    make_panel: MakePanel, settings: Settings
) -> None:
    settings.LINKS_BATCHES = 5
    make_panel(["https://a.example.com/1"])
    batch = batch_claim()
    assert batch is not None
    ahead = timezone.now() + timedelta(hours=1)
    assert batch_claim(ahead) is None
    assert hosts_take(Batch(uuid.uuid4()), {"a.example.com"}, ahead) == {}
    Host.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    assert batch_claim(timezone.now()) is not None
