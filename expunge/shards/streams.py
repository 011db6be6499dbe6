"""The bytes of text shards, plain or compressed: read line by line, written through a hash."""

from __future__ import annotations

import gzip
import io
import sys
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, Self, cast

from expunge.shards.shard import HashingFile, Written, finish

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BUFFER_BYTES = 1 << 20

BROKEN_STREAM = (EOFError, gzip.BadGzipFile, zlib.error, zstd.ZstdError)
"""What reading a truncated or corrupt compressed file raises."""


@contextmanager
def reading(source: io.BufferedReader, compression: str) -> Iterator[BinaryIO]:
    """The decompressed bytes of an open file; all members of a gzip file, all frames of a zstd file."""
    if compression == ".gz":
        with (
            gzip.GzipFile(fileobj=source, mode="rb") as plain,
            io.BufferedReader(plain, BUFFER_BYTES) as lines,
        ):
            yield cast("BinaryIO", lines)
    elif compression == ".zst":
        with zstd.ZstdFile(source, mode="rb") as frames, io.BufferedReader(frames, BUFFER_BYTES) as lines:
            yield cast("BinaryIO", lines)
    else:
        yield source


class TextWriter:
    """A new text file, compressed as its name says and on disk when the context ends."""

    def __init__(self, target: Path, compression: str) -> None:
        self._raw = target.open("xb")
        self._hashing = HashingFile(self._raw)
        hashing = cast("BinaryIO", self._hashing)
        self._sink: BinaryIO
        if compression == ".gz":
            # No name and no time in the header: the same input gives the same bytes.
            self._sink = cast("BinaryIO", gzip.GzipFile("", "wb", 6, hashing, mtime=0))
        elif compression == ".zst":
            self._sink = cast("BinaryIO", zstd.ZstdFile(hashing, mode="wb"))
        else:
            self._sink = hashing

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._sink.close()
                finish(self._raw)
        finally:
            self._raw.close()

    def write(self, data: bytes) -> None:
        """Append decompressed bytes."""
        self._sink.write(data)

    def written(self, rows: int) -> Written:
        """What was written; call it after the context ended."""
        return self._hashing.written(rows, "spliced")
