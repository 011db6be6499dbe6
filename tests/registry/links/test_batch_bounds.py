"""How much a batch holds at most, and that nothing is handed out that changed while it was chosen."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from hashlib import sha256
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from django.utils import timezone

from registry.links import due, schedule
from registry.links.due import Chosen
from registry.links.models import Host, Link, LinkPolicy, Panel, PanelRow
from registry.links.schedule import batch_claim
from tests.factories import make_version

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pytest_django import Settings

    from registry.datasets.models import Version

    MakePanel = Callable[[Sequence[str]], Version]

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store_folder")]


def watched(hosts: int, links: int) -> None:
    """A version with so many links on each of so many hosts, all of them due."""
    version = make_version(shards={"0.csv": [{"url": "https://a.example.com/"}]}, columns={"url": "url"})
    LinkPolicy.objects.create(dataset=version.dataset)
    now = timezone.now()
    panel = Panel.objects.create(version=version, size=hosts * links, drawn_at=now)
    made = Host.objects.bulk_create(Host(name=f"h{n}.example.com", due_at=now) for n in range(hosts))
    urls = [(host, f"https://{host.name}/{n}") for host in made for n in range(links)]
    all_links = Link.objects.bulk_create(
        Link(key=sha256(url.encode()).digest(), url=url, host=host) for host, url in urls
    )
    shard = version.shards.get()
    PanelRow.objects.bulk_create(
        PanelRow(panel=panel, link=link, shard=shard, row=row) for row, link in enumerate(all_links)
    )


def test_a_batch_holds_a_thousand_links_and_fifty_of_a_host() -> None:
    watched(hosts=30, links=60)
    batch = batch_claim()
    assert batch is not None
    of_host = Counter(link.host_id for link in batch.links)
    assert len(batch.links) == 1_000
    assert max(of_host.values()) <= 50


def test_a_single_host_gives_fifty() -> None:
    watched(hosts=1, links=60)
    batch = batch_claim()
    assert batch is not None
    assert len(batch.links) == 50


@pytest.mark.parametrize(
    "change",
    [
        {"opted_out_at": timezone.now()},
        {"next_at": timezone.now() + timedelta(hours=1)},
        {"lease": uuid4(), "lease_until": timezone.now() + timedelta(hours=1)},
    ],
    ids=["it opted out", "it wants rest", "another has it"],
)
def test_a_host_that_changed_since_it_was_chosen_is_not_taken(
    make_panel: MakePanel, change: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    version = make_panel(["https://a.example.com/1"])
    link = Link.objects.get()
    chosen = [Chosen(link.pk, link.host_id, version.dataset_id)]

    def late(*_: object) -> list[Chosen]:
        Host.objects.update(**change)
        return chosen

    monkeypatch.setattr(schedule, "links_next", late)
    assert batch_claim() is None
    assert LinkPolicy.objects.get().spent == 0


def test_hosts_that_rest_wake_nobody_and_keep_nobody_waiting(
    make_panel: MakePanel, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many of them stand at the front of the schedule."""
    settings.LINKS_BATCHES = 10
    monkeypatch.setattr(due, "HOSTS_LOOKED_AT", 2)
    make_panel([*(f"https://r{n}.example.com/" for n in range(4)), "https://ready.example.com/"])
    now = timezone.now()
    resting = Host.objects.filter(name__startswith="r").exclude(name="ready.example.com")
    resting.update(next_at=now + timedelta(hours=1), due_at=now - timedelta(days=1))
    batch = batch_claim()
    assert batch is not None
    assert [link.url for link in batch.links] == ["https://ready.example.com/"]
    assert not schedule.is_anything_due()
    assert batch_claim() is None
