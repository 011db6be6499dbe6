"""The schedule: PostgreSQL knows what is due, and hands it out once.

A worker that is woken gets at most `LINKS_AT_ONCE` links that are due (`due` says which), and its lease is written on their
hosts (`FOR UPDATE SKIP LOCKED`). A lease is on the host, so that nobody else asks that host meanwhile. What the
worker saw is written in one statement, only for hosts whose lease is still its own, and the leases end. A worker that
dies leaves its leases behind: when they run out (`leases`), its links are handed out again: nothing else was changed.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from django.conf import settings
from django.db import DatabaseError, connection, transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

from registry.lib.among import among_ids
from registry.links.budgets import budgets_give_back, budgets_left, budgets_spend, day_of
from registry.links.content.store import content_forget, content_record, recorded_keys, signatures_record
from registry.links.due import LONGEST_WAIT, links_next, rested
from registry.links.exclusion import excluded_links
from registry.links.history import observations_forget, observations_write
from registry.links.leases import clock, lease_end, lease_free
from registry.links.models import Host, Link
from registry.links.outcomes import Outcome
from registry.links.robots import robots_record
from registry.links.states import LinkState, Standing

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from datetime import date

    from django.db.models import QuerySet

    from registry.datasets.models import Dataset
    from registry.links.content.models import OriginSignature
    from registry.links.content.states import Reading
    from registry.links.due import Chosen
    from registry.links.exclusion import Key
    from registry.links.outcomes import Seen
    from registry.links.robots import Robots

HOSTS_AT_ONCE = 1_000
WAIT = timedelta(hours=1)
RECENTLY = timedelta(hours=1)  # whoever asks for a link again learns what was seen then
NOW = datetime(1970, 1, 1, tzinfo=UTC)  # due since then: somebody asked for it, so it comes first


@dataclass(slots=True)
class Batch:
    """Links that one worker may ask for now, with their hosts, for as long as it renews `lease`.

    `paid` says which dataset paid for each link, of its budget for `day`. `recorded` are the hashes that datasets recorded of
    the links' content, as keys that may be excluded. `held_since` is when it was last renewed, by `leases.clock`; `lost` names
    hosts that another batch has by now.
    """

    lease: uuid.UUID
    links: list[Link] = field(default_factory=list)
    hosts: dict[int, Host] = field(default_factory=dict)
    paid: dict[int, uuid.UUID] = field(default_factory=dict)
    day: date | None = None
    recorded: dict[int, set[Key]] = field(default_factory=dict)
    signatures: dict[tuple[int, str], OriginSignature] = field(default_factory=dict)
    robots: Robots = field(default_factory=dict)
    held_since: float = field(default_factory=clock)
    lost: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Attempt:
    """What became of one link of a batch."""

    link: int
    at: datetime
    seen: Seen
    standing: Standing
    milliseconds: int
    reading: Reading | None = None  # of its content, where that was asked for


def batch_claim(now: datetime | None = None) -> Batch | None:
    """Take what is due, as far as budgets allow; None when nothing is, or enough batches are under way.

    Links that are excluded by now are marked so and not handed out.
    """
    now = now or timezone.now()
    while (batch := _claim(now)) is not None:
        try:
            _fill(batch, now)
        except Exception:
            with suppress(DatabaseError):  # gone with the database: then the leases run out
                batch_release(batch)
                links_give_back(batch, batch.paid)
            raise
        if batch.links:
            return batch
        # All that was due first is excluded, and off the schedule now.
    return None


def _claim(now: datetime) -> Batch | None:
    """Lease the hosts of what comes next, and spend the budgets for it.

    Claims of several workers come one after another, so that no two spend the same budget or the last free place: so no
    more is done here than that.
    """
    day = day_of(now)
    with transaction.atomic():
        left = budgets_left(day, lock=True)
        if not left or _is_full(now):
            return None
        chosen = links_next(now, left)
        batch = Batch(uuid.uuid4(), hosts=_hosts_free(chosen, now), day=day)
        if not batch.hosts:
            return None
        batch.paid = {one.link: one.dataset for one in chosen if one.host in batch.hosts}
        budgets_spend(batch.paid.values(), day)
        leased = Host.objects.filter(among_ids("pk", batch.hosts))
        leased.update(lease=batch.lease, lease_until=lease_end())
    return batch


def _fill(batch: Batch, now: datetime) -> None:
    """Give a batch its links. Those that are excluded by now are taken off the schedule; hosts without any other are let go."""
    found = {link.pk: link for link in Link.objects.filter(among_ids("id", batch.paid), due_at__lte=now)}
    links = [found[pk] for pk in batch.paid if pk in found]  # in their order
    batch.recorded = recorded_keys(links)
    out = excluded_links(links, batch.recorded)
    batch.links = [link for link in links if link.pk not in out]
    unasked = batch.hosts.keys() - {link.host_id for link in batch.links}
    if out or unasked:
        with transaction.atomic():
            _hosts_lock(Q(lease=batch.lease))
            Link.objects.filter(pk__in=out).update(**link_excluded())
            content_forget(out)
            observations_forget(out)
            Host.objects.filter(lease=batch.lease, pk__in=unasked).update(lease=None, lease_until=None)
            hosts_due(unasked)
    batch.hosts = {pk: host for pk, host in batch.hosts.items() if pk not in unasked}
    links_give_back(batch, batch.paid.keys() - {link.pk for link in batch.links})


def hosts_take(batch: Batch, names: Collection[str], now: datetime | None = None) -> dict[str, Host]:
    """Lease further hosts, to which redirects led, for the batch; returns by name those that it may ask now.

    A host that another batch holds, or that rests, is not among them. New names become hosts.
    """
    now = now or timezone.now()
    with transaction.atomic():
        Host.objects.bulk_create(
            [Host(name=name, next_at=now) for name in sorted(names)], ignore_conflicts=True
        )
        free = Host.objects.select_for_update(skip_locked=True).filter(
            Q(lease=batch.lease) | lease_free(), rested(now), name__in=names
        )
        found = {host.name: host for host in free}
        for host in found.values():
            host.next_at = min(host.next_at, now)
            batch.hosts[host.pk] = host
        taken = Host.objects.filter(pk__in=[host.pk for host in found.values()])
        taken.update(lease=batch.lease, lease_until=lease_end())
    return found


def batch_record(batch: Batch, attempts: Sequence[Attempt], *, waiting: Collection[int] = ()) -> int:
    """Write what a batch saw and end its leases; returns of how many links. What was leased to others is left alone.

    `waiting` are links whose redirects led to a host that could not be asked: they are due again in WAIT.
    """
    with transaction.atomic():
        held = _hosts_lock(Q(lease=batch.lease))
        written = set(_links_update(batch.lease, attempts))
        by_month: dict[tuple[int, int], list[Attempt]] = defaultdict(list)
        for attempt in attempts:
            if attempt.link in written and attempt.seen.outcome != Outcome.POLICY_NO_FETCH:
                by_month[attempt.at.year, attempt.at.month].append(attempt)
        for month in by_month.values():
            observations_write(
                ((a.link, a.at, a.seen.outcome.value, a.seen.status, a.milliseconds) for a in month),
                month[0].at,
            )
        content_record({a.link: (a.reading, a.at) for a in attempts if a.link in written and a.reading})
        out = [a.link for a in attempts if a.standing.state == LinkState.EXCLUDED]
        content_forget(out)
        observations_forget(out)
        if batch.signatures:
            signatures_record(batch.signatures.values())
        robots_record(file for (host, _), file in batch.robots.items() if host in held)
        on_schedule = Link.objects.filter(pk__in=waiting, host__in=held, due_at__isnull=False)
        on_schedule.update(due_at=timezone.now() + WAIT)
        _hosts_update(host for pk, host in batch.hosts.items() if pk in held)
    # Its time was over, or their hosts wanted rest.
    links_give_back(batch, batch.paid.keys() - {a.link for a in attempts} - set(waiting))
    return len(written)


def links_give_back(batch: Batch, links: Iterable[int]) -> None:
    """Let these links of a batch, by primary key, cost no budget: nobody asked for them."""
    if batch.day is not None:
        budgets_give_back((batch.paid.pop(link) for link in list(links)), batch.day)


_PACE = """
UPDATE registry_host AS host
SET next_at = v.next_at, delay = v.delay, fails = v.fails, lease = NULL, lease_until = NULL, due_at = (
    SELECT due_at FROM registry_link AS link
    WHERE link.host_id = host.id AND due_at IS NOT NULL ORDER BY due_at LIMIT 1
)
FROM unnest(%s::bigint[], %s::timestamptz[], %s::float8[], %s::int[]) AS v (id, next_at, delay, fails)
WHERE host.id = v.id
"""


def _hosts_update(hosts: Iterable[Host]) -> None:
    """Write when and how these hosts are to be asked from now on, and end their leases: in one statement for any number."""
    hosts = list(hosts)
    pace = [[getattr(host, name) for host in hosts] for name in ("pk", "next_at", "delay", "fails")]
    with connection.cursor() as cursor:
        cursor.execute(_PACE, pace)


def batch_release(batch: Batch) -> None:
    """End the leases of a batch of which nothing is written: its links are due as they were, how its hosts are asked is kept.

    Its links cost their budgets all the same: some were asked, and a batch that fails each time must not go on all day.
    """
    with transaction.atomic():
        held = _hosts_lock(Q(lease=batch.lease))
        _hosts_update(host for pk, host in batch.hosts.items() if pk in held)
    # By itself: should these be what the batch failed for, the pauses are kept all the same.
    robots_record(file for (host, _), file in batch.robots.items() if host in held)


def host_keep(lease: uuid.UUID, host: Host) -> None:
    """Write at once how a host of a batch is to be asked: should the batch fail or its worker die, that is not forgotten."""
    Host.objects.filter(pk=host.pk, lease=lease).update(
        next_at=host.next_at, delay=host.delay, fails=host.fails
    )


class Hurried(NamedTuple):
    """How many links come first, and how many do not because they were checked within RECENTLY."""

    links: int
    recent: int


def links_due_now(links: QuerySet[Link], *, asked_by: Dataset) -> Hurried:
    """Let those of these links that are on the schedule come first, but for those that were checked a moment ago.

    The dataset whose members asked pays for them, whoever else holds them, for as long as it may spend.
    """
    recently = Q(checked_at__gt=timezone.now() - RECENTLY)
    due = links.filter(due_at__isnull=False)
    hurried = links_set(due.exclude(recently), due_at=NOW, asked_by=asked_by)
    return Hurried(hurried, due.filter(recently).count())


def links_set(links: QuerySet[Link], **fields: Any) -> int:
    """Write these fields of links outside of any batch, and let their hosts be due accordingly; returns of how many.

    Hosts are locked first and in order, as whoever records a batch takes them, so that the two never wait for each other.
    """
    with transaction.atomic():
        hosts = set(links.order_by().values_list("host", flat=True))
        if not hosts:
            return 0
        _hosts_lock(Q(among_ids("pk", hosts)))
        count = links.filter(among_ids("host_id", hosts)).update(**fields)
        hosts_due(hosts)
    return count


def hosts_due(hosts: Iterable[int]) -> None:
    """Let these hosts be due when the first of their links is."""
    if numbers := sorted(hosts):
        with transaction.atomic(), connection.cursor() as cursor:
            # By itself: a statement that had to wait for a host would know its links as they were before.
            _hosts_lock(Q(among_ids("pk", numbers)))
            cursor.execute(_HOSTS_DUE, [numbers])


def _hosts_lock(which: Q) -> set[int]:
    """Lock these hosts, in the order in which everybody who waits for hosts locks them; returns their primary keys."""
    hosts = Host.objects.select_for_update().filter(which).order_by("pk")
    return set(hosts.values_list("pk", flat=True))


# In words that let PostgreSQL take one entry of the index `link_schedule` for each host, however many links it has.
_HOSTS_DUE = """
UPDATE registry_host AS host SET due_at = first.due_at
FROM unnest(%s::bigint[]) AS one (id), LATERAL (SELECT (
    SELECT due_at FROM registry_link AS link
    WHERE link.host_id = one.id AND due_at IS NOT NULL ORDER BY due_at LIMIT 1
) AS due_at) AS first
WHERE host.id = one.id AND host.due_at IS DISTINCT FROM first.due_at
"""


def links_never_ahead(now: datetime) -> int:
    """Let links be due that a clock which was ahead put off for longer than anything is, some at a time; returns how many."""
    far = now + LONGEST_WAIT
    hosts = list(Host.objects.filter(due_at__gt=far).values_list("pk", flat=True)[:HOSTS_AT_ONCE])
    count = links_set(Link.objects.filter(host__in=hosts, due_at__gt=far), due_at=now)
    hosts_due(hosts)  # also those that have no such link
    return count


def is_anything_due(now: datetime | None = None) -> bool:
    """Whether a batch could be claimed now."""
    now = now or timezone.now()
    if _is_full(now):
        return False
    left = budgets_left(day_of(now))
    return bool(left) and bool(links_next(now, left))


def _is_full(now: datetime) -> bool:
    """Whether as many batches of links are under way as may be.

    Their hosts stay due until they are recorded; those that are asked as registries, or for an opt-out file, are not.
    """
    # That a lease is there goes without saying, but not for PostgreSQL, which then reads those alone (`host_leased`).
    of_links = Host.objects.filter(lease__isnull=False, lease_until__gte=Now(), due_at__lte=now)
    return of_links.values("lease").distinct().count() >= settings.LINKS_BATCHES


def _hosts_free(chosen: Iterable[Chosen], now: datetime) -> dict[int, Host]:
    """The hosts of what was chosen that nobody took meanwhile, locked."""
    free = Host.objects.filter(
        among_ids("pk", {one.host for one in chosen}), lease_free(), rested(now), opted_out_at=None
    )
    hosts = {host.pk: host for host in free.order_by("pk").select_for_update(skip_locked=True)}
    for host in hosts.values():
        host.next_at = min(host.next_at, now)
    return hosts


def link_excluded() -> dict[str, object]:
    """The fields of a link that is excluded: nothing of what was seen of it stays."""
    return {
        "state": LinkState.EXCLUDED,
        "outcome": Outcome.POLICY_NO_FETCH,
        "due_at": None,
        "status": 0,
        "target": "",
        "opt_outs": [],
        "failures": 0,
        "host_failures": 0,
        "failed_at": None,
        "checked_at": None,
        "asked_by": None,
    }


_UPDATE = """
UPDATE registry_link AS link
SET state = v.state, outcome = v.outcome, status = v.status, target = v.target,
    opt_outs = string_to_array(v.opt_outs, ','), failures = v.failures, host_failures = v.host_failures,
    failed_at = v.failed_at, checked_at = v.at, due_at = v.due_at, asked_by_id = NULL
FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::int[], %s::text[], %s::text[], %s::int[], %s::int[],
            %s::timestamptz[], %s::timestamptz[], %s::timestamptz[])
    AS v (id, state, outcome, status, target, opt_outs, failures, host_failures, failed_at, at, due_at)
WHERE link.id = v.id AND link.due_at IS NOT NULL
    AND EXISTS (SELECT 1 FROM registry_host AS host WHERE host.id = link.host_id AND host.lease = %s
        AND (host.opted_out_at IS NULL OR v.outcome IN ('opted_out', 'policy_no_fetch')))
RETURNING link.id
"""


def _links_update(lease: uuid.UUID, attempts: Sequence[Attempt]) -> list[int]:
    """Write every attempt in one statement; returns the ids of the links of which it was written.

    Not of links whose host is not leased any more, nor of what was taken off the schedule meanwhile, say because its domain
    is gone; of hosts that opted out only that; of what is excluded no time, unless redirects led there (`services._review`).
    """
    columns: list[list[Any]] = [
        [a.link for a in attempts],
        [a.standing.state.value for a in attempts],
        [a.seen.outcome.value for a in attempts],
        [a.seen.status for a in attempts],
        [a.seen.target for a in attempts],
        [",".join(a.seen.opt_outs) for a in attempts],
        [a.standing.failures for a in attempts],
        [a.standing.host_failures for a in attempts],
        [a.standing.failed_at for a in attempts],
        [a.at if a.seen.status or a.standing.state != LinkState.EXCLUDED else None for a in attempts],
        [a.standing.due_at for a in attempts],
    ]
    with connection.cursor() as cursor:
        cursor.execute(_UPDATE, [*columns, lease])
        return [pk for (pk,) in cursor.fetchall()]
