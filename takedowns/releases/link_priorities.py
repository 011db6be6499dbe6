"""Which links come first because a release took their rows out: who applies its diff relies on their state."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyroaring import BitMap

from registry.hooks import RowsFirst
from takedowns.cases.links.priorities import locations_sampled
from takedowns.releases.models import Release

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime


def rows_released(since: datetime) -> Iterator[RowsFirst]:
    """Rows that releases published since then took out of their bases, where a panel holds some of their shard."""
    for release in Release.objects.published().filter(published_at__gte=since):
        found = locations_sampled().filter(
            case__removal__in=release.removals.all(), shard__version_shards__version=release.base_id
        )
        for shard, rows in found.values_list("shard", "positions").distinct().iterator():
            assert release.published_at is not None  # the filter above
            yield RowsFirst("released", release.published_at, shard, BitMap.deserialize(bytes(rows)))
