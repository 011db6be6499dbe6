"""What lies beside the pages of a column chunk and is found by absolute offsets: bloom filter, page index."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from expunge.splice.style import bloom_extent
from expunge.splice.thrift import Kind, decode, encode
from expunge.splice.views import Number, Several, View

if TYPE_CHECKING:
    from expunge.splice.footer import ColumnChunk
    from expunge.splice.source import Read, Sink


class PageLocation(View):
    """Where a page is in the file."""

    offset = Number(1)
    compressed_size = Number(2, Kind.I32)
    first_row = Number(3)


class OffsetIndex(View):
    """Where the pages of a chunk are."""

    locations = Several(1, PageLocation)


@dataclass(frozen=True, slots=True)
class Beside:
    """What lies beside a chunk, as it is to be written for a place in a file; empty where there is nothing."""

    bloom_filter: bytes
    column_index: bytes
    offset_index: bytes


def read_beside(read: Read, chunk: ColumnChunk) -> Beside:
    """What lies beside a chunk of the file that `read` reads."""
    indexes = (
        (chunk.column_index_offset, chunk.column_index_length),
        (chunk.offset_index_offset, chunk.offset_index_length),
    )
    column_index, offset_index = (read(begin, begin + length) for begin, length in indexes)
    return Beside(read(*bloom_extent(read, chunk)), column_index, offset_index)


def moved(offset_index: bytes, distance: int) -> bytes:
    """The offset index of a chunk that lies so many bytes further on. Raises `ThriftError`."""
    if not offset_index or not distance:
        return offset_index
    index = OffsetIndex(decode(offset_index)[0])
    for location in index.locations:
        location.offset += distance
    return encode(index.struct)


def write_bloom_filter(sink: Sink, chunk: ColumnChunk, data: bytes) -> None:
    """Write the bloom filter of a chunk, if there is one, and note in the chunk where it is."""
    meta = chunk.meta
    if not data:
        meta.drop(*_BLOOM_FILTER)
        return
    meta.bloom_filter_offset = sink.length
    if _BLOOM_LENGTH in meta.struct:
        meta.bloom_filter_length = len(data)
    sink.write(data)


def write_column_index(sink: Sink, chunk: ColumnChunk, data: bytes) -> None:
    """Write the column index of a chunk, if there is one, and note in the chunk where it is."""
    if data:
        chunk.column_index_offset = sink.length
        chunk.column_index_length = len(data)
        sink.write(data)
    else:
        chunk.drop(*_COLUMN_INDEX)


def write_offset_index(sink: Sink, chunk: ColumnChunk, data: bytes) -> None:
    """Write the offset index of a chunk, if there is one, and note in the chunk where it is."""
    if data:
        chunk.offset_index_offset = sink.length
        chunk.offset_index_length = len(data)
        sink.write(data)
    else:
        chunk.drop(*_OFFSET_INDEX)


_OFFSET_INDEX, _COLUMN_INDEX = (4, 5), (6, 7)
_BLOOM_FILTER = (14, 15)
_BLOOM_LENGTH = 15
