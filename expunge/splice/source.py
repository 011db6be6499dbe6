"""The bytes of a Parquet file, read by place.

They are read and not mapped: a mapped file that somebody shortens takes the process with it. Copying is as fast either way,
because hashing takes most of the time, and a splice copies at places that no file system could share.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from expunge.splice.footer import MAGIC, MAGIC_OF_ENCRYPTED, TAIL, EncryptedError, Footer, FooterError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Small enough that what is read is still in the processor's cache when it is hashed and written.
BLOCK = 1 << 18


Read = Callable[[int, int], bytes]
"""Reads the bytes of a file from one place to another."""


class Sink(Protocol):
    """Where a file is written to, from start to end. `length` counts the bytes so far."""

    length: int

    def write(self, data: bytes | memoryview) -> int:
        """Write all of the data."""


class Source:
    """A Parquet file that stays open, and its footer."""

    def __init__(self, path: Path, descriptor: int) -> None:
        """Read the footer. Raises `FooterError` for one that cannot be followed and `OSError`."""
        self.path = path
        self._descriptor = descriptor
        size = os.fstat(descriptor).st_size
        if size < TAIL + len(MAGIC):
            raise FooterError("it is too short")
        tail = self.read(size - TAIL, size)
        if tail[4:] == MAGIC_OF_ENCRYPTED:
            raise EncryptedError("its footer is encrypted")
        start = size - TAIL - int.from_bytes(tail[:4], "little")
        if tail[4:] != MAGIC or start < len(MAGIC):
            raise FooterError("it does not end as a Parquet file does")
        self.footer = Footer(self.read(start, size - TAIL), start)

    @classmethod
    @contextmanager
    def open(cls, path: Path) -> Iterator[Source]:
        """The file at `path`, closed at the end. Raises `FooterError` and `OSError`."""
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            yield cls(path, descriptor)
        finally:
            os.close(descriptor)

    def read(self, begin: int, end: int) -> bytes:
        """The bytes from `begin` to `end`. Raises `FooterError` where the file ends before."""
        parts: list[bytes] = []
        while begin < end:
            part = os.pread(self._descriptor, end - begin, begin)
            if not part:
                raise FooterError("it ends before what its footer tells of")
            parts.append(part)
            begin += len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def blocks(self, begin: int, end: int) -> Iterator[bytes]:
        """The bytes from `begin` to `end`, a block at a time."""
        for place in range(begin, end, BLOCK):
            yield self.read(place, min(place + BLOCK, end))

    def copy(self, begin: int, end: int, sink: Sink) -> None:
        """Write the bytes from `begin` to `end` to the sink."""
        for block in self.blocks(begin, end):
            sink.write(block)
