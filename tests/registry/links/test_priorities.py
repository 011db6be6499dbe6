from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.utils import timezone
from pyroaring import BitMap

from registry.hooks import RowsFirst, hooks
from registry.links.domains.models import ChangeKind, Domain, DomainChange, DomainHost
from registry.links.models import Host, Link
from registry.links.priorities import Priority, due_since, links_prioritise
from registry.links.schedule import NOW, batch_claim

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from registry.datasets.models import Version

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store_folder")]

URLS = [f"https://h{number}.example.com/{number}" for number in range(5)]


@pytest.fixture
def version(make_panel: Callable[[Sequence[str]], Version]) -> Version:
    """Five links, each on a host of its own, asked an hour ago and due now, the first for the longest time."""
    version = make_panel(URLS)
    now = timezone.now()
    for number, url in enumerate(URLS):
        due = now - timedelta(days=5 - number)
        Link.objects.filter(url=url).update(checked_at=now - timedelta(hours=1), due_at=due, state="alive")
        Host.objects.filter(name=f"h{number}.example.com").update(due_at=due)
    return version


@pytest.fixture
def happened(version: Version, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Tell that something happened to rows of the version."""
    told: list[RowsFirst] = []
    monkeypatch.setattr(hooks, "rows_first", [lambda _since: told])

    def tell(why: str, *rows: int, hours_ago: float = 0.1) -> None:
        at = timezone.now() - timedelta(hours=hours_ago)
        told.append(RowsFirst(why, at, version.shards.get().digest, BitMap(rows)))  # type: ignore[arg-type]  # a word of two

    return tell


def order() -> list[int]:
    """The links in the order in which the schedule hands them out."""
    batch = batch_claim()
    assert batch is not None
    return [URLS.index(link.url) for link in batch.links]


def test_what_happened_is_handed_out_in_the_order_of_its_urgency(
    version: Version, happened: Callable[..., None]
) -> None:
    happened("released", 3)
    happened("triaged", 4)
    domain = Domain.objects.create(name="example.com", suffix="com")
    DomainHost.objects.create(host=Host.objects.get(name="h2.example.com"), domain=domain)
    DomainChange.objects.create(domain=domain, kind=ChangeKind.NAME_SERVERS, at=timezone.now())
    Link.objects.filter(url=URLS[1]).update(due_at=NOW)  # somebody asked for it
    assert links_prioritise() == 3
    assert order() == [1, 4, 2, 3, 0]
    assert [Link.objects.get(url=URLS[number]).due_at for number in (1, 4, 2, 3)] == [
        due_since(priority) for priority in Priority
    ]


def test_a_link_that_was_asked_since_is_left_alone(version: Version, happened: Callable[..., None]) -> None:
    happened("triaged", 0, 1, hours_ago=2)
    assert links_prioritise() == 0


def test_only_rows_that_are_named_come_first(version: Version, happened: Callable[..., None]) -> None:
    happened("triaged", 0, 4, 1_000_000)
    assert links_prioritise() == 2
    assert order()[:2] == [0, 4]


def test_a_sweep_that_runs_again_changes_nothing(version: Version, happened: Callable[..., None]) -> None:
    happened("released", 3)
    assert links_prioritise() == 1
    assert links_prioritise() == 0
    happened("triaged", 3)
    assert links_prioritise() == 1
    assert links_prioritise() == 0


def test_an_excluded_link_stays_off_the_schedule(version: Version, happened: Callable[..., None]) -> None:
    Link.objects.filter(url=URLS[3]).update(state="excluded", due_at=None)
    happened("triaged", 3)
    assert links_prioritise() == 0
    assert Link.objects.get(url=URLS[3]).due_at is None


def test_a_domain_that_came_back_or_changed_long_ago_hurries_nobody(version: Version) -> None:
    domain = Domain.objects.create(name="example.com", suffix="com")
    DomainHost.objects.create(host=Host.objects.get(name="h2.example.com"), domain=domain)
    DomainChange.objects.create(domain=domain, kind=ChangeKind.BACK, at=timezone.now())
    DomainChange.objects.create(
        domain=domain, kind=ChangeKind.ADDRESSES, at=timezone.now() - timedelta(hours=2)
    )
    assert links_prioritise() == 0
    DomainChange.objects.create(domain=domain, kind=ChangeKind.ADDRESSES, at=timezone.now())
    assert links_prioritise() == 1
