"""An index on disk: one pair of files for each shard digest and key kind, and merged arrays over many of them.

    DIR/<digest[:2]>/<digest>/<kind>.idx        to search (`arrays`)
    DIR/<digest[:2]>/<digest>/<kind>.parquet    to keep and to hand on (`archive`)
    DIR/merged/<kind>/<set>.idx                 the pairs of up to 512 shards in one array
    DIR/versions/<name>.json                    which shards a version has (`versions`)

A shard is indexed once, however many versions hold it. Probing hundreds of small arrays one by one is slow, so shards
that no merged array holds are merged as soon as there are eight; each is in one merged array, so that merging doubles what
is on disk and no version adds to it but its new shards. A place in a merged array is (number of the shard << 40 | row).
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import numpy as np
import pyarrow as pa

from expunge.index.arrays import BadIndex, SortedArray
from expunge.index.builder import index_files, prefixes_of
from expunge.keys import ROLE_OF, KeyKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from expunge.index.versions import IndexedShard
    from expunge.lists import Entry
    from expunge.shards import Positions

ROW_BITS = np.uint64(40)
"""The lowest bits of a place in a merged array, which hold the row; above them is the number of the shard."""

_ROW_MASK = np.uint64((1 << 40) - 1)


@dataclass(frozen=True, slots=True)
class Candidates:
    """Rows whose keys begin as an entry's does: by shard digest, ascending. Full keys decide which of them are hits.

    `not_indexed` names by kind the shards that have a column for it, but no index: there nothing was looked for.
    """

    rows: dict[str, Positions]
    not_indexed: dict[KeyKind, list[str]]


@dataclass(frozen=True, slots=True)
class _Merged:
    """A merged array: the column of each shard in it, by digest, and the digests by number."""

    array: SortedArray
    columns: dict[str, str]
    digests: list[str] = field(repr=False)


class KeyIndex:
    """An index that is asked for keys. It keeps merged arrays open: make it once for many questions, then close it.

    What is added to the folder later is seen after `refresh`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._merged: dict[KeyKind, list[_Merged]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let the files go."""
        for merged in self._merged.values():
            for one in merged:
                one.array.close()
        self._merged.clear()

    refresh = close

    def candidates(self, entries: Iterable[Entry], shards: Iterable[IndexedShard]) -> Candidates:
        """The rows of `shards` that entries may name. Raises `BadIndex` where the index of one cannot be trusted."""
        shards = list(shards)
        rows: dict[str, list[NDArray[np.uint64]]] = {}
        missing: dict[KeyKind, list[str]] = {}
        for kind, prefixes in _prefixes_by_kind(entries).items():
            role = ROLE_OF[kind]
            columns = {shard.sha256: shard.columns[role] for shard in shards if role in shard.columns}
            for digest, found in self._probe(kind, columns, prefixes):
                if found is None:
                    missing.setdefault(kind, []).append(digest)
                elif len(found):
                    rows.setdefault(digest, []).append(found)
        positions = {
            digest: np.unique(np.concatenate(found)).astype(np.int64) for digest, found in rows.items()
        }
        return Candidates(positions, missing)

    def _probe(
        self, kind: KeyKind, columns: Mapping[str, str], prefixes: NDArray[np.uint64]
    ) -> Iterator[tuple[str, NDArray[np.uint64] | None]]:
        """The candidate rows of each of these shards (digest to column); None for one that is not indexed."""
        left = dict(columns)
        for merged in list(self._opened(kind)):
            held = {digest for digest, column in merged.columns.items() if left.get(digest) == column}
            if not held:
                continue
            try:
                places = merged.array.find(prefixes)
            except BadIndex:  # the shards' own arrays say the same, and the next merge makes it anew
                self._merged[kind].remove(merged)
                merged.array.close()
                with suppress(OSError):  # the folder may be for reading only
                    merged.array.path.unlink()
                continue
            for number, rows in _by_number(places):
                if (digest := merged.digests[number]) in held:
                    yield digest, rows
            for digest in held:
                del left[digest]
        for digest, column in left.items():
            try:
                with open_array(self.folder, digest, kind, column) as array:
                    yield digest, array.find(prefixes)
            except FileNotFoundError:
                yield digest, None

    def _opened(self, kind: KeyKind) -> list[_Merged]:
        if kind not in self._merged:
            self._merged[kind] = _open_merged(self.folder, kind)
        return self._merged[kind]


def open_array(folder: Path, digest: str, kind: KeyKind, column: str) -> SortedArray:
    """Open a shard's own array. Raises `FileNotFoundError`, and `BadIndex` when it is of something else."""
    path, _ = index_files(folder, digest, kind)
    array = SortedArray(path)
    if {"kind": kind.value, "shard": digest, "column": column}.items() <= array.about.items():
        return array
    array.close()
    raise BadIndex(f"{path} was made of another column. Build it again with expunge index.")


def open_merged(path: Path, kind: KeyKind) -> SortedArray:
    """Open a merged array. Raises `FileNotFoundError`, and `BadIndex` when it is damaged or of another kind."""
    array = SortedArray(path)
    if array.about["kind"] == kind and "shards" in array.about:
        return array
    array.close()
    raise BadIndex(f"{path} is no merged array of {kind}. Build it again with expunge index.")


def _by_number(places: NDArray[np.uint64]) -> Iterator[tuple[int, NDArray[np.uint64]]]:
    """The rows in places of a merged array, ascending, by the number of their shard."""
    places = np.sort(places)
    numbers, starts = np.unique(places >> ROW_BITS, return_index=True)
    yield from zip(
        numbers.tolist(), np.split(places & _ROW_MASK, starts[1:]), strict=False
    )  # one part if none


def merged_files(folder: Path, kind: KeyKind) -> list[Path]:
    """The merged arrays of a kind that are there."""
    return sorted((folder / "merged" / kind.value).glob("*.idx"))


def _open_merged(folder: Path, kind: KeyKind) -> list[_Merged]:
    """The merged arrays of a kind; one that cannot be trusted is passed over, for the shards' own arrays say the same."""
    opened: list[_Merged] = []
    for path in merged_files(folder, kind):
        try:
            array = open_merged(path, kind)
        except (BadIndex, FileNotFoundError):
            continue
        members = array.about["shards"]
        opened.append(_Merged(array, dict(members), [digest for digest, _ in members]))
    return opened


def _prefixes_by_kind(entries: Iterable[Entry]) -> dict[KeyKind, NDArray[np.uint64]]:
    """What to look for: by kind, the distinct prefixes of the entries' keys, ascending."""
    keys: dict[KeyKind, list[bytes]] = {}
    for entry in entries:
        keys.setdefault(entry.kind, []).append(entry.key)
    return {kind: np.unique(prefixes_of(kind, pa.array(found, pa.binary()))) for kind, found in keys.items()}
