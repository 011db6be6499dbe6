"""Text shards: rows found by a parser of the format, all other bytes kept as they are.

1. The decompressed stream is looked at a block at a time. A dialect scans the block for where its rows begin and end, all
   at once; where that is not beyond doubt, its exact parser takes that part of the stream row by row. Both always agree.
2. Reading takes the values of the rows and checks every one of them; writing copies the bytes around the rows that a cut
   touches, and comparing expects exactly those bytes. These two need no more than where rows are, so that a fault which
   moves no row (a field too many, a line that is no JSON) is for reading to find.
"""

from __future__ import annotations

import io
from abc import abstractmethod
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from expunge.errors import BadShard, VerificationFailed
from expunge.shards.scan import Places, Rows, count_lines, is_text
from expunge.shards.shard import Batch, Shard, Written
from expunge.shards.source import split_extension
from expunge.shards.streams import BROKEN_STREAM, MAX_ROW_BYTES, TextWriter, Window, reading

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import pyarrow as pa

    from expunge.shards.cut import Cut
    from expunge.shards.source import ShardFile


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Consecutive bytes of a file, and the rows in them: row `first + i` is `data[starts[i]:ends[i]]`, its end included.

    What lies between two rows is no row: a byte order mark, a header, a blank line. `line` counts the lines before.
    `rows` are the values of the rows where the exact parser took them, None where the scan found them.
    """

    first: int
    line: int
    data: bytes
    starts: Places
    ends: Places
    rows: list[object] | None = None

    def __len__(self) -> int:
        return len(self.starts)

    def raw(self, row: int) -> bytes:
        """The bytes of one row of the block, counted from 0."""
        return self.data[self.starts[row] : self.ends[row]]


@dataclass(slots=True)
class Gaps:
    """What one row loses: the columns that become null, and by column the places of elements that go from its list."""

    null: set[str] = field(default_factory=set)
    elements: dict[str, set[int]] = field(default_factory=dict)


class TextShard(Shard):
    """A shard in a text format. Subclasses are the dialects: they find rows, read their values and blank them."""

    long_row_hint = ""
    """What most often makes a row too long in this format, as the end of a sentence."""

    def __init__(self, file: ShardFile) -> None:
        super().__init__(file)
        self._form, self._compression = split_extension(file.name)

    @property
    def format(self) -> str:
        """The extension without its first dot."""
        return (self._form + self._compression).removeprefix(".")

    @abstractmethod
    def scan(self, data: bytes) -> Rows | None:
        """The whole rows of `data`, which begins where a row may; None where there is none, or any doubt."""

    @abstractmethod
    def parse(self, window: Window, first: int) -> Iterator[tuple[bytes, object | None]]:
        """Each piece of the stream from here on, and the values of its row if it is one; that row has the index `first`.

        Takes no more from the window than the piece. Raises `BadShard` at the first thing that the format forbids.
        """

    @abstractmethod
    def read(self, block: Block, columns: Sequence[str]) -> dict[str, pa.Array] | None:
        """The values of the named columns in a block that was scanned; None where not every row is beyond doubt."""

    @abstractmethod
    def arrays(self, rows: list[object], columns: Sequence[str], first: int) -> dict[str, pa.Array]:
        """The values of the named columns in parsed `rows`, of which the first has the index `first`."""

    @abstractmethod
    def redacted(self, raw: bytes, row: int, gaps: Gaps) -> bytes:
        """The bytes of the row with this index in the shard, with its gaps."""

    def take_header(self, window: Window) -> bytes:  # noqa: ARG002  most dialects have none
        """Take what comes before the first row."""
        return b""

    def batches(self, columns: Sequence[str]) -> Iterator[Batch]:
        """The rows in order, every one of them checked."""
        for block in self._blocks():
            if not len(block):
                continue
            arrays = self.read(block, columns) if block.rows is None else None
            if arrays is None:
                rows = block.rows if block.rows is not None else self._parsed_again(block)
                arrays = self.arrays(rows, columns, block.first)
            yield Batch(block.first, len(block), arrays)

    def rewrite(self, target: Path, cut: Cut) -> Written:
        """Copy the bytes around the rows that the cut touches, and write these as it leaves them."""
        cut.check(self.columns, self.file.name)
        kept = 0
        with TextWriter(target, self._compression) as sink:
            for block in self._blocks():
                here = cut.within(block.first, len(block))
                sink.write(b"".join(self._without(block, here)))
                kept += len(block) - len(here.drop)
        return sink.written(kept)

    def compare(self, written: Shard, cut: Cut) -> None:
        """Read both files side by side: the other must be the bytes that stay of this one, and no more."""
        assert isinstance(written, TextShard)
        with written._window() as found:  # noqa: SLF001  the other file of the same class
            for block in self._blocks():
                stays = b"".join(self._without(block, cut.within(block.first, len(block))))
                if found.take(len(stays)) != stays:
                    last = block.first + len(block) - 1
                    raise VerificationFailed(
                        f"{self.file.name}: differs from what stays of rows {block.first} to {last} of its base."
                    )
            if found.take(1):
                raise VerificationFailed(f"{self.file.name}: goes on after the last row of its base.")
        written.check_unchanged()

    def _without(self, block: Block, cut: Cut) -> Iterator[bytes | memoryview]:
        """What is left of a block, in order. `cut` counts rows from the block's first."""
        if not cut:
            yield block.data
            return
        dropped = set(cut.drop.tolist())
        gaps = _gaps(cut)
        data = memoryview(block.data)
        done = 0
        for row in cut.touched.tolist():
            yield data[done : block.starts[row]]
            if row not in dropped:
                yield self.redacted(block.raw(row), block.first + row, gaps[row])
            done = block.ends[row]
        yield data[done:]

    def _blocks(self) -> Iterator[Block]:
        """The file in blocks, checked to be unchanged at the end."""
        first = 0
        with self._window() as window:
            if header := window.take_mark() + self.take_header(window):
                yield Block(0, 0, header, np.zeros(0, np.int64), np.zeros(0, np.int64), [])
            while data := window.look():
                block = self._scanned(window, data, first)
                if block is None:
                    block = self._parsed(window, len(data), first)
                first += len(block)
                yield block
        self.check_unchanged()

    def _scanned(self, window: Window, data: bytes, first: int) -> Block | None:
        """The next block as far as the scan can vouch for it."""
        if (found := self.scan(data)) is None:
            return None
        data = data[: found.length]
        if not is_text(data):
            return None
        block = Block(first, window.line, data, found.starts, found.ends)
        window.skip(len(data), count_lines(data))
        return block

    def _parsed(self, window: Window, length: int, first: int) -> Block:
        """The next block, of at least `length` bytes if the stream has them, row by row."""
        line, at = window.line, 0
        raws: list[bytes] = []
        spans: list[tuple[int, int]] = []
        rows: list[object] = []
        for raw, row in self.parse(window, first):
            if row is not None:
                spans.append((at, at + len(raw)))
                rows.append(row)
            raws.append(raw)
            at += len(raw)
            if at >= length:
                break
        places = np.array(spans, dtype=np.int64).reshape(-1, 2)
        return Block(first, line, b"".join(raws), places[:, 0], places[:, 1], rows)

    def _parsed_again(self, block: Block) -> list[object]:
        """The rows of a block that the scan could not read: most likely this raises what is wrong with them."""
        again = self._parsed(Window(io.BytesIO(block.data), block.line), len(block.data), block.first)
        assert again.rows is not None
        return again.rows

    @contextmanager
    def _window(self) -> Iterator[Window]:
        """The decompressed bytes; what goes wrong in reading them is a fault of the file."""
        with self._open() as source, reading(source, self._compression) as stream:
            window = Window(stream)
            try:
                yield window
            except BROKEN_STREAM as error:
                raise self.bad(
                    f"cannot be decompressed beyond {window.line:,} lines: it is cut off or damaged. Fetch it again."
                ) from error
            except OSError as error:
                raise self.unreadable(error) from error

    def take_lines(self, window: Window) -> Iterator[bytes]:
        """Take line by line, each with its end, and check that it is text and not too long."""
        while line := window.take_line():
            if len(line) == MAX_ROW_BYTES and not line.endswith(b"\n"):
                raise self.bad(
                    f"line {window.line} is longer than {MAX_ROW_BYTES >> 20} MiB.{self.long_row_hint}"
                )
            if b"\0" in line:
                raise self.bad(f"line {window.line} holds a NUL byte, so this is not a text file.")
            yield line

    def decode(self, line: bytes, number: int) -> str:
        """A line as text. Raises `BadShard` where it is not UTF-8."""
        try:
            return line.decode()
        except UnicodeDecodeError as error:
            raise self.not_utf8(number, error) from error

    def not_utf8(self, number: int, error: UnicodeDecodeError) -> BadShard:
        """The error for a line that is not UTF-8."""
        return self.bad(
            f"line {number} is not UTF-8 (byte {error.start + 1} of the line). Convert the file first."
        )


def _gaps(cut: Cut) -> dict[int, Gaps]:
    gaps: dict[int, Gaps] = {}
    for name, rows in cut.null.items():
        for row in rows.tolist():
            gaps.setdefault(row, Gaps()).null.add(name)
    for name, pairs in cut.elements.items():
        for row, place in pairs.tolist():
            gaps.setdefault(row, Gaps()).elements.setdefault(name, set()).add(place)
    return gaps


def line_end(raw: bytes) -> bytes:
    """The line break that a row ends with; none at the end of a file that lacks one."""
    if raw.endswith(b"\r\n"):
        return b"\r\n"
    return b"\n" if raw.endswith(b"\n") else b""
