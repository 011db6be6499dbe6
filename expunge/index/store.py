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

import hashlib
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import numpy as np
import orjson
import pyarrow as pa

from expunge.index.arrays import ArrayWriter, BadIndex, SortedArray
from expunge.index.builder import appearing, index_files, prefixes_of
from expunge.index.runs import merge_runs
from expunge.keys import ROLE_OF, KeyKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from expunge.index.arrays import Pairs
    from expunge.index.versions import IndexedShard
    from expunge.lists import Entry
    from expunge.shards import Positions

MERGE_FROM = 8
"""Shards that no merged array holds, from which on they are merged."""

MOST_MERGED = 512
"""Shards in one merged array: each is an open file while it is made."""

_MERGE_PAIRS = 1 << 20
_ROW_BITS = np.uint64(40)
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
            except BadIndex:  # the shards' own arrays say the same
                self._merged[kind].remove(merged)
                merged.array.close()
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


def merge_shards(folder: Path, kind: KeyKind, shards: Iterable[IndexedShard]) -> int:
    """Merge the arrays of those shards that no merged array holds, if they are enough. Returns how many were merged.

    Merged arrays that are damaged are removed first, so that their shards are merged anew.
    """
    role = ROLE_OF[kind]
    left = {shard.sha256: shard.columns[role] for shard in shards if role in shard.columns}
    left = {digest: name for digest, name in left.items() if index_files(folder, digest, kind)[0].exists()}
    for path in _merged_files(folder, kind):
        try:
            with SortedArray(path) as array:
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
        _merge(folder, kind, members[first : first + MOST_MERGED])
    return len(members)


def _merge(folder: Path, kind: KeyKind, members: Sequence[tuple[str, str]]) -> None:
    """Write one merged array of these shards (digest and column)."""
    about = {"kind": kind.value, "shards": members}
    name = hashlib.sha256(orjson.dumps(about)).hexdigest()[:32]
    with appearing(folder / "merged" / kind.value / f"{name}.idx") as path, path.open("wb") as sink:
        writer = ArrayWriter(sink, 8)
        share = _MERGE_PAIRS // len(members)
        with ExitStack() as opened:
            runs = [
                _numbered(opened.enter_context(open_array(folder, digest, kind, column)), number, share)
                for number, (digest, column) in enumerate(members)
            ]
            for prefixes, places in merge_runs(runs):
                writer.append(prefixes, places)
        writer.finish(about)


def _numbered(array: SortedArray, number: int, share: int) -> Iterator[Pairs]:
    """The pairs of one shard, about `share` at a time, with its number in their places."""
    for prefixes, rows in array.chunks(share):
        yield prefixes, rows | (np.uint64(number) << _ROW_BITS)


def _by_number(places: NDArray[np.uint64]) -> Iterator[tuple[int, NDArray[np.uint64]]]:
    """The rows in places of a merged array, ascending, by the number of their shard."""
    places = np.sort(places)
    numbers, starts = np.unique(places >> _ROW_BITS, return_index=True)
    yield from zip(
        numbers.tolist(), np.split(places & _ROW_MASK, starts[1:]), strict=False
    )  # one part if none


def _merged_files(folder: Path, kind: KeyKind) -> list[Path]:
    return sorted((folder / "merged" / kind.value).glob("*.idx"))


def _open_merged(folder: Path, kind: KeyKind) -> list[_Merged]:
    """The merged arrays of a kind; one that is damaged is passed over, for the shards' own arrays say the same."""
    opened: list[_Merged] = []
    for path in _merged_files(folder, kind):
        try:
            array = SortedArray(path)
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
