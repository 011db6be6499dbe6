"""Whoever writes several hosts at a time locks them in one order, and before their links: so no two wait for each other.

Nor does anybody go by what another has changed since.
"""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.db import connection, transaction
from django.utils import timezone

from registry.hooks import hooks
from registry.links import schedule
from registry.links.models import Host, Link
from registry.links.schedule import NOW, batch_claim, batch_release, hosts_due, links_set

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from registry.datasets.models import Version
    from registry.links.schedule import Batch

    MakePanel = Callable[[Sequence[str]], Version]

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("store_folder")]
HOSTS = 40


def wait_until_locked_out() -> None:
    """Return once somebody waits for a lock of ours."""
    deadline = time.monotonic() + 20
    with connection.cursor() as cursor:
        while time.monotonic() < deadline:
            # Not by `pg_stat_activity`, which stays as it was when a transaction first read it.
            cursor.execute(
                "SELECT 1 FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))"
            )
            if cursor.fetchone():
                return
            time.sleep(0.02)
    pytest.fail("Nobody waits for us.")


class Another(threading.Thread):
    """Somebody who does something at the same time, on a connection of his own; `error` is how it ended."""

    def __init__(self, act: Callable[[], object]) -> None:
        super().__init__()
        self.error: Exception | None = None
        self._act = act

    def run(self) -> None:
        try:
            self._act()
        except Exception as error:  # noqa: BLE001  -- the test looks at it
            self.error = error
        finally:
            connection.close()


def test_a_claim_that_excludes_a_link_and_whoever_hurries_it_do_not_wait_for_each_other(
    make_panel: MakePanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_panel(["https://a.example.com/1", "https://b.example.com/1"])
    excluded = Link.objects.get(host__name="a.example.com")

    def reported(keys: Collection[tuple[str, bytes]]) -> set[tuple[str, bytes]]:
        return {(kind, key) for kind, key in keys if key == bytes(excluded.key)}

    hurries = Another(lambda: links_set(Link.objects.filter(due_at__isnull=False), due_at=NOW))

    def meanwhile(_links: Collection[int]) -> None:
        if not hurries.ident:
            hurries.start()
            wait_until_locked_out()

    monkeypatch.setattr(hooks, "keys_excluded", [reported])
    monkeypatch.setattr(schedule, "content_forget", meanwhile)  # the link is marked, its host not given back
    batch = batch_claim()
    hurries.join()
    assert hurries.error is None
    assert batch is not None
    assert [link.host.name for link in batch.links] == ["b.example.com"]
    excluded.refresh_from_db()
    assert (excluded.state, excluded.due_at) == ("excluded", None)


def release(batch: Batch) -> None:
    batch_release(batch)


def due(_batch: Batch) -> None:
    hosts_due(Host.objects.values_list("pk", flat=True))


@pytest.mark.parametrize("act", [release, due])
def test_hosts_are_locked_in_the_order_of_their_ids(
    make_panel: MakePanel, act: Callable[[Batch], None]
) -> None:
    make_panel([f"https://h{number}.example.com/" for number in range(HOSTS)])
    ids = sorted(Host.objects.values_list("pk", flat=True))
    for pk in reversed(ids):  # the last now lies first on the disk
        Host.objects.filter(pk=pk).update(due_at=timezone.now() - timedelta(days=1))
    batch = batch_claim()
    assert batch is not None
    Host.objects.filter(pk__in=ids).update(due_at=timezone.now() - timedelta(hours=1))
    middle = ids[HOSTS // 2]
    acts = Another(lambda: act(batch))
    with transaction.atomic():
        Host.objects.select_for_update().get(pk=middle)
        acts.start()
        wait_until_locked_out()
        free = Host.objects.select_for_update(skip_locked=True).filter(pk__gt=middle)
        assert sorted(host.pk for host in free) == ids[HOSTS // 2 + 1 :]
    acts.join()
    assert acts.error is None


def test_whoever_hurries_a_link_locks_its_host_before_it(make_panel: MakePanel) -> None:
    make_panel(["https://a.example.com/1"])
    hurries = Another(lambda: links_set(Link.objects.all(), due_at=NOW))
    with transaction.atomic():
        Link.objects.select_for_update().get()
        hurries.start()
        wait_until_locked_out()
        assert list(Host.objects.select_for_update(skip_locked=True)) == []
    hurries.join()
    assert hurries.error is None


def test_a_host_is_due_by_what_was_written_while_somebody_waited_for_it(make_panel: MakePanel) -> None:
    make_panel(["https://a.example.com/1"])
    links_set(Link.objects.all(), due_at=timezone.now() + timedelta(days=7))
    Host.objects.update(due_at=None)  # so that there is something to write
    other = Another(lambda: hosts_due(Host.objects.values_list("pk", flat=True)))
    with transaction.atomic():
        links_set(Link.objects.all(), due_at=NOW)
        other.start()
        wait_until_locked_out()
    other.join()
    assert other.error is None
    assert Host.objects.get().due_at == NOW
