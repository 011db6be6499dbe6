"""Two transactions at a time: neither waits for the other for ever, and none goes by what the other has changed since."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

import pytest
from django.db import connection, transaction
from django.db.models import Q
from django.utils import timezone

from registry.hooks import hooks
from registry.links import schedule
from registry.links.models import Host, Link
from registry.links.schedule import NOW, batch_claim, hosts_due, links_set

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from concurrent.futures import Future

    from registry.datasets.models import Version

    MakePanel = Callable[[Sequence[str]], Version]

T = TypeVar("T")

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("store_folder")]


def meanwhile(pool: ThreadPoolExecutor, work: Callable[[], T]) -> Future[T]:
    """Do `work` in a thread, with a connection of its own."""

    def done() -> T:
        try:
            return work()
        finally:
            connection.close()

    return pool.submit(done)


def wait_until_somebody_waits() -> None:
    """Until a statement of another connection waits for a lock."""
    ends = time.monotonic() + 20
    waiting = False
    while not waiting:
        assert time.monotonic() < ends
        time.sleep(0.02)
        with connection.cursor() as cursor:
            cursor.execute("SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock')")
            [(waiting,)] = cursor.fetchall()


def test_a_host_is_due_by_what_was_written_while_somebody_waited_for_it(make_panel: MakePanel) -> None:
    make_panel(["https://a.example.com/1"])
    later = timezone.now() + timedelta(days=7)
    links_set(Link.objects.all(), due_at=later)
    Host.objects.update(due_at=None)  # so that there is something to write
    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            links_set(Link.objects.all(), due_at=NOW)
            other = meanwhile(pool, lambda: hosts_due(Host.objects.values_list("pk", flat=True)))
            wait_until_somebody_waits()
        other.result(20)
    assert Host.objects.get().due_at == NOW


def test_who_hands_out_links_and_who_hurries_them_do_not_wait_for_each_other_for_ever(
    make_panel: MakePanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_panel(["https://a.example.com/1"])
    asked, locked = threading.Event(), threading.Event()

    def excluded(keys: Collection[tuple[str, bytes]]) -> set[tuple[str, bytes]]:
        asked.set()
        assert locked.wait(20)
        return set(keys)

    monkeypatch.setattr(hooks, "keys_excluded", [excluded])
    with ThreadPoolExecutor(1) as pool:
        claiming = meanwhile(pool, batch_claim)
        assert asked.wait(20)
        with transaction.atomic():
            schedule._hosts_lock(Q())  # as `links_set` begins
            locked.set()
            wait_until_somebody_waits()
            Link.objects.update(due_at=NOW)
        assert claiming.result(20) is None
    assert Link.objects.get().state == "excluded"
