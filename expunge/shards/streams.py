"""The bytes of text shards, plain or compressed: read through a window, written through a hash."""

from __future__ import annotations

import gzip
import io
import sys
import zlib
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
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

BLOCK_BYTES = 1 << 20
"""Decompressed bytes looked at together: enough to make the kernels pay, little enough to stay in the cache."""

MAX_ROW_BYTES = 16 << 20
"""A longer row is a fault of the file, most often a quote that was never closed."""

BYTE_ORDER_MARK = b"\xef\xbb\xbf"

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


class Window:
    """The bytes of a stream from one place on: looked at a block at a time, taken from the front.

    It never holds more than a block and the longest row. `line` counts the lines taken so far.
    """

    def __init__(self, stream: BinaryIO, line: int = 0) -> None:
        self._stream = stream
        self._data = b""
        self._at = 0
        self.line = line

    def look(self) -> bytes:
        """A block of the bytes ahead, less at the end of the stream, nothing after it."""
        self._drop()
        while (missing := BLOCK_BYTES - len(self._data)) > 0 and self._read_on(missing):
            pass
        return self._data

    def take(self, length: int) -> bytes:
        """The next `length` bytes, or all that are left."""
        while len(self._data) - self._at < length and self._read_on(BLOCK_BYTES):
            pass
        return self._take(self._at + length)

    def skip(self, length: int, lines: int) -> None:
        """Pass over bytes that were looked at and hold so many line feeds."""
        self._at += length
        self.line += lines

    def take_mark(self) -> bytes:
        """The byte order mark, if that is what comes next."""
        while len(self._data) - self._at < len(BYTE_ORDER_MARK) and self._read_on(BLOCK_BYTES):
            pass
        found = self._data.startswith(BYTE_ORDER_MARK, self._at)
        return self._take(self._at + len(BYTE_ORDER_MARK)) if found else b""

    def take_line(self) -> bytes:
        """The next line with its line feed, cut off at `MAX_ROW_BYTES`; nothing at the end of the stream."""
        searched = self._at
        while not (end := self._data.find(b"\n", searched) + 1):
            ahead = len(self._data) - self._at
            if ahead >= MAX_ROW_BYTES or not self._read_on(BLOCK_BYTES):
                end = len(self._data)
                break
            searched = self._at + ahead
        line = self._take(min(end, self._at + MAX_ROW_BYTES))
        self.line += bool(line)
        return line

    def _take(self, end: int) -> bytes:
        taken = self._data[self._at : end]
        self._at += len(taken)
        return taken

    def _read_on(self, size: int) -> bool:
        self._drop()
        more = self._stream.read(size)
        self._data = self._data + more if self._data else more
        return bool(more)

    def _drop(self) -> None:
        if self._at:
            self._data = self._data[self._at :]
            self._at = 0


class TextWriter:
    """A new text file, compressed as its name says and on disk when the context ends.

    Hashing, compressing and writing run in a thread of their own beside the scanning, for none of them holds the
    interpreter. At most `_AHEAD` parts wait for it.
    """

    _AHEAD = 4

    def __init__(self, target: Path, compression: str) -> None:
        self._raw = target.open("xb")
        self._hashing = HashingFile(self._raw)
        hashing = cast("BinaryIO", self._hashing)
        self._sink: BinaryIO
        if compression == ".gz":
            # No name and no time in the header: the same input gives the same bytes.
            self._sink = cast("BinaryIO", gzip.GzipFile("", "wb", 6, hashing, mtime=0))
        elif compression == ".zst":
            # Never more than one thread: how many there are decides where frames are cut into blocks, and so the bytes.
            self._sink = cast("BinaryIO", zstd.ZstdFile(hashing, mode="wb"))
        else:
            self._sink = hashing
        self._thread = ThreadPoolExecutor(1)
        self._waiting: deque[Future[int]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                while self._waiting:
                    self._waiting.popleft().result()
                self._sink.close()
                finish(self._raw)
        finally:
            self._thread.shutdown(cancel_futures=True)
            self._raw.close()

    def write(self, data: bytes) -> None:
        """Append decompressed bytes. Raises what went wrong with those before them."""
        self._waiting.append(self._thread.submit(self._sink.write, data))
        if len(self._waiting) > self._AHEAD:
            self._waiting.popleft().result()

    def written(self, rows: int) -> Written:
        """What was written; call it after the context ended."""
        return self._hashing.written(rows, "spliced")
