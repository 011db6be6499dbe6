"""Parquet shards: read by column, spliced or rewritten row group by row group."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from contextlib import contextmanager
from itertools import accumulate
from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa
import pyarrow.parquet as pq

from expunge.errors import VerificationFailed
from expunge.shards.cut import Cut
from expunge.shards.shard import (
    BATCH_ROWS,
    SAMPLE_ROWS,
    Batch,
    Column,
    HashingFile,
    Method,
    Shard,
    Written,
    finish,
)
from expunge.splice.footer import MAGIC_OF_ENCRYPTED, EncryptedError, FooterError
from expunge.splice.source import Source
from expunge.splice.splice import splice
from expunge.splice.tables import LossError, check_instants, compacted, same, without
from expunge.splice.thrift import ThriftError
from expunge.splice.verify import has_same_fields, verify

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

    A file without some rows or cells is spliced (`expunge.splice`): the row groups without any of them are copied. Where
    that cannot be done every row group is decoded and written again. Either way the file keeps the schema, row order and
    row-group boundaries, each column's compression, encoding, use of a dictionary and statistics, the page index, sorting
    columns and key-value metadata. A row group of which no row is left is dropped: the format has no empty ones.
    """

    def __init__(self, file: ShardFile) -> None:
        super().__init__(file)
        self._refuse_encrypted()
        with self._reader() as reader:
            self._metadata = reader.metadata
            self._schema: pa.Schema = reader.schema_arrow
        self._has_arrow_schema = b"ARROW:schema" in (self._metadata.metadata or {})

    @property
    def _arrow_schema(self) -> pa.Schema | None:
        """The schema that a writer of Arrow tables left in the file."""
        return self._schema if self._has_arrow_schema else None

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
    def rows_asked(self) -> int:
        """The rows of the row groups that are asked for."""
        return sum(rows for _, _, rows in self._groups_asked_for())

    @property
    def footer(self) -> pq.FileMetaData:
        """What the file says of its row groups."""
        return self._metadata

    @property
    def row_groups(self) -> int:
        """How many row groups the file has."""
        return cast("int", self._metadata.num_row_groups)

    def batches(self, columns: Sequence[str]) -> Iterator[Batch]:
        """The rows in order; with no column named the row groups are decoded all the same, to prove that they can be.

        Where the file is asked for some rows only, those are the rows of the row groups that hold one of them.
        """
        wanted = list(columns) if columns else None
        told = held = 0
        with self._reader() as reader:
            for groups, first, rows in self._groups_asked_for():
                place = first
                for batch in reader.iter_batches(batch_size=BATCH_ROWS, row_groups=groups, columns=wanted):
                    arrays = {name: _computable(batch.column(name)) for name in columns}
                    yield Batch(place, batch.num_rows, arrays)
                    place += batch.num_rows
                held += place - first
                told += rows
        self.check_unchanged()
        if held != told:
            raise self.bad(f"holds {held} rows, but its footer says {told}.")

    def sample(self, columns: Sequence[str]) -> Batch | None:
        """The first rows; of a column no more is decoded than is needed for them."""
        with self._reader() as reader:
            for batch in reader.iter_batches(batch_size=SAMPLE_ROWS, columns=list(columns)):
                return Batch(0, batch.num_rows, {name: _computable(batch.column(name)) for name in columns})
        return None

    def fresh_rows(self, cut: Cut) -> tuple[range, ...]:
        """The rows of the spliced file in its re-encoded row groups."""
        fresh: list[range] = []
        place = first = 0
        for group in range(self._metadata.num_row_groups):
            rows = self._metadata.row_group(group).num_rows
            here = cut.within(first, rows)
            kept = rows - len(here.drop)
            if here and kept:
                fresh.append(range(place, place + kept))
            place += kept
            first += rows
        return tuple(fresh)

    def rewrite(self, target: Path, cut: Cut) -> Written:
        """Splice the file or, where that cannot be done, write it again row group by row group."""
        cut.check(self.columns, self.file.name)
        with target.open("xb") as raw, self._plain_errors():
            sink = HashingFile(raw)
            method: Method = "spliced"
            reason: str | None = None
            try:
                with Source.open(self.file.path) as source:
                    rows = splice(source, cut, sink, self._arrow_schema)
            except EncryptedError as error:
                raise self.bad("is encrypted in part. Decrypt it first.") from error
            except (FooterError, ThriftError, pa.ArrowNotImplementedError) as error:
                reason = str(error).splitlines()[0].rstrip(".")
                raw.seek(0)
                raw.truncate()
                sink = HashingFile(raw)
                method = "rewritten"
                rows = self._write_anew(sink, cut)
            self.check_unchanged()
            finish(raw)
        return sink.written(rows, method, reason)

    def compare(self, written: Shard, cut: Cut) -> None:
        """Hold copied bytes against each other and decode the rest, schema and metadata included."""
        assert isinstance(written, ParquetShard)
        with self._plain_errors(), written._plain_errors():  # noqa: SLF001  the other file of the same class
            if not self._is_spliced(written, cut):
                self._compare_decoded(written, cut)
        self.check_unchanged()
        written.check_unchanged()

    def _is_spliced(self, written: ParquetShard, cut: Cut) -> bool:
        """Compare with a spliced file; False if it is none."""
        try:
            with Source.open(self.file.path) as base, Source.open(written.file.path) as made:
                if not has_same_fields(base, made):
                    return False
                verify(base, made, cut, self._arrow_schema, self.file.name)
        except (FooterError, ThriftError, pa.ArrowNotImplementedError):
            return False
        return True

    def _compare_decoded(self, written: ParquetShard, cut: Cut) -> None:
        """Decode both files and compare them row group by row group."""
        if _columns_of(written._metadata) != _columns_of(self._metadata):
            raise VerificationFailed(
                f"{self.file.name}: the rewritten file's schema differs from its base's."
            )
        if _key_values(written._metadata) != _key_values(self._metadata):
            raise VerificationFailed(f"{self.file.name}: the rewritten file's key-value metadata differs.")
        found = (table for table, _ in written._groups(Cut()))
        for number, (table, here) in enumerate(self._groups(cut)):
            expected = compacted(without(table, here))
            if not expected.num_rows:
                continue
            if (other := next(found, None)) is None or not same(expected, other):
                raise VerificationFailed(
                    f"{self.file.name}: row group {number} differs from its base beyond the removed rows."
                )
        if next(found, None) is not None:
            raise VerificationFailed(f"{self.file.name}: row groups were added.")

    def _write_anew(self, sink: HashingFile, cut: Cut) -> int:
        """Write the file again, row group by row group; returns the rows written."""
        rows = 0
        with pq.ParquetWriter(pa.PythonFile(sink, mode="w"), self._schema, **self._settings()) as writer:
            for number, (table, here) in enumerate(self._groups(cut)):
                self._check_read(number, table)
                kept = compacted(without(table, here))
                if kept.num_rows:
                    writer.write_table(kept, row_group_size=kept.num_rows)
                rows += kept.num_rows
            if not self._has_arrow_schema:  # with which the writer would have written the others
                writer.add_key_value_metadata(self._metadata.metadata or {})
        return rows

    def _refuse_encrypted(self) -> None:
        with self._open() as source:
            source.seek(max(0, self.fingerprint[0] - len(MAGIC_OF_ENCRYPTED)))
            if source.read() == MAGIC_OF_ENCRYPTED:
                raise self.bad("is encrypted. Decrypt it first.")

    def _check_read(self, group: int, table: pa.Table) -> None:
        """Refuse a row group that was not read as it is stored."""
        chunks = self._metadata.row_group(group)
        if table.num_rows != chunks.num_rows:
            raise self.bad(
                f"row group {group} does not hold the rows that its footer tells of. Fetch it again."
            )
        if all(chunks.column(place).physical_type != "INT96" for place in range(chunks.num_columns)):
            return
        with pq.ParquetFile(self.file.path, coerce_int96_timestamp_unit="us") as reader:
            check_instants(table, reader.read_row_group(group))

    def _groups_asked_for(self) -> list[tuple[list[int], int, int]]:
        """Runs of row groups that are asked for: their numbers, the first row, and how many rows."""
        counts = [self._metadata.row_group(group).num_rows for group in range(self._metadata.num_row_groups)]
        if self.file.rows is None:
            return [(list(range(len(counts))), 0, self._metadata.num_rows)]
        starts = [0, *accumulate(counts)]
        begins = sorted(asked.start for asked in self.file.rows)
        ends = sorted(asked.stop for asked in self.file.rows)
        return [
            ([group], first, rows)
            for group, (first, rows) in enumerate(zip(starts, counts, strict=False))
            # Of those that begin before its end not all end before its start.
            if bisect_left(begins, first + rows) > bisect_right(ends, first)
        ]

    @contextmanager
    def _plain_errors(self) -> Iterator[None]:
        """What the library says of broken bytes becomes one plain sentence."""
        try:
            yield
        except LossError as error:
            raise self.bad(str(error)) from error
        except (pa.ArrowException, OSError, EOFError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise self.unreadable(error) from error
            self.check_unchanged()
            reason = str(error).splitlines()[0][:200].rstrip(".")
            raise self.bad(f"is not a whole Parquet file ({reason}). Fetch it again.") from error

    @contextmanager
    def _reader(self) -> Iterator[pq.ParquetFile]:
        """The file opened, with plain errors."""
        with self._plain_errors(), self._open() as source, pq.ParquetFile(source, pre_buffer=False) as reader:
            yield reader

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
