"""Which links are handed out next, and which dataset pays for each.

1. The front of the schedule: due links of the hosts that are due longest and may be asked.
2. There a dataset with very many urgent links would keep all others waiting, and so would one that is paused. So whoever has
   less than an equal part of the front is looked at by itself: the places that it watches, and a part of its panels.
3. Dealt out is a link of each dataset in turn, until the batch is full.

Each step looks at a bounded number of rows, however many are due, paused or spent. For a dataset with more than WINDOW links
behind the front that means a part of them, another each time.
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
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

LINKS_AT_ONCE = 1_000  # are a batch
PER_HOST = 50  # of them
TOGETHER = 5  # links of a host before another that is due since the same moment has its turn: one connection for them
HOSTS_LOOKED_AT = 3_000  # are the front
LINKS_LOOKED_AT = 10_000  # of these hosts, PER_HOST of each at most
HOLDERS_LOOKED_AT = 20  # places in panels of one link
DATASETS_LOOKED_AT = 4  # by themselves
PANELS_LOOKED_AT = 4  # of such a dataset
WINDOW = 2_500  # links of these panels, before and again behind a place that is drawn at random

# A clock that was ahead may have written any time. Later than these nothing is put off, so it is due at once.
LONGEST_REST = timedelta(days=2)  # of a host: turns.MAX_REST is a day
LONGEST_WAIT = timedelta(days=200)  # of a link: states has 180 days at most


@dataclass(frozen=True, slots=True)
class Due:
    """A link that may be handed out, and which datasets may pay for it: some of very many."""

    link: int
    host: int
    payers: Sequence[UUID]


@dataclass(frozen=True, slots=True)
class Chosen:
    """A link to be handed out, on the budget of one dataset."""

    link: int
    host: int
    dataset: UUID


def links_next(now: datetime, left: Mapping[UUID, int]) -> list[Chosen]:
    """What a batch is made of: of each dataset the most urgent.

    `left` is how many links each dataset may still hand out today: only those that may are in it. Where one of them has
    very many links it may be that nothing is found, and something the next time.
    """
    front = _front(now, left)
    found = {due.link: due for due in front}
    for dataset in _short(front, left):
        for due in _own(now, dataset, left):
            found.setdefault(due.link, due)
    return _dealt(found.values(), left)


def rested(now: datetime) -> Q:
    """Of hosts that need not be left alone any longer."""
    return Q(next_at__lte=now) | Q(next_at__gt=now + LONGEST_REST)


def _short(front: Iterable[Due], left: Mapping[UUID, int]) -> list[UUID]:
    """Datasets that have less at the front than an equal part of a batch, and than they may spend; some of very many."""
    have = Counter(dataset for due in front for dataset in due.payers)
    part = LINKS_AT_ONCE // max(1, len(have))
    short = [dataset for dataset, links in left.items() if have[dataset] < min(part, links)]
    return random.sample(short, min(len(short), DATASETS_LOOKED_AT))


def _dealt(found: Iterable[Due], left: Mapping[UUID, int]) -> list[Chosen]:
    """A link of each dataset in turn, in the order in which they were found, as far as budgets, the batch and hosts allow.

    Where several datasets may pay for a link, the one with most left does.
    """
    queues: dict[UUID, list[Due]] = defaultdict(list)
    for due in found:
        queues[max(due.payers, key=left.__getitem__)].append(due)
    waiting = {dataset: iter(queue) for dataset, queue in queues.items()}
    dealt: list[Chosen] = []
    spent: Counter[UUID] = Counter()
    of_host: Counter[int] = Counter()
    while waiting:
        for dataset, queue in list(waiting.items()):
            if len(dealt) == LINKS_AT_ONCE:
                return dealt
            one = next((due for due in queue if of_host[due.host] < PER_HOST), None)
            if one is None or spent[dataset] == left[dataset]:
                del waiting[dataset]
                continue
            of_host[one.host] += 1
            spent[dataset] += 1
            dealt.append(Chosen(one.link, one.host, dataset))
    return dealt


_IS_READY = """host.due_at <= %(now)s AND (host.next_at <= %(now)s OR host.next_at > %(now)s + %(rest)s)
    AND host.opted_out_at IS NULL AND (host.lease IS NULL OR host.lease_until < statement_timestamp())"""

# Those due since the same moment come a few of each host at a time, the host first that was left alone for longest. `place`
# numbers what was found of a host.
_IN_TURN = "due_at, (place - 1) / %(together)s, next_at, host, place"

# Links of versions that are out of use are not asked any more, but whether these are still served is.
_HOLDERS = """
SELECT version.dataset_id FROM registry_panelrow AS held JOIN registry_version AS version ON version.id = held.panel_id
WHERE held.link_id = due.id AND version.dataset_id = ANY(%(left)s) AND version.status <> ALL(%(out)s)
UNION ALL
SELECT version.dataset_id FROM registry_distribution AS held JOIN registry_version AS version ON version.id = held.version_id
WHERE held.link_id = due.id AND version.dataset_id = ANY(%(left)s)
"""

# In words that let PostgreSQL take the first hosts from the index `host_schedule` and the first links of each from
# `link_schedule`. Who holds a link is asked in their order, and no more once there are enough.
_FRONT = f"""
SELECT due.id, due.host, due.asked_by, held.datasets FROM (
    SELECT * FROM (
        SELECT link.*, host.id AS host, host.next_at FROM (
            SELECT id, due_at, next_at FROM (
                SELECT id, due_at, next_at FROM registry_host AS host WHERE {_IS_READY}
                ORDER BY due_at LIMIT %(hosts_looked_at)s
            ) AS host ORDER BY due_at, next_at
        ) AS host, LATERAL (
            SELECT *, row_number() OVER (ORDER BY due_at) AS place FROM (
                SELECT id, due_at, asked_by_id AS asked_by FROM registry_link
                WHERE host_id = host.id AND due_at <= %(now)s ORDER BY due_at LIMIT %(per_host)s
            ) AS link
        ) AS link LIMIT %(links_looked_at)s
    ) AS due ORDER BY {_IN_TURN} OFFSET 0
) AS due, LATERAL (
    SELECT ARRAY(SELECT * FROM ({_HOLDERS} LIMIT %(holders)s) AS holder) AS datasets OFFSET 0
) AS held
WHERE held.datasets <> '{{}}' LIMIT %(links)s
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

# What somebody asked for who may still pay for it is left to him. Where no host may be asked, nothing is looked at.
_OWN = f"""
SELECT id, host FROM (
    SELECT link.id, host.id AS host, host.next_at, link.due_at,
        row_number() OVER (PARTITION BY host.id ORDER BY link.due_at) AS place
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
    WHERE (link.asked_by_id IS NULL OR link.asked_by_id = %(dataset)s OR link.asked_by_id <> ALL(%(left)s))
        AND EXISTS (SELECT FROM registry_host AS host WHERE {_IS_READY} ORDER BY due_at LIMIT 1)
) AS found
WHERE place <= %(per_host)s
ORDER BY {_IN_TURN} LIMIT %(links)s
"""  # noqa: S608  parts of ours


def _front(now: datetime, left: Mapping[UUID, int]) -> list[Due]:
    """Due links at the front of the schedule that may be paid for, in turn; as many as a batch has at most."""
    rows = _rows(_FRONT, now, left)
    return [
        Due(link, host, (asked_by,) if asked_by in left else datasets)
        for link, host, asked_by, datasets in rows
    ]


def _own(now: datetime, dataset: UUID, left: Mapping[UUID, int]) -> list[Due]:
    """Due links that one dataset holds, wherever they stand in the schedule, in turn; as many as a batch has at most."""
    panels = Panel.objects.filter(version__dataset=dataset).exclude(version__status__in=OUT_OF_USE)
    some = list(panels.order_by("?").values_list("pk", flat=True)[:PANELS_LOOKED_AT])
    window = max(1, WINDOW // max(1, len(some)))
    rows = _rows(_OWN, now, left, dataset=dataset, panels=some, window=window)
    return [Due(link, host, (dataset,)) for link, host in rows]


def _rows(query: str, now: datetime, left: Mapping[UUID, int], **names: Any) -> list[tuple[Any, ...]]:
    always: dict[str, Any] = {
        "now": now,
        "left": list(left),
        "rest": LONGEST_REST,
        "out": [status.value for status in OUT_OF_USE],
        "together": TOGETHER,
        "per_host": PER_HOST,
        "hosts_looked_at": HOSTS_LOOKED_AT,
        "links_looked_at": LINKS_LOOKED_AT,
        "holders": HOLDERS_LOOKED_AT,
        "links": LINKS_AT_ONCE,
    }
    with connection.cursor() as cursor:
        cursor.execute(query, always | names)
        return list(cursor.fetchall())
