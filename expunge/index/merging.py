"""Merge the arrays of many shards into one.

1. The prefixes are cut into ranges of about as many pairs each.
2. A range of the shards' arrays is merged and written to its place in the file, by any process of the pool.
3. The blocks in which two ranges meet, and the head, are written at the end.

Where the cuts are changes no byte of the file.
"""

from __future__ import annotations

import hashlib
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import orjson

from expunge.index.arrays import ArrayWriter, BadIndex, Part
from expunge.index.builder import appearing, index_files
from expunge.index.runs import merge_runs
from expunge.index.store import ROW_BITS, merged_files, open_array, open_merged
from expunge.keys import ROLE_OF, KeyKind
from expunge.pool import Advance, map_shards
from expunge.progress import Progress, quiet

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from expunge.index.arrays import Pairs, SortedArray
    from expunge.index.versions import IndexedShard

MERGE_FROM = 8
"""Shards that no merged array holds, from which on they are merged."""

MOST_MERGED = 512
"""Shards in one merged array: each is an open file while it is made."""

RANGE_PAIRS = 1 << 19
"""Pairs that are worth a range of their own."""

_PAIRS_AT_ONCE = 1 << 20
_RANGES_PER_WORKER = 4
_PLACE_BYTES = 8

_Members = list[tuple[str, str]]
"""The shards of a merged array: digest and column."""


def merge_shards(
    folder: Path,
    kind: KeyKind,
    shards: Iterable[IndexedShard],
    *,
    proved: bool = False,
    workers: int = 1,
    progress: Progress = quiet,
) -> int:
    """Merge the arrays of those shards that no merged array holds, if they are enough. Returns how many were merged.

    Merged arrays that are damaged, or of another kind, are removed first, so that their shards are merged anew: those of
    which the head tells and, with `proved`, for which every byte of them is read, all others. `progress` counts pairs.
    Raises `BadIndex` where the array of a shard is damaged.
    """
    role = ROLE_OF[kind]
    left = {shard.sha256: shard.columns[role] for shard in shards if role in shard.columns}
    left = {digest: name for digest, name in left.items() if index_files(folder, digest, kind)[0].exists()}
    for path in merged_files(folder, kind):
        try:
            with open_merged(path, kind) as array:
                if proved:
                    array.prove()
                for digest, column in array.about["shards"]:
                    if left.get(digest) == column:
                        del left[digest]
        except BadIndex:
            path.unlink(missing_ok=True)
        except FileNotFoundError:
            continue
    if len(left) < MERGE_FROM:
        return 0
    members = sorted(left.items())
    for first in range(0, len(members), MOST_MERGED):
        _merge(folder, kind, members[first : first + MOST_MERGED], workers, progress)
    return len(members)


def _merge(folder: Path, kind: KeyKind, members: _Members, workers: int, progress: Progress) -> None:
    """Write one merged array of these shards."""
    about = {"kind": kind.value, "shards": members}
    name = hashlib.sha256(orjson.dumps(about)).hexdigest()[:32]
    with appearing(folder / "merged" / kind.value / f"{name}.idx") as path, path.open("wb") as sink:
        pairs, ranges = _cut(folder, kind, members, workers)
        parts = map_shards(
            _merge_range,
            _Job(folder, kind, members, path),
            ranges,
            workers=workers,
            stage="Merging",
            total=pairs,
            progress=progress,
        )
        writer = ArrayWriter(sink, _PLACE_BYTES)
        for part in parts:
            writer.adopt(part)
        writer.finish(about)


@dataclass(frozen=True, slots=True)
class _Job:
    """What is merged, and the file that it is written to."""

    folder: Path
    kind: KeyKind
    members: _Members
    path: Path

    def open(self, opened: ExitStack) -> list[SortedArray]:
        """The arrays of the shards, open as long as `opened` is."""
        return [
            opened.enter_context(open_array(self.folder, digest, self.kind, column))
            for digest, column in self.members
        ]


_Range = tuple[int, int | None]
"""The prefixes from the first one on that are lower than the second one, if any."""


def _cut(folder: Path, kind: KeyKind, members: _Members, workers: int) -> tuple[int, list[_Range]]:
    """How many pairs there are, and ranges for the pool that hold about as many of them each."""
    pairs, samples = 0, []
    for digest, column in members:
        with open_array(folder, digest, kind, column) as array:
            pairs += array.count
            samples.append(array.sample())
    sample = np.sort(np.concatenate(samples))
    ranges = 1 if workers == 1 else min(workers * _RANGES_PER_WORKER, pairs // RANGE_PAIRS)
    cuts = sorted({int(sample[len(sample) * place // ranges]) for place in range(1, ranges)})
    return pairs, list(zip([0, *cuts], [*cuts, None], strict=True))


def _merge_range(job: _Job, wanted: _Range, advance: Advance) -> Part:
    """Merge one range of the prefixes and write it to its place in the file."""
    low, high = wanted
    share = _PAIRS_AT_ONCE // len(job.members)
    with ExitStack() as opened, job.path.open("r+b") as sink:
        arrays = job.open(opened)
        begins = [array.rank(low) for array in arrays]
        runs = [
            _numbered(array, number, share, begin, array.count if high is None else array.rank(high))
            for number, (array, begin) in enumerate(zip(arrays, begins, strict=True))
        ]
        merged = _told(merge_runs(runs), advance)
        return ArrayWriter.write_part(sink, _PLACE_BYTES, sum(begins), merged)


def _numbered(array: SortedArray, number: int, share: int, begin: int, end: int) -> Iterator[Pairs]:
    """The pairs of one shard from `begin` to `end`, about `share` at a time, with its number in their places."""
    for prefixes, rows in array.chunks(share, begin, end):
        yield prefixes, rows | (np.uint64(number) << ROW_BITS)


def _told(merged: Iterable[Pairs], advance: Advance) -> Iterator[Pairs]:
    for pairs in merged:
        advance(len(pairs[0]))
        yield pairs
