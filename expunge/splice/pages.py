"""The pages of a column chunk, by their headers."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from expunge.splice.thrift import Kind, ThriftError, decode
from expunge.splice.views import Nested, Number, View

if TYPE_CHECKING:
    from collections.abc import Iterator

    from expunge.splice.source import Source

DATA, INDEX, DICTIONARY, DATA_V2 = range(4)
"""Types of pages."""

ENCODINGS = {
    0: "PLAIN",
    2: "PLAIN_DICTIONARY",
    3: "RLE",
    4: "BIT_PACKED",
    5: "DELTA_BINARY_PACKED",
    6: "DELTA_LENGTH_BYTE_ARRAY",
    7: "DELTA_BYTE_ARRAY",
    8: "RLE_DICTIONARY",
    9: "BYTE_STREAM_SPLIT",
}
"""Encodings of values, by number."""

OF_DICTIONARY = {"PLAIN_DICTIONARY", "RLE_DICTIONARY"}


class DataPage(View):
    """A page of values, version 1."""

    values = Number(1, Kind.I32)
    encoding = Number(2, Kind.I32)
    statistics = Nested(5, View)


class DictionaryPage(View):
    """The distinct values of a chunk, to which its data pages point."""

    values = Number(1, Kind.I32)
    encoding = Number(2, Kind.I32)


class DataPageV2(View):
    """A page of values, version 2: its levels come first and are not compressed."""

    values = Number(1, Kind.I32)
    rows = Number(3, Kind.I32)
    encoding = Number(4, Kind.I32)
    definition_bytes = Number(5, Kind.I32)
    repetition_bytes = Number(6, Kind.I32)
    statistics = Nested(8, View)

    @property
    def is_compressed(self) -> bool:
        """Whether the values are compressed, which is so if nothing is said."""
        return self.struct.get(7, (Kind.TRUE, True))[1] is True


class PageHeader(View):
    """What is said before the bytes of a page."""

    type = Number(1, Kind.I32)
    uncompressed_size = Number(2, Kind.I32)
    compressed_size = Number(3, Kind.I32)
    data = Nested(5, DataPage)
    dictionary = Nested(7, DictionaryPage)
    data_v2 = Nested(8, DataPageV2)

    @property
    def has_checksum(self) -> bool:
        """Whether a CRC of the bytes is given."""
        return 4 in self.struct

    @property
    def values(self) -> int:
        """How many values the page holds, null ones too."""
        return self._page.values

    @property
    def encoding(self) -> str:
        """How its values are encoded."""
        return ENCODINGS.get(self._page.encoding, "unknown")

    @property
    def encoding_number(self) -> int:
        """How its values are encoded, as the format numbers it."""
        return self._page.encoding

    @property
    def _page(self) -> DataPage | DataPageV2 | DictionaryPage:
        if self.type == DICTIONARY:
            return self.dictionary
        return self.data_v2 if self.type == DATA_V2 else self.data


@dataclass(frozen=True, slots=True)
class Page:
    """A page: its header, where that starts, and where the page's bytes begin after it and end, in the chunk or the file."""

    header: PageHeader
    start: int
    begin: int
    end: int

    @property
    def size(self) -> int:
        """Bytes of the header and the page."""
        return self.end - self.start

    @property
    def uncompressed_size(self) -> int:
        """Bytes of the header and of the page before it was compressed."""
        return self.begin - self.start + self.header.uncompressed_size


def pages(chunk: bytes | memoryview) -> Iterator[Page]:
    """The pages of the bytes of a chunk, index pages left out. Raises `ThriftError`."""
    place = 0
    while place < len(chunk):
        struct, begin = decode(chunk, place)
        header = PageHeader(struct)
        start, place = place, begin + header.compressed_size
        if header.compressed_size < 0 or place > len(chunk):
            raise ThriftError("A page is longer than its column chunk.")
        if header.type in {DATA, DATA_V2, DICTIONARY}:
            yield Page(header, start, begin, place)
        elif header.type != INDEX:
            raise ThriftError(f"There is no page of type {header.type}.")


# Most headers are some dozens of bytes; with statistics of long texts they may be longer than this.
_HEADER_BYTES = 512


def pages_at(source: Source, begin: int, end: int) -> Iterator[Page]:
    """The pages of the chunk at these bytes of the file, by their places in the file. Raises `ThriftError`."""
    while begin < end:
        header, body = _header(source, begin, end)
        start, begin = begin, body + header.compressed_size
        if header.compressed_size < 0 or begin > end:
            raise ThriftError("A page is longer than its column chunk.")
        if header.type != INDEX:
            yield Page(header, start, body, begin)


def first_headers(source: Source, begin: int, end: int, most: int) -> list[PageHeader]:
    """The headers of the first so many pages of the chunk at these bytes of the file. Raises `ThriftError`."""
    return [page.header for page in islice(pages_at(source, begin, end), most)]


def _header(source: Source, begin: int, end: int) -> tuple[PageHeader, int]:
    """The header at `begin`, and where its page's bytes begin."""
    length = _HEADER_BYTES
    while True:
        length = min(length, end - begin)
        try:
            struct, after = decode(source.read(begin, begin + length))
        except ThriftError:
            if length == end - begin:
                raise
            length *= 32
        else:
            return PageHeader(struct), begin + after
