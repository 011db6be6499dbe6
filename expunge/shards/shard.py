"""What every shard can do, whatever its format."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
import sys
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Literal

import pyarrow as pa

from expunge.errors import BadShard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from io import BufferedReader
    from pathlib import Path

    from expunge.shards.cut import Cut
    from expunge.shards.source import ShardFile

Method = Literal["whole", "spliced", "rewritten"]
"""How a shard of a release came about: the base's bytes, its bytes around what was cut out, or decoded and written anew."""

Fingerprint = tuple[int, int, int, int]
"""What tells one state of a file from another: size, time of change, inode, device."""

BATCH_ROWS = 65_536
"""Rows read at a time: enough to make the kernels pay, little enough to stay in the cache and in memory."""

SAMPLE_ROWS = 4_096
"""Rows to look at: enough to tell what a column holds, little enough to cost nothing."""

COPY_BYTES = 1 << 20
HASH_BYTES = 1 << 18

# What the kernel is asked to copy at once, and its words for that it cannot: another file system, or one without it.
_KERNEL_BYTES = 1 << 30
_CANNOT = {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}

# What the operating system says of writing alone.
_OF_WRITING = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}

ALL_ROWS = (range(sys.maxsize),)


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
    """A file that was written: SHA-256 in hex, length in bytes, rows, and how it came about.

    `reason` is why a file that could have been spliced was rewritten.
    """

    sha256: str
    bytes: int
    rows: int
    method: Method
    reason: str | None = None


def _silently(_bytes: int) -> None:
    """Tell nobody."""


class ShardBytes:
    """The bytes of one file of a version, whatever they mean.

    Every pass opens the file anew and checks at its end that the file is the one it opened at first: size, time of
    change and inode. Each method raises `BadShard`, naming the file, when it cannot go on.
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

    def digest(self, advance: Callable[[int], object] = _silently) -> str:
        """SHA-256 of the file's bytes, in hex; `advance` is told of every few bytes that are done."""
        digest, buffer = hashlib.sha256(), bytearray(HASH_BYTES)
        with self._open() as source:
            while size := source.readinto(buffer):
                digest.update(memoryview(buffer)[:size])
                advance(size)
        self.check_unchanged()
        return digest.hexdigest()

    def copy(self, target: Path) -> Written:
        """Copy the bytes, in the kernel where it can, and hash the copy. `rows` is not known from bytes and is left 0."""
        with self._open() as source, target.open("x+b") as sink:
            if not _copy_in_kernel(source, sink):
                shutil.copyfileobj(source, sink, COPY_BYTES)
            finish(sink)
            length = sink.tell()
            sink.seek(0)
            digest = hashlib.file_digest(sink, "sha256").hexdigest()
        self.check_unchanged()
        return Written(digest, length, 0, "whole")

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
        """The error for what the operating system says of reading.

        Where a file is written while this one is read, the fault may be the other's: then `error` itself is raised.
        """
        if error.errno in _OF_WRITING:
            raise error
        return self.bad(f"cannot be read: {error.strerror}.")

    def bad(self, what: str) -> BadShard:
        """The error that says what is wrong with this file."""
        return BadShard(f"{self.file.name}: {what}", str(self.file.path))

    def _open(self) -> BufferedReader:
        try:
            return self.file.path.open("rb")
        except OSError as error:
            raise self.unreadable(error) from error


class Shard(ShardBytes, ABC):
    """One file of a version, opened for reading.

    Each method raises `BadShard`, naming the file and the row, when it cannot go on.
    """

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
    def rows_asked(self) -> int:
        """How many of them `batches` gives: fewer where the file is asked for some rows only."""
        return self.rows

    @property
    def row_groups(self) -> int:
        """How many row groups a Parquet file has; 0 for the text formats."""
        return 0

    @abstractmethod
    def batches(self, columns: Sequence[str]) -> Iterator[Batch]:
        """The rows in order, with the values of the named columns; every row is checked, also with no column named."""

    def sample(self, columns: Sequence[str]) -> Batch | None:
        """Some of the first rows, `SAMPLE_ROWS` or more where one read gives them; None where there is no row."""
        return next(self.batches(columns), None)

    def presence(self, columns: Sequence[str]) -> Iterator[Batch]:
        """As `batches`, with whether each value is there (pa.bool_()) in place of the value, which may be of any type.

        Nothing is there in a column that the shard does not have.
        """
        here = {column.name for column in self.columns}
        columns, absent = [name for name in columns if name in here], set(columns) - here
        for batch in self.batches(columns):
            there = {name: values.is_valid() for name, values in batch.arrays.items()}
            there |= {name: pa.array([False] * batch.rows, pa.bool_()) for name in absent}
            yield Batch(batch.first, batch.rows, there)

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

    def fresh_rows(self, cut: Cut) -> tuple[range, ...]:
        """The rows of the shard spliced with this cut that are not copied bytes of the base, as far as that is known."""
        del cut
        return ALL_ROWS


def finish(sink: BinaryIO) -> None:
    """Put what was written on disk."""
    sink.flush()
    os.fsync(sink.fileno())


def _copy_in_kernel(source: BinaryIO, sink: BinaryIO) -> bool:
    """Copy a file as the kernel can, which shares its blocks where the file system does. False if nothing was copied."""
    copied = 0
    try:
        while part := os.copy_file_range(source.fileno(), sink.fileno(), _KERNEL_BYTES):
            copied += part
    except OSError as error:
        if copied or error.errno not in _CANNOT:
            raise
        return False
    sink.seek(0, os.SEEK_END)
    return True


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

    def written(self, rows: int, method: Method, reason: str | None = None) -> Written:
        """What was written."""
        return Written(self._digest.hexdigest(), self.length, rows, method, reason)


def _fingerprint(status: os.stat_result) -> Fingerprint:
    return status.st_size, status.st_mtime_ns, status.st_ino, status.st_dev
