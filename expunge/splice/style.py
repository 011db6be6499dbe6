"""How a column chunk was written, as far as its bytes tell, so that its successor can be written alike.

What no file records is the effort of its compression: a codec's level is the writer's default. PyArrow writes the codec
LZ4 in its new framing (`LZ4_RAW`), which every current reader knows; nobody should write the old one.
"""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, Any

from expunge.splice.bare import is_ordered, is_unsigned
from expunge.splice.footer import FooterError
from expunge.splice.pages import DATA_V2, DICTIONARY, OF_DICTIONARY, first_headers
from expunge.splice.thrift import Kind, decode
from expunge.splice.views import Number, View

if TYPE_CHECKING:
    from collections.abc import Sequence

    from expunge.splice.footer import ColumnChunk, Leaf
    from expunge.splice.source import Read, Source

CODECS = {0: "none", 1: "snappy", 2: "gzip", 4: "brotli", 5: "lz4", 6: "zstd", 7: "lz4"}

_ASKED_FOR = {"DELTA_BINARY_PACKED", "DELTA_LENGTH_BYTE_ARRAY", "DELTA_BYTE_ARRAY", "BYTE_STREAM_SPLIT"}

# What the writer does when it is told nothing.
_PAGE_BYTES = 1 << 20
_PAGE_ROWS = 20_000
_DICTIONARY_BYTES = 1 << 20

# So many pages tell how all of them were cut.
_PAGES_TOLD = 8

# A filter's size is a power of two. The writer takes the next one up from what it needs, so it is told a little less.
# It halves a filter as long as that leaves it wrong less often than it is told: here, as good as never.
_FALSE_POSITIVES = 1e-9
_BELOW = 0.9

# More than the header of a bloom filter takes, and less than what follows it in any file.
_BLOOM_HEADER = 64


class BloomFilterHeader(View):
    """What is said before the bits of a bloom filter."""

    bytes = Number(1, Kind.I32)


@dataclass(frozen=True, slots=True)
class PageStyle:
    """What the writer is told once for all columns: versions, and the most bytes and rows of a page, among others.

    The format's version decides how dictionary encoding is called, the page version how a page begins.
    """

    format_version: str
    version: str
    bytes: int
    rows: int
    dictionary_bytes: int
    checksums: bool
    indexed: bool


@dataclass(frozen=True, slots=True)
class ChunkStyle:
    """What the writer is told of one column. `bloom_bytes` is the size of the bloom filter, 0 for none."""

    pages: PageStyle
    codec: str
    encoding: str | None
    dictionary: bool
    statistics: bool
    bloom_bytes: int


def style_of(source: Source, chunk: ColumnChunk, leaf: Leaf) -> ChunkStyle:
    """How this chunk of the file was written. Raises `FooterError` for a codec that cannot be written, and `ThriftError`."""
    meta = chunk.meta
    if meta.codec not in CODECS:
        raise FooterError("it is compressed in a way that cannot be written")
    headers = first_headers(source, *chunk.extent, most=_PAGES_TOLD)
    data = [header for header in headers if header.type != DICTIONARY]
    encodings = {header.encoding for header in data}
    asked = encodings & _ASKED_FOR
    dictionary = bool(encodings & OF_DICTIONARY) or len(headers) > len(data)
    old = "PLAIN_DICTIONARY" in encodings and not is_unsigned(
        leaf.element
    )  # which version 1.0 would store wider
    pages = PageStyle(
        format_version="1.0" if old else "2.6",
        version="2.0" if any(header.type == DATA_V2 for header in data) else "1.0",
        bytes=_page_bytes([header.uncompressed_size for header in data]),
        rows=max([_PAGE_ROWS, *(header.values for header in data)] if not leaf.repetition else [_PAGE_ROWS]),
        dictionary_bytes=max(
            [_DICTIONARY_BYTES, *(h.uncompressed_size for h in headers if h.type == DICTIONARY)]
        ),
        checksums=any(header.has_checksum for header in headers),
        indexed=bool(chunk.offset_index_length),
    )
    return ChunkStyle(
        pages=pages,
        codec=CODECS[meta.codec],
        encoding=None if dictionary or not asked else min(asked),
        dictionary=dictionary,
        statistics=bool(meta.statistics.struct) and is_ordered(leaf.element),
        bloom_bytes=_bloom_bytes(source.read, chunk),
    )


def settings(styles: Sequence[ChunkStyle], paths: Sequence[str]) -> dict[str, Any]:
    """What `pq.ParquetWriter` is told to write columns of these styles at these paths.

    Leaves of one column may differ in their pages; the largest count.
    """
    by_path = dict(zip(paths, styles, strict=True))
    pages = PageStyle(*map(max, zip(*(astuple(style.pages) for style in styles), strict=True)))
    return {
        "version": pages.format_version,
        "store_schema": False,
        "use_deprecated_int96_timestamps": True,
        "data_page_version": pages.version,
        "data_page_size": pages.bytes,
        "max_rows_per_page": pages.rows,
        "dictionary_pagesize_limit": pages.dictionary_bytes,
        "write_page_checksum": pages.checksums,
        "write_page_index": pages.indexed,
        "compression": {path: style.codec for path, style in by_path.items()},
        "use_dictionary": [path for path, style in by_path.items() if style.dictionary],
        "column_encoding": {path: style.encoding for path, style in by_path.items() if style.encoding}
        or None,
        "write_statistics": [path for path, style in by_path.items() if style.statistics],
        "bloom_filter_options": {
            path: {"ndv": _distinct_values(style.bloom_bytes), "fpp": _FALSE_POSITIVES}
            for path, style in by_path.items()
            if style.bloom_bytes
        }
        or None,
    }


def bloom_extent(read: Read, chunk: ColumnChunk) -> tuple[int, int]:
    """Where the bloom filter of a chunk begins and ends in the file that `read` reads; equal where it has none."""
    meta = chunk.meta
    begin = meta.bloom_filter_offset
    if begin <= 0:
        return 0, 0
    if meta.bloom_filter_length > 0:
        return begin, begin + meta.bloom_filter_length
    header, bits = _bloom_header(read, begin)
    return begin, begin + header + bits


def _bloom_bytes(read: Read, chunk: ColumnChunk) -> int:
    """The size of the bits of a chunk's bloom filter, 0 without one."""
    begin = chunk.meta.bloom_filter_offset
    return _bloom_header(read, begin)[1] if begin > 0 else 0


def _bloom_header(read: Read, begin: int) -> tuple[int, int]:
    """How long the header of a bloom filter is, and its bits after that."""
    struct, length = decode(read(begin, begin + _BLOOM_HEADER))
    return length, BloomFilterHeader(struct).bytes


def _distinct_values(size: int) -> int:
    """For how many values the writer makes a bloom filter of so many bytes, or of the next power of two."""
    bits = -math.log(1 - _FALSE_POSITIVES ** (1 / 8))  # for an eighth of a value: each sets eight of them
    return max(1, int(size * bits * _BELOW))


def _page_bytes(sizes: Sequence[int]) -> int:
    """The most bytes of a page by the sizes seen, as a power of two, so that like columns can be written together."""
    if len(sizes) > 1:
        return 1 << max(sizes[:-1]).bit_length()  # the last page is as long as it happened to be
    return max(_PAGE_BYTES, *(1 << size.bit_length() for size in sizes), 0)
