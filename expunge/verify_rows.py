"""Look into the shards of a release whose base is not at hand: what its digests cannot tell.

A shard that lost nothing has the digest of its base's, so only its length and its footer's count are left to look at. In
a spliced Parquet shard the row groups around each removed row and redacted cell were written anew, and the diff says where
those are: they are decoded and every row of them is held against the keys of the diff. Other shards that changed are read
whole. What was copied could hold a match only if the diff lacked a row, which takes the base or every row to find out:
that is what `thorough` is for.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from expunge.errors import ExpungeError, UsageError, VerificationFailed
from expunge.manifest import (
    REDACTED_FILE,
    read_keys,
    read_positions,
    read_redacted,
    read_redacted_keys,
)
from expunge.redactions import joined, locate_both
from expunge.shards import NO_ROWS, Cut, Positions, ShardFile, open_shard
from expunge.shards.source import RELEASE_FILE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from expunge.hashing import Hashed
    from expunge.manifest import Release, ReleaseShard
    from expunge.progress import Progress
    from expunge.shards import Shard


def row_differences(
    folder: Path,
    release: Release,
    hashed: Mapping[str, Hashed],
    *,
    thorough: bool,
    workers: int,
    progress: Progress,
) -> list[str]:
    """Look into the shards of the release that are here, in the state in which they were `hashed` (by path).

    With `thorough` every row of every shard is held against the keys of the diff. Returns what is not as `release.json`
    and the diff say. Raises `VerificationFailed` for a shard that cannot be read.
    """
    diff = _Diff.of(folder, release)
    here = [shard for shard in release.shards if shard.path in hashed]
    try:
        opened = [open_shard(ShardFile(folder / shard.path, shard.name, may_be_empty=True)) for shard in here]
        for shard, one in zip(here, opened, strict=True):
            one.expect(hashed[shard.path].fingerprint)
        asked = [
            None if thorough else diff.written_anew(shard, one)
            for shard, one in zip(here, opened, strict=True)
        ]
        return _differences(folder, diff, here, opened, asked, workers=workers, progress=progress)
    except UsageError as error:
        raise VerificationFailed(f"A shard has not the columns that {RELEASE_FILE} names: {error}") from error
    except ExpungeError as error:
        raise VerificationFailed(str(error)) from error


def _differences(
    folder: Path,
    diff: _Diff,
    here: Sequence[ReleaseShard],
    opened: Sequence[Shard],
    asked: Sequence[tuple[range, ...] | None],
    *,
    workers: int,
    progress: Progress,
) -> list[str]:
    release = diff.release
    looked_at = [
        replace(one.file, rows=rows) for one, rows in zip(opened, asked, strict=True) if rows is None or rows
    ]
    located, cells = locate_both(
        looked_at,
        read_keys(folder),
        read_redacted_keys(folder) if release.redacted else [],
        hints=release.columns,
        blanked=release.blanked if release.form == "aligned" else None,
        workers=workers,
        progress=progress,
        stage="Reading rows",
        checked=False,
    )
    counted = {hits.name: hits.total for hits in located.shards}
    differences: list[str] = []
    for shard, one in zip(here, opened, strict=True):
        # A footer counts the rows. Text does not, and is read whole where it is read.
        rows = one.rows if one.format == "parquet" else counted.get(shard.name, shard.rows)
        if rows != shard.rows:
            differences.append(f"{shard.path} has {rows} rows and {RELEASE_FILE} says {shard.rows}.")
        if one.fingerprint[0] != shard.bytes:
            differences.append(f"{shard.path} has not the length that {RELEASE_FILE} says.")
    differences += [
        f"{name}: row {at[0]} matches a key of the diff." for name, at in located.positions.items()
    ]
    differences += [
        f"{file.name}: row {one.found[0, 0]} matches a redacted key of the diff."
        for file, one in zip(looked_at, cells, strict=True)
        if len(one.found)
    ]
    for shard, one in zip(here, opened, strict=True):
        differences += diff.unknown_columns(shard, one) + diff.filled(shard, one)
        one.check_unchanged()
    return differences


@dataclass(frozen=True, slots=True)
class _Diff:
    """What a release took out of the shards of its base, by their digests."""

    release: Release
    removed: Mapping[str, Positions]
    redacted: Mapping[str, Cut]

    @classmethod
    def of(cls, folder: Path, release: Release) -> _Diff:
        return cls(release, read_positions(folder), read_redacted(folder) if release.redacted else {})

    def written_anew(self, shard: ReleaseShard, opened: Shard) -> tuple[range, ...] | None:
        """Rows of the shard in every row group of it that was written anew; None for all."""
        if not shard.changed:
            return ()
        if shard.method != "spliced" or opened.format != "parquet":
            return None
        gone, cut = self._of(shard)
        emptied = self._now(cut.touched, gone)
        if self.release.form == "aligned":
            return _rows(np.union1d(gone, emptied))
        # A row is gone from between two others. One of them may be in a row group that was copied: it is read for nothing.
        after = np.unique(gone - np.arange(len(gone)))
        return _rows(np.unique(np.concatenate((after[after > 0] - 1, after, emptied))))

    def unknown_columns(self, shard: ReleaseShard, opened: Shard) -> list[str]:
        """Columns that are said to be redacted and that a shard does not have. Objects may have keys that the first have not."""
        _, cut = self._of(shard)
        if not cut or opened.format.startswith(("jsonl", "ndjson")):
            return []
        unknown = cut.columns - {column.name for column in opened.columns}
        return [
            f"{REDACTED_FILE} names a column {name!r} that {shard.name} does not have."
            for name in sorted(unknown)
        ]

    def filled(self, shard: ReleaseShard, opened: Shard) -> list[str]:
        """Look at every cell that is to be empty, redacted or in a removed row that stays: it holds nothing."""
        gone, cut = self._of(shard)
        if self.release.form == "aligned":
            places = joined(Cut.of_rows(gone, self.release.blanked), cut).null
        else:
            places = {name: self._now(rows, gone) for name, rows in cut.null.items()}
        wanted = np.unique(np.concatenate([NO_ROWS, *places.values()]))
        if not len(wanted):
            return []
        differences: list[str] = []
        for batch in open_shard(replace(opened.file, rows=_rows(wanted))).presence(sorted(places)):
            for name, rows in places.items():
                here = rows[(rows >= batch.first) & (rows < batch.first + batch.rows)]
                there = batch.arrays[name].to_numpy(zero_copy_only=False)[here - batch.first]
                differences += [
                    f"{shard.name}: row {row} holds something in {name!r}, which is to be empty there."
                    for row in here[there].tolist()
                ]
        return differences

    def _of(self, shard: ReleaseShard) -> tuple[Positions, Cut]:
        return self.removed.get(shard.base_sha256, NO_ROWS), self.redacted.get(shard.base_sha256, Cut())

    def _now(self, rows: Positions, gone: Positions) -> Positions:
        """Where rows of the base that stay are in the release."""
        return rows if self.release.form == "aligned" else rows - np.searchsorted(gone, rows)


def _rows(rows: Positions) -> tuple[range, ...]:
    """Single rows, as a shard is asked for them."""
    return tuple(range(row, row + 1) for row in rows.tolist())
