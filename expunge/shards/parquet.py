"""Parquet shards: read by column, rewritten row group by row group."""

from __future__ import annotations

from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from expunge.errors import VerificationFailed
from expunge.shards.cut import Cut, Elements, Positions
from expunge.shards.shard import (
    BATCH_ROWS,
    Batch,
    Column,
    HashingFile,
    Shard,
    Written,
    finish,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from expunge.shards.source import ShardFile

# Encodings that the writer chooses by itself; any other was asked for by whoever wrote the column.
_DEFAULT_ENCODINGS = {"PLAIN", "RLE", "BIT_PACKED", "PLAIN_DICTIONARY", "RLE_DICTIONARY"}

# How some writers annotate what is stored as it is meant anyway, and others do not.
_PLAIN_NUMBERS = {"Int(bitWidth=32, isSigned=true)", "Int(bitWidth=64, isSigned=true)"}


class ParquetShard(Shard):
    """A Parquet file.

    A rewritten file keeps the schema, row order and row-group boundaries, each column's compression, encoding, use
    of a dictionary and statistics, the page index, sorting columns and key-value metadata. A row group of which no
    row is left is dropped: the format has no empty ones.
    """

    def __init__(self, file: ShardFile) -> None:
        super().__init__(file)
        with self._reader() as reader:
            self._metadata = reader.metadata
            self._schema: pa.Schema = reader.schema_arrow
        self._has_arrow_schema = b"ARROW:schema" in (self._metadata.metadata or {})

    @property
    def format(self) -> str:
        """Always `parquet`."""
        return "parquet"

    @property
    def columns(self) -> tuple[Column, ...]:
        """The top-level columns."""
        return tuple(Column(field.name, str(field.type), not field.nullable) for field in self._schema)

    @property
    def rows(self) -> int:
        """The rows that the footer counts."""
        return cast("int", self._metadata.num_rows)

    @property
    def row_groups(self) -> int:
        """How many row groups the file has."""
        return cast("int", self._metadata.num_row_groups)

    def batches(self, columns: Sequence[str]) -> Iterator[Batch]:
        """The rows in order; with no column named the row groups are decoded all the same, to prove that they can be."""
        wanted = list(columns) if columns else None
        first = 0
        with self._reader() as reader:
            for batch in reader.iter_batches(batch_size=BATCH_ROWS, columns=wanted):
                arrays = {name: _computable(batch.column(name)) for name in columns}
                yield Batch(first, batch.num_rows, arrays)
                first += batch.num_rows
        self.check_unchanged()
        if first != self._metadata.num_rows:
            raise self.bad(f"holds {first} rows, but its footer says {self._metadata.num_rows}.")

    def rewrite(self, target: Path, cut: Cut) -> Written:
        """Write the file again, row group by row group."""
        cut.check(self.columns, self.file.name)
        rows = 0
        with target.open("xb") as raw:
            sink = HashingFile(raw)
            with pq.ParquetWriter(pa.PythonFile(sink, mode="w"), self._schema, **self._settings()) as writer:
                for table, here in self._groups(cut):
                    kept = _compacted(_without(table, here))
                    if kept.num_rows:
                        writer.write_table(kept, row_group_size=kept.num_rows)
                    rows += kept.num_rows
                if not self._has_arrow_schema:  # with which the writer would have written the others
                    writer.add_key_value_metadata(self._metadata.metadata or {})
            finish(raw)
        return sink.written(rows, "rewritten")

    def compare(self, written: Shard, cut: Cut) -> None:
        """Decode both files and compare them row group by row group, schema and metadata included."""
        assert isinstance(written, ParquetShard)
        if _columns_of(written._metadata) != _columns_of(self._metadata):  # noqa: SLF001  the other file of the same class
            raise VerificationFailed(
                f"{self.file.name}: the rewritten file's schema differs from its base's."
            )
        if _key_values(written._metadata) != _key_values(self._metadata):  # noqa: SLF001  as above
            raise VerificationFailed(f"{self.file.name}: the rewritten file's key-value metadata differs.")
        found = (table for table, _ in written._groups(Cut()))  # noqa: SLF001  as above
        for number, (table, here) in enumerate(self._groups(cut)):
            expected = _compacted(_without(table, here))
            if expected.num_rows and not _same(expected, next(found, None)):
                raise VerificationFailed(
                    f"{self.file.name}: row group {number} differs from its base beyond the removed rows."
                )
        if next(found, None) is not None:
            raise VerificationFailed(f"{self.file.name}: row groups were added.")

    @contextmanager
    def _reader(self) -> Iterator[pq.ParquetFile]:
        """The file opened; what the library says of broken bytes becomes one plain sentence."""
        try:
            with self._open() as source, pq.ParquetFile(source, pre_buffer=False) as reader:
                yield reader
        except (pa.ArrowException, OSError, EOFError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise self.unreadable(error) from error
            self.check_unchanged()
            reason = str(error).splitlines()[0][:200].rstrip(".")
            raise self.bad(f"is not a whole Parquet file ({reason}). Fetch it again.") from error

    def _groups(self, cut: Cut) -> Iterator[tuple[pa.Table, Cut]]:
        """Each row group with the part of the cut that falls in it."""
        first = 0
        with self._reader() as reader:
            for group in range(reader.num_row_groups):
                rows = reader.metadata.row_group(group).num_rows
                yield reader.read_row_group(group), cut.within(first, rows)
                first += rows
        self.check_unchanged()

    def _settings(self) -> dict[str, Any]:
        """What the writer must be told so that the new file is written as the old one was."""
        metadata = self._metadata
        settings: dict[str, Any] = {
            "version": metadata.format_version if metadata.format_version in {"1.0", "2.4", "2.6"} else "2.6",
            "store_schema": self._has_arrow_schema,
        }
        if metadata.num_row_groups == 0:
            return settings
        group = metadata.row_group(0)
        chunks = [group.column(i) for i in range(group.num_columns)]
        encodings = {
            chunk.path_in_schema: next((e for e in chunk.encodings if e not in _DEFAULT_ENCODINGS), None)
            for chunk in chunks
        }
        settings["compression"] = {chunk.path_in_schema: _codec(chunk.compression) for chunk in chunks}
        settings["use_dictionary"] = [
            chunk.path_in_schema
            for chunk in chunks
            if chunk.has_dictionary_page and not encodings[chunk.path_in_schema]
        ]
        settings["column_encoding"] = {path: e for path, e in encodings.items() if e} or None
        settings["write_statistics"] = [chunk.path_in_schema for chunk in chunks if chunk.is_stats_set]
        settings["write_page_index"] = any(chunk.has_offset_index for chunk in chunks)
        settings["use_compliant_nested_type"] = not any(".list.item" in c.path_in_schema for c in chunks)
        settings["use_deprecated_int96_timestamps"] = any(chunk.physical_type == "INT96" for chunk in chunks)
        settings["store_decimal_as_integer"] = any(
            column.logical_type.type == "DECIMAL" and column.physical_type in {"INT32", "INT64"}
            for column in map(metadata.schema.column, range(len(chunks)))
        )
        if group.sorting_columns:
            settings["sorting_columns"] = group.sorting_columns
        return settings


def _codec(name: str) -> str:
    return "none" if name == "UNCOMPRESSED" else name.lower()


def _key_values(metadata: pq.FileMetaData) -> dict[bytes, bytes]:
    """The key-value metadata but for the Arrow schema, which the writer encodes anew and `schema.equals` covers."""
    return {key: value for key, value in (metadata.metadata or {}).items() if key != b"ARROW:schema"}


def _computable(values: pa.Array) -> pa.Array:
    """The values in a layout that every kernel knows: few know the views."""
    if pa.types.is_string_view(values.type):
        return values.cast(pa.large_string())
    return values.cast(pa.large_binary()) if pa.types.is_binary_view(values.type) else values


def _columns_of(metadata: pq.FileMetaData) -> list[tuple[object, ...]]:
    """Each column of the file with all that its type says.

    That a whole number is as wide as it is stored says nothing, nor do the bytes that a decimal is padded to.
    """
    columns = [metadata.schema.column(place) for place in range(metadata.num_columns)]
    return [
        (
            column.path,
            column.max_definition_level,
            column.max_repetition_level,
            column.physical_type,
            0 if column.logical_type.type == "DECIMAL" else column.length,
            "None" if str(column.logical_type) in _PLAIN_NUMBERS else str(column.logical_type),
        )
        for column in columns
    ]


def _compacted(table: pa.Table) -> pa.Table:
    """The table with dictionaries that hold the values of its rows alone, not those of rows that went."""
    for place, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type):
            column = _compacted_dictionary(table.column(place).combine_chunks())
        elif "dictionary<" in str(field.type):  # inside lists or structs
            column = pa.array(table.column(place).to_pylist(), field.type)
        else:
            continue
        table = table.set_column(place, field, column)
    return table


def _compacted_dictionary(array: pa.DictionaryArray) -> pa.Array:
    """The same values in the same type, the dictionary in its old order."""
    used = np.unique(array.indices.drop_null().to_numpy())
    missing = array.indices.is_null().to_numpy(zero_copy_only=False)
    indices = np.searchsorted(used, array.indices.fill_null(0).to_numpy())
    return pa.DictionaryArray.from_arrays(
        pa.array(indices, array.type.index_type, mask=missing),
        array.dictionary.take(pa.array(used)),
        ordered=array.type.ordered,
    )


def _without(table: pa.Table, cut: Cut) -> pa.Table:
    """The table without what the cut takes out.

    It is made of slices, which are no copies and exist for every type; not all types can be filtered.
    """
    for place, field in enumerate(table.schema):
        if field.name in cut.elements:
            column = _shortened(table.column(place).combine_chunks(), cut.elements[field.name])
            table = table.set_column(place, field, column)
        if field.name in cut.null:
            table = table.set_column(place, field, _emptied(table.column(place), cut.null[field.name]))
    if not len(cut.drop):
        return table
    return pa.concat_tables(table.slice(*part) for part in _between(cut.drop, table.num_rows))


def _between(rows: Positions, total: int) -> list[tuple[int, int]]:
    """The runs of rows, as first row and length, before, between and after these."""
    edges = [-1, *rows.tolist(), total]
    return [(one + 1, other - one - 1) for one, other in pairwise(edges)]


def _emptied(column: pa.ChunkedArray, rows: Positions) -> pa.ChunkedArray:
    first, *others = _between(rows, len(column))
    chunks = column.slice(*first).chunks
    for part in others:
        chunks += [pa.nulls(1, column.type), *column.slice(*part).chunks]
    return pa.chunked_array(chunks, column.type)


def _shortened(lists: pa.ListArray, pairs: Elements) -> pa.ChunkedArray:
    """Lists without the elements at these pairs of row and place. Raises `ValueError` for one that is not there."""
    offsets = lists.offsets.to_numpy()
    rows, places = pairs[:, 0], pairs[:, 1]
    if (places >= np.diff(offsets)[rows]).any():
        raise ValueError("a list has no element at this place")
    kept = np.ones(len(lists.values), dtype=bool)
    kept[offsets[rows] + places] = False
    moved = np.concatenate(([0], np.cumsum(kept)))[offsets]
    shorter = type(lists).from_arrays(
        pa.array(moved, lists.offsets.type),
        lists.values.filter(pa.array(kept)),
        lists.type,
        mask=lists.is_null(),
    )
    return pa.chunked_array([shorter], lists.type)


def _same(one: pa.Table, other: pa.Table | None) -> bool:
    """Whether two tables hold the same values, a NaN being the same as itself."""
    if other is None or one.num_rows != other.num_rows or not one.schema.equals(other.schema):
        return False
    return all(
        a.equals(b) or _same_with_nans(a.combine_chunks(), b.combine_chunks())
        for a, b in zip(one.columns, other.columns, strict=True)
    )


def _same_with_nans(one: pa.Array, other: pa.Array) -> bool:
    """As `equals`, which holds that no NaN equals another. Nested values are compared as Python prints them."""
    if pa.types.is_floating(one.type):
        width = {16: pa.int16(), 32: pa.int32(), 64: pa.int64()}[one.type.bit_width]
        return bool(one.is_valid().equals(other.is_valid())) and bool(
            one.drop_null().view(width).equals(other.drop_null().view(width))
        )
    if pa.types.is_nested(one.type):
        return repr(one.to_pylist()) == repr(other.to_pylist())
    return False
