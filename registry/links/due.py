"""Which links are handed out next, and how a batch is shared among the datasets that have something due.

First comes what stands at the front of the schedule, for everybody together. That alone would let a dataset with very
many urgent links keep all others waiting. So whoever got less than its part there is looked at by itself: the links of
its own panels and places. Then all are dealt out one after the other, a link of each dataset in turn, until the batch is full.

Every step looks at a bounded number of rows, however many are due, paused or spent. For a dataset with more than WINDOW
links that means a part of them, another each time.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.db import connection
from django.db.models import Q

from registry.links.models import OUT_OF_USE, Panel

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

LINKS_AT_ONCE = 1_000
PER_HOST = 50
HOSTS_AT_ONCE = 1_000
TOGETHER = 5  # links of a host before another that is due since the same moment has its turn: one connection for them
HOSTS_LOOKED_AT = 3_000  # at the front of the schedule
LINKS_LOOKED_AT = 10_000  # of these hosts
HOLDERS_LOOKED_AT = 20  # places in panels of one link
DATASETS_LOOKED_AT = 10  # by themselves
PANELS_LOOKED_AT = 4  # of such a dataset
WINDOW = 5_000  # links of its panels, before and again behind a place that is drawn at random

# A clock that was ahead may have written any time. Later than these nothing is put off, so it is due at once.
LONGEST_REST = timedelta(days=2)  # of a host: turns.MAX_REST is a day
LONGEST_WAIT = timedelta(days=200)  # of a link: states has 180 days at most


@dataclass(frozen=True, slots=True)
class Due:
    """A link that may be handed out, and the datasets that hold it and may still spend; some of very many."""

    link: int
    host: int
    datasets: Sequence[UUID]


@dataclass(frozen=True, slots=True)
class Chosen:
    """A link to be handed out, on the budget of one dataset."""

    link: int
    host: int
    dataset: UUID


def links_next(now: datetime, left: Mapping[UUID, int]) -> list[Chosen]:
    """What a batch is made of: of each dataset the most urgent.

    `left` is how many links each dataset may still hand out today: only those that may are in it.
    """
    hosts = _hosts_first(now, left, HOSTS_AT_ONCE)
    first = _links_first(now, left, hosts)
    found = {one.link: one for one in first}
    for dataset in _short(now, first, left):
        # What both hold is now paid by the dataset that would come short.
        found |= {one.link: one for one in _links_own(now, dataset)}
    return _shared(found.values(), left)


def is_any_next(now: datetime, left: Mapping[UUID, int]) -> bool:
    """Whether `links_next` has something; of datasets with very many links it may say no, and yes the next time."""
    if _hosts_first(now, left, 1):
        return True
    return _is_long(now) and any(_links_own(now, dataset) for dataset in _some(left))


def rested(now: datetime) -> Q:
    """Of hosts that need not be left alone any longer."""
    return Q(next_at__lte=now) | Q(next_at__gt=now + LONGEST_REST)


def _short(now: datetime, first: Sequence[Due], left: Mapping[UUID, int]) -> list[UUID]:
    """Datasets that have less at the front than would be their part, some of very many; none where that is all there is."""
    of_host = Counter(one.host for one in first)
    is_all = len(first) < LINKS_AT_ONCE and max(of_host.values(), default=0) < _per_host(len(of_host))
    if (is_all and not _is_long(now)) or (len(left) == 1 and len(first) >= LINKS_AT_ONCE):
        return []
    have = Counter(dataset for one in first for dataset in one.datasets)
    part = max(1, LINKS_AT_ONCE // (len(have) + 1))
    return _some([dataset for dataset, links in left.items() if have[dataset] < min(part, links)])


def _some(datasets: Collection[UUID]) -> list[UUID]:
    return random.sample(list(datasets), min(len(datasets), DATASETS_LOOKED_AT))


def _per_host(hosts: int) -> int:
    """How many links of each of so many hosts are looked at."""
    return min(PER_HOST, max(TOGETHER, LINKS_LOOKED_AT // max(1, hosts)))


def _shared(found: Iterable[Due], left: Mapping[UUID, int]) -> list[Chosen]:
    """Deal out what was found: one link of each dataset in turn, as far as its budget, the batch and each host allow.

    Where several datasets hold a link, the one with most left pays.
    """
    queues: dict[UUID, list[Due]] = defaultdict(list)
    for one in found:
        queues[max(one.datasets, key=left.__getitem__)].append(one)
    waiting = {dataset: iter(queue) for dataset, queue in queues.items()}
    taken: list[Chosen] = []
    spent: Counter[UUID] = Counter()
    of_host: Counter[int] = Counter()
    while waiting and len(taken) < LINKS_AT_ONCE:
        for dataset, queue in list(waiting.items())[: LINKS_AT_ONCE - len(taken)]:
            due = next((one for one in queue if of_host[one.host] < PER_HOST), None)
            if due is None or spent[dataset] == left[dataset]:
                del waiting[dataset]
                continue
            of_host[due.host] += 1
            spent[dataset] += 1
            taken.append(Chosen(due.link, due.host, dataset))
    return taken


# What pays for a link: datasets in whose panels or among whose places it is. Links of versions that are out of use are not
# asked any more, but whether these are still served is.
_HOLDERS = """
SELECT version.dataset_id FROM registry_panelrow AS held JOIN registry_version AS version ON version.id = held.panel_id
WHERE held.link_id = link.id AND version.dataset_id = ANY(%(left)s) AND version.status <> ALL(%(out)s)
UNION ALL
SELECT version.dataset_id FROM registry_distribution AS held JOIN registry_version AS version ON version.id = held.version_id
WHERE held.link_id = link.id AND version.dataset_id = ANY(%(left)s)
"""

_IS_READY = """host.due_at <= %(now)s AND (host.next_at <= %(now)s OR host.next_at > %(now)s + %(rest)s)
    AND host.opted_out_at IS NULL AND (host.lease IS NULL OR host.lease_until < statement_timestamp())"""

# Those due since the same moment come a few of each host at a time, the host first that was left alone for longest.
_IN_TURN = "due_at, (place - 1) / %(together)s, next_at, host, place"

# In words that let PostgreSQL take the first hosts from the index `host_schedule`, sort these, and stop when it has enough.
_HOSTS_FIRST = f"""
SELECT first.id FROM (
    SELECT id, due_at, next_at FROM registry_host AS host
    WHERE {_IS_READY} ORDER BY due_at LIMIT %(looked_at)s
) AS first, LATERAL (
    SELECT FROM registry_link AS link
    WHERE link.host_id = first.id AND link.due_at <= %(now)s AND EXISTS ({_HOLDERS}) LIMIT 1
) AS wanted
ORDER BY first.due_at, first.next_at LIMIT %(hosts)s
"""  # noqa: S608  parts of ours

_LATER = f"SELECT FROM registry_host AS host WHERE {_IS_READY} OFFSET %(looked_at)s LIMIT 1"

_LINKS_FIRST = f"""
SELECT id, host, datasets FROM (
    SELECT due.id, host.id AS host, host.next_at, due.due_at, due.datasets,
        row_number() OVER (PARTITION BY host.id ORDER BY due.due_at, due.id) AS place
    FROM unnest(%(hosts)s::bigint[]) AS one (id) JOIN registry_host AS host ON host.id = one.id, LATERAL (
        SELECT * FROM (
            SELECT link.id, link.due_at, ARRAY(SELECT * FROM ({_HOLDERS} LIMIT %(holders)s) AS held) AS datasets
            FROM registry_link AS link
            WHERE link.host_id = host.id AND link.due_at <= %(now)s ORDER BY link.due_at OFFSET 0
        ) AS link WHERE datasets <> '{{}}' LIMIT %(per_host)s
    ) AS due
) AS found
ORDER BY {_IN_TURN} LIMIT %(links)s
"""  # noqa: S608  parts of ours

# A part of a panel, in words that leave but the index `panelrow_link_once`: that of links alone has all other panels too.
_OF_PANEL = """SELECT link_id FROM registry_panelrow
    WHERE (panel_id, link_id) >= (panel.id, {since}) AND (panel_id, link_id) < (panel.id, {until})
    ORDER BY panel_id {way}, link_id {way} LIMIT {count}"""
_FROM, _TO = "0", "9223372036854775807"
_FIRST = _OF_PANEL.format(since=_FROM, until=_TO, way="ASC", count=1)
_LAST = _OF_PANEL.format(since=_FROM, until=_TO, way="DESC", count=1)
_AFTER = _OF_PANEL.format(since="panel.middle", until=_TO, way="ASC", count="%(window)s")
_BEFORE = _OF_PANEL.format(since=_FROM, until="panel.middle", way="DESC", count="%(window)s")

_LINKS_OWN = f"""
SELECT id, host FROM (
    SELECT link.id, host.id AS host, host.next_at, link.due_at,
        row_number() OVER (PARTITION BY host.id ORDER BY link.due_at, link.id) AS place
    FROM (
        SELECT near.link_id FROM (
            SELECT id, (({_FIRST}) + random() * (({_LAST}) - ({_FIRST})))::bigint AS middle
            FROM unnest(%(panels)s::uuid[]) AS panel (id) OFFSET 0
        ) AS panel, LATERAL (({_AFTER}) UNION ALL ({_BEFORE})) AS near
        UNION
        SELECT held.link_id FROM registry_distribution AS held JOIN registry_version AS version ON version.id = held.version_id
        WHERE version.dataset_id = %(dataset)s
    ) AS own,
    LATERAL (SELECT * FROM registry_link WHERE id = own.link_id AND due_at <= %(now)s OFFSET 0) AS link,
    LATERAL (SELECT * FROM registry_host AS host WHERE id = link.host_id AND {_IS_READY} OFFSET 0) AS host
) AS found
WHERE place <= %(per_host)s
ORDER BY {_IN_TURN} LIMIT %(links)s
"""  # noqa: S608  parts of ours


def _is_long(now: datetime) -> bool:
    """Whether more hosts stand in the schedule than are looked at."""
    return bool(_rows(_LATER, now, {"looked_at": HOSTS_LOOKED_AT}))


def _hosts_first(now: datetime, left: Collection[UUID], hosts: int) -> list[int]:
    """Hosts at the front of the schedule that may be asked for something, at most this many."""
    names = {"looked_at": HOSTS_LOOKED_AT, "hosts": hosts, "left": list(left)}
    return [host for (host,) in _rows(_HOSTS_FIRST, now, names)]


def _links_first(now: datetime, left: Collection[UUID], hosts: Sequence[int]) -> list[Due]:
    """Due links of these hosts, in turn."""
    names = {
        "hosts": hosts,
        "left": list(left),
        "per_host": _per_host(len(hosts)),
        "holders": HOLDERS_LOOKED_AT,
        # Where one dataset's budget or part ends, there may be more of another's.
        "links": LINKS_AT_ONCE * (2 if len(left) > 1 else 1),
    }
    return [Due(*row) for row in _rows(_LINKS_FIRST, now, names)] if hosts else []


def _links_own(now: datetime, dataset: UUID) -> list[Due]:
    """Due links of one dataset, in turn."""
    panels = Panel.objects.filter(version__dataset=dataset).exclude(version__status__in=OUT_OF_USE)
    chosen = list(panels.order_by("?").values_list("pk", flat=True)[:PANELS_LOOKED_AT])
    names = {
        "dataset": dataset,
        "panels": chosen,
        "window": max(1, WINDOW // max(1, len(chosen))),
        "per_host": PER_HOST,
        "links": LINKS_AT_ONCE,
    }
    return [Due(link, host, (dataset,)) for link, host in _rows(_LINKS_OWN, now, names)]


def _rows(query: str, now: datetime, names: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    always: dict[str, Any] = {
        "now": now,
        "rest": LONGEST_REST,
        "out": [status.value for status in OUT_OF_USE],
        "together": TOGETHER,
    }
    with connection.cursor() as cursor:
        cursor.execute(query, {**always, **names})
        return list(cursor.fetchall())
