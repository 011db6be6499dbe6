"""Parquet files of up to a million rows a group, and what is read from them, as Arrow tables.

Values are made by the column, because a million of them are; so the files vary less than those of `parquet_files`.
"""

from __future__ import annotations

import warnings
from random import Random
from typing import TYPE_CHECKING, Any

import fastparquet
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from expunge.shards.cut import Cut
from tests.expunge.parquet_files import CODECS, ParquetFile, one_duckdb

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LEAST_ROWS, MOST_ROWS = 20_000, 1_000_000


def large_file(folder: Path, seed: int) -> ParquetFile:
    """Write the large file of a seed."""
    random = Random(seed)
    writer = random.choice(list(_WRITERS))
    rows = random.choice([MOST_ROWS, random.randrange(LEAST_ROWS, MOST_ROWS)])
    group = random.choice([MOST_ROWS, rows, 122_880, max(1, rows // 3)])
    path = folder / f"{seed}.parquet"
    settings = _WRITERS[writer](_table(rows, seed, nested=writer != "fastparquet"), path, group, random)
    return ParquetFile(path, writer, f"{rows} rows, {group} a group, {settings}")


def large_cut(file: ParquetFile, seed: int) -> Cut:
    """Some rows: a few, a hundredth, or most."""
    rng = np.random.default_rng(seed)
    rows = file.rows
    share = rng.choice([3 / rows, 0.01, 0.9])
    return Cut(drop=np.sort(rng.choice(rows, max(1, int(share * rows)), replace=False)).astype(np.int64))


def table_without(table: pa.Table, cut: Cut) -> pa.Table:
    """The table as PyArrow filters it."""
    kept = np.ones(table.num_rows, dtype=bool)
    kept[cut.drop] = False
    return table.filter(pa.array(kept))


def _table(rows: int, seed: int, *, nested: bool) -> pa.Table:
    rng = np.random.default_rng(seed)
    ids = pc.cast(pa.array(rng.integers(0, 1 << 60, rows)), pa.string())
    url = pc.binary_join_element_wise("https://a.example/", ids, "")
    absent = pa.array(rng.random(rows) < 0.1)
    columns = {
        "url": pc.if_else(absent, None, url),
        "n": pa.array(rng.integers(0, 1000, rows)),
        "few": pa.array(np.array(["red", "green", "blue"])[rng.integers(0, 3, rows)]),
        "score": pa.array(rng.random(rows)),
        "at": pc.cast(pa.array(rng.integers(0, 1 << 50, rows)), pa.timestamp("us")),
        "flag": pa.array(rng.random(rows) < 0.5),
    }
    if nested:
        offsets = np.minimum(np.cumsum(rng.integers(0, 3, rows + 1)), rows).astype(np.int32)
        columns["tags"] = pa.ListArray.from_arrays(pa.array(offsets), url)
    return pa.table(columns)


def _by_pyarrow(table: pa.Table, path: Path, group: int, random: Random) -> str:
    settings: dict[str, Any] = {
        "compression": random.choice(CODECS),
        "use_dictionary": random.choice([True, False, ["few"]]),
        "data_page_version": random.choice(["1.0", "2.0"]),
        "write_page_index": random.choice([True, False]),
        "bloom_filter_options": random.choice([None, {"url": {"ndv": 100_000, "fpp": 0.01}}]),
    }
    pq.write_table(table, path, row_group_size=group, **settings)
    return str(settings)


def _by_duckdb(table: pa.Table, path: Path, group: int, random: Random) -> str:
    codec, version = random.choice(["uncompressed", "snappy", "zstd"]), random.choice(["V1", "V2"])
    database = one_duckdb()
    database.register("given", table)
    database.execute(
        f"COPY given TO '{path}' "
        f"(FORMAT parquet, ROW_GROUP_SIZE {group}, CODEC {codec}, PARQUET_VERSION {version})"
    )
    database.unregister("given")
    return f"{codec}, {version}"


def _by_polars(table: pa.Table, path: Path, group: int, random: Random) -> str:
    codec: Any = random.choice(["uncompressed", "snappy", "zstd", "lz4"])
    pl.DataFrame(table).write_parquet(path, compression=codec, row_group_size=group)
    return str(codec)


def _by_fastparquet(table: pa.Table, path: Path, group: int, random: Random) -> str:
    codec = random.choice([None, "SNAPPY", "ZSTD"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fastparquet.write(str(path), table.to_pandas(), compression=codec, row_group_offsets=group)
    return str(codec)


_WRITERS: dict[str, Callable[[pa.Table, Path, int, Random], str]] = {
    "pyarrow": _by_pyarrow,
    "duckdb": _by_duckdb,
    "polars": _by_polars,
    "fastparquet": _by_fastparquet,
}


def _read_duckdb(path: Path) -> pa.Table:
    return one_duckdb().sql(f"SELECT * FROM read_parquet('{path}')").to_arrow_table()


def _read_fastparquet(path: Path) -> pa.Table:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        frame = fastparquet.ParquetFile(str(path)).to_pandas()
    return pa.Table.from_pandas(frame, preserve_index=False)


TABLE_READERS: dict[str, Callable[[Path], pa.Table]] = {
    "pyarrow": pq.read_table,
    "duckdb": _read_duckdb,
    "polars": lambda path: pl.read_parquet(path, use_statistics=False).to_arrow(),
    "fastparquet": _read_fastparquet,
}


def tables_of(reader: str, file: ParquetFile) -> pa.Table | None:
    """What a reader finds in a large file, or None where it cannot read such files: fastparquet, nested ones."""
    if reader == "fastparquet" and (file.writer != "fastparquet"):
        return None
    return TABLE_READERS[reader](file.path)
