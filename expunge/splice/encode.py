"""Column chunks written anew, by PyArrow, from the rows that stay.

PyArrow writes whole files, so columns go to a small file in memory, of which the bytes of the chunks are taken. A few
columns are written at a time: memory is that of some megabytes of values, however wide a row group is.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from functools import partial
from multiprocessing import parent_process
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from expunge.splice.bare import BareFile, shape_of, shapes_written
from expunge.splice.footer import (
    KEY_VALUES,
    PATH,
    SIZE_STATISTICS,
    STATISTICS,
    TAIL,
    ColumnChunk,
    Footer,
    FooterError,
)
from expunge.splice.indexes import Beside, read_beside
from expunge.splice.style import ChunkStyle, settings, style_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from concurrent.futures import Executor, Future

    from expunge.shards.cut import Cut

THREADS = 1 if parent_process() else 2
"""Columns written at a time: one in a pool of processes, which has a process for each processor."""

# Columns are written together up to so many bytes of values.
_BATCH_BYTES = 16 << 20

# Fields of `Statistics`: the least and greatest value in the old and the new way, and whether they are exact.
_BOUNDS = {1, 2, 5, 6, 7, 8}
_NULLS, _DISTINCT = 3, 4

# Fields of `ColumnChunk`: where the column index is.
_COLUMN_INDEX = {6, 7}


@dataclass(frozen=True, slots=True)
class Fresh:
    """A column chunk in a file in memory, `data`, to which all its offsets are, and what lies beside it there."""

    chunk: ColumnChunk
    data: memoryview
    beside: Beside


class Encoder:
    """Writes column chunks of one file anew. Raises `FooterError` where PyArrow would store a column in another shape."""

    def __init__(self, bare: BareFile, threads: Executor) -> None:
        """`threads` write columns while others are read."""
        self._threads = threads
        self._source = bare.source
        self._bare = bare
        self._paths: dict[int, list[str]] = {}

    def check(self, tops: Sequence[int]) -> None:
        """Refuse columns that PyArrow would store in another shape than the file's. Raises `FooterError`."""
        for top in tops:
            if top in self._paths:
                continue
            written = shapes_written(pa.schema([self._bare.schema.field(top)]))
            here = [shape_of(leaf) for leaf in self._source.footer.leaves if leaf.top == top]
            if here != [shape for _, shape in written]:
                raise FooterError(
                    f"column {self._bare.names[top]!r} is stored in a way that PyArrow does not write"
                )
            self._paths[top] = [path for path, _ in written]

    def encode(
        self, group: int, tops: Sequence[int], cut: Cut, dictionaries: Mapping[int, pa.Array]
    ) -> Iterator[Fresh]:
        """The chunks of top-level columns of a row group, leaf by leaf, without what the cut takes out.

        Columns for which there is a dictionary are written with all of it.

        Raises `FooterError` and what PyArrow raises.
        """
        self.check(tops)
        chunks = self._source.footer.groups[group].columns
        leaves = self._source.footer.leaves
        styles = {
            top: [
                style_of(self._source, chunks[leaf], leaves[leaf])
                for leaf in self._source.footer.leaves_of(top)
            ]
            for top in tops
        }
        waiting: deque[tuple[list[int], Future[tuple[memoryview, list[ColumnChunk]]]]] = deque()
        for batch in self._batches(chunks, tops, styles):
            table = _with_dictionaries(self._bare.read(group, batch, cut), batch, dictionaries)
            told = [style for top in batch for style in styles[top]]
            waiting.append((batch, self._threads.submit(self._write, table, batch, told)))
            if len(waiting) > THREADS:
                yield from self._finished(chunks, *waiting.popleft())
        while waiting:
            yield from self._finished(chunks, *waiting.popleft())

    def encode_part(self, table: pa.Table, top: int, style: ChunkStyle) -> Fresh:
        """A chunk of a column without children, of the rows of a table, with all that PyArrow says of it."""
        self.check([top])
        data, (new,) = self._write(table, [top], [style])
        return Fresh(new, data, read_beside(partial(_part, data), new))

    def _finished(
        self,
        chunks: Sequence[ColumnChunk],
        tops: Sequence[int],
        future: Future[tuple[memoryview, list[ColumnChunk]]],
    ) -> Iterator[Fresh]:
        """The chunks of some columns once they are written."""
        data, written = future.result()
        olds = [chunks[leaf] for top in tops for leaf in self._source.footer.leaves_of(top)]
        for old, new in zip(olds, written, strict=True):
            _carry_over(old, new)
            yield Fresh(new, data, read_beside(partial(_part, data), new))

    def _write(
        self, table: pa.Table, tops: Sequence[int], styles: Sequence[ChunkStyle]
    ) -> tuple[memoryview, list[ColumnChunk]]:
        """A file in memory of one row group, and its chunks."""
        sink = pa.BufferOutputStream()
        told = settings(styles, [path for top in tops for path in self._paths[top]])
        # Some readers stumble over a dictionary page of no bytes.
        empty = {
            field.name
            for field in table.schema
            if table.column(field.name).null_count == table.num_rows
            and not pa.types.is_dictionary(field.type)
        }
        told["use_dictionary"] = [path for path in told["use_dictionary"] if path not in empty]
        with pq.ParquetWriter(sink, table.schema, **told) as writer:
            writer.write_table(table, row_group_size=table.num_rows)
        data = memoryview(sink.getvalue()).cast("B")
        length = int.from_bytes(data[-TAIL : -TAIL + 4], "little")
        start = len(data) - TAIL - length
        (new,) = Footer(bytes(data[start:-TAIL]), start).groups
        return data, new.columns

    def _batches(
        self, chunks: Sequence[ColumnChunk], tops: Sequence[int], styles: dict[int, list[ChunkStyle]]
    ) -> Iterator[list[int]]:
        """Columns in order that can be written together: of one page style, and not too large."""
        batch: list[int] = []
        size = 0
        for top in tops:
            here = sum(chunks[leaf].meta.uncompressed_size for leaf in self._source.footer.leaves_of(top))
            pages = {style.pages for style in (styles[batch[0]] if batch else []) + styles[top]}
            if batch and (len(pages) > 1 or size + here > _BATCH_BYTES):
                yield batch
                batch, size = [], 0
            batch.append(top)
            size += here
        if batch:
            yield batch


def _part(data: memoryview, begin: int, end: int) -> bytes:
    return bytes(data[begin:end])


def _with_dictionaries(
    table: pa.Table, tops: Sequence[int], dictionaries: Mapping[int, pa.Array]
) -> pa.Table:
    """The table with these dictionaries, which PyArrow then writes whole, entries that no row has too."""
    for place, top in enumerate(tops):
        if top in dictionaries:
            values = table.column(place).combine_chunks()
            column = pa.DictionaryArray.from_arrays(pc.index_in(values, dictionaries[top]), dictionaries[top])
            table = table.set_column(place, table.field(place).with_type(column.type), column)
    return table


def _carry_over(old: ColumnChunk, new: ColumnChunk) -> None:
    """Say of the new chunk what was said of the old one, and no more: its path, notes, and which statistics."""
    was, now = old.meta.struct, new.meta.struct
    for field in (PATH, KEY_VALUES):
        if field in was:
            new.meta.put(field, *was[field])
    if SIZE_STATISTICS not in was:
        new.meta.drop(SIZE_STATISTICS)
    if STATISTICS in now:
        statistics, known = new.meta.statistics, old.meta.statistics.struct.keys()
        statistics.drop(*(() if _BOUNDS & known else _BOUNDS))
        statistics.drop(*({_NULLS, _DISTINCT} - known))
    if not old.column_index_length:
        new.drop(*_COLUMN_INDEX)
