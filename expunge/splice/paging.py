"""Column chunks of which only the pages that lose something are written anew; the bytes of the others are copied.

1. A chunk is a row of pieces that can be read apart: its dictionary together with the pages that point to it is one, and
   each page that holds its own values is one.
2. A piece that loses rows or cells, and the one with the dictionary whether it does or not, is read through a footer that
   tells of it alone, and written like a small chunk: its dictionary, its statistics and its part of the page index come from
   the rows that stay.
3. What is said of the chunk as a whole is added up anew (`paged`), but for its least and greatest value: where one of them
   may come from what goes, the chunk is not done by pages.

Only columns without children, of plain values and dictionaries that hold the values of their rows alone, without a bloom
filter: from that nothing can be taken out. All others are written anew whole.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from expunge.splice.footer import ColumnChunk, ColumnMetaData, RowGroup
from expunge.splice.paged import ByPagesError, Change, Paged, Part, put_together
from expunge.splice.pages import DICTIONARY, OF_DICTIONARY, Page, pages_at
from expunge.splice.style import style_of
from expunge.splice.tables import picked, without
from expunge.splice.thrift import Items, Kind

if TYPE_CHECKING:
    from expunge.shards.cut import Cut
    from expunge.splice.bare import BareFile
    from expunge.splice.encode import Encoder
    from expunge.splice.source import Source
    from expunge.splice.views import View

# Not LZ4 in its old framing: it is not written any more, and a chunk has one codec.
_CODECS = {0, 1, 2, 4, 6, 7}

# What is understood of a chunk, its metadata and statistics: more may be said of values that go, as by a bloom filter (14).
_CHUNK_FIELDS = {2, 3, 4, 5, 6, 7}
_META_FIELDS = {1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 16}
_STATISTICS_FIELDS = {1, 2, 3, 5, 6, 7, 8}

LARGEST_SHARE = 0.5
"""A chunk of which more than this share of the bytes is written anew is written whole: the rest is not worth the work."""

# A greatest value that was cut short ends in a character larger than the one that was there, of as many bytes at most.
_CHARACTER = 4


@dataclass(frozen=True, slots=True)
class Piece:
    """Pages that can be read without the others of their chunk, a dictionary first if they need one."""

    first_row: int
    pages: tuple[Page, ...]

    @property
    def has_dictionary(self) -> bool:
        """Whether its first page is a dictionary."""
        return self.pages[0].header.type == DICTIONARY

    @property
    def rows(self) -> int:
        """How many rows its pages hold."""
        return sum(page.header.values for page in self.pages if page.header.type != DICTIONARY)

    @property
    def size(self) -> int:
        """Bytes of its pages and their headers."""
        return self.pages[-1].end - self.pages[0].start

    def as_group(self, old: ColumnChunk, name: bytes) -> RowGroup:
        """The piece told of as if it were a row group of one column of this name."""
        meta = ColumnMetaData({number: old.meta.struct[number] for number in (1, 2, 3, 4)})
        meta.put(3, Kind.LIST, Items(Kind.BINARY, [name]))
        meta.values = self.rows
        meta.uncompressed_size = sum(page.uncompressed_size for page in self.pages)
        meta.compressed_size = self.size
        meta.data_page_offset = self.pages[int(self.has_dictionary)].start
        if self.has_dictionary:
            meta.dictionary_page_offset = self.pages[0].start
        chunk = ColumnChunk({})
        chunk.file_offset = self.pages[0].start
        chunk.put(3, Kind.STRUCT, meta.struct)
        group = RowGroup({})
        group.columns = [chunk]
        group.total_byte_size = meta.uncompressed_size
        group.rows = self.rows
        return group


@dataclass(frozen=True, slots=True)
class Plan:
    """A column of a row group that can be done by pages: its pieces in order, with what each loses; None to copy it."""

    group: int
    top: int
    pieces: tuple[tuple[Piece, Cut | None], ...]


def plan_pages(bare: BareFile, group: int, top: int, cut: Cut) -> Plan | None:
    """How a column of a row group can be cut by pages; None where it cannot, or where too little would be copied.

    The column's dictionary must hold values of its rows alone. Raises `ThriftError` for broken page headers.
    """
    source = bare.source
    leaves = source.footer.leaves_of(top)
    chunk = source.footer.groups[group].columns[leaves[0]]
    rows = source.footer.groups[group].rows
    if (
        len(leaves) > 1
        or source.footer.leaves[leaves[0]].repetition
        or not _is_plain(bare.schema.field(top).type)
    ):
        return None
    if not _is_understood(chunk) or (pieces := _pieces(source, chunk)) is None:
        return None
    if chunk.meta.values != rows or sum(piece.rows for piece in pieces) != rows:
        return None
    named = _named_by_place(cut, bare.names[top], top)
    parts = [(piece, named.within(piece.first_row, piece.rows)) for piece in pieces]
    # What a dictionary holds of rows in other pages nobody says.
    told = tuple((piece, here if here or piece.has_dictionary else None) for piece, here in parts)
    anew = sum(piece.size for piece, here in told if here is not None)
    return Plan(group, top, told) if anew <= LARGEST_SHARE * chunk.meta.compressed_size else None


def write_pages(bare: BareFile, encoder: Encoder, plan: Plan) -> Paged | None:
    """The chunk by its plan; None where it has to be written anew whole after all.

    Raises `FooterError`, `LossError`, `ThriftError` and what PyArrow raises.
    """
    source = bare.source
    (leaf,) = source.footer.leaves_of(plan.top)
    old = source.footer.groups[plan.group].columns[leaf]
    style = style_of(source, old, source.footer.leaves[leaf])
    plain = replace(style, dictionary=False)
    changed = [piece for piece, here in plan.pieces if here is not None]
    tables = iter(
        bare.read_parts(plan.top, [piece.as_group(old, str(plan.top).encode()) for piece in changed])
    )
    parts: list[Part] = []
    for piece, here in plan.pieces:
        if here is None:
            parts.append(Part(piece.pages))
            continue
        before = next(tables)
        if may_tell_of(old.meta.statistics, picked(before.column(0), here.touched)):
            return None
        after = without(before, here)
        told = style if piece.has_dictionary else plain
        fresh = encoder.encode_part(after, plan.top, told) if after.num_rows else None
        parts.append(Part(piece.pages, Change(before.column(0), after.column(0), fresh)))
    try:
        return put_together(source, old, parts)
    except ByPagesError:
        return None


def _is_plain(kind: pa.DataType) -> bool:
    """Whether bare values of a type are compared with statistics as their bytes or numbers are."""
    return bool(
        pa.types.is_integer(kind)
        or pa.types.is_float32(kind)
        or pa.types.is_float64(kind)
        or pa.types.is_binary(kind)
        or pa.types.is_fixed_size_binary(kind)
    )


def _is_understood(chunk: ColumnChunk) -> bool:
    return (
        chunk.meta.codec in _CODECS
        and chunk.struct.keys() <= _CHUNK_FIELDS
        and chunk.meta.struct.keys() <= _META_FIELDS
        and chunk.meta.statistics.struct.keys() <= _STATISTICS_FIELDS
    )


def _pieces(source: Source, chunk: ColumnChunk) -> list[Piece] | None:
    """The pieces of a chunk; None where a page is neither plain nor one of those that follow their dictionary."""
    begin, end = chunk.extent
    pages = tuple(pages_at(source, begin, end))
    if [begin, *(page.end for page in pages)] != [*(page.start for page in pages), end]:
        return None  # something lies between
    together = 0
    if pages and pages[0].header.type == DICTIONARY:
        together = next(
            (
                place
                for place, page in enumerate(pages)
                if place and page.header.encoding not in OF_DICTIONARY
            ),
            len(pages),
        )
    alone = pages[together:]
    if together == 1 or any(
        page.header.type == DICTIONARY or page.header.encoding != "PLAIN" for page in alone
    ):
        return None
    pieces: list[Piece] = []
    first_row = 0
    for run in [*([pages[:together]] if together else []), *((page,) for page in alone)]:
        pieces.append(Piece(first_row, run))
        first_row += pieces[-1].rows
    return pieces


def _named_by_place(cut: Cut, name: str, top: int) -> Cut:
    """The part of a cut that is about one column, which is named by its place."""
    return replace(cut, null={str(top): cut.null[name]} if name in cut.null else {}, elements={})


def may_tell_of(statistics: View, gone: pa.ChunkedArray) -> bool:
    """Whether the least or greatest value of a chunk may be one of these."""
    fields = statistics.struct
    values = gone.drop_null().combine_chunks()
    bounds = {number: fields[number][1] for number in (1, 2, 5, 6) if number in fields}
    if not len(values):
        return False
    if pa.types.is_integer(values.type) or pa.types.is_floating(values.type):
        numbers = np.from_dlpack(values)
        return any(_has_number(numbers, bound) for bound in bounds.values())
    whole = {number for number, told in ((5, 7), (6, 8)) if fields.get(told, (0, False))[1] is True}
    return any(
        _may_come_from(bound, value.as_py(), whole=number in whole, greatest=number in _GREATEST)
        for number, bound in bounds.items()
        for value in values
    )


_GREATEST = {1, 5}
"""Fields of `Statistics` that hold the greatest value, in the old and the new way."""


def _has_number(numbers: np.ndarray, bound: bytes) -> bool:
    """Whether a bound, as it is stored, is one of the numbers: 0.0 is -0.0 too, and a NaN is none."""
    if len(bound) != numbers.dtype.itemsize:
        return True
    one = np.frombuffer(bound, numbers.dtype)
    return bool((numbers == one).any() or bound in numbers.view(f"V{len(bound)}").tolist())


def _may_come_from(bound: bytes, value: bytes, *, whole: bool, greatest: bool) -> bool:
    """Whether a bound may be this value, or be cut from it if it need not be whole."""
    if whole or not bound:
        return value == bound
    return value.startswith(bound[:-_CHARACTER] if greatest else bound)
