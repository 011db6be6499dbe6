"""Plain text shards: one URL a line."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pyarrow as pa

from expunge.shards.shard import Column
from expunge.shards.text import Gaps, TextShard, line_end

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

URL_COLUMN = "url"


class PlainShard(TextShard):
    """A list of URLs. Every line is a row, so that the aligned form can leave one empty; a blank one is null."""

    @property
    def columns(self) -> tuple[Column, ...]:
        """One column, `url`."""
        return (Column(URL_COLUMN, "string", required=False),)

    def parse(self, lines: Iterator[bytes]) -> Iterator[tuple[bytes, object | None]]:
        """Each line with its text, without its line break."""
        for number, raw in enumerate(lines, 1):
            yield raw, self.decode(raw.removesuffix(b"\n").removesuffix(b"\r"), number)

    def arrays(self, rows: list[object], columns: Sequence[str], first: int) -> dict[str, pa.Array]:
        """The one column."""
        texts = cast("list[str]", rows)
        return {
            name: pa.array([text if text.strip() else None for text in texts], pa.large_string())
            for name in columns
        }

    def redacted(self, raw: bytes, row: object, gaps: Gaps) -> bytes:
        """An empty line; with a line break also at the end of a file that had none, or the row would be gone."""
        return (line_end(raw) or b"\n") if URL_COLUMN in gaps.null else raw
