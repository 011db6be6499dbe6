"""Several workers claim at once, and together they spend no more than the day's budget."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from django.db import DatabaseError, OperationalError, connection
from django.utils import timezone

from registry.links import services
from registry.links.models import Host, Link, LinkPolicy
from registry.links.schedule import batch_claim

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pytest_django import Settings

    from registry.datasets.models import Version
    from registry.links.schedule import Batch

    MakePanel = Callable[[Sequence[str]], Version]

WORKERS = 6


def claim_together() -> list[Batch]:
    """What workers get that claim at the same moment, each on a connection of its own."""
    claimed: list[Batch | None] = []
    faults: list[BaseException] = []
    start = threading.Barrier(WORKERS)

    def work() -> None:
        try:
            start.wait(10)
            claimed.append(batch_claim())
        except BaseException as fault:  # noqa: BLE001  -- a thread has nobody else to tell
            faults.append(fault)
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(WORKERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not faults
    assert len(claimed) == WORKERS
    return [batch for batch in claimed if batch is not None]


@pytest.mark.usefixtures("transactional_db", "store_folder")
@pytest.mark.parametrize("budget", [1, 7, 20])
def test_workers_together_spend_no_more_than_a_days_budget(
    make_panel: MakePanel, settings: Settings, budget: int
) -> None:
    settings.LINKS_BATCHES = WORKERS
    version = make_panel([f"https://h{host}.example.com/{n}" for host in range(10) for n in range(3)])
    LinkPolicy.objects.filter(dataset=version.dataset).update(daily_budget=budget)
    batches = claim_together()
    links = [link.pk for batch in batches for link in batch.links]
    assert len(links) == len(set(links)) == budget
    assert LinkPolicy.objects.get().spent == budget
    assert claim_together() == []
    LinkPolicy.objects.update(day=timezone.now().date().replace(year=2020))  # a new day
    assert batch_claim() is not None


@pytest.mark.usefixtures("transactional_db", "store_folder")
def test_workers_together_start_no_more_batches_than_allowed(
    make_panel: MakePanel, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("registry.links.due.LINKS_AT_ONCE", 3)
    settings.LINKS_BATCHES = 2
    make_panel([f"https://h{host}.example.com/" for host in range(20)])
    assert len(claim_together()) == 2
    assert Host.objects.exclude(lease=None).values("lease").distinct().count() == 2


@pytest.mark.django_db
@pytest.mark.usefixtures("store_folder")
def test_a_batch_that_fails_gives_its_hosts_back_at_once(
    make_panel: MakePanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(_batch: Batch) -> int:
        raise OperationalError("the database is being started anew")

    make_panel(["https://a.example.com/1", "https://b.example.com/1"])
    monkeypatch.setattr(services, "batch_check", gone)
    with pytest.raises(OperationalError):
        services.links_check()
    assert not Host.objects.exclude(lease=None).exists()
    assert Link.objects.filter(state="unchecked", due_at__lte=timezone.now()).count() == 2


@pytest.mark.django_db
@pytest.mark.usefixtures("store_folder")
def test_a_batch_that_cannot_even_give_its_hosts_back_says_what_went_wrong_first(
    make_panel: MakePanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(_batch: Batch) -> int:
        raise OperationalError("first")

    def still_gone(_batch: Batch) -> None:
        raise DatabaseError("second")

    make_panel(["https://a.example.com/1"])
    monkeypatch.setattr(services, "batch_check", gone)
    monkeypatch.setattr(services, "batch_release", still_gone)
    with pytest.raises(OperationalError, match="first"):
        services.links_check()
    assert Host.objects.exclude(lease=None).count() == 1  # until it runs out
