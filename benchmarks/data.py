"""The data that the benchmarks share: shards that look like LAION's, made once from row numbers and kept in one folder.

Row `n` is the same in every version that holds it, so that what it says can be worked out without reading. A shard has row
groups of 122,880 rows, compressed with Zstandard, about 84 bytes a row.
"""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

GROUP_ROWS = 122_880
MOST_PROCESSES = 2

# Plain arithmetic and MD5 rather than DuckDB's own hash(), which the next version may compute otherwise. Digests stand in
# texts and URLs so that they compress as badly as real ones.
_CHANCE = "((n * {}) % 2147483647)"
_ROW = """
    n AS sample_id,
    'https://img' || {host} % 20000 || '.example.com/' || md5(n::VARCHAR) || '/' || md5('u' || n)[:12] || '.jpg' AS url,
    'photo ' || md5('t' || n) || ' of a ' || {first} % 1000 || ' red house by the sea' || md5('v' || n)[:8] AS text,
    (100 + {first} % 3900)::INTEGER AS width, (100 + {second} % 3900)::INTEGER AS height,
    ({first} / 2147483647)::FLOAT AS similarity, ({second} / 2147483647)::FLOAT AS punsafe,
    md5((n + 7)::VARCHAR) AS md5
""".format(host=_CHANCE.format(48271), first=_CHANCE.format(69621), second=_CHANCE.format(16807))


def _database() -> duckdb.DuckDBPyConnection:
    database = duckdb.connect()
    database.execute("SET enable_progress_bar = false")
    return database


def rows_of(first: int, count: int) -> pa.Table:
    """Rows `first` to `first + count`."""
    with _database() as database:
        query = f"SELECT {_ROW} FROM range({first}, {first + count}) AS made(n) ORDER BY n"
        return database.sql(query).to_arrow_table()


def urls_of(rows: NDArray[np.int64] | Sequence[int]) -> list[str]:
    """The URLs of some rows, in their order."""
    with _database() as database:
        wanted = database.from_arrow(pa.table({"n": pa.array(rows, pa.int64())}))  # noqa: F841  # the query names it
        found = dict(database.sql(f"SELECT sample_id, url FROM (SELECT {_ROW} FROM wanted)").fetchall())
    return [found[int(row)] for row in rows]


def write_shard(path: Path, table: pa.Table, gone: Sequence[int] = ()) -> None:
    """Write the rows but for those at `gone`. Each row group depends on its own rows alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = np.ones(len(table), bool)
    kept[list(gone)] = False
    partial = path.with_suffix(".partial")
    with pq.ParquetWriter(partial, table.schema, compression="zstd") as writer:
        for first in range(0, len(table), GROUP_ROWS):
            group = table.slice(first, GROUP_ROWS).filter(pa.array(kept[first : first + GROUP_ROWS]))
            writer.write_table(group, row_group_size=GROUP_ROWS)
    partial.rename(path)


def shard_name(place: int) -> str:
    """The name of the shard at a place."""
    return f"part-{place:05}.parquet"


def make_shards(data: Path, shards: int, rows: int) -> Path:
    """A folder under `data` with the first `shards` shards of `rows` rows each: links to those that were made once."""
    made, folder = data / f"shards-{rows}", data / f"first-{shards}-of-{rows}"
    made.mkdir(parents=True, exist_ok=True)
    names = [shard_name(place) for place in range(shards)]
    with ProcessPoolExecutor(min(MOST_PROCESSES, os.cpu_count() or 1)) as pool:
        missing = [place for place, name in enumerate(names) if not (made / name).exists()]
        for job in [pool.submit(_make_shard, made / names[place], place * rows, rows) for place in missing]:
            job.result()
    folder.mkdir(exist_ok=True)
    for name in names:
        if not (folder / name).exists():
            os.link(made / name, folder / name)
    return folder


def _make_shard(path: Path, first: int, rows: int) -> None:
    write_shard(path, rows_of(first, rows))


def size_of(folder: Path) -> int:
    """Bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def spread(total: int, count: int) -> NDArray[np.int64]:
    """`count` of `total` rows, spread evenly and never at an edge of a shard."""
    return ((np.arange(count) + 0.5) * (total / count)).astype(np.int64)


def write_list(path: Path, rows: NDArray[np.int64]) -> Path:
    """Write the removal list of these rows, by URL."""
    path.write_text("".join(f"{url}\n" for url in urls_of(rows)))
    return path
