"""What a decision would do, in rows; and the digest that says whether it is still what somebody saw."""

from __future__ import annotations

from collections import Counter
from hashlib import sha256
from itertools import groupby
from typing import TYPE_CHECKING

from pyroaring import BitMap

from registry.datasets.models import VersionShard
from registry.datasets.selectors import versions_in_reach
from takedowns.cases.models import Consequence, Location
from takedowns.cases.selectors import case_items
from takedowns.reports.models import Outcome

if TYPE_CHECKING:
    from uuid import UUID

    from takedowns.cases.models import Case

# Outcomes of items whose rows go, or would go if nobody marks the item to be kept.
GOING = (Outcome.PENDING, Outcome.REMOVE)
CHUNK = 5_000


def consequence_write(case: Case) -> dict[UUID, int]:
    """Count and store the distinct rows of each version that would go; returns rows by version id.

    Rows that several items name count once. Call it under the lock of the case, after every change to its items.
    """
    gone = _rows_by_shard(case)
    rows: Counter[UUID] = Counter()
    shards: Counter[UUID] = Counter()
    held = VersionShard.objects.filter(version__in=case.scope, shard__in=gone)
    for version_id, shard_id in held.values_list("version_id", "shard_id"):
        rows[version_id] += gone[shard_id]
        shards[version_id] += 1
    case.consequences.all().delete()
    Consequence.objects.bulk_create(
        Consequence(case=case, version_id=version, shards=shards[version], rows=count)
        for version, count in rows.items()
    )
    return dict(rows)


def _rows_by_shard(case: Case) -> dict[str, int]:
    """Count the distinct rows of each shard that items which are going name."""
    locations = (
        Location.objects.filter(case=case, item__outcome__in=GOING)
        .order_by("shard_id")
        .values_list("shard_id", "positions")
        .iterator(chunk_size=CHUNK)
    )
    counts = {}
    for shard_id, group in groupby(locations, key=lambda row: row[0]):
        union = BitMap()
        for _, positions in group:
            union |= BitMap.deserialize(bytes(positions))
        counts[shard_id] = len(union)
    return counts


def preview_digest(case: Case) -> str:
    """Return the SHA-256, in hex, of all that a decision on this case rests on.

    Every item with its key, outcome and note; every row located; every version that the case concerns *now*. When any
    of it changes, so does the digest: also when a version is registered or withdrawn after the proposal.
    """
    digest = sha256(f"case {case.pk} {case.dataset_id} {case.category_id}\n".encode())
    items = case_items(case).order_by("pk").values_list("pk", "outcome", "kind", "key", "note")
    for pk, outcome, kind, key, note in items.iterator(chunk_size=CHUNK):
        hexed = "" if key is None else bytes(key).hex()
        digest.update(f"item {pk} {outcome} {kind} {hexed} {note!r}\n".encode())
    located = case.locations.order_by("item_id", "shard_id").values_list(
        "item_id", "shard_id", "rows", "positions"
    )
    for item, shard, rows, positions in located.iterator(chunk_size=CHUNK):
        digest.update(f"location {item} {shard} {rows} {sha256(bytes(positions)).hexdigest()}\n".encode())
    for version in sorted(versions_in_reach(case.dataset), key=lambda version: version.pk):
        digest.update(f"version {version.pk} {version.root}\n".encode())
    return digest.hexdigest()
