"""Text shards: rows found by a parser of the format, all other bytes kept as they are.

1. A dialect parses the decompressed stream into pieces: the bytes of a row with its values, or bytes that are no row
   (a byte order mark, a header, a blank line). The pieces of a file, joined, are the file.
2. Reading takes the values of the rows; rewriting writes the pieces of the rows that stay, byte by byte.
"""

from __future__ import annotations

from abc import abstractmethod
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, zip_longest
from typing import TYPE_CHECKING

from expunge.errors import BadShard, VerificationFailed
from expunge.shards.shard import BATCH_ROWS, Batch, Shard, Written
from expunge.shards.source import split_extension
from expunge.shards.streams import BROKEN_STREAM, TextWriter, reading

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import pyarrow as pa

    from expunge.shards.cut import Cut
    from expunge.shards.source import ShardFile

MAX_ROW_BYTES = 16 << 20
"""A longer row is a fault of the file, most often a quote that was never closed."""

BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(slots=True)
class Pieces:
    """Consecutive pieces of a file: `raw[i]` are bytes, `rows[i]` the values in them, or None where they are no row.

    `first` is the index of the first row among them.
    """

    first: int
    raw: list[bytes]
    rows: list[object | None]
    count: int = 0

    def add(self, raw: bytes, row: object | None) -> None:
        """Append one piece."""
        self.raw.append(raw)
        self.rows.append(row)
        if row is not None:
            self.count += 1


@dataclass(slots=True)
class Gaps:
    """What one row loses: the columns that become null, and by column the places of elements that go from its list."""

    null: set[str] = field(default_factory=set)
    elements: dict[str, set[int]] = field(default_factory=dict)


class TextShard(Shard):
    """A shard in a text format. Subclasses are the dialects: they parse pieces, name columns and blank a row."""

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
    def parse(self, lines: Iterator[bytes]) -> Iterator[tuple[bytes, object | None]]:
        """Each piece of the file after the byte order mark, in order, and the values of its row if it is one.

        Raises `BadShard` at the first thing that the format does not allow.
        """

    @abstractmethod
    def arrays(self, rows: list[object], columns: Sequence[str], first: int) -> dict[str, pa.Array]:
        """The values of the named columns in `rows`, of which the first has the index `first`."""

    @abstractmethod
    def redacted(self, raw: bytes, row: object, gaps: Gaps) -> bytes:
        """The bytes of a row with its gaps."""

    def batches(self, columns: Sequence[str]) -> Iterator[Batch]:
        """The rows in order, parsed."""
        for pieces in self._pieces():
            rows = [row for row in pieces.rows if row is not None]
            yield Batch(pieces.first, len(rows), self.arrays(rows, columns, pieces.first) if columns else {})

    def rewrite(self, target: Path, cut: Cut) -> Written:
        """Write the pieces of the rows that stay as they are, and the redacted form of those with gaps."""
        cut.check(self.columns, self.file.name)
        kept = 0
        with TextWriter(target, self._compression) as sink:
            for pieces in self._pieces():
                raws = self._without(pieces, cut)
                sink.write(b"".join(raw for raw, _ in raws))
                kept += sum(is_row for _, is_row in raws)
        return sink.written(kept)

    def compare(self, written: Shard, cut: Cut) -> None:
        """Read both files piece by piece; what stays must be the same bytes."""
        assert isinstance(written, TextShard)
        expected = (raw for pieces in self._pieces() for raw, _ in self._without(pieces, cut))
        found = (raw for pieces in written._pieces() for raw in pieces.raw)  # noqa: SLF001  the other file of the same class
        for number, (one, other) in enumerate(zip_longest(expected, found)):
            if one != other:
                raise VerificationFailed(
                    f"{self.file.name}: differs from its base at piece {number} of what stays."
                )

    def _without(self, pieces: Pieces, cut: Cut) -> list[tuple[bytes, bool]]:
        """The bytes to write for these pieces, each with whether it is a row."""
        here = cut.within(pieces.first, pieces.count)
        dropped = set(here.drop.tolist())
        gaps = _gaps(here)
        kept: list[tuple[bytes, bool]] = []
        index = -1
        for raw, row in zip(pieces.raw, pieces.rows, strict=True):
            if row is None:
                kept.append((raw, False))
                continue
            index += 1
            if index in gaps and index not in dropped:
                kept.append((self.redacted(raw, row, gaps[index]), True))
            elif index not in dropped:
                kept.append((raw, True))
        return kept

    def _pieces(self) -> Iterator[Pieces]:
        """The file in blocks of pieces, checked to be unchanged at the end."""
        pieces = Pieces(0, [], [])
        with self._lines() as (mark, lines):
            if mark:
                pieces.add(mark, None)
            for raw, row in self.parse(lines):
                pieces.add(raw, row)
                if pieces.count == BATCH_ROWS:
                    yield pieces
                    pieces = Pieces(pieces.first + pieces.count, [], [])
        if pieces.raw:
            yield pieces
        self.check_unchanged()

    @contextmanager
    def _lines(self) -> Iterator[tuple[bytes, Iterator[bytes]]]:
        """The byte order mark, if there is one, and the decompressed lines after it, each with its end."""
        with self._open() as source, reading(source, self._compression) as stream:
            lines = self._checked(iter(partial(stream.readline, MAX_ROW_BYTES), b""))
            first = next(lines, b"")
            mark = BYTE_ORDER_MARK if first.startswith(BYTE_ORDER_MARK) else b""
            rest = first[len(mark) :]
            yield mark, chain([rest] if rest else [], lines)

    def _checked(self, lines: Iterator[bytes]) -> Iterator[bytes]:
        number = 0
        try:
            for line in lines:
                number += 1
                if len(line) == MAX_ROW_BYTES and not line.endswith(b"\n"):
                    raise self.bad(
                        f"line {number} is longer than {MAX_ROW_BYTES >> 20} MiB.{self.long_row_hint}"
                    )
                if b"\0" in line:
                    raise self.bad(f"line {number} holds a NUL byte, so this is not a text file.")
                yield line
        except BROKEN_STREAM as error:
            raise self.bad(
                f"cannot be decompressed beyond {number:,} lines: it is cut off or damaged. Fetch it again."
            ) from error
        except OSError as error:
            raise self.unreadable(error) from error

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
