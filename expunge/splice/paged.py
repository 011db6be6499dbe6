"""What is said of a column chunk that is put together from pages of an old one and new pages."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from expunge.splice.footer import SIZE_STATISTICS, STATISTICS, ColumnChunk, ColumnMetaData
from expunge.splice.indexes import Beside, OffsetIndex, PageLocation, read_beside
from expunge.splice.pages import DICTIONARY, Page, pages
from expunge.splice.thrift import Items, Kind, Struct, decode, encode
from expunge.splice.views import View

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from expunge.splice.encode import Fresh
    from expunge.splice.source import Source

_ENCODINGS, _DICTIONARY_PLACE, _ENCODING_COUNTS = 2, 11, 13
"""Fields of `ColumnMetaData`."""

_NULLS = 3
"""Field of `Statistics`."""

_PAGE_BYTES = 2
"""Field of `OffsetIndex`: how long the values of each page are, for values of varying length."""

_BOUNDS = {1, 2, 3}
_ORDER = 4
_LEVELS = {6, 7}
_COLUMN_INDEX_FIELDS = {*_BOUNDS, _ORDER, 5, *_LEVELS}
"""Fields of `ColumnIndex`: those that its order depends on (pages of nulls, least and greatest values), the order, how often
each level is there, all."""

_UNORDERED = 0


class ByPagesError(Exception):
    """A chunk of which more is said than can be said of it after some pages changed."""


@dataclass(frozen=True, slots=True)
class Change:
    """The values of pages before and after they lose something, and the chunk that holds those after; None for no rows."""

    before: pa.ChunkedArray
    after: pa.ChunkedArray
    fresh: Fresh | None


@dataclass(frozen=True, slots=True)
class Part:
    """Pages of a chunk, by their places in the file, and what becomes of them; None where they stay as they are."""

    old: tuple[Page, ...]
    change: Change | None = None

    @property
    def extent(self) -> tuple[int, int]:
        """Where the old pages begin and end in the file."""
        return self.old[0].start, self.old[-1].end

    def data(self) -> memoryview:
        """The bytes of the new pages."""
        if not self.change or not self.change.fresh:
            return memoryview(b"")
        begin, end = self.change.fresh.chunk.extent
        return self.change.fresh.data[begin:end]

    def pages(self) -> tuple[Page, ...]:
        """The pages as they are now, placed from anywhere."""
        return tuple(pages(self.data())) if self.change else self.old


@dataclass(frozen=True, slots=True)
class Paged:
    """A chunk in parts, its offsets as if it began where the old one does, and what lies beside it."""

    chunk: ColumnChunk
    parts: Sequence[Part]
    beside: Beside


def put_together(source: Source, old: ColumnChunk, parts: Sequence[Part]) -> Paged:
    """The chunk that these parts make. Raises `ByPagesError` where what was said of the old one cannot be said of it."""
    chunk = ColumnChunk(dict(old.struct))
    meta = ColumnMetaData(dict(old.meta.struct))
    chunk.put(3, Kind.STRUCT, meta.struct)
    now = [page for part in parts for page in part.pages()]
    begin, _ = old.extent
    locations: list[PageLocation] = []
    place, row = begin, 0
    meta.drop(_DICTIONARY_PLACE)
    for page in now:
        if page.header.type == DICTIONARY:
            meta.dictionary_page_offset = place
        else:
            locations.append(_location(place, page.size, row))
            row += page.header.values
        place += page.size
    meta.data_page_offset = locations[0].offset
    meta.values = row
    meta.compressed_size = place - begin
    meta.uncompressed_size = sum(page.uncompressed_size for page in now)
    changes = [part.change for part in parts if part.change]
    _count_encodings(meta, now, [change.fresh.chunk.meta for change in changes if change.fresh])
    _count_values(meta, changes)
    beside = read_beside(source.read, old)
    return Paged(
        chunk, parts, Beside(b"", _column_index(beside, parts), _offset_index(beside, parts, locations))
    )


def _location(place: int, size: int, row: int) -> PageLocation:
    location = PageLocation({})
    location.offset, location.compressed_size, location.first_row = place, size, row
    return location


def _count_encodings(meta: ColumnMetaData, now: Sequence[Page], fresh: Sequence[ColumnMetaData]) -> None:
    """Say which encodings there are, and of how many pages where that was said."""
    listed = dict.fromkeys([*meta.encodings, *(number for one in fresh for number in one.encodings)])
    meta.put(_ENCODINGS, Kind.LIST, Items(Kind.I32, list(listed)))
    if _ENCODING_COUNTS not in meta.struct:
        return
    counts = Counter((page.header.type, page.header.encoding_number) for page in now)
    counted = [
        {1: (Kind.I32, kind), 2: (Kind.I32, encoding), 3: (Kind.I32, count)}
        for (kind, encoding), count in counts.items()
    ]
    meta.put(_ENCODING_COUNTS, Kind.LIST, Items(Kind.STRUCT, counted))


def _count_values(meta: ColumnMetaData, changes: Sequence[Change]) -> None:
    """Take from counts of nulls, bytes and levels what is there no more."""
    before, after = [change.before for change in changes], [change.after for change in changes]
    nulls = _nulls(after) - _nulls(before)
    statistics = dict(meta.statistics.struct)
    if _NULLS in statistics:
        statistics[_NULLS] = Kind.I64, statistics[_NULLS][1] + nulls
        meta.put(STATISTICS, Kind.STRUCT, statistics)
    if SIZE_STATISTICS not in meta.struct:
        return
    sizes = View(dict(meta.struct[SIZE_STATISTICS][1]))
    if sizes.struct.keys() - {1, 2, 3}:
        raise ByPagesError
    if 1 in sizes.struct:
        sizes.put(1, Kind.I64, sizes.struct[1][1] + _bytes(after) - _bytes(before))
    rows = sum(map(len, after)) - sum(map(len, before))
    for number in (2, 3):
        levels = _elements(sizes, number)
        if len(levels) > 2:
            raise ByPagesError
        if levels:  # of one level there are as many as rows; of two, the lower one is that of nulls
            counted = (
                [levels[0] + rows] if len(levels) == 1 else [levels[0] + nulls, levels[1] + rows - nulls]
            )
            sizes.put(number, Kind.LIST, Items(Kind.I64, counted))
    meta.put(SIZE_STATISTICS, Kind.STRUCT, sizes.struct)


def _nulls(columns: Sequence[pa.ChunkedArray]) -> int:
    return sum(column.null_count for column in columns)


def _bytes(columns: Sequence[pa.ChunkedArray]) -> int:
    return sum(pc.sum(pc.binary_length(column)).as_py() or 0 for column in columns)


def _elements(view: View, number: int) -> list[int]:
    items = view.get(number, Kind.LIST)
    return items.values if isinstance(items, Items) else []


def _offset_index(beside: Beside, parts: Sequence[Part], locations: Sequence[PageLocation]) -> bytes:
    """The offset index of the parts, as if the chunk began where the old one does."""
    if not beside.offset_index:
        return b""
    index = OffsetIndex(decode(beside.offset_index)[0])
    pages_before = len(index.locations)
    if index.struct.keys() - {1, _PAGE_BYTES}:
        raise ByPagesError
    index.locations = list(locations)
    if _PAGE_BYTES in index.struct:
        items = _by_page(index.struct[_PAGE_BYTES][1], pages_before, parts, _PAGE_BYTES, _fresh_offset_index)
        index.put(_PAGE_BYTES, Kind.LIST, items)
    return encode(index.struct)


def _column_index(beside: Beside, parts: Sequence[Part]) -> bytes:
    """The column index of the parts. Pages that changed may no longer be in the order of their values."""
    if not beside.column_index:
        return b""
    old = decode(beside.column_index)[0]
    if old.keys() - _COLUMN_INDEX_FIELDS or not old.keys() >= {*_BOUNDS, _ORDER}:
        raise ByPagesError
    total = len(old[1][1].values)
    new = {
        number: field
        if number == _ORDER
        else (Kind.LIST, _by_page(field[1], total, parts, number, _fresh_column_index))
        for number, field in old.items()
    }
    if any(new[number] != old[number] for number in _BOUNDS):
        new[_ORDER] = Kind.I32, _UNORDERED
    return encode(new)


def _fresh_offset_index(fresh: Fresh) -> bytes:
    return fresh.beside.offset_index


def _fresh_column_index(fresh: Fresh) -> bytes:
    return fresh.beside.column_index


def _by_page(
    items: Items, total: int, parts: Sequence[Part], number: int, index: Callable[[Fresh], bytes]
) -> Items:
    """A list of an index of so many pages, with what new pages have there in the place of the old ones."""
    width, rest = divmod(len(items.values), total)
    if rest or total != sum(_data_pages(part.old) for part in parts):
        raise ByPagesError
    values: list[object] = []
    place = 0
    for part in parts:
        end = place + _data_pages(part.old) * width
        if not part.change:
            values += items.values[place:end]
        elif part.change.fresh and width:
            data = index(part.change.fresh)
            told: Struct = decode(data)[0] if data else {}
            fresh = told[number][1].values if number in told else []
            if not fresh and number in _LEVELS and width == 1:  # which PyArrow leaves out
                fresh = [page.header.values for page in part.pages() if page.header.type != DICTIONARY]
            if len(fresh) != _data_pages(part.pages()) * width:
                raise ByPagesError
            values += fresh
        place = end
    return Items(items.kind, values)


def _data_pages(found: Sequence[Page]) -> int:
    return sum(page.header.type != DICTIONARY for page in found)
