"""Which rows of the store's shards some keys name, in many versions at once.

1. The key index is asked for candidates in every shard of every version.
2. Candidates are rows to read: they are held against the full keys.
3. Shards that are not indexed, or whose index or candidates cannot be trusted, are read whole, and job `index_build` is
   started for them.

The answer is the same with and without an index.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from expunge.errors import BadShard
from expunge.index import BadIndex, KeyIndex
from expunge.locate import Search, locate, search_rows
from expunge.progress import Progress, quiet
from expunge.shards import NO_ROWS, open_shard
from registry.datasets.key_index import (
    held_shards,
    index_discard_bad,
    index_folder,
    index_start,
    kinds_missing,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from expunge.lists import Entry
    from expunge.shards import Positions
    from registry.datasets.key_index import HeldShard
    from registry.datasets.models import Version


@dataclass(frozen=True, slots=True)
class RowHits:
    """Rows of a shard that entries name: row index and place of the entry, parallel, sorted by both and distinct."""

    rows: Positions
    entries: NDArray[np.int64]


def rows_named(
    versions: Iterable[Version], entries: Sequence[Entry], progress: Progress = quiet
) -> dict[str, RowHits]:
    """The rows that `entries` (distinct) name in the shards of `versions`, by shard digest.

    Shards without any are left out. A shard whose columns the versions bind in several ways is searched in each. Raises
    `BadShard` and `UsageError` where a shard must be read and cannot be.
    """
    held = held_shards(versions)
    search = Search.of(entries)
    found: dict[str, list[RowHits]] = defaultdict(list)
    unanswered: list[HeldShard] = []
    with KeyIndex(index_folder()) as index:
        progress("Looking in the key index", 0, 0)
        asked = [pair for shards in _each_once(held) for pair in _candidates(index, entries, shards)]
    named = sum(len(rows) for _, rows in asked if rows is not None)
    read = 0
    for one, rows in asked:
        hits = None if rows is None else _confirmed(one, search, rows)
        if rows is None or hits is None:
            unanswered.append(one)
            continue
        found[one.digest].append(hits)
        read += len(rows)
        progress("Reading the rows that the key index names", read, named)
    for one, hits in _scanned(unanswered, entries, progress):
        found[one.digest].append(hits)
    _have_indexed(unanswered)
    united = {digest: _united(hits) for digest, hits in found.items()}
    return {digest: hits for digest, hits in united.items() if len(hits.rows)}


def _each_once(held: Sequence[HeldShard]) -> list[list[HeldShard]]:
    """The shards in groups in which no digest comes twice: the index is asked by digest."""
    groups: list[list[HeldShard]] = []
    times: dict[str, int] = defaultdict(int)
    for one in held:
        if times[one.digest] == len(groups):
            groups.append([])
        groups[times[one.digest]].append(one)
        times[one.digest] += 1
    return groups


def _candidates(
    index: KeyIndex, entries: Sequence[Entry], shards: Sequence[HeldShard]
) -> Iterator[tuple[HeldShard, Positions | None]]:
    """The rows of each shard that entries may name; None where the index does not tell."""
    try:
        answer = index.candidates(entries, [one.indexed for one in shards])
    except (BadIndex, OSError):
        if len(shards) == 1:
            index_discard_bad([shards[0].digest])
            yield shards[0], None
            return
        half = len(shards) // 2  # one bad index does not take the answers of the others along
        yield from _candidates(index, entries, shards[:half])
        yield from _candidates(index, entries, shards[half:])
        return
    missing = {digest for digests in answer.not_indexed.values() for digest in digests}
    for one in shards:
        told = one.binding is not None and one.digest not in missing
        yield one, answer.rows.get(one.digest, NO_ROWS) if told else None


def _confirmed(one: HeldShard, search: Search, rows: Positions) -> RowHits | None:
    """The hits among candidate rows, by their full keys; None where the index is not to be believed.

    That a key is another one and begins alike happens once in a very long time, so a candidate that is no hit says that
    the file is not what was indexed, until the whole of it was read.
    """
    if not len(rows):
        return RowHits(NO_ROWS, NO_ROWS)
    try:
        hits, places, _ = search_rows(open_shard(one.file), search, one.binding or {}, rows)
    except BadShard:
        return None
    return RowHits(hits, places) if len(np.unique(hits)) == len(rows) else None


def _scanned(
    shards: Sequence[HeldShard], entries: Sequence[Entry], progress: Progress
) -> Iterator[tuple[HeldShard, RowHits]]:
    """Read shards whole, those whose columns carry the same keys in one pass of the engine."""
    batches: dict[str, dict[str, HeldShard]] = defaultdict(dict)
    for one in shards:
        batches[json.dumps(one.columns, sort_keys=True)][one.file.name] = one
    for by_name in batches.values():
        files = [one.file for one in by_name.values()]
        columns = next(iter(by_name.values())).columns
        for shard in locate(files, entries, columns=columns, progress=progress).shards:
            yield by_name[shard.name], RowHits(shard.rows, shard.entries)


def _have_indexed(shards: Iterable[HeldShard]) -> None:
    """Start a job for each version that lacks a part of its index."""
    lacking = {one.version.pk: one.version for one in shards if kinds_missing(one.digest, one.binding)}
    for version in lacking.values():
        index_start(version)


def _united(hits: Sequence[RowHits]) -> RowHits:
    """All hits of one shard."""
    if len(hits) == 1:
        return hits[0]
    pairs = np.stack(
        [np.concatenate([one.rows for one in hits]), np.concatenate([one.entries for one in hits])], axis=1
    )
    rows, entries = np.unique(pairs, axis=0).T
    return RowHits(rows, entries)
