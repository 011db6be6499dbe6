"""Compare two versions: rows added, removed and common, as multisets of raw url keys.

Two rows have the same raw key exactly when their URLs are the same bytes, so the URLs themselves are compared: DuckDB
counts them, within bounded memory, on disk where that is not enough.
"""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import pyarrow as pa

from expunge.errors import ExpungeError, UsageError
from expunge.files import writing
from expunge.keys import Role
from expunge.progress import Progress, quiet
from expunge.shards import ShardFile, bind_columns, is_list, open_shard

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_MEMORY = "512MB"
_INSERT_ROWS = 500_000

_TABLE = pa.schema(
    [
        pa.field("side", pa.int8()),
        pa.field("scope", pa.int32()),
        pa.field("shard", pa.int32()),
        pa.field("row", pa.int64()),
        pa.field("url", pa.large_string()),
    ]
)

_COUNTS = """
    SELECT coalesce(sum(greatest(new - old, 0)), 0), coalesce(sum(greatest(old - new, 0)), 0),
           coalesce(sum(least(old, new)), 0)
    FROM (SELECT count(*) FILTER (side = 0) AS old, count(*) FILTER (side = 1) AS new
          FROM rows GROUP BY scope, url)
"""

# Of rows with the same URL the last ones are those that were added or removed.
_ROWS = """
    SELECT if(side = 1, 'added', 'removed') AS change, path, row, sha256(url) AS "url.raw.sha256", url
    FROM (SELECT *, row_number() OVER (PARTITION BY scope, url, side ORDER BY shard, row) AS number,
                    count(*) FILTER (side = 0) OVER (PARTITION BY scope, url) AS old,
                    count(*) FILTER (side = 1) OVER (PARTITION BY scope, url) AS new
          FROM rows)
    JOIN shards USING (side, shard)
    WHERE number > if(side = 1, old, new)
    ORDER BY change, path, row
"""


@dataclass(frozen=True, slots=True)
class Diff:
    """What two versions differ by, in rows. Rows without a URL are counted in the totals alone."""

    old_rows: int
    old_shards: int
    new_rows: int
    new_shards: int
    added: int
    removed: int
    common: int
    without_key: int

    def to_dict(self) -> dict[str, Any]:
        """The figures for machines."""
        return {
            "old": {"rows": self.old_rows, "shards": self.old_shards},
            "new": {"rows": self.new_rows, "shards": self.new_shards},
            "added": self.added,
            "removed": self.removed,
            "common": self.common,
        }


def diff_versions(
    old: Sequence[ShardFile],
    new: Sequence[ShardFile],
    *,
    by_shard: bool = False,
    columns: Mapping[str, str] | None = None,
    output: Path | None = None,
    progress: Progress = quiet,
) -> Diff:
    """Compare two versions, over all their shards or, `by_shard`, each shard with the one of the same name.

    `output` is a new Parquet file for the rows that were added or removed: change, path, row, url.raw.sha256, url.
    Raises `BadShard` and `UsageError`.
    """
    if output is not None and (
        output.suffix != ".parquet" or output.exists() or not output.absolute().parent.is_dir()
    ):
        raise UsageError(f"{output} must be a new file that ends in .parquet, in a folder that exists.")
    with (
        _explained(),
        tempfile.TemporaryDirectory(prefix="expunge-diff-") as folder,
        duckdb.connect(Path(folder, "rows.duckdb")) as database,
    ):
        database.execute(f"SET memory_limit = '{_MEMORY}'")
        database.execute(f"SET temp_directory = '{folder}'")
        database.execute("SET preserve_insertion_order = false")
        database.execute("BEGIN")
        counts, without_key = _load(
            database, (old, new), by_shard=by_shard, columns=columns, progress=progress
        )
        added, removed, common = database.execute(_COUNTS).fetchall()[0]
        if output is not None:
            with writing(output) as partial:
                database.sql(_ROWS).write_parquet(str(partial), compression="zstd")
    return Diff(
        old_rows=counts[0],
        old_shards=len(old),
        new_rows=counts[1],
        new_shards=len(new),
        added=int(added),
        removed=int(removed),
        common=int(common),
        without_key=sum(without_key),
    )


@contextmanager
def _explained() -> Iterator[None]:
    """Turn what the database says of the disk and the memory into a sentence. It never quotes a row."""
    try:
        yield
    except duckdb.Error as error:
        raise ExpungeError(
            f"The comparison cannot go on ({type(error).__name__}). Most often the disk under "
            f"{tempfile.gettempdir()} is full: free some space, or set TMPDIR to another folder."
        ) from error


def _load(
    database: duckdb.DuckDBPyConnection,
    sides: tuple[Sequence[ShardFile], Sequence[ShardFile]],
    *,
    by_shard: bool,
    columns: Mapping[str, str] | None,
    progress: Progress,
) -> tuple[list[int], list[int]]:
    """Fill the tables `rows` and `shards`; returns the rows of each side, and how many of them have no URL."""
    database.execute(
        "CREATE TABLE rows (side TINYINT, scope INTEGER, shard INTEGER, row BIGINT, url VARCHAR)"
    )
    database.execute("CREATE TABLE shards (side TINYINT, shard INTEGER, path VARCHAR)")
    names = sorted({file.name for side in sides for file in side})
    scopes = {name: place if by_shard else 0 for place, name in enumerate(names)}
    total = sum(open_shard(file).rows for side in sides for file in side)
    counts, without_key = [0, 0], [0, 0]
    waiting: list[pa.Table] = []
    for side, files in enumerate(sides):
        for place, file in enumerate(files):
            database.execute("INSERT INTO shards VALUES (?, ?, ?)", [side, place, file.name])
            for rows, batch in _urls(file, columns, side, scopes[file.name], place):
                counts[side] += rows
                without_key[side] += rows - len(batch.column("row").unique())
                waiting.append(batch)
                if sum(len(table) for table in waiting) >= _INSERT_ROWS:
                    _insert(database, waiting)
                progress("Comparing URLs", sum(counts), total)
    _insert(database, waiting)
    return counts, without_key


def _insert(database: duckdb.DuckDBPyConnection, waiting: list[pa.Table]) -> None:
    """Insert what waits at once: an insert costs the same for one row as for a hundred thousand."""
    if waiting:
        database.register("batch", pa.concat_tables(waiting))
        database.execute("INSERT INTO rows SELECT * FROM batch")
        database.unregister("batch")
        waiting.clear()


def _urls(
    file: ShardFile, columns: Mapping[str, str] | None, side: int, scope: int, place: int
) -> Iterator[tuple[int, pa.Table]]:
    """The URLs of a shard, batch by batch, as rows of the table; with the rows of the batch, null URLs included."""
    shard = open_shard(file)
    binding = bind_columns(shard.columns, columns)
    if Role.URL not in binding:
        if not shard.columns:  # no rows either
            return
        raise UsageError(f"{file.name} has no column of URLs to compare. Name it with --column url=NAME.")
    for batch in shard.batches([binding[Role.URL]]):
        values = batch.arrays[binding[Role.URL]]
        rows = np.arange(batch.first, batch.first + batch.rows)
        if is_list(values):
            rows = rows[pa.compute.list_parent_indices(values).to_numpy(zero_copy_only=False)]
            values = values.flatten()
        if pa.types.is_dictionary(values.type):
            values = values.dictionary_decode()
        try:
            values = values.cast(pa.large_binary()).cast(pa.large_string())  # which looks at every byte
        except (pa.ArrowException, UnicodeDecodeError) as error:
            raise shard.bad(f"column {binding[Role.URL]!r} holds a URL that is not UTF-8.") from error
        keyed = values.is_valid()
        count = len(values) - values.null_count
        table = pa.table(
            [
                pa.array(np.full(count, side, dtype=np.int8)),
                pa.array(np.full(count, scope, dtype=np.int32)),
                pa.array(np.full(count, place, dtype=np.int32)),
                pa.array(rows).filter(keyed),
                values.filter(keyed),
            ],
            schema=_TABLE,
        )
        yield batch.rows, table
