"""Observations by month: each month is a partition of its own, made ahead of time and dropped when too old."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import connection, transaction
from psycopg import sql

from registry.lib.copying import copy_rows
from registry.links.models import Observation

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from typing import Any

    from django.db.backends.utils import CursorWrapper

COLUMNS = ("link_id", "at", "outcome", "status", "milliseconds")
_TABLE = "registry_observation"
_PARTITION = re.compile(rf"{_TABLE}_(\d{{4}})_(\d{{2}})")
_LOCK = 0x6C696E6B  # advisory: two workers must not make the same partition


def observations_write(rows: Iterable[Sequence[Any]], at: datetime) -> None:
    """Append rows of COLUMNS, all of the month of `at`, in the caller's transaction."""
    partition_make(at)
    copy_rows(Observation, COLUMNS, rows)


def observations_forget(links: Collection[int]) -> None:
    """Delete what was seen of these links, by primary key: nothing of an excluded one is kept."""
    if links:
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM registry_observation WHERE link_id = ANY(%s)", [list(links)])


def partitions_ahead(now: datetime) -> None:
    """Make the partitions of this month and the next, so that at its turn no batch waits for another that makes one."""
    partition_make(now)
    partition_make(_next_month(now))


def partition_make(at: datetime) -> None:
    """Make the partition of the month of `at` (UTC) unless it is there."""
    first = datetime(at.year, at.month, 1, tzinfo=UTC)
    name = f"{_TABLE}_{at:%Y_%m}"
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass(%s) IS NOT NULL", [name])
        if cursor.fetchone() == (True,):
            return
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        cursor.execute(
            sql.SQL("CREATE TABLE IF NOT EXISTS {} PARTITION OF {} FOR VALUES FROM ({}) TO ({})").format(
                sql.Identifier(name), sql.Identifier(_TABLE), first.isoformat(), _next_month(at).isoformat()
            )
        )


def observations_expire(now: datetime) -> list[str]:
    """Drop the months that lie more than LINKS_KEEP_MONTHS before this one; returns the names of what was dropped.

    As many months as these hold stay in any case, the newest that anything was written in: a clock that is ahead drops
    nothing but months without observations, and one more for each month that it wrote in itself.
    """
    this = now.year * 12 + now.month
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = %s::regclass", [_TABLE]
        )
        found = [_PARTITION.fullmatch(name) for (name,) in cursor.fetchall()]
        months = {int(one[1]) * 12 + int(one[2]): one[0] for one in found if one}
        written = sorted(month for month, name in months.items() if _is_written(cursor, name))
        kept = written[-settings.LINKS_KEEP_MONTHS - 1 :]
        old = [
            name
            for month, name in months.items()
            if month < this - settings.LINKS_KEEP_MONTHS and month not in kept
        ]
        for name in old:
            cursor.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(name)))
    return sorted(old)


def _next_month(at: datetime) -> datetime:
    """When the month after that of `at` begins."""
    return datetime(at.year + at.month // 12, at.month % 12 + 1, 1, tzinfo=UTC)


def _is_written(cursor: CursorWrapper, name: str) -> bool:
    """Whether anything is in a partition. Those that are made ahead are empty."""
    cursor.execute(sql.SQL("SELECT EXISTS (SELECT 1 FROM {})").format(sql.Identifier(name)))
    return bool(cursor.fetchone() == (True,))
