"""A Parquet file without some rows or cells, for the price of the row groups that hold them.

1. The cut is split by row group. A group that it does not touch is copied; one of which no row is left is left out.
2. In a group that loses rows every column chunk is written anew from the rows that stay; in one that loses only cells, the
   chunks of the columns that lose some. The others are copied. Where most pages of such a chunk lose nothing, they are copied
   too (`paging`).
3. What lies beside a copied chunk, bloom filter and page index, is carried over to its new place.
4. The footer is the old one with the new row groups.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import takewhile
from typing import TYPE_CHECKING

from expunge.splice.bare import BareFile
from expunge.splice.dictionaries import Dictionaries, doubtful_columns, plan_dictionaries, stale_columns
from expunge.splice.encode import THREADS, Encoder, Fresh
from expunge.splice.footer import (
    MAGIC,
    ORDINAL,
    SORTING_COLUMNS,
    TOTAL_COMPRESSED_SIZE,
    ColumnChunk,
    RowGroup,
)
from expunge.splice.indexes import (
    Beside,
    moved,
    read_beside,
    write_bloom_filter,
    write_column_index,
    write_offset_index,
)
from expunge.splice.paging import Plan, plan_pages, write_pages

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa

    from expunge.shards.cut import Cut
    from expunge.splice.source import Sink, Source


def splice(source: Source, cut: Cut, sink: Sink, arrow_schema: pa.Schema | None) -> int:
    """Write the file without what the cut takes out to `sink`; returns the rows written.

    `arrow_schema` is the schema that a writer of Arrow tables left in the file. One row group's columns are in memory at a
    time, some megabytes of them. Raises `FooterError` where the file cannot be spliced, before anything is written where
    that can be known, `ThriftError` for broken page headers, and what PyArrow and the operating system raise.
    """
    with BareFile(source) as bare, ThreadPoolExecutor(THREADS) as threads:
        todo = list(parts(source, cut))
        encoder = Encoder(bare, threads)
        for _, _, here in todo:
            encoder.check(changed_columns(source, here))
        doubtful = doubtful_columns(source, arrow_schema)
        dictionaries = plan_dictionaries(bare, doubtful, [(number, here) for number, _, here in todo])
        return _Splicer(bare, sink, encoder, dictionaries).run(todo)


def parts(source: Source, cut: Cut) -> Iterator[tuple[int, RowGroup, Cut]]:
    """The row groups of which rows stay: number, group, and the part of the cut that falls in it."""
    first = 0
    for number, group in enumerate(source.footer.groups):
        here = cut.within(first, group.rows)
        if len(here.drop) < group.rows:
            yield number, group, here
        first += group.rows


def changed_columns(source: Source, cut: Cut) -> list[int]:
    """The places of the top-level columns of a row group that this part of a cut changes."""
    names = [column.name.decode(errors="surrogateescape") for column in source.footer.columns]
    return [place for place, name in enumerate(names) if len(cut.drop) or name in cut.columns]


class _Splicer:
    def __init__(self, bare: BareFile, sink: Sink, encoder: Encoder, dictionaries: Dictionaries) -> None:
        self._bare = bare
        self._source = bare.source
        self._sink = sink
        self._encoder = encoder
        self._dictionaries = dictionaries
        self._groups: list[RowGroup] = []
        self._placed: list[tuple[ColumnChunk, Beside]] = []

    def run(self, todo: Sequence[tuple[int, RowGroup, Cut]]) -> int:
        self._sink.write(MAGIC)
        for number, group, here in todo:
            changed = {*changed_columns(self._source, here), *self._dictionaries.anew}
            doubtful = [top for top in self._dictionaries.own if top not in changed]
            changed.update(stale_columns(self._bare, number, doubtful, here))
            self._write_group(number, group, here, sorted(changed))
        for chunk, beside in self._placed:
            write_column_index(self._sink, chunk, beside.column_index)
        for chunk, beside in self._placed:
            write_offset_index(self._sink, chunk, beside.offset_index)
        self._sink.write(self._source.footer.encode(self._groups))
        return sum(group.rows for group in self._groups)

    def _write_group(self, number: int, group: RowGroup, cut: Cut, anew: Sequence[int]) -> None:
        begin = self._sink.length
        by_pages = {
            top: plan
            for top in anew
            if top not in self._dictionaries.doubtful
            and (plan := plan_pages(self._bare, number, top, cut)) is not None
        }
        whole = [top for top in anew if top not in by_pages]
        fresh = self._encoder.encode(number, whole, cut, self._dictionaries.shared)
        placed: list[tuple[ColumnChunk, Beside]] = []
        for leaf, chunk in zip(self._source.footer.leaves, group.columns, strict=True):
            if leaf.top in by_pages:
                placed.append(self._place_pages(by_pages[leaf.top], cut))
            else:
                placed.append(self._place_fresh(next(fresh)) if leaf.top in anew else self._place_copy(chunk))
        for (
            chunk,
            beside,
        ) in placed:  # here and not at the end of the file, so that they need not stay in memory
            write_bloom_filter(self._sink, chunk, beside.bloom_filter)
        self._placed += [(chunk, replace(beside, bloom_filter=b"")) for chunk, beside in placed]
        new = RowGroup(dict(group.struct))
        new.columns = [chunk for chunk, _ in placed]
        new.rows = group.rows - len(cut.drop)
        if anew:
            self._describe(new, cut)
        if new.file_offset:
            new.file_offset = begin
        if ORDINAL in new.struct:
            new.ordinal = len(self._groups)
        self._groups.append(new)

    def _place_copy(self, chunk: ColumnChunk) -> tuple[ColumnChunk, Beside]:
        begin, end = chunk.extent
        distance = self._sink.length - begin
        self._source.copy(begin, end, self._sink)
        beside = read_beside(self._source.read, chunk)
        return chunk.moved(distance), replace(beside, offset_index=moved(beside.offset_index, distance))

    def _place_pages(self, plan: Plan, cut: Cut) -> tuple[ColumnChunk, Beside]:
        paged = write_pages(self._bare, self._encoder, plan)
        if paged is None:
            (fresh,) = self._encoder.encode(plan.group, [plan.top], cut, {})
            return self._place_fresh(fresh)
        distance = self._sink.length - paged.chunk.extent[0]
        for part in paged.parts:
            if part.change:
                self._sink.write(part.data())
            else:
                self._source.copy(*part.extent, self._sink)
        beside = paged.beside
        return paged.chunk.moved(distance), replace(beside, offset_index=moved(beside.offset_index, distance))

    def _place_fresh(self, fresh: Fresh) -> tuple[ColumnChunk, Beside]:
        begin, end = fresh.chunk.extent
        distance = self._sink.length - begin
        self._sink.write(fresh.data[begin:end])
        beside = fresh.beside
        return fresh.chunk.moved(distance), replace(beside, offset_index=moved(beside.offset_index, distance))

    def _describe(self, group: RowGroup, cut: Cut) -> None:
        """Say of a row group what its new chunks make true."""
        group.total_byte_size = sum(chunk.meta.uncompressed_size for chunk in group.columns)
        if TOTAL_COMPRESSED_SIZE in group.struct:
            group.total_compressed_size = sum(chunk.meta.compressed_size for chunk in group.columns)
        # Rows that go leave the others in order; cells that change do not.
        leaves = self._source.footer.leaves
        cells = changed_columns(self._source, replace(cut, drop=cut.drop[:0]))
        sorting = group.sorting_columns
        kept = list(takewhile(lambda one: leaves[one.column].top not in cells, sorting))
        if len(kept) < len(sorting):
            group.sorting_columns = kept
            if not kept:
                group.drop(SORTING_COLUMNS)
