"""A Parquet file as PyArrow reads it when it is told nothing of what the stored values mean.

A text is then bytes, a time is a number and a dictionary is nothing to care about: what is read is what is stored, so
writing it again stores the same, whatever the schema says of it. Only what a value's order depends on stays known, because
statistics depend on it too: that numbers have no sign, that bytes are a decimal or a half-precision float.

Top-level columns are named by their place, so that no name is there twice or holds a dot.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from expunge.splice.footer import (
    CREATED_BY,
    MAGIC,
    ROW_GROUPS,
    ROWS,
    SCHEMA,
    Footer,
    FooterError,
    Leaf,
    RowGroup,
    SchemaElement,
)
from expunge.splice.tables import LossError, check_instants, without
from expunge.splice.thrift import Items, Kind, encode_spans, encode_value

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

    from expunge.shards.cut import Cut
    from expunge.splice.source import Source

VERSION = 1
"""Field of the footer."""

BOOLEAN, INT32, INT64, INT96, FLOAT, DOUBLE, BYTE_ARRAY, FIXED_LEN_BYTE_ARRAY = range(8)
PHYSICAL = ("BOOLEAN", "INT32", "INT64", "INT96", "FLOAT", "DOUBLE", "BYTE_ARRAY", "FIXED_LEN_BYTE_ARRAY")
"""Physical types, and their names."""

MAP, MAP_KEY_VALUE, LIST, ENUM, DECIMAL = 1, 2, 3, 4, 5
UINT_8, UINT_16, UINT_32, UINT_64 = 11, 12, 13, 14
"""Converted types: the old way to say what values mean, which every reader still knows."""

# The same in the new way: fields of the union LogicalType.
_LOGICAL_MAP, _LOGICAL_LIST, _LOGICAL_DECIMAL, _LOGICAL_INTEGER, _LOGICAL_FLOAT16 = 2, 3, 5, 10, 15

# What a schema node keeps: type, length, repetition, name, children.
_SHAPE = {1, 2, 3, 4, 5}
_CONVERTED, _SCALE, _PRECISION, _LOGICAL = 6, 7, 8, 10

# A decimal in more bytes has no type in Arrow.
_WIDEST_DECIMAL = 32


class BareFile:
    """The file as a reader without the meaning of its values. Raises `FooterError` where Arrow cannot follow its schema."""

    def __init__(self, source: Source) -> None:
        footer = source.footer
        self.source = source
        self._instants = {leaf.top for leaf in footer.leaves if leaf.element.type == INT96}
        self.names = [column.name.decode(errors="surrogateescape") for column in footer.columns]
        try:
            self._metadata = _metadata(
                footer, _bare_schema(footer), footer.rows, footer.fields[ROW_GROUPS][1]
            )
            self._reader = pq.ParquetFile(source.path, metadata=self._metadata, pre_buffer=False)
            self.schema: pa.Schema = self._reader.schema_arrow
        except pa.ArrowException as error:
            raise FooterError(f"its schema has no form in Arrow ({error})") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.close()

    def dictionary(self, group: int, top: int) -> pa.Array:
        """The dictionary of a column of bytes in a row group, with the entries that no row has."""
        options = {"read_dictionary": [str(top)], "metadata": self._metadata, "pre_buffer": False}
        with pq.ParquetFile(self.source.path, **options) as reader:
            table = reader.read_row_group(group, columns=[str(top)], use_threads=False)
        return table.column(0).chunk(0).dictionary

    def read(self, group: int, tops: Sequence[int], cut: Cut) -> pa.Table:
        """Top-level columns of a row group, named by their places, without what the cut takes out.

        Raises `LossError`, and what PyArrow raises.
        """
        bare = replace(
            cut,
            null={str(top): cut.null[self.names[top]] for top in tops if self.names[top] in cut.null},
            elements={
                str(top): cut.elements[self.names[top]] for top in tops if self.names[top] in cut.elements
            },
        )
        columns = [str(top) for top in tops]
        table = self._reader.read_row_group(group, columns=columns, use_threads=False)
        if table.num_rows != self.source.footer.groups[group].rows:
            raise LossError(
                f"row group {group} does not hold the rows that its footer tells of. Fetch it again."
            )
        if not self._instants.isdisjoint(tops):
            self._check_instants(group, [top for top in tops if top in self._instants])
        return without(table, bare)

    def read_parts(self, top: int, parts: Sequence[RowGroup]) -> list[pa.Table]:
        """The rows of parts of a column without children, each told of as if it were a row group, in a table as above.

        Raises `LossError`, and what PyArrow raises.
        """
        footer = self.source.footer
        node = next(n for n, one in enumerate(footer.schema) if one.struct is footer.columns[top].struct)
        root = SchemaElement({})
        root.name = b"part"
        root.children = 1
        told = encode_value(Kind.LIST, Items(Kind.STRUCT, [part.struct for part in parts]))
        rows = sum(part.rows for part in parts)
        metadata = _metadata(footer, [root.struct, _bare_schema(footer)[node]], rows, told)
        with pq.ParquetFile(self.source.path, metadata=metadata, pre_buffer=False) as reader:
            tables = [reader.read_row_group(number, use_threads=False) for number in range(len(parts))]
        if [table.num_rows for table in tables] != [part.rows for part in parts]:
            raise LossError("a page does not hold the rows that its header tells of. Fetch it again.")
        return tables

    def _check_instants(self, group: int, tops: Sequence[int]) -> None:
        """Refuse times in 96 bits that do not fit in Arrow's 64, which would come back as other times."""
        columns = [str(top) for top in tops]
        options = {"coerce_int96_timestamp_unit": "us", "metadata": self._metadata, "pre_buffer": False}
        with pq.ParquetFile(self.source.path, **options) as reader:
            coarse = reader.read_row_group(group, columns=columns, use_threads=False)
        check_instants(self._reader.read_row_group(group, columns=columns, use_threads=False), coarse)


def _metadata(
    footer: Footer, schema: list[dict[int, tuple[int, object]]], rows: int, groups: bytes
) -> pq.FileMetaData:
    """The footer with another schema and these rows and row groups, as PyArrow reads it."""
    fields = {number: footer.fields[number] for number in (VERSION, CREATED_BY) if number in footer.fields}
    fields[SCHEMA] = Kind.LIST, encode_value(Kind.LIST, Items(Kind.STRUCT, schema))
    fields[ROWS] = Kind.I64, encode_value(Kind.I64, rows)
    fields[ROW_GROUPS] = Kind.LIST, groups
    data = encode_spans(dict(sorted(fields.items())))
    return pq.read_metadata(pa.BufferReader(MAGIC + data + len(data).to_bytes(4, "little") + MAGIC))


def _bare_schema(footer: Footer) -> list[dict[int, tuple[int, object]]]:
    tops = {id(node.struct): place for place, node in enumerate(footer.columns)}
    nodes: list[dict[int, tuple[int, object]]] = []
    for node in footer.schema:
        bare = SchemaElement({number: field for number, field in node.struct.items() if number in _SHAPE})
        converted, logical = _kept_meaning(node)
        if id(node.struct) in tops:
            bare.name = str(tops[id(node.struct)]).encode()
        if converted is not None:
            bare.converted_type = converted
        if converted == DECIMAL:
            bare.scale = 0
            bare.precision = _widest_precision(node.type_length)
        if logical is not None:
            bare.put(_LOGICAL, Kind.STRUCT, {logical: (Kind.STRUCT, {})})
        nodes.append(bare.struct)
    return nodes


def _kept_meaning(node: SchemaElement) -> tuple[int | None, int | None]:
    """What a bare node still says of its values, as a converted and as a logical type."""
    logical = node.logical_type.struct
    converted = node.converted_type if _CONVERTED in node.struct else None
    if not node.is_leaf:
        if converted in {MAP, MAP_KEY_VALUE, LIST}:
            return converted, None
        return (MAP if _LOGICAL_MAP in logical else LIST if _LOGICAL_LIST in logical else None), None
    if node.type in {INT32, INT64} and is_unsigned(node):
        return UINT_32 if node.type == INT32 else UINT_64, None
    if node.type == FIXED_LEN_BYTE_ARRAY:
        if converted == DECIMAL or _LOGICAL_DECIMAL in logical:
            return DECIMAL if 0 < node.type_length <= _WIDEST_DECIMAL else None, None
        if _LOGICAL_FLOAT16 in logical:
            return None, _LOGICAL_FLOAT16
    return None, None


def is_unsigned(node: SchemaElement) -> bool:
    """Whether whole numbers have no sign."""
    _, integer = node.logical_type.struct.get(_LOGICAL_INTEGER, (0, None))
    if integer is not None:
        return integer.get(2, (Kind.TRUE, True))[1] is False
    return node.converted_type in {UINT_8, UINT_16, UINT_32, UINT_64}


def _widest_precision(length: int) -> int:
    """The most digits that a decimal of so many bytes can have: Arrow gives that many digits that many bytes."""
    return int(math.log10(2 ** (8 * length - 1) - 1))


def is_ordered(node: SchemaElement) -> bool:
    """Whether the bare values are in the order that statistics of the column are in."""
    decimal = node.converted_type == DECIMAL or _LOGICAL_DECIMAL in node.logical_type.struct
    if not decimal or node.type in {INT32, INT64}:
        return node.type != INT96
    return node.type == FIXED_LEN_BYTE_ARRAY and node.type_length <= _WIDEST_DECIMAL


@dataclass(frozen=True, slots=True)
class Shape:
    """How a leaf is stored: physical type, length where bytes have a fixed one, else 0, and greatest levels."""

    type: str
    length: int
    definition: int
    repetition: int


def shape_of(leaf: Leaf) -> Shape:
    """How a leaf of a file is stored."""
    length = leaf.element.type_length if leaf.element.type == FIXED_LEN_BYTE_ARRAY else 0
    return Shape(PHYSICAL[leaf.element.type], length, leaf.definition, leaf.repetition)


def shapes_written(schema: pa.Schema) -> list[tuple[str, Shape]]:
    """How PyArrow stores each leaf of a bare schema, with the path that it gives it."""
    sink = pa.BufferOutputStream()
    pq.ParquetWriter(sink, schema, use_deprecated_int96_timestamps=True, store_schema=False).close()
    written = pq.read_metadata(pa.BufferReader(sink.getvalue()))
    shapes: list[tuple[str, Shape]] = []
    for column in map(written.schema.column, range(written.num_columns)):
        length = column.length if column.physical_type == PHYSICAL[FIXED_LEN_BYTE_ARRAY] else 0
        levels = column.max_definition_level, column.max_repetition_level
        shapes.append((column.path, Shape(column.physical_type, length, *levels)))
    return shapes
