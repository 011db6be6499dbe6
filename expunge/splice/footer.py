"""What the footer of a Parquet file says, by name, and how a file with other row groups says it.

The footer's own fields are kept as bytes: schema, key-value metadata, column orders and what this code does not know are
in the new footer as they were in the old. Only the row groups are decoded.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from expunge.splice.thrift import Items, Kind, Struct, ThriftError, decode, encode_spans, encode_value, spans
from expunge.splice.views import Nested, Number, Numbers, Several, Text, View, structs

if TYPE_CHECKING:
    from collections.abc import Sequence

MAGIC = b"PAR1"
MAGIC_OF_ENCRYPTED = b"PARE"
TAIL = 8
"""Bytes after the footer: its length and the magic."""

REQUIRED, OPTIONAL, REPEATED = range(3)


class FooterError(ValueError):
    """A footer that the splice does not follow; says why."""


class EncryptedError(FooterError):
    """A file that is encrypted, or a part of it: nobody without its keys could follow it."""


class SchemaElement(View):
    """A node of the schema's tree, which is listed depth first."""

    type = Number(1, Kind.I32)
    type_length = Number(2, Kind.I32)
    repetition = Number(3, Kind.I32)
    name = Text(4)
    children = Number(5, Kind.I32)
    converted_type = Number(6, Kind.I32)
    scale = Number(7, Kind.I32)
    precision = Number(8, Kind.I32)
    logical_type = Nested(10, View)

    @property
    def is_leaf(self) -> bool:
        """Whether values are stored for it, and so have a type."""
        return 1 in self.struct


class ColumnMetaData(View):
    """What is said of the pages of a column chunk. All offsets are from the start of the file; 0 is none."""

    encodings = Numbers(2)
    codec = Number(4, Kind.I32)
    values = Number(5)
    uncompressed_size = Number(6)
    compressed_size = Number(7)
    data_page_offset = Number(9)
    index_page_offset = Number(10)
    dictionary_page_offset = Number(11)
    statistics = Nested(12, View)
    bloom_filter_offset = Number(14)
    bloom_filter_length = Number(15, Kind.I32)


META_PLACES = frozenset({9, 10, 11, 14})
"""Fields of `ColumnMetaData` that say where something is."""

PATH, KEY_VALUES, STATISTICS, SIZE_STATISTICS = 3, 8, 12, 16
"""Fields of `ColumnMetaData` that are taken over or left out whole."""


class ColumnChunk(View):
    """One column of one row group."""

    file_path = Text(1)
    file_offset = Number(2)
    meta = Nested(3, ColumnMetaData)
    offset_index_offset = Number(4)
    offset_index_length = Number(5, Kind.I32)
    column_index_offset = Number(6)
    column_index_length = Number(7, Kind.I32)

    @property
    def extent(self) -> tuple[int, int]:
        """Where the bytes of its pages begin and end in the file."""
        meta = self.meta
        offsets = (meta.data_page_offset, meta.index_page_offset, meta.dictionary_page_offset)
        start = min((offset for offset in offsets if offset > 0), default=0)
        return start, start + meta.compressed_size

    @property
    def has_dictionary(self) -> bool:
        """Whether the footer may speak of a dictionary page: some writers name only where the pages begin."""
        return self.meta.dictionary_page_offset > 0 or bool({2, 8} & set(self.meta.encodings))

    def moved(self, distance: int) -> ColumnChunk:
        """The same chunk so many bytes further on; where its indexes and bloom filter are is left as it was."""
        begin, end = self.extent
        chunk = ColumnChunk(dict(self.struct))
        meta = ColumnMetaData(dict(self.meta.struct))
        chunk.put(3, Kind.STRUCT, meta.struct)
        if meta.data_page_offset > 0:
            meta.data_page_offset += distance
        if meta.index_page_offset > 0:
            meta.index_page_offset += distance
        if meta.dictionary_page_offset > 0:
            meta.dictionary_page_offset += distance
        # Deprecated: some writers say where the chunk begins, some 0, some where a copy of its metadata is, which is left.
        if chunk.file_offset:
            chunk.file_offset = chunk.file_offset + distance if begin <= chunk.file_offset < end else 0
        return chunk


CHUNK_PLACES = frozenset({2, 3, 4, 5, 6})
"""Fields of `ColumnChunk` that say where something is, the metadata, which does too, and the length of the offset index,
which depends on how large the offsets are."""


class SortingColumn(View):
    """A column by which the rows of a group are sorted, as the number of its leaf."""

    column = Number(1, Kind.I32)


class RowGroup(View):
    """Some consecutive rows of all columns."""

    columns = Several(1, ColumnChunk)
    total_byte_size = Number(2)
    rows = Number(3)
    sorting_columns = Several(4, SortingColumn)
    file_offset = Number(5)
    total_compressed_size = Number(6)
    ordinal = Number(7, Kind.I16)


GROUP_PLACES = frozenset({1, 5, 7})
"""Fields of `RowGroup` that say where it is, and its columns, which do too."""

SORTING_COLUMNS, TOTAL_COMPRESSED_SIZE, ORDINAL = 4, 6, 7
"""Fields of `RowGroup` that need not be there."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """A column of values: the place of its top-level column, its node, and the greatest levels its values can have."""

    top: int
    element: SchemaElement
    definition: int
    repetition: int


SCHEMA, ROWS, ROW_GROUPS, CREATED_BY, ENCRYPTION = 2, 3, 4, 6, 8
"""Fields of the footer."""


class Footer:
    """A footer, read. `fields` holds each field's kind and bytes by number; `start` is where the footer begins in the file."""

    def __init__(self, data: bytes, start: int) -> None:
        """Read the bytes of a footer, without the length and magic after it. Raises `FooterError`."""
        self.start = start
        try:
            struct, places = spans(data)
            self.fields = {
                number: (struct[number][0], data[begin:end]) for number, (begin, end) in places.items()
            }
            if ENCRYPTION in self.fields:
                raise EncryptedError("its columns are encrypted")
            self.schema = structs(_items(struct, SCHEMA), SchemaElement)
            self.groups = structs(_items(struct, ROW_GROUPS), RowGroup)
            self.leaves = _leaves(self.schema)
            if _WRONG_SIZES.search(self.created_by):
                raise FooterError("its writer was wrong about the sizes of column chunks")
            for group in self.groups:
                self._check(group)
        except ThriftError as error:
            raise FooterError(f"its footer cannot be read: {error}") from error
        self.rows = sum(group.rows for group in self.groups)

    @property
    def created_by(self) -> str:
        """What the writer calls itself."""
        kind, data = self.fields.get(CREATED_BY, (0, b""))
        if kind != Kind.BINARY:
            return ""
        field, _ = decode(encode_spans({CREATED_BY: (kind, data)}))
        return bytes(field[CREATED_BY][1]).decode(errors="replace")

    @property
    def columns(self) -> list[SchemaElement]:
        """The nodes of the top-level columns."""
        tops: list[SchemaElement] = []
        place = 1
        while place < len(self.schema):
            tops.append(self.schema[place])
            place = _after(self.schema, place)
        return tops

    def leaves_of(self, top: int) -> list[int]:
        """The numbers of the leaves of a top-level column."""
        return [place for place, leaf in enumerate(self.leaves) if leaf.top == top]

    @property
    def kept_fields(self) -> dict[int, tuple[int, bytes]]:
        """What the footer of a spliced file says as this one does, or would say if this one were spliced.

        That is all but the row groups and rows. One library looks for its own name, and where it finds it, it reads pages as
        it writes them, not as the format allows them to be; so that name goes.
        """
        kept = {number: field for number, field in self.fields.items() if number not in {ROWS, ROW_GROUPS}}
        if "fastparquet" in self.created_by:
            kept[CREATED_BY] = Kind.BINARY, encode_value(Kind.BINARY, b"expunge")
        return kept

    def encode(self, groups: Sequence[RowGroup]) -> bytes:
        """The end of a file that holds these row groups: footer, its length, magic."""
        rows = sum(group.rows for group in groups)
        listed = Items(Kind.STRUCT, [group.struct for group in groups])
        fields = {
            **self.kept_fields,
            ROWS: (Kind.I64, encode_value(Kind.I64, rows)),
            ROW_GROUPS: (Kind.LIST, encode_value(Kind.LIST, listed)),
        }
        data = encode_spans({number: fields[number] for number in self.fields if number in fields})
        return data + len(data).to_bytes(4, "little") + MAGIC

    def _check(self, group: RowGroup) -> None:
        if len(group.columns) != len(self.leaves):
            raise FooterError("a row group does not have the columns of the schema")
        if group.rows < 0:
            raise FooterError("a row group has less than no rows")
        for chunk in group.columns:
            if chunk.file_path:
                raise FooterError("its columns are in other files")
            if not chunk.meta.struct or _ENCRYPTED & chunk.struct.keys():
                raise EncryptedError("its columns are encrypted")
            begin, end = chunk.extent
            if not len(MAGIC) <= begin <= end <= self.start:
                raise FooterError("a column chunk lies outside the file")


_ENCRYPTED = {8, 9}
"""Fields of `ColumnChunk`."""

_WRONG_SIZES = re.compile(r"parquet-mr version 1\.([01]\.|2\.[0-8]\b)")


def _items(struct: Struct, number: int) -> Items:
    kind, value = struct.get(number, (0, None))
    if kind != Kind.LIST:
        raise FooterError(f"its footer lacks field {number}")
    assert isinstance(value, Items)
    return value


def _leaves(schema: list[SchemaElement]) -> list[Leaf]:
    """The leaves in order. Raises `FooterError` for what is no tree."""
    if not schema or _after(schema, 0) != len(schema):
        raise FooterError("its schema is no tree")
    leaves: list[Leaf] = []
    tops = [1]
    while tops[-1] < len(schema):
        tops.append(_after(schema, tops[-1]))
    for top, (begin, end) in enumerate(pairwise(tops)):
        _add_leaves(schema[begin:end], top, leaves)
    return leaves


def _add_leaves(nodes: list[SchemaElement], top: int, leaves: list[Leaf]) -> None:
    """Add the leaves of one top-level column, of which these are the nodes."""
    open_nodes: list[list[int]] = []  # children yet to come and levels, from the column down
    definition = repetition = 0
    for node in nodes:
        definition += node.repetition != REQUIRED
        repetition += node.repetition == REPEATED
        if node.is_leaf:
            leaves.append(Leaf(top, node, definition, repetition))
        open_nodes.append([node.children, node.repetition])
        while open_nodes and not open_nodes[-1][0]:
            _, ended = open_nodes.pop()
            definition -= ended != REQUIRED
            repetition -= ended == REPEATED
            if open_nodes:
                open_nodes[-1][0] -= 1


def _after(schema: list[SchemaElement], place: int) -> int:
    """The place after a node and all that is below it."""
    wanted = 1
    while wanted:
        if place >= len(schema) or schema[place].children < 0:
            raise FooterError("its schema is no tree")
        wanted += schema[place].children - 1
        place += 1
    return place
