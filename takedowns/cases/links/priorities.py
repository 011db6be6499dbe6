"""Which reported rows' links come first: those of cases that were just decided and that triage called open."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db.models import Exists, OuterRef
from pyroaring import BitMap

from registry.hooks import RowsFirst
from registry.links.models import PanelRow
from takedowns.cases.models import Location
from takedowns.reports.models import Sensitivity

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from django.db.models import QuerySet


def rows_triaged(since: datetime) -> Iterator[RowsFirst]:
    """Rows of open cases decided since then, where a panel holds some of their shard."""
    found = locations_sampled().filter(case__decided_at__gte=since)
    for at, shard, rows in found.values_list("case__decided_at", "shard", "positions").iterator():
        assert at is not None  # the filter above
        yield RowsFirst("triaged", at, shard, BitMap.deserialize(bytes(rows)))


def locations_sampled() -> QuerySet[Location]:
    """Located rows of cases that triage called open, in shards of which a panel holds rows.

    Guarded and sealed ones are never contacted, so there is nothing to put first.
    """
    return Location.objects.filter(
        Exists(PanelRow.objects.filter(shard=OuterRef("shard"))),
        case__category__sensitivity=Sensitivity.OPEN,
    )
