"""Find the rows that entries name, in every shard.

1. Each shard's columns are bound to roles; kinds of keys that no column carries are noted as gaps.
2. The bound columns are read batch by batch, keyed, and looked up in the set of the entries' keys of each kind.
3. What comes back are positions: (shard, row index), with the entry behind each.

Where a key index has named rows (`expunge.index`), `search_rows` reads those alone and asks the same of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from expunge.keys import DIGEST_SIZE, ROLE_OF, KeyKind, Role, column_keys, url_keys
from expunge.keyset import KeySet
from expunge.pool import Advance, map_shards
from expunge.progress import Progress, quiet
from expunge.shards import (
    BLANKED_ROLES,
    Batch,
    Binding,
    Fingerprint,
    Positions,
    ShardFile,
    bind_shard,
    check_binding,
    is_list,
    open_shard,
)
from expunge.shards.shard import BATCH_ROWS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from expunge.lists import Entry
    from expunge.shards import Column, Shard


_PAYING_ROWS = 500_000
"""From how many rows on it pays to start processes, which takes as long as looking at that many."""


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
class Search:
    """Entries made to be looked for: by kind, the places of its entries and the set of their keys."""

    sets: Mapping[KeyKind, tuple[NDArray[np.int64], KeySet]]

    @classmethod
    def of(cls, entries: Sequence[Entry]) -> Search:
        """Make `entries` (distinct) ready."""
        places: dict[KeyKind, list[int]] = {}
        for place, entry in enumerate(entries):
            places.setdefault(entry.kind, []).append(place)
        return cls(
            {
                kind: (
                    np.array(found, dtype=np.int64),
                    KeySet([entries[place].key for place in found], DIGEST_SIZE.get(kind, 0)),
                )
                for kind, found in places.items()
            }
        )

    def columns(self, binding: Binding) -> set[str]:
        """The columns to read: those that carry a kind that is looked for, and the one that names a row, its URL."""
        needed = {ROLE_OF[kind] for kind in self.sets} | {Role.URL}
        return {name for role, name in binding.items() if role in needed}

    def match(
        self, binding: Binding, arrays: Mapping[str, pa.Array]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The rows that are hit and the places of the entries that hit them, sorted and distinct pairs."""
        rows: list[NDArray[np.int64]] = []
        places: list[NDArray[np.int64]] = []
        for name, kinds in kinds_by_column(self.sets, binding).items():
            keys, parents = keys_by_kind(kinds, arrays[name])
            for kind in kinds:
                of_entries, members = self.sets[kind]
                at, which = members.match(keys[kind])
                rows.append(at if parents is None else parents[at])
                places.append(of_entries[which])
        if not rows:
            return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
        pairs = np.unique(np.stack((np.concatenate(rows), np.concatenate(places)), axis=1), axis=0)
        return pairs[:, 0], pairs[:, 1]


def kinds_by_column(kinds: Iterable[KeyKind], binding: Binding) -> dict[str, list[KeyKind]]:
    """The kinds that a shard's columns carry, by the name of the column; kinds that none carries are left out."""
    found: dict[str, list[KeyKind]] = {}
    for kind in kinds:
        if (name := binding.get(ROLE_OF[kind])) is not None:
            found.setdefault(name, []).append(kind)
    return found


def keys_by_kind(
    kinds: Sequence[KeyKind], values: pa.Array
) -> tuple[dict[KeyKind, pa.Array], NDArray[np.int64] | None]:
    """The keys of each of these kinds, which one column carries, as `column_keys` gives them.

    Where the column holds lists, each element is keyed, and the second result is the row of each; otherwise None.
    """
    parents = None
    if is_list(values):
        parents = pc.list_parent_indices(values).to_numpy(zero_copy_only=False).astype(np.int64)
        values = values.flatten()
    if ROLE_OF[kinds[0]] is Role.URL:
        return url_keys(kinds, values), parents
    return {kind: column_keys(kind, values) for kind in kinds}, parents


@dataclass(frozen=True, slots=True)
class _Job:
    """What is asked of every shard."""

    search: Search
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
    job = _Job(Search.of(entries), dict(columns or {}), dict(hints or {}), blanked, checked)
    total, told = 0, True  # text does not tell how many rows it has
    for one in map(open_shard, shards):
        total += one.rows_asked
        told = told and one.format == "parquet"
    if told and total < _PAYING_ROWS:
        workers = 1
    found = map_shards(
        _search_shard, job, shards, workers=workers, stage=stage, total=total, progress=progress
    )
    counts = np.zeros(len(entries), dtype=np.int64)
    for shard in found:
        counts += np.bincount(shard.entries, minlength=len(entries))
    return Located(entries, found, sum(shard.total for shard in found), counts)


def search_rows(
    shard: Shard, search: Search, binding: Binding, rows: Positions
) -> tuple[Positions, NDArray[np.int64], list[bytes | None]]:
    """Look for entries in some rows of a shard alone: a key index's candidates, held against their full keys.

    Returns what `ShardHits` holds as `rows`, `entries` and `raw_keys`. Raises `BadShard`.
    """
    arrays = take_rows(shard, sorted(search.columns(binding)), rows)
    at, places = search.match(binding, arrays)
    return rows[at], places, _raw_keys(arrays, binding, np.unique(at))


def take_rows(shard: Shard, columns: Sequence[str], rows: Positions) -> dict[str, pa.Array]:
    """The values of these columns at some rows (ascending, distinct) of a shard.

    Of a Parquet file only the row groups that hold one are read, of a text file all up to the last. Raises `BadShard`.
    """
    batches = _group_batches(shard, columns, rows) if shard.format == "parquet" else shard.batches(columns)
    parts: dict[str, list[pa.Array]] = {name: [] for name in columns}
    taken = 0
    for batch in batches if len(rows) else ():
        begin, end = np.searchsorted(rows, (batch.first, batch.first + batch.rows))
        taken += int(end - begin)
        if begin < end:
            for name in columns:
                parts[name].append(batch.arrays[name].take(pa.array(rows[begin:end] - batch.first)))
        if taken == len(rows):
            break
    if taken < len(rows):
        raise shard.bad(f"has no row {rows[taken]}. Index it again.")
    return {name: _joined(found) for name, found in parts.items()}


def _joined(parts: Sequence[pa.Array]) -> pa.Array:
    """One array of several; text formats settle the type of a column batch by batch, so one without a value may differ."""
    if not parts:
        return pa.nulls(0, pa.string())
    kind = next((part.type for part in parts if not pa.types.is_null(part.type)), pa.null())
    return pa.concat_arrays([part.cast(kind) for part in parts])


def _group_batches(shard: Shard, columns: Sequence[str], rows: Positions) -> Iterator[Batch]:
    """The batches of a Parquet file's row groups that hold one of these rows."""
    try:
        with shard.file.path.open("rb") as source, pq.ParquetFile(source, pre_buffer=False) as reader:
            sizes = [reader.metadata.row_group(group).num_rows for group in range(reader.num_row_groups)]
            starts = np.cumsum([0, *sizes])
            for group in np.unique(np.searchsorted(starts, rows, side="right") - 1).tolist():
                if group >= len(sizes):
                    break
                first = int(starts[group])
                for found in reader.iter_batches(BATCH_ROWS, row_groups=[group], columns=list(columns)):
                    arrays = {name: _takeable(found.column(name)) for name in columns}
                    yield Batch(first, found.num_rows, arrays)
                    first += found.num_rows
    except (pa.ArrowException, OSError, EOFError) as error:
        shard.check_unchanged()
        raise shard.bad("cannot be read at the rows that the index names. Fetch it again.") from error
    shard.check_unchanged()


def _takeable(values: pa.Array) -> pa.Array:
    """The values in a layout that rows can be taken from: few kernels know the views."""
    if pa.types.is_string_view(values.type):
        return values.cast(pa.large_string())
    return values.cast(pa.large_binary()) if pa.types.is_binary_view(values.type) else values


def sample_values(shard: ShardFile, positions: Iterable[int], column: str) -> dict[int, str | None]:
    """The text of a column at some rows of a shard, for somebody who may see it."""
    wanted = np.array(sorted(set(positions)), dtype=np.int64)
    values = take_rows(open_shard(shard), [column], wanted)[column].to_pylist()
    return {
        row: None if value is None else str(value) for row, value in zip(wanted.tolist(), values, strict=True)
    }


def _search_shard(job: _Job, item: ShardFile, advance: Advance) -> ShardHits:
    shard = open_shard(item)
    binding = bind_shard(shard, job.columns, job.hints)
    if job.checked:
        check_binding(shard, binding)
    full = _blanked_columns(shard.columns, binding, job.blanked)
    names = sorted(job.search.columns(binding) | full)
    rows: list[NDArray[np.int64]] = []
    places: list[NDArray[np.int64]] = []
    raw_keys: list[bytes | None] = []
    total = 0
    for batch in shard.batches(names):
        hit_rows, hit_places = job.search.match(binding, batch.arrays)
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


def _raw_keys(
    arrays: Mapping[str, pa.Array], binding: Binding, rows: NDArray[np.int64]
) -> list[bytes | None]:
    """The raw key of each of these rows; a row whose URL column holds a list has none of its own."""
    if Role.URL not in binding or is_list(arrays[binding[Role.URL]]):
        return [None] * len(rows)
    values = arrays[binding[Role.URL]].take(rows)
    return cast("list[bytes | None]", column_keys(KeyKind.URL_RAW, values).to_pylist())
