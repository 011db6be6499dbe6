"""Build the index of one shard, from its batches, while somebody reads them."""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from expunge.index.archive import ArchiveWriter
from expunge.index.arrays import ArrayWriter, BadIndex, SortedArray
from expunge.index.runs import PEAK_BYTES, Runs
from expunge.keys import DIGEST_SIZE, ROLE_OF, KeyKind, sha256_column
from expunge.keyset import key_prefixes
from expunge.locate import kinds_by_column

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    import pyarrow as pa
    from numpy.typing import NDArray

    from expunge.index.arrays import Pairs
    from expunge.keyed import KeyedBatch
    from expunge.shards import Binding

MEMORY_BYTES = 512 << 20
"""What a build takes for sorting, all its processes together, when nothing else is said."""

_STALE_SECONDS = 24 * 3600
_U32_ROWS = 1 << 32


class ShardIndexer:
    """Takes the batches of a shard and leaves its index in `folder`, one pair of files for each kind.

        with ShardIndexer(folder, kinds, binding) as indexer:
            for batch in shard.batches(indexer.columns):
                indexer.add(KeyedBatch(batch))
            indexer.finish(digest, row_format(shard.file.name))

    Kinds that no column carries are left out; `kinds` says which are not. `memory` (bytes) bounds what sorting takes,
    beyond which it spills to unnamed files in `folder`.
    """

    def __init__(
        self, folder: Path, kinds: Collection[KeyKind], binding: Binding, *, memory: int = MEMORY_BYTES
    ) -> None:
        self._folder = folder
        self._binding = binding
        self._kinds = kinds_by_column(sorted(set(kinds)), binding)
        folder.mkdir(parents=True, exist_ok=True)
        limit = max(1, memory // max(1, len(self.kinds)) // PEAK_BYTES)
        self._open = ExitStack()
        self._runs = {kind: self._open.enter_context(Runs(folder, limit)) for kind in self.kinds}
        self._keyless = dict.fromkeys(self.kinds, 0)
        self._rows = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    @property
    def kinds(self) -> list[KeyKind]:
        """The kinds that are indexed."""
        return sorted(kind for kinds in self._kinds.values() for kind in kinds)

    @property
    def columns(self) -> list[str]:
        """The columns that a batch must bring."""
        return sorted(self._kinds)

    def add(self, keyed: KeyedBatch) -> None:
        """Take the next rows of the shard."""
        batch = keyed.batch
        for name, kinds in self._kinds.items():
            keys, parents = keyed.keys(name, kinds)
            for kind in kinds:
                found = keys[kind]
                self._keyless[kind] += found.null_count
                rows = np.flatnonzero(found.is_valid().to_numpy(zero_copy_only=False))
                rows = rows if parents is None else parents[rows]
                self._runs[kind].add(prefixes_of(kind, found), (rows + batch.first).astype(np.uint64))
        self._rows += batch.rows

    def finish(self, digest: str, form: str) -> None:
        """Write the files of the shard with this SHA-256 (hex), whose rows are those of this `row_format`."""
        for kind, runs in self._runs.items():
            about = {
                "kind": kind.value,
                "shard": digest,
                "row_format": form,
                "column": self._binding[ROLE_OF[kind]],
                "rows": self._rows,
                "keyless": self._keyless[kind],
            }
            array, archive = index_files(self._folder, digest, kind)
            write_index(array, archive, runs.merged(), about)


def prefixes_of(kind: KeyKind, keys: pa.Array) -> NDArray[np.uint64]:
    """What an index holds of keys of this kind (pa.binary()); nulls are left out.

    It is a key's first 8 bytes, or those of its SHA-256 where keys of the kind have no fixed length.
    """
    if kind in DIGEST_SIZE:
        return key_prefixes(keys)
    # A column repeats its hosts: each is hashed once.
    encoded = keys.drop_null().dictionary_encode()
    hashed = key_prefixes(sha256_column(encoded.dictionary))
    prefixes: NDArray[np.uint64] = hashed[encoded.indices.to_numpy()]
    return prefixes


def index_files(folder: Path, digest: str, kind: KeyKind) -> tuple[Path, Path]:
    """The array and the archive of one kind of one shard."""
    home = folder / digest[:2] / digest
    return home / f"{kind.value}.idx", home / f"{kind.value}.parquet"


def write_index(array: Path, archive: Path, pairs: Iterable[Pairs], about: Mapping[str, Any]) -> None:
    """Write both files of sorted `pairs`; the array remembers the archive's digest, and comes last."""
    with appearing(array) as new_array, new_array.open("wb") as sink:
        writer = ArrayWriter(sink, 4 if about["rows"] < _U32_ROWS else 8)
        with appearing(archive) as new_archive:
            with ArchiveWriter(new_archive, about) as other:
                for prefixes, places in pairs:
                    writer.append(prefixes, places)
                    other.append(prefixes, places)
            digest = _digest(new_archive)
        writer.finish({**about, "archive": digest})


def is_indexed(folder: Path, digest: str, kind: KeyKind, column: str, form: str) -> bool:
    """Whether the files of this kind of this shard are there and whole, every byte of them, and made as it is read now.

    That is of this column, and of the rows that its bytes are in this `row_format`.
    """
    array, archive = index_files(folder, digest, kind)
    try:
        with SortedArray(array) as found:
            found.prove()
            about = found.about
        wanted = {
            "kind": kind.value,
            "shard": digest,
            "row_format": form,
            "column": column,
            "archive": _digest(archive),
        }
    except (BadIndex, FileNotFoundError):
        return False
    return wanted.items() <= about.items()


@contextmanager
def appearing(path: Path) -> Iterator[Path]:
    """Give a path of this run alone to write a file to; it becomes `path` when the block ends without an error.

    Its bytes are on disk before it has its name, so it is whole at any time; of two runs that write the same file the last
    one's stays. The folder is not synced: a name that a power cut takes away is an index that is built again.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep(path.parent)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".partial")
    partial = Path(name)
    try:
        yield partial
        os.fsync(handle)
        partial.chmod(0o644)
        partial.replace(path)
    finally:
        os.close(handle)
        partial.unlink(missing_ok=True)


def _sweep(folder: Path) -> None:
    """Remove what runs that were killed left a day ago."""
    for partial in folder.glob(".*.partial"):
        try:
            if time.time() - partial.stat().st_mtime > _STALE_SECONDS:
                partial.unlink()
        except FileNotFoundError:
            continue


def _digest(path: Path) -> str:
    with path.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()
