"""Sorted arrays of keys in a file, made to be searched where they lie.

A file holds pairs (prefix, place), sorted by prefix and then by place:

    blocks     of 512 pairs: 512 prefixes (u64), then 512 places (u32 or u64); the last one is filled up
    head       what the file is, in JSON; the first prefix of each block (u64); the CRC-32 of each block (u32)
    tail       length of the head, of its JSON, SHA-256 of the head and these lengths, and the magic number

All numbers are little-endian. The head is read and proved when the file is opened. A search then finds the one block that
can hold a key by the first prefixes, which are in memory, and proves that block before it believes it: whatever byte of the
file is damaged, the answer is right or `BadIndex`, and no more is read than a block for each key.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, Self

import numpy as np
import orjson

from expunge.errors import ExpungeError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from typing import BinaryIO

    from numpy.typing import NDArray

FORMAT = "expunge-index/1"
BLOCK = 512
"""Pairs in a block: 6 or 8 KiB, about what one read of a disk brings anyway."""

_PREFIX_BYTES = 8
_LENGTHS = struct.Struct("<QQ")
_TAIL = struct.Struct("<16s32s8s")
_MAGIC = b"EXPNGIDX"

Pairs = tuple["NDArray[np.uint64]", "NDArray[np.uint64]"]
"""Prefixes and places, parallel."""


class BadIndex(ExpungeError):  # noqa: N818  it names what is bad, as BadShard does
    """An index that is damaged, or of something else than it is asked about. Building it again is the remedy."""


@dataclass(frozen=True, slots=True)
class Part:
    """Pairs of an array that another writer wrote where they belong, but for those in blocks that are not its own alone.

    `before` and `after` are these, `first` and `checks` what the head says of the blocks between them.
    """

    before: Pairs
    first: NDArray[np.uint64]
    checks: list[int]
    after: Pairs


class ArrayWriter:
    """Writes pairs, given in order, to a file that is open for writing."""

    def __init__(self, sink: BinaryIO, place_bytes: int) -> None:
        self._sink = sink
        self._place = np.dtype(f"<u{place_bytes}")
        self._kept: Pairs = (np.zeros(0, np.uint64), np.zeros(0, np.uint64))
        self._first: list[NDArray[np.uint64]] = []
        self._checks: list[int] = []
        self._count = 0

    def append(self, prefixes: NDArray[np.uint64], places: NDArray[np.uint64]) -> None:
        """Write more pairs, none of which sorts before an earlier one."""
        self._count += len(prefixes)
        prefixes = np.concatenate((self._kept[0], prefixes))
        places = np.concatenate((self._kept[1], places))
        if whole := len(prefixes) // BLOCK * BLOCK:
            self._write(prefixes[:whole], places[:whole])
        self._kept = prefixes[whole:], places[whole:]

    def adopt(self, part: Part) -> None:
        """Take pairs, none of which sorts before an earlier one, whose whole blocks are in the file already."""
        self.append(*part.before)
        self._sink.seek(len(part.checks) * BLOCK * (_PREFIX_BYTES + self._place.itemsize), os.SEEK_CUR)
        self._first.append(part.first)
        self._checks += part.checks
        self._count += len(part.checks) * BLOCK
        self.append(*part.after)

    def finish(self, about: dict[str, Any]) -> None:
        """Write what is left, and the head with what the array is `about`. Flushing and closing are the caller's."""
        missing = -len(self._kept[0]) % BLOCK
        self._write(*(np.concatenate((part, np.zeros(missing, np.uint64))) for part in self._kept))
        facts = {**about, "format": FORMAT, "count": self._count, "place_bytes": self._place.itemsize}
        told = orjson.dumps(facts, option=orjson.OPT_SORT_KEYS)
        first = _joined(self._first)
        head = told + first.astype("<u8").tobytes() + np.array(self._checks, "<u4").tobytes()
        self._sink.write(head)
        lengths = _LENGTHS.pack(len(head), len(told))
        self._sink.write(_TAIL.pack(lengths, hashlib.sha256(head + lengths).digest(), _MAGIC))

    @classmethod
    def write_part(cls, sink: BinaryIO, place_bytes: int, at: int, pairs: Iterable[Pairs]) -> Part:
        """Write to their place in the file what follows `at` pairs; another writer `adopt`s it.

        Any number of parts may be written at once: a block that two of them share is left to the one who adopts.
        """
        missing = -at % BLOCK
        before: list[Pairs] = []
        writer = cls(sink, place_bytes)
        sink.seek((at + missing) // BLOCK * BLOCK * (_PREFIX_BYTES + place_bytes))
        for prefixes, places in pairs:
            before.append((prefixes[:missing], places[:missing]))
            writer.append(prefixes[missing:], places[missing:])
            missing -= len(before[-1][0])
        return Part(
            (_joined(prefixes for prefixes, _ in before), _joined(places for _, places in before)),
            _joined(writer._first),
            writer._checks,
            writer._kept,
        )

    def _write(self, prefixes: NDArray[np.uint64], places: NDArray[np.uint64]) -> None:
        blocks = len(prefixes) // BLOCK
        raw = np.empty((blocks, BLOCK * (_PREFIX_BYTES + self._place.itemsize)), np.uint8)
        split = BLOCK * _PREFIX_BYTES
        raw[:, :split] = prefixes.astype("<u8", copy=False).view(np.uint8).reshape(blocks, split)
        raw[:, split:] = (
            places.astype(self._place, copy=False).view(np.uint8).reshape(blocks, raw.shape[1] - split)
        )
        self._first.append(prefixes[::BLOCK])
        self._checks += [zlib.crc32(block.data) for block in raw]
        self._sink.write(raw.data)


class SortedArray:
    """One file of pairs, opened for searching. `about` is what it was said to be about, `count` its pairs.

    Raises `BadIndex` when the file, or as much as was looked at, is not as it was written; `FileNotFoundError` when there
    is none.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("rb") as source:
            size = os.fstat(source.fileno()).st_size
            if size < _TAIL.size:
                self._refuse("is cut off")
            self._data = mmap.mmap(source.fileno(), 0, access=mmap.ACCESS_READ)
        end = size - _TAIL.size
        lengths, digest, magic = _TAIL.unpack_from(self._data, end)
        head_bytes, told_bytes = _LENGTHS.unpack(lengths)
        if magic != _MAGIC or not told_bytes <= head_bytes <= end:
            self._refuse("is cut off, or no index")
        head = self._data[end - head_bytes : end]
        if hashlib.sha256(head + lengths).digest() != digest:
            self._refuse("is damaged")
        self.about: dict[str, Any] = orjson.loads(head[:told_bytes])
        if self.about["format"] != FORMAT:
            self._refuse(f"is of another format than {FORMAT}")
        self.count: int = self.about["count"]
        self._place = np.dtype(f"<u{self.about['place_bytes']}")
        self._block_bytes = BLOCK * (_PREFIX_BYTES + self._place.itemsize)
        blocks = -(-self.count // BLOCK)
        if end - head_bytes != blocks * self._block_bytes:
            self._refuse("is cut off")
        self._first = np.frombuffer(head, "<u8", blocks, told_bytes)
        self._checks = np.frombuffer(head, "<u4", blocks, told_bytes + blocks * _PREFIX_BYTES)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let the file go."""
        self._data.close()

    def find(self, prefixes: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """The places of all pairs with one of these `prefixes` (sorted, distinct), in the order of the prefixes."""
        # Equal prefixes may begin in the block before the first one that starts with them, and fill many.
        begin = np.maximum(np.searchsorted(self._first, prefixes, "left") - 1, 0).tolist()
        end = np.searchsorted(self._first, prefixes, "right").tolist()
        found = [_NO_PAIRS[1]]
        number, block = -1, _NO_PAIRS
        for index, prefix in enumerate(prefixes):
            for wanted in range(begin[index], end[index]):
                if wanted != number:
                    number, block = wanted, self._block(wanted)
                first = block[0].searchsorted(prefix)
                last = block[0].searchsorted(prefix, "right")
                if first < last:
                    found.append(block[1][first:last].astype(np.uint64))
        return np.concatenate(found)

    def rank(self, prefix: int) -> int:
        """How many pairs sort before all that have this prefix or a higher one."""
        block = int(self._first.searchsorted(np.uint64(prefix))) - 1
        return block * BLOCK + int(self._block(block)[0].searchsorted(np.uint64(prefix))) if block >= 0 else 0

    def sample(self) -> NDArray[np.uint64]:
        """The prefix of every 512th pair, from the first one on."""
        return self._first.astype(np.uint64)

    def chunks(self, pairs: int, begin: int = 0, end: int | None = None) -> Iterator[Pairs]:
        """The pairs from `begin` to `end` (all) in order, about so many `pairs` at a time, each block proved."""
        end = self.count if end is None else end
        step = max(1, pairs // BLOCK)
        stop = -(-end // BLOCK)
        for number in range(begin // BLOCK, stop, step) if begin < end else ():
            following = min(number + step, stop)
            blocks = [self._block(place) for place in range(number, following)]
            self._forget(following)
            wanted = slice(max(0, begin - number * BLOCK), end - number * BLOCK)
            yield (
                np.concatenate([prefixes for prefixes, _ in blocks])[wanted],
                np.concatenate([places for _, places in blocks]).astype(np.uint64)[wanted],
            )

    def prove(self) -> None:
        """Read every block. Raises `BadIndex` at the first that is not as it was written."""
        with memoryview(self._data) as data:
            for number, check in enumerate(self._checks.tolist()):
                begin = number * self._block_bytes
                if zlib.crc32(data[begin : begin + self._block_bytes]) != check:
                    self._refuse("is damaged")
        self._forget(len(self._first))

    def _forget(self, blocks: int) -> None:
        """Let the pages of the first blocks go: of a file that is read through, none is wanted twice."""
        if blocks:
            self._data.madvise(mmap.MADV_DONTNEED, 0, blocks * self._block_bytes)

    def _block(self, number: int) -> Pairs:
        begin = number * self._block_bytes
        raw = self._data[begin : begin + self._block_bytes]
        if zlib.crc32(raw) != self._checks[number]:
            self._refuse("is damaged")
        pairs = min(BLOCK, self.count - number * BLOCK)
        return (
            np.frombuffer(raw, "<u8", pairs),
            np.frombuffer(raw, self._place, pairs, BLOCK * _PREFIX_BYTES),
        )

    def _refuse(self, what: str) -> NoReturn:
        raise BadIndex(f"{self.path} {what}. Build it again with expunge index.")


def _joined(parts: Iterable[NDArray[np.uint64]]) -> NDArray[np.uint64]:
    return np.concatenate([np.zeros(0, np.uint64), *parts])


_NO_PAIRS: Pairs = (np.zeros(0, np.uint64), np.zeros(0, np.uint64))
