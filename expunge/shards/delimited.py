"""CSV and TSV shards, in the dialect of RFC 4180: fields may be quoted, a quote inside is doubled."""

from __future__ import annotations

import csv
import io
from functools import cached_property
from typing import TYPE_CHECKING, cast

import pyarrow as pa

from expunge.shards.shard import Column
from expunge.shards.text import MAX_ROW_BYTES, Gaps, TextShard, line_end

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
        with self._lines() as (_, lines):
            for _, fields in self._records(lines):
                if fields:
                    return fields
        raise self.bad("has no header. Its first line must name the columns.")

    @property
    def _delimiter(self) -> str:
        return "\t" if self._form == ".tsv" else ","

    def parse(self, lines: Iterator[bytes]) -> Iterator[tuple[bytes, object | None]]:
        """Each record with its fields; the header and blank lines are no rows."""
        width = 0
        number = 0
        for raw, fields in self._records(lines):
            if not fields:
                yield raw, None
            elif not width:
                width = len(fields)
                yield raw, None
            else:
                if len(fields) != width:
                    raise self.bad(
                        f"row {number} has {len(fields)} fields, the header has {width}. "
                        "Rows are counted from 0 after the header."
                    )
                number += 1
                yield raw, fields

    def arrays(self, rows: list[object], columns: Sequence[str], first: int) -> dict[str, pa.Array]:
        """Text arrays, null where a field is empty."""
        records = cast("list[list[str]]", rows)
        places = {name: self._header.index(name) for name in columns}
        return {
            name: pa.array([fields[place] or None for fields in records], pa.large_string())
            for name, place in places.items()
        }

    def redacted(self, raw: bytes, row: object, gaps: Gaps) -> bytes:
        """The row written anew with those fields empty, in the same dialect and with the same line break."""
        fields = [
            "" if name in gaps.null else value
            for name, value in zip(self._header, cast("list[str]", row), strict=True)
        ]
        text = io.StringIO()
        # Python's writer quotes a line break in a field only where the break is part of its own.
        csv.writer(text, delimiter=self._delimiter, lineterminator="\r\n").writerow(fields)
        return text.getvalue().removesuffix("\r\n").encode() + line_end(raw)

    def _records(self, lines: Iterator[bytes]) -> Iterator[tuple[bytes, list[str]]]:
        """Each record's bytes and fields; the fields of a blank line are empty.

        The reader asks for as many lines as the record needs and no more, so the lines it took are the record.
        """
        taken: list[bytes] = []
        size = 0
        number = 0

        def feed() -> Iterator[str]:
            nonlocal size, number
            for line in lines:
                number += 1
                size += len(line)
                taken.append(line)
                if size > MAX_ROW_BYTES:
                    raise self.bad(
                        f"the row that begins on line {number - len(taken) + 1} is longer than "
                        f"{MAX_ROW_BYTES >> 20} MiB.{self.long_row_hint}"
                    )
                yield self.decode(line, number)

        reader = csv.reader(feed(), delimiter=self._delimiter, strict=True)
        while True:
            try:
                fields = next(reader, None)
            except csv.Error as error:
                raise self.bad(
                    f"the row that begins on line {number - len(taken) + 1} is not well-formed: {error}. "
                    "Quote fields that hold quotes, and double the quotes inside."
                ) from error
            if fields is None:
                return
            yield taken[0] if len(taken) == 1 else b"".join(taken), fields
            taken.clear()
            size = 0
