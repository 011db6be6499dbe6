"""What every shard can do, whatever its format."""

from __future__ import annotations

import hashlib
import os
import stat
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Literal

from expunge.errors import BadShard

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from io import BufferedReader
    from pathlib import Path

    import pyarrow as pa

    from expunge.shards.cut import Cut
    from expunge.shards.source import ShardFile

Method = Literal["whole", "spliced", "rewritten"]
"""How a shard of a release came about: the base's bytes, its bytes around what was cut out, or decoded and written anew."""

Fingerprint = tuple[int, int, int, int]
"""What tells one state of a file from another: size, time of change, inode, device."""

BATCH_ROWS = 65_536
"""Rows read at a time: enough to make the kernels pay, little enough to stay in the cache and in memory."""

COPY_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Column:
    """A top-level column: its name, its type in Arrow's words, and whether it may not be null."""

    name: str
    type: str
    required: bool


@dataclass(frozen=True, slots=True)
class Batch:
    """Consecutive rows of some columns. `first` is the index of the first row in the shard."""

    first: int
    rows: int
    arrays: dict[str, pa.Array]


@dataclass(frozen=True, slots=True)
class Written:
    """A file that was written: SHA-256 in hex, length in bytes, rows, and how it came about."""

    sha256: str
    bytes: int
    rows: int
    method: Method


class Shard(ABC):
    """One file of a version, opened for reading.

    Every pass opens the file anew and checks at its end that the file is the one it opened at first: size, time of
    change and inode. Each method raises `BadShard`, naming the file and the row, when it cannot go on.
    """

    def __init__(self, file: ShardFile) -> None:
        self.file = file
        try:
            status = file.path.stat()
        except OSError as error:
            raise self.unreadable(error) from error
        if not stat.S_ISREG(status.st_mode):
            raise self.bad("is not a file, but something else of that name.")
        self.fingerprint = _fingerprint(status)
        if status.st_size == 0 and not file.may_be_empty:
            raise self.bad("is empty. Was its download finished?")

    @property
    @abstractmethod
    def format(self) -> str:
        """The format in one word, with its compression: `parquet`, `csv`, `jsonl.gz`."""

    @property
    @abstractmethod
    def columns(self) -> tuple[Column, ...]:
        """The columns, in order."""

    @property
    def rows(self) -> int:
        """How many rows the file says it has; 0 in the text formats, which must be read to know."""
        return 0

    @property
    def row_groups(self) -> int:
        """How many row groups a Parquet file has; 0 for the text formats."""
        return 0

    @abstractmethod
    def batches(self, columns: Sequence[str]) -> Iterator[Batch]:
        """The rows in order, with the values of the named columns; every row is checked, also with no column named."""

    @abstractmethod
    def rewrite(self, target: Path, cut: Cut) -> Written:
        """Write this shard to `target` without what `cut` takes out.

        A pure function of the shard and the cut: the same input gives the same bytes. Row order, schema, compression
        and all else that the format records survive. Columns that the shard does not have are passed over. `target`
        must not exist; it is on disk (fsync) when this returns. Raises `UsageError` for a cut that the columns do not
        allow.
        """

    @abstractmethod
    def compare(self, written: Shard, cut: Cut) -> None:
        """Read `written` back: it must hold all of this shard but what `cut` takes out, unchanged and in order.

        Raises `VerificationFailed` with the first difference.
        """

    def digest(self) -> str:
        """SHA-256 of the file's bytes, in hex."""
        with self._open() as source:
            digest = hashlib.file_digest(source, "sha256").hexdigest()
        self.check_unchanged()
        return digest

    def copy(self, target: Path) -> Written:
        """Copy the bytes, hashing them on the way. `rows` is not known from bytes and is left 0."""
        digest = hashlib.sha256()
        length = 0
        with self._open() as source, target.open("xb") as sink:
            while block := source.read(COPY_BYTES):
                digest.update(block)
                sink.write(block)
                length += len(block)
            finish(sink)
        self.check_unchanged()
        return Written(digest.hexdigest(), length, 0, "whole")

    def check_unchanged(self) -> None:
        """Refuse a file that is not the one first opened."""
        try:
            now = _fingerprint(self.file.path.stat())
        except OSError as error:
            raise self.bad(f"went away while it was read: {error.strerror}.") from error
        self.expect(now)

    def expect(self, fingerprint: Fingerprint) -> None:
        """Refuse a file that is not the one with this fingerprint, which an earlier pass read."""
        if fingerprint != self.fingerprint:
            raise self.bad("changed while it was read. Let the writer finish, then start again.")

    def unreadable(self, error: OSError) -> BadShard:
        """The error for what the operating system says of reading."""
        return self.bad(f"cannot be read: {error.strerror}.")

    def bad(self, what: str) -> BadShard:
        """The error that says what is wrong with this file."""
        return BadShard(f"{self.file.name}: {what}", str(self.file.path))

    def _open(self) -> BufferedReader:
        try:
            return self.file.path.open("rb")
        except OSError as error:
            raise self.unreadable(error) from error


def finish(sink: BinaryIO) -> None:
    """Put what was written on disk."""
    sink.flush()
    os.fsync(sink.fileno())


class HashingFile:
    """A file to write to, from start to end, that knows the SHA-256 of what it was given."""

    def __init__(self, sink: BinaryIO) -> None:
        self._sink = sink
        self._digest = hashlib.sha256()
        self.length = 0
        self.closed = False

    def write(self, data: bytes | memoryview) -> int:
        """Write and hash; returns the bytes taken."""
        self._digest.update(data)
        size = len(data)
        self.length += size
        self._sink.write(data)
        return size

    def flush(self) -> None:
        """Hand what is buffered to the operating system."""
        self._sink.flush()

    def tell(self) -> int:
        """The bytes written so far."""
        return self.length

    def close(self) -> None:
        """End writing; the file underneath stays open for its owner to sync."""
        self.closed = True

    def readable(self) -> bool:
        """Never."""
        return False

    def writable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Never."""
        return False

    def written(self, rows: int, method: Method) -> Written:
        """What was written."""
        return Written(self._digest.hexdigest(), self.length, rows, method)


def _fingerprint(status: os.stat_result) -> Fingerprint:
    return status.st_size, status.st_mtime_ns, status.st_ino, status.st_dev
