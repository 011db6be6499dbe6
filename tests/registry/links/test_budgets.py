"""Several workers claim at once, and together they spend no more than the day's budget."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.db import DatabaseError, OperationalError, connection
from django.utils import timezone

from registry.accounts.models import Role
from registry.hooks import hooks
from registry.links import services
from registry.links.checker import NoResolverError
from registry.links.models import Host, Link, LinkPolicy
from registry.links.outcomes import Outcome, Seen
from registry.links.schedule import Attempt, batch_claim, batch_record
from registry.links.states import Standing, after
from tests.factories import make_member

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


@pytest.mark.django_db
@pytest.mark.usefixtures("store_folder")
@pytest.mark.parametrize(("fault", "spent"), [(NoResolverError(), 0), (OperationalError("gone"), 2)])
def test_a_batch_costs_nothing_where_nobody_could_be_asked_for_want_of_our_resolver(
    make_panel: MakePanel, monkeypatch: pytest.MonkeyPatch, fault: Exception, spent: int
) -> None:
    """But it does where some were: or a batch that fails each time would ask for them all day."""

    def fails(_batch: Batch) -> int:
        raise fault

    make_panel(["https://a.example.com/1", "https://b.example.com/1"])
    monkeypatch.setattr(services, "batch_check", fails)
    with pytest.raises(type(fault)):
        services.links_check()
    assert LinkPolicy.objects.get().spent == spent


@pytest.mark.django_db
@pytest.mark.usefixtures("store_folder")
def test_what_nobody_asked_for_costs_nothing(make_panel: MakePanel) -> None:
    make_panel([f"https://h{host}.example.com/" for host in range(6)])
    batch = batch_claim()
    assert batch is not None
    assert LinkPolicy.objects.get().spent == 6
    now = timezone.now()
    asked, waits = batch.links[:2]
    standing = after(Standing(), Outcome.OK, now)
    batch_record(batch, [Attempt(asked.pk, now, Seen(Outcome.OK), standing, 1)], waiting=[waits.pk])
    assert LinkPolicy.objects.get().spent == 2


@pytest.mark.django_db
@pytest.mark.usefixtures("store_folder")
def test_on_the_next_day_nothing_is_given_back(make_panel: MakePanel) -> None:
    make_panel(["https://a.example.com/1"])
    batch = batch_claim(timezone.now())
    assert batch is not None
    LinkPolicy.objects.update(day=timezone.now().date() + timedelta(days=1), spent=5)
    assert batch_record(batch, []) == 0
    assert LinkPolicy.objects.get().spent == 5


@pytest.mark.django_db
@pytest.mark.usefixtures("store_folder")
def test_a_claim_that_fails_keeps_no_hosts_and_costs_nothing(
    make_panel: MakePanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_keys: object) -> set[object]:
        raise ValueError("a fault of ours")

    make_panel(["https://a.example.com/1"])
    monkeypatch.setattr(hooks, "keys_excluded", [fails])
    with pytest.raises(ValueError, match="of ours"):
        batch_claim()
    assert not Host.objects.exclude(lease=None).exists()
    assert LinkPolicy.objects.get().spent == 0


@pytest.mark.django_db
@pytest.mark.usefixtures("store_folder")
def test_once_a_link_is_checked_nobody_pays_for_having_asked(make_panel: MakePanel) -> None:
    version = make_panel([f"https://a{host}.example.com/" for host in range(2)])
    services.links_check_now(
        actor=make_member(version.dataset.organisation, Role.MAINTAINER), version=version
    )
    assert set(Link.objects.values_list("asked_by", flat=True)) == {version.dataset_id}
    batch = batch_claim()
    assert batch is not None
    now = timezone.now()
    [checked, _] = batch.links
    standing = after(Standing(), Outcome.OK, now)
    batch_record(batch, [Attempt(checked.pk, now, Seen(Outcome.OK), standing, 1)])
    assert Link.objects.get(pk=checked.pk).asked_by is None
    assert Link.objects.exclude(pk=checked.pk).get().asked_by == version.dataset
