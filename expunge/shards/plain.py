"""Plain text shards: one URL a line."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pyarrow as pa

from expunge.shards.scan import Rows, line_breaks, without_return
from expunge.shards.shard import Column
from expunge.shards.text import Block, Gaps, TextShard, line_end

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from expunge.shards.streams import Window

URL_COLUMN = "url"


class PlainShard(TextShard):
    """A list of URLs. Every line is a row, so that the aligned form can leave one empty; a blank one is null."""

    @property
    def columns(self) -> tuple[Column, ...]:
        """One column, `url`."""
        return (Column(URL_COLUMN, "string", required=False),)

    def scan(self, data: bytes) -> Rows | None:
        """The lines."""
        if data.count(b"\r") != data.count(b"\r\n"):
            return None
        breaks = line_breaks(data)
        return Rows.between(breaks) if len(breaks) else None

    def parse(self, window: Window, first: int) -> Iterator[tuple[bytes, object | None]]:
        """Each line with its text, without its line break."""
        for raw in self.take_lines(window):
            line = raw.removesuffix(b"\n").removesuffix(b"\r")
            if b"\r" in line:
                # Some programs end a line there, so that this one would be several URLs to them and none to us.
                raise self.bad(f"line {window.line} holds a carriage return. End each line with a line feed.")
            yield raw, self.decode(line, window.line)

    def read(self, block: Block, columns: Sequence[str]) -> dict[str, pa.Array] | None:
        """The one column."""
        if not columns:
            return {}
        ends = without_return(block.data, block.ends - 1)
        spans = zip(block.starts.tolist(), ends.tolist(), strict=True)
        texts = [block.data[begin:end].decode() for begin, end in spans]
        return self.arrays(cast("list[object]", texts), columns, block.first)

    def arrays(self, rows: list[object], columns: Sequence[str], first: int) -> dict[str, pa.Array]:
        """The one column."""
        texts = cast("list[str]", rows)
        return {
            name: pa.array([text if text.strip() else None for text in texts], pa.large_string())
            for name in columns
        }

    def redacted(self, raw: bytes, row: int, gaps: Gaps) -> bytes:
        """An empty line; with a line break also at the end of a file that had none, or the row would be gone."""
        return (line_end(raw) or b"\n") if URL_COLUMN in gaps.null else raw
