"""What img2dataset writes beside the samples, and how it counts.

Each shard of its output is `NNNNN.parquet`, a row for each link of the list also where the download failed, and
`NNNNN_stats.json`, by which a later run knows that the shard is done. A sample's key is its shard's number and its place
in the shard, so it says which row of the list it was: keys of samples that stay are never changed.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from expunge.copies.part import Change, Follower
from expunge.errors import UsageError, VerificationFailed
from expunge.shards import ShardFile, open_shard
from expunge.shards.shard import finish
from expunge.shards.source import row_format

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from expunge.copies.part import Going
    from expunge.copies.targets import Target
    from expunge.shards import Column, Positions, Shard

KEY = "key"
STATS = "_stats.json"
DEFAULT_SAMPLES = 10_000

_SIDECAR = frozenset({KEY, "status", "error_message", "width", "height", "original_width", "original_height"})
_ABOUT_THE_ITEM = (_SIDECAR - {KEY}) | {"exif", "md5", "sha256", "sha512"}
_BYTES = ("binary", "large_binary", "binary_view")
_SUCCESS = "success"


def emptied_columns(columns: Sequence[Column]) -> set[str]:
    """The columns of one of its manifests that say something of the item: what the download found, and its bytes.

    Empty for any other manifest. The key stays, for it says only where the row was.
    """
    if not {column.name for column in columns} >= _SIDECAR:
        return set()
    return {column.name for column in columns if column.name in _ABOUT_THE_ITEM or column.type in _BYTES}


@dataclass(frozen=True)
class Stats(Follower):
    """The counts of one shard. They count what the manifest still tells of, in either form; times stay."""

    manifest: ShardFile

    def changes(self, going: Going) -> list[Change]:
        """The file, when a row goes; of a manifest of another kind it counts something else."""
        if (
            not len(uncounted := _uncounted(going))
            or not emptied_columns(self._shard.columns)
            or self._counted(uncounted) == self._read(self.path)
        ):
            return []
        return [Change(self.name, "counts", self.path.stat().st_size)]

    def write(self, going: Going, target: Target) -> None:
        """Count the rows that stay anew."""
        if not self.changes(going):
            target.keep(self.path, self.name)
            return
        counted = self._counted(_uncounted(going))
        new = target.new(self.path, self.name)
        with new.open("xb") as sink:
            sink.write(json.dumps(counted, indent=4).encode())
            finish(sink)
        if self._read(new) != counted:
            raise VerificationFailed(f"{self.name}: what is on disk is not what was written.")

    @property
    def _shard(self) -> Shard:
        return open_shard(replace(self.manifest, may_be_empty=True))

    def _counted(self, positions: Positions) -> dict[str, Any]:
        statuses: Counter[str] = Counter()
        messages: Counter[str] = Counter()
        for batch in self._shard.batches(["status", "error_message"]):
            begin, end = np.searchsorted(positions, (batch.first, batch.first + batch.rows))
            gone = set((positions[begin:end] - batch.first).tolist())
            pairs = zip(
                *(batch.arrays[name].to_pylist() for name in ("status", "error_message")), strict=True
            )
            for row, (status, message) in enumerate(pairs):
                if row not in gone and status is not None:
                    statuses[status] += 1
                    messages[_SUCCESS if status == _SUCCESS else message or status] += 1
        return self._read(self.path) | {
            "count": statuses.total(),
            "successes": statuses[_SUCCESS],
            "failed_to_download": statuses["failed_to_download"],
            "failed_to_resize": statuses["failed_to_resize"],
            "status_dict": dict(messages),
        }

    def _read(self, path: Path) -> dict[str, Any]:
        try:
            stats = json.loads(path.read_bytes())
        except ValueError as error:
            raise self.bad("is not JSON. Was its shard finished?") from error
        if not isinstance(stats, dict):
            raise self.bad("is not a JSON object.")
        return cast("dict[str, Any]", stats)


def _uncounted(going: Going) -> Positions:
    """The rows of which the manifest tells nothing more: those that go, and those whose sample does."""
    return np.union1d(going.positions, going.emptied)


class SourceKeys:
    """The keys that img2dataset gave to the rows of its list.

    The list's files come in the order of their names, and each begins a new shard, of `samples` rows.
    """

    def __init__(
        self,
        source: Sequence[ShardFile],
        rows: Mapping[tuple[str, str], int],
        removed: Mapping[str, Positions],
        samples: int = DEFAULT_SAMPLES,
    ) -> None:
        """`rows` counts those of each shard of the base by its digest and row format, `removed` has by digest those that go.

        Raises `UsageError` for a file that is no shard of the base: its positions say nothing.
        """
        self._samples = samples
        self._step = 10 ** math.ceil(math.log10(samples))
        digests = [open_shard(file).digest() for file in source]
        for file, digest in zip(source, digests, strict=True):
            if (digest, row_format(file.name)) not in rows:
                raise UsageError(
                    f"{file.name} is no shard of the release's base, so the places of its rows tell nothing. "
                    "Give the file as it was published."
                )
        self._rows = [
            rows[digest, row_format(file.name)] for file, digest in zip(source, digests, strict=True)
        ]
        self._shards = list(accumulate((-(-count // samples) for count in self._rows), initial=0))
        self._removed = [set(removed[digest].tolist()) if digest in removed else set() for digest in digests]

    def removes(self, key: str) -> bool | None:
        """Whether the row that was given this key goes; None for a key that no row was given."""
        if not (key.isascii() and key.isdigit()):
            return None
        shard, place = divmod(int(key), self._step)
        for number, rows in enumerate(self._rows):
            if self._shards[number] <= shard < self._shards[number + 1]:
                row = (shard - self._shards[number]) * self._samples + place
                return row in self._removed[number] if place < self._samples and row < rows else None
        return None
