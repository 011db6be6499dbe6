"""Beat, broker and database are killed in the middle of a batch: no link is lost, and at most that batch is asked twice.

What was asked is read from the log of the server that was asked. `test_kill.py` kills the worker.
"""

from __future__ import annotations

import time
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.utils import timezone

from registry.links.models import Host, Link, Observation
from tests.own_site import own_site, wait_for, worker_log
from tests.registry.links.test_checker import A, B, polite

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence
    from uuid import UUID

    from pytest_django import DjangoDbBlocker

    from registry.datasets.models import Version
    from tests.own_site import OwnSite
    from tests.registry.links.conftest import Town

    MakePanel = Callable[[Sequence[str]], Version]

LINKS = 4  # of each of two hosts, a second apart


@pytest.fixture
def site(
    town: Town, store_folder: None, django_db_blocker: DjangoDbBlocker, monkeypatch: pytest.MonkeyPatch
) -> Iterator[OwnSite]:
    """Servers, worker and beat of this test's own, in a mode in which they pool their connections."""
    targets = ",".join(f"{host}:{port}" for host, port in town.ports.items())
    with (
        django_db_blocker.unblock(),
        own_site(monkeypatch, EXPUNGE_MODE="demo", LINKS_TEST_TARGETS=targets) as site,
    ):
        site.start_worker()
        site.start_beat()
        yield site


class Round:
    """Links of their own, all due, and what the server's log says of them."""

    def __init__(self, name: str, town: Town, make_panel: MakePanel) -> None:
        self.name, self.town = name, town
        self.paths = {(host, f"/{name}/{number}") for host in (A, B) for number in range(LINKS)}
        make_panel([town.url(host, path) for host, path in sorted(self.paths)])

    @property
    def asked(self) -> Counter[tuple[str, str]]:
        """How often each link was asked."""
        return Counter((one.host, one.path) for one in self.town.log if one.path.startswith(f"/{self.name}/"))

    def wait_until_under_way(self) -> None:
        """Until some links were asked; others were not."""
        wait_for(lambda: self.asked.total() >= 3, 30, worker_log())
        assert self.asked.total() < 2 * LINKS

    def wait_until_done(self, broken: Collection[UUID | None] = ()) -> None:
        """Until every link has its state. Of `broken` leases the minutes that they last go by once nobody uses them."""
        ours = Link.objects.filter(url__contains=f"/{self.name}/")
        began = time.monotonic()

        def is_done() -> bool:
            if broken and time.monotonic() - max(began, self.town.log[-1].done) > 4:
                past = timezone.now() - timedelta(seconds=1)
                Host.objects.filter(lease__in=broken).update(lease_until=past)
            return not ours.exclude(state="alive").exists() and not Host.objects.exclude(lease=None).exists()

        wait_for(is_done, 60, worker_log())

    def check(self) -> None:
        """No link is lost, and at most one batch was asked twice."""
        # Whoever answers notes it after the answer, which may be known here before that.
        wait_for(lambda: set(self.asked) == self.paths, 5, worker_log())
        assert max(self.asked.values()) <= 2
        assert Observation.objects.filter(link__url__contains=f"/{self.name}/").count() == len(self.paths)
        assert polite(self.town.log)


def leases() -> set[UUID | None]:
    """Those that are held now."""
    return set(Host.objects.exclude(lease=None).values_list("lease", flat=True))


def test_beat_broker_and_database_may_be_killed_at_any_point(
    site: OwnSite, town: Town, make_panel: MakePanel
) -> None:
    beat = Round("beat", town, make_panel)
    beat.wait_until_under_way()
    site.kill_beat()
    beat.wait_until_done()  # the worker ends what it has begun
    later = Round("later", town, make_panel)  # due while nobody's clock ticks
    site.start_beat()
    later.wait_until_done()
    for one in (beat, later):
        one.check()
        assert set(one.asked.values()) == {1}

    broker = Round("broker", town, make_panel)
    broker.wait_until_under_way()
    broken = leases()
    site.kill_broker()
    site.start_broker()
    broker.wait_until_done(broken)
    broker.check()

    database = Round("database", town, make_panel)
    database.wait_until_under_way()
    broken = leases()
    site.kill_database()
    site.start_database()
    database.wait_until_done(broken)
    database.check()
    assert not site.processes["worker"].ended()
    assert not site.processes["beat"].ended()
