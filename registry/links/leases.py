"""Leases: whoever holds that of a host is the only one to ask it.

A lease is short, and a batch renews those of all its hosts in one statement while it asks. So the hosts of a worker that was
killed are soon handed out again, and a batch may last longer than a lease.

No two clocks are compared. When a lease ends is written and judged by the clock of PostgreSQL alone. Its holder measures by a
clock of its own how long ago it sent for the last renewal, so for it the lease ends early rather than late; and it begins
no request in the last quarter, which is longer than a request takes. A process may be stopped at any point and go on much
later: that is why it looks at its clock immediately before each connection, in one step with it.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

from django.conf import settings
from django.db import connection
from django.db.models import Q
from django.db.models.functions import Now

from expunge.keys import url_host

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterator
    from concurrent.futures import Executor
    from typing import Any

    from django.db.models.expressions import CombinedExpression

    from registry.links.schedule import Batch

LEASE_LOST = "lease_lost"  # the rule why nothing is dialled
RENEWED_AFTER = 0.25  # of a lease
SURE_FOR = 0.75  # of a lease
# While a machine sleeps its monotonic clock stands still, and that of the database does not.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

T = TypeVar("T")


class LeaseLostError(Exception):
    """The lease of a host ran out under its turn, or may have."""


def clock() -> float:
    """Seconds by a clock that never goes back, and goes on while this process is stopped or its machine sleeps."""
    return time.clock_gettime(_CLOCK)


def lease_free() -> Q:
    """Of rows that nobody holds."""
    return Q(lease=None) | Q(lease_until__lt=Now())


def lease_end() -> CombinedExpression:
    """When a lease ends that is written now."""
    return Now() + timedelta(seconds=settings.LINKS_LEASE_SECONDS)


@contextmanager
def database_thread() -> Iterator[Executor]:
    """A thread that asks the database while an event loop goes on; its connection is closed in the end."""
    with ThreadPoolExecutor(1) as database:
        try:
            yield database
        finally:
            database.submit(lambda: connection.close()).result()  # noqa: PLW0108  -- of that thread, so looked up there


class Holding:
    """The hold of one event loop on the hosts of a batch; `database` is the thread that renews their leases."""

    def __init__(self, batch: Batch, database: Executor) -> None:
        self._batch = batch
        self._database = database

    def is_sure(self, host: str) -> bool:
        """Whether this host, by its name, is the batch's for as long as a request takes."""
        sure_until = self._batch.held_since + SURE_FOR * settings.LINKS_LEASE_SECONDS
        return host not in self._batch.lost and clock() < sure_until

    def before_dial(
        self, look: Callable[[str], Awaitable[str | None]] | None = None
    ) -> Callable[[str], Awaitable[str | None]]:
        """A `before_dial` of the door: what `look` says, and whether the host of the URL is still the batch's."""

        async def said(url: str) -> str | None:
            rule = await look(url) if look is not None else None
            # After the last thing that is waited for: from here to the connection this process does nothing else.
            return rule if rule or self.is_sure(url_host(url) or "") else LEASE_LOST

        return said

    async def during(self, *turns: Coroutine[Any, Any, T]) -> list[T]:
        """What these turns return, the leases being renewed meanwhile. Where all hosts are lost the turns end: nothing.

        Raises what a turn or a renewal raises.
        """
        asking = asyncio.gather(*turns)
        renewing = asyncio.create_task(self._renew())
        both: list[asyncio.Future[Any]] = [asking, renewing]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            if asking.done():
                return asking.result()
            renewing.result()
            return []
        finally:
            asking.cancel()
            renewing.cancel()
            await asyncio.gather(asking, renewing, return_exceptions=True)

    async def _renew(self) -> None:
        """Renew until no host is left."""
        batch, loop = self._batch, asyncio.get_running_loop()
        held: Collection[int] = batch.hosts
        while held:
            due = batch.held_since + RENEWED_AFTER * settings.LINKS_LEASE_SECONDS
            await asyncio.sleep(max(0.0, due - clock()))
            sent = clock()
            held = await loop.run_in_executor(self._database, _renewed, batch)
            # Here and not in that thread: whoever sees the one sees the other.
            batch.lost = {host.name for pk, host in batch.hosts.items() if pk not in held}
            batch.held_since = sent


# Locked in the order in which everybody locks hosts.
_RENEW = """
UPDATE registry_host SET lease_until = statement_timestamp() + make_interval(secs => %s)
WHERE id IN (SELECT id FROM registry_host WHERE lease = %s ORDER BY id FOR UPDATE) RETURNING id
"""


def _renewed(batch: Batch) -> set[int]:
    """Renew the leases of a batch; returns the hosts that are still its own, also where a lease ran out and nobody took it."""
    with connection.cursor() as cursor:
        cursor.execute(_RENEW, [settings.LINKS_LEASE_SECONDS, batch.lease])
        return {pk for (pk,) in cursor.fetchall()}
