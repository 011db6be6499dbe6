"""The index of a shard as a sorted Parquet file: for archives, for exchange, and for any engine that reads Parquet.

Columns `prefix` (uint64, the first 8 bytes of the key, big-endian as a number) and `row` (int64, from 0), sorted by both,
in about 9 bytes a row. The file's key-value metadata says what it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from expunge.index.arrays import FORMAT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

_SCHEMA = pa.schema(
    [pa.field("prefix", pa.uint64(), nullable=False), pa.field("row", pa.int64(), nullable=False)]
)
_GROUP_ROWS = 1 << 17
_ENCODINGS = {"prefix": "DELTA_BINARY_PACKED", "row": "DELTA_BINARY_PACKED"}


class ArchiveWriter:
    """Writes pairs, given in order, to a Parquet file whose metadata says what they are `about`."""

    def __init__(self, path: Path, about: Mapping[str, Any]) -> None:
        self._facts = {f"expunge.{name}": str(value) for name, value in {"format": FORMAT, **about}.items()}
        # No codec: deltas are as good as random, and compressing them costs half as much again as writing them.
        self._writer = pq.ParquetWriter(
            path,
            _SCHEMA,
            compression="none",
            use_dictionary=False,
            column_encoding=_ENCODINGS,
            store_schema=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.add_key_value_metadata(self._facts)
        self._writer.close()

    def append(self, prefixes: NDArray[np.uint64], places: NDArray[np.uint64]) -> None:
        """Write more pairs, none of which sorts before an earlier one."""
        if len(prefixes):
            columns = [pa.array(prefixes), pa.array(places.astype(np.int64))]
            self._writer.write_table(pa.table(columns, schema=_SCHEMA), row_group_size=_GROUP_ROWS)
