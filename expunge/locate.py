"""Find the rows that entries name, in every shard.

1. Each shard's columns are bound to roles; kinds of keys that no column carries are noted as gaps.
2. The bound columns are read batch by batch, keyed, and looked up in the set of the entries' keys of each kind.
3. What comes back are positions: (shard, row index), with the entry behind each.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import numpy as np

from expunge.keys import DIGEST_SIZE, ROLE_OF, KeyKind, Role, column_keys
from expunge.keyset import KeySet
from expunge.pool import Advance, map_shards
from expunge.progress import Progress, quiet
from expunge.shards import (
    BLANKED_ROLES,
    Binding,
    Fingerprint,
    Positions,
    ShardFile,
    bind_columns,
    check_binding,
    is_list,
    open_shard,
    row_keys,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import pyarrow as pa
    from numpy.typing import NDArray

    from expunge.lists import Entry
    from expunge.shards import Column


@dataclass(frozen=True, slots=True)
class ShardHits:
    """What one shard holds of the entries.

    `rows` and `entries` are parallel: row index and place of the entry, sorted by both; a row may be hit by several.
    `raw_keys` holds, for each distinct row hit, its `url.raw.sha256` or None where it has none.
    """

    name: str
    total: int
    rows: Positions
    entries: NDArray[np.int64]
    raw_keys: list[bytes | None]
    binding: Binding
    fingerprint: Fingerprint

    @property
    def positions(self) -> Positions:
        """The distinct rows hit, ascending."""
        return np.unique(self.rows)


@dataclass(frozen=True, slots=True)
class Located:
    """Where entries were found. `rows` counts all rows that were looked at."""

    entries: Sequence[Entry]
    shards: list[ShardHits]
    rows: int
    counts: NDArray[np.int64] = field(repr=False)

    @property
    def positions(self) -> dict[str, Positions]:
        """The rows hit, by shard name; shards without one are left out."""
        return {shard.name: shard.positions for shard in self.shards if len(shard.rows)}

    @property
    def unmatched(self) -> list[Entry]:
        """The entries that name no row."""
        return [entry for entry, count in zip(self.entries, self.counts, strict=True) if not count]

    @property
    def missing_kinds(self) -> dict[KeyKind, list[str]]:
        """Kinds of entries that some shards have no column for, with the names of those shards."""
        kinds = {entry.kind for entry in self.entries}
        missing = {
            kind: [shard.name for shard in self.shards if ROLE_OF[kind] not in shard.binding]
            for kind in sorted(kinds)
        }
        return {kind: names for kind, names in missing.items() if names}


@dataclass(frozen=True, slots=True)
class _Search:
    """What every shard is searched for: by kind, the places of its entries and the set of their keys."""

    sets: dict[KeyKind, tuple[NDArray[np.int64], KeySet]]
    columns: Mapping[str, str]
    hints: Mapping[Role, str]
    blanked: Sequence[str] | None
    checked: bool


def locate(
    shards: Sequence[ShardFile],
    entries: Sequence[Entry],
    *,
    columns: Mapping[str, str] | None = None,
    hints: Mapping[Role, str] | None = None,
    blanked: Sequence[str] | None = None,
    workers: int = 1,
    progress: Progress = quiet,
    stage: str = "Locating rows",
    checked: bool = True,
) -> Located:
    """Find the rows that `entries` (distinct) name in `shards`.

    `columns` names columns by role where the usual names do not fit, `hints` where they may not. With `blanked`, the
    names of columns that the aligned form leaves empty, rows that hold nothing more in any of them or in a column of
    `BLANKED_ROLES` are passed over, though an entry may still name their id. `checked` has each shard's columns prove on a
    sample that they can be what they are bound to. Raises `BadShard` and `UsageError`.
    """
    search = _Search(_key_sets(entries), dict(columns or {}), dict(hints or {}), blanked, checked)
    total = sum(open_shard(shard).rows for shard in shards)
    found = map_shards(
        _search_shard, search, shards, workers=workers, stage=stage, total=total, progress=progress
    )
    counts = np.zeros(len(entries), dtype=np.int64)
    for shard in found:
        counts += np.bincount(shard.entries, minlength=len(entries))
    return Located(entries, found, sum(shard.total for shard in found), counts)


def sample_values(shard: ShardFile, positions: Iterable[int], column: str) -> dict[int, str | None]:
    """The text of a column at some rows of a shard, for somebody who may see it."""
    wanted = np.array(sorted(set(positions)), dtype=np.int64)
    values: dict[int, str | None] = {}
    for batch in open_shard(shard).batches([column]):
        begin, end = np.searchsorted(wanted, (batch.first, batch.first + batch.rows))
        for row in wanted[begin:end].tolist():
            value = batch.arrays[column][row - batch.first].as_py()
            values[row] = None if value is None else str(value)
        if end == len(wanted):
            break
    return values


def _key_sets(entries: Sequence[Entry]) -> dict[KeyKind, tuple[NDArray[np.int64], KeySet]]:
    places: dict[KeyKind, list[int]] = {}
    for place, entry in enumerate(entries):
        places.setdefault(entry.kind, []).append(place)
    return {
        kind: (
            np.array(found, dtype=np.int64),
            KeySet([entries[place].key for place in found], DIGEST_SIZE.get(kind, 0)),
        )
        for kind, found in places.items()
    }


def _search_shard(shared: _Search, item: ShardFile, advance: Advance) -> ShardHits:
    shard = open_shard(item)
    binding = bind_columns(shard.columns, shared.columns, shared.hints)
    if shared.checked:
        check_binding(shard, binding)
    needed = {ROLE_OF[kind] for kind in shared.sets} | {Role.URL}
    full = _blanked_columns(shard.columns, binding, shared.blanked)
    names = sorted({name for role, name in binding.items() if role in needed} | full)
    rows: list[NDArray[np.int64]] = []
    places: list[NDArray[np.int64]] = []
    raw_keys: list[bytes | None] = []
    total = 0
    for batch in shard.batches(names):
        hit_rows, hit_places = _search_batch(shared, binding, batch.arrays)
        if full and len(hit_rows):
            left = [batch.arrays[name].is_valid().to_numpy(zero_copy_only=False)[hit_rows] for name in full]
            kept = np.logical_or.reduce(left)
            hit_rows, hit_places = hit_rows[kept], hit_places[kept]
        if len(hit_rows):
            rows.append(hit_rows + batch.first)
            places.append(hit_places)
            raw_keys += _raw_keys(batch.arrays, binding, np.unique(hit_rows))
        total += batch.rows
        advance(batch.rows)
    return ShardHits(
        name=item.name,
        total=total,
        rows=np.concatenate(rows) if rows else np.zeros(0, dtype=np.int64),
        entries=np.concatenate(places) if places else np.zeros(0, dtype=np.int64),
        raw_keys=raw_keys,
        binding=binding,
        fingerprint=shard.fingerprint,
    )


def _blanked_columns(columns: Sequence[Column], binding: Binding, blanked: Sequence[str] | None) -> set[str]:
    """The columns of this shard that a blanked row has nothing in; empty where rows are not blanked but go."""
    if blanked is None:
        return set()
    here = {column.name for column in columns}
    return here.intersection(blanked) | {binding[role] for role in BLANKED_ROLES if role in binding}


def _search_batch(
    search: _Search, binding: Binding, arrays: Mapping[str, pa.Array]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The rows of one batch that are hit and the places of the entries that hit them, sorted and distinct."""
    rows: list[NDArray[np.int64]] = []
    places: list[NDArray[np.int64]] = []
    for kind, (of_entries, keys) in search.sets.items():
        if (name := binding.get(ROLE_OF[kind])) is None:
            continue
        found, parents = row_keys(kind, arrays[name])
        at, which = keys.match(found)
        if parents is not None:
            at = parents.to_numpy(zero_copy_only=False)[at].astype(np.int64)
        rows.append(at)
        places.append(of_entries[which])
    if not rows:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    pairs = np.unique(np.stack((np.concatenate(rows), np.concatenate(places)), axis=1), axis=0)
    return pairs[:, 0], pairs[:, 1]


def _raw_keys(
    arrays: Mapping[str, pa.Array], binding: Binding, rows: NDArray[np.int64]
) -> list[bytes | None]:
    """The raw key of each of these rows; a row whose URL column holds a list has none of its own."""
    if Role.URL not in binding or is_list(arrays[binding[Role.URL]]):
        return [None] * len(rows)
    values = arrays[binding[Role.URL]].take(rows)
    return cast("list[bytes | None]", column_keys(KeyKind.URL_RAW, values).to_pylist())
