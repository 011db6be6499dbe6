"""Parquet files of many small pages, for the splice of pages: flat columns of every type, cut here and there."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from expunge.shards.cut import Cut
from tests.expunge.parquet_files import CODECS, ParquetFile, random_column

if TYPE_CHECKING:
    from pathlib import Path

MOST_ROWS = 1_500
PAGE_ROWS = (5, 20, 60)

TYPES: tuple[pa.DataType, ...] = (
    pa.string(),
    pa.string(),
    pa.binary(),
    pa.binary(12),
    pa.bool_(),
    pa.int16(),
    pa.int32(),
    pa.int64(),
    pa.uint32(),
    pa.uint64(),
    pa.float16(),
    pa.float32(),
    pa.float64(),
    pa.decimal128(7, 2),
    pa.decimal128(25, 3),
    pa.date32(),
    pa.timestamp("us"),
    pa.timestamp("ns"),
    pa.list_(pa.string()),
)


def paged_file(folder: Path, seed: int) -> ParquetFile:
    """Write the file of a seed. Pages hold a few rows; some columns begin with a dictionary that soon is full."""
    random = Random(seed)
    rows = random.randrange(100, MOST_ROWS)
    kinds = [pa.string(), *random.choices(TYPES, k=random.randrange(2, 7))]
    columns = {f"c{n}": random_column(kind, rows, random) for n, kind in enumerate(kinds)}
    page_rows = random.choice(PAGE_ROWS)
    settings: dict[str, Any] = {
        "row_group_size": random.choice([rows, rows // 2 + 1]),
        "max_rows_per_page": page_rows,
        "write_batch_size": page_rows,
        "compression": random.choice(CODECS),
        "use_dictionary": random.choice([True, False, False]),
        "dictionary_pagesize_limit": random.choice([60, 600, 3000]),
        "data_page_version": random.choice(["1.0", "2.0"]),
        "write_statistics": random.random() < 0.8,
        "write_page_index": random.random() < 0.6,
        "write_page_checksum": random.random() < 0.3,
        "store_schema": random.random() < 0.8,
        "version": random.choice(["1.0", "2.4", "2.6"]),
        "use_deprecated_int96_timestamps": random.random() < 0.2,
        "store_decimal_as_integer": random.random() < 0.3,
    }
    if any(pa.types.is_nested(kind) for kind in kinds):
        settings["dictionary_pagesize_limit"] = None  # or PyArrow writes pages that it does not read
    path = folder / f"{seed}.parquet"
    pq.write_table(pa.table(columns), path, **settings)
    return ParquetFile(path, "pyarrow, many pages", f"{settings} for {[str(kind) for kind in kinds]}")


def paged_cut(file: ParquetFile, seed: int) -> Cut:
    """A few rows or cells, and sometimes a run of them at the start, the end or between: whole pages."""
    random = Random(-seed - 1)
    rows = file.rows
    drop = _some(rows, random) if random.random() < 0.8 else np.zeros(0, np.int64)
    names = [field.name for field in pq.read_schema(file.path)]
    if len(drop) and random.random() < 0.5:
        return Cut(drop=drop)
    return Cut(
        drop=drop, null={name: _some(rows, random) for name in random.sample(names, random.randrange(1, 4))}
    )


def _some(rows: int, random: Random) -> np.ndarray[Any, np.dtype[np.int64]]:
    chosen = {random.randrange(rows) for _ in range(random.choice([1, 1, 2, 5]))}
    if random.random() < 0.3:
        length = random.randrange(1, max(2, rows // 4))
        first = random.choice([0, rows - length, random.randrange(rows - length + 1)])
        chosen.update(range(first, first + length))
    return np.array(sorted(chosen), dtype=np.int64)
