"""What a decision would do, in rows; and the digest that says whether it is still what somebody saw."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING

from pyroaring import BitMap

from registry.datasets.models import VersionShard
from registry.datasets.selectors import versions_in_reach
from takedowns.cases.models import Consequence, Location
from takedowns.cases.selectors import case_items
from takedowns.removals.columns import ShardColumns, dataset_names
from takedowns.reports.models import Outcome, Target

if TYPE_CHECKING:
    from uuid import UUID

    from takedowns.cases.models import Case

# Outcomes of items of which something goes, or would go if nobody marks the item to be kept.
GOING = (Outcome.PENDING, Outcome.REMOVE, Outcome.REDACT)
CHUNK = 5_000


@dataclass(frozen=True, slots=True)
class Effect:
    """What happens to one version, in distinct rows: those that go, and those that stay and of which cells go."""

    rows: int
    redacted_rows: int


@dataclass(slots=True)
class _Gone:
    """Rows of one shard: those that go, and by the columns asked for those of which cells go (none: what the key matched)."""

    rows: BitMap = field(default_factory=BitMap)
    cells: dict[tuple[str, ...], BitMap] = field(default_factory=dict)


def consequence_write(case: Case) -> dict[UUID, Effect]:
    """Count and store the distinct rows of each version that would go, or lose cells; returns them by version id.

    Rows that several items name count once, and rows that go lose no cells. A column counts only where a version has it.
    Call it under the lock of the case, after every change to its items.
    """
    gone = _gone_by_shard(case)
    names = dataset_names([case.dataset])[case.dataset_id] if any(one.cells for one in gone.values()) else {}
    rows: Counter[UUID] = Counter()
    redacted: Counter[UUID] = Counter()
    shards: Counter[UUID] = Counter()
    held = VersionShard.objects.filter(version__in=case.scope, shard__in=gone)
    for version_id, shard_id, schema, binding in held.values_list(
        "version_id", "shard_id", "shard__schema", "version__columns"
    ):
        one = gone[shard_id]
        lost = BitMap()
        if one.cells:
            here = ShardColumns.of(schema, binding)
            for columns, positions in one.cells.items():
                if not columns or any(here.find(column, names) for column in columns):
                    lost |= positions
        lost -= one.rows
        rows[version_id] += len(one.rows)
        redacted[version_id] += len(lost)
        shards[version_id] += bool(one.rows or lost)
    effects = {version: Effect(rows[version], redacted[version]) for version in shards if shards[version]}
    case.consequences.all().delete()
    Consequence.objects.bulk_create(
        Consequence(
            case=case,
            version_id=version,
            shards=shards[version],
            rows=effect.rows,
            redacted_rows=effect.redacted_rows,
        )
        for version, effect in effects.items()
    )
    return effects


def _gone_by_shard(case: Case) -> dict[str, _Gone]:
    """The distinct rows of each shard that items name of which something goes."""
    locations = Location.objects.filter(case=case, item__outcome__in=GOING).values_list(
        "shard_id", "positions", "item__outcome", "item__target", "item__column", "item__redacted"
    )
    found: defaultdict[str, _Gone] = defaultdict(_Gone)
    for shard_id, raw, outcome, target, column, redacted in locations.iterator(chunk_size=CHUNK):
        positions = BitMap.deserialize(bytes(raw))
        shard = found[shard_id]
        if outcome == Outcome.REMOVE or (outcome == Outcome.PENDING and target == Target.ROW):
            shard.rows |= positions
            continue
        asked = tuple(sorted(redacted)) if outcome == Outcome.REDACT else (column,) if column else ()
        shard.cells[asked] = shard.cells.get(asked, BitMap()) | positions
    return dict(found)


def preview_digest(case: Case) -> str:
    """Return the SHA-256, in hex, of all that a decision on this case rests on.

    Every item with its key, what of the rows it names, outcome and note; every row located; every version that the case
    concerns *now*. When any of it changes, so does the digest: also when a version is registered or withdrawn after the
    proposal.
    """
    digest = sha256(f"case {case.pk} {case.dataset_id} {case.category_id}\n".encode())
    items = (
        case_items(case)
        .order_by("pk")
        .values_list("pk", "outcome", "kind", "key", "target", "column", "redacted", "note")
    )
    for pk, outcome, kind, key, *named, note in items.iterator(chunk_size=CHUNK):
        hexed = "" if key is None else bytes(key).hex()
        digest.update(f"item {pk} {outcome} {kind} {hexed} {named!r} {note!r}\n".encode())
    located = case.locations.order_by("item_id", "shard_id").values_list(
        "item_id", "shard_id", "rows", "positions"
    )
    for item, shard, rows, positions in located.iterator(chunk_size=CHUNK):
        digest.update(f"location {item} {shard} {rows} {sha256(bytes(positions)).hexdigest()}\n".encode())
    for version in sorted(versions_in_reach(case.dataset), key=lambda version: version.pk):
        digest.update(f"version {version.pk} {version.root}\n".encode())
    return digest.hexdigest()
