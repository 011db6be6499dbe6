"""CSV and TSV shards, in the dialect of RFC 4180: fields may be quoted, a quote inside is doubled."""

from __future__ import annotations

import csv
import re
from functools import cached_property
from typing import TYPE_CHECKING, cast

import pyarrow as pa

from expunge.shards.scan import (
    QUOTE,
    Places,
    Rows,
    bytes_at,
    field_breaks,
    record_breaks,
    with_content,
    without_return,
)
from expunge.shards.shard import Column
from expunge.shards.streams import MAX_ROW_BYTES, Window
from expunge.shards.text import Block, Gaps, TextShard, line_end

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# The reader's own limit is 128 KiB a field; ours is on the row, whose bytes are never fewer.
csv.field_size_limit(MAX_ROW_BYTES)


class DelimitedShard(TextShard):
    """A CSV or TSV file with a header. An empty field is null; a blank line is no row."""

    long_row_hint = " Is a quote not closed?"

    @property
    def columns(self) -> tuple[Column, ...]:
        """The header's names; every column is text."""
        return tuple(Column(name, "string", required=False) for name in self._header)

    @cached_property
    def _header(self) -> list[str]:
        with self._window() as window:
            window.take_mark()
            for _, fields in self._records(window):
                if fields:
                    return fields
        raise self.bad("has no header. Its first line must name the columns.")

    @property
    def _delimiter(self) -> str:
        return "\t" if self._form == ".tsv" else ","

    def take_header(self, window: Window) -> bytes:
        """Take the first record that is no blank line, and the blank lines before it."""
        taken: list[bytes] = []
        for raw, fields in self._records(window):
            taken.append(raw)
            if fields:
                break
        return b"".join(taken)

    def scan(self, data: bytes) -> Rows | None:
        """The records; a blank line is none."""
        breaks = record_breaks(data, ord(self._delimiter))
        if breaks is None:
            return None
        rows = Rows.between(breaks)
        return rows.where(with_content(data, rows))

    def parse(self, window: Window, first: int) -> Iterator[tuple[bytes, object | None]]:
        """Each record with its fields; blank lines are no rows."""
        width = len(self._header)
        number = first
        for raw, fields in self._records(window):
            if not fields:
                yield raw, None
                continue
            if len(fields) != width:
                raise self.bad(
                    f"row {number} has {len(fields)} fields, the header has {width}. "
                    "Rows are counted from 0 after the header."
                )
            number += 1
            yield raw, fields

    def read(self, block: Block, columns: Sequence[str]) -> dict[str, pa.Array] | None:
        """Text arrays, of the bytes between two breaks; None where a row has more or fewer fields than the header."""
        breaks = field_breaks(block.data, block.ends - 1, len(self._header), ord(self._delimiter))
        if breaks is None:
            return None
        arrays = {}
        for name in columns:
            place = self._header.index(name)
            begins = breaks[:, place - 1] + 1 if place else block.starts
            ends = breaks[:, place]
            if place == len(self._header) - 1:
                ends = without_return(block.data, ends)
            arrays[name] = pa.array(_fields(block.data, begins, ends), pa.large_string())
        return arrays

    def arrays(self, rows: list[object], columns: Sequence[str], first: int) -> dict[str, pa.Array]:
        """Text arrays, null where a field is empty."""
        records = cast("list[list[str]]", rows)
        places = {name: self._header.index(name) for name in columns}
        return {
            name: pa.array([fields[place] or None for fields in records], pa.large_string())
            for name, place in places.items()
        }

    def redacted(self, raw: bytes, row: int, gaps: Gaps) -> bytes:
        """The same row with those fields empty; every other byte stays."""
        end = line_end(raw)
        fields = _field_pattern(self._delimiter).findall(raw.removesuffix(end))
        if len(fields) != len(self._header):
            raise self.bad(f"row {row} has {len(fields)} fields, the header has {len(self._header)}.")
        kept = [b"" if name in gaps.null else field for name, field in zip(self._header, fields, strict=True)]
        # One empty field without quotes would be a blank line, which is no row.
        return (self._delimiter.encode().join(kept) or b'""') + end

    def _records(self, window: Window) -> Iterator[tuple[bytes, list[str]]]:
        """Each record's bytes and fields; the fields of a blank line are empty.

        The reader asks for as many lines as the record needs and no more, so the lines it took are the record.
        """
        taken: list[bytes] = []
        size = 0

        def feed() -> Iterator[str]:
            nonlocal size
            for line in self.take_lines(window):
                size += len(line)
                taken.append(line)
                if size > MAX_ROW_BYTES:
                    raise self.bad(
                        f"the row that begins on line {window.line - len(taken) + 1} is longer than "
                        f"{MAX_ROW_BYTES >> 20} MiB.{self.long_row_hint}"
                    )
                yield self.decode(line, window.line)

        reader = csv.reader(feed(), delimiter=self._delimiter, strict=True)
        while True:
            try:
                fields = next(reader, None)
            except csv.Error as error:
                raise self.bad(
                    f"the row that begins on line {window.line - len(taken) + 1} is not well-formed: {error}. "
                    "Quote fields that hold quotes, and double the quotes inside."
                ) from error
            if fields is None:
                return
            yield taken[0] if len(taken) == 1 else b"".join(taken), fields
            taken.clear()
            size = 0


def _fields(data: bytes, begins: Places, ends: Places) -> list[bytes | None]:
    """The values of fields by their places, None where one is empty."""
    spans = zip(begins.tolist(), ends.tolist(), strict=True)
    if not (bytes_at(data, begins) == QUOTE).any():
        return [data[begin:end] or None for begin, end in spans]
    return [
        data[begin + 1 : end - 1].replace(b'""', b'"') or None
        if data[begin] == QUOTE
        else data[begin:end] or None
        for begin, end in spans
    ]


def _field_pattern(delimiter: str) -> re.Pattern[bytes]:
    """Matches each field of a well-formed record, one after the other, without its delimiter.

    A quote that does not begin a field is a letter like any other, as it is to the exact parser.
    """
    between = re.escape(delimiter.encode())
    return re.compile(rb'(?:^|(?<=%(d)s))(?:"[^"]*+(?:""[^"]*+)*+"|[^%(d)s]*+)(?=%(d)s|\Z)' % {b"d": between})
