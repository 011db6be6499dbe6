"""The values of a piece, and the database that compares what was read."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from expunge.errors import ExpungeError
from expunge.shards import Batch
from expunge.shards.shard import BATCH_ROWS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from expunge.diff.sharing import Opened, Piece

_MEMORY = "700MB"
"""What the database may hold before it goes to disk. The process needs some 150 MB beside it."""

_INSERT_ROWS = 500_000


@contextmanager
def comparing() -> Iterator[duckdb.DuckDBPyConnection]:
    """A database in bounded memory that goes on on disk. What it says of the disk becomes a sentence that quotes no row."""
    with tempfile.TemporaryDirectory(prefix="expunge-diff-") as folder:
        try:
            with duckdb.connect() as database:
                database.execute(f"SET memory_limit = '{_MEMORY}'")
                database.execute(f"SET temp_directory = '{folder}'")
                database.execute("SET preserve_insertion_order = false")
                database.execute("SET enable_progress_bar = false")  # it would be printed among the results
                yield database
        except duckdb.Error as error:
            raise ExpungeError(
                f"The comparison cannot go on ({type(error).__name__}). Most often the disk under "
                f"{tempfile.gettempdir()} is full: free some space, or set TMPDIR to another folder."
            ) from error


def read_piece(
    entry: Opened, piece: Piece, columns: Sequence[str], batch_rows: int = BATCH_ROWS
) -> Iterator[Batch]:
    """The rows of a piece in order, batch by batch, counted from the first row of the shard. Raises `BadShard`.

    `batch_rows` are the most rows of a batch from a row group.
    """
    if piece.group is None:
        yield from entry.shard.batches(columns)
        return
    first = piece.first
    with _reader(entry, piece) as reader:
        # Threads for one column of a few rows would cost more than they read.
        batches = reader.iter_batches(
            batch_rows, row_groups=[piece.group], columns=list(columns), use_threads=piece.rows > BATCH_ROWS
        )
        for batch in batches:
            yield Batch(first, batch.num_rows, {name: batch.column(name) for name in columns})
            first += batch.num_rows


def read_group(entry: Opened, piece: Piece, column: str) -> pa.Array:
    """One column of a whole row group. Raises `BadShard`."""
    with _reader(entry, piece) as reader:
        return pa.concat_arrays(reader.read_row_group(piece.group, columns=[column]).column(column).chunks)


class Table:
    """Rows on their way into a table: an insert costs the same for one row as for a hundred thousand."""

    def __init__(self, database: duckdb.DuckDBPyConnection, name: str) -> None:
        self._database = database
        self._name = name
        self._waiting: list[pa.Table] = []
        self._rows = 0

    def add(self, rows: pa.Table) -> None:
        """Append rows that have the table's columns in its order."""
        self._waiting.append(rows)
        self._rows += len(rows)
        if self._rows >= _INSERT_ROWS:
            self.flush()

    def flush(self) -> None:
        """Insert what waits."""
        if self._rows:
            self._database.register("waiting", pa.concat_tables(self._waiting))
            self._database.execute(f"INSERT INTO {self._name} SELECT * FROM waiting")  # noqa: S608  a name of ours
            self._database.unregister("waiting")
        self._waiting.clear()
        self._rows = 0


@contextmanager
def _reader(entry: Opened, piece: Piece) -> Iterator[pq.ParquetFile]:
    """A Parquet shard opened with the footer that is known, with plain errors."""
    with (
        _readable(entry),
        pa.OSFile(str(piece.path)) as source,
        pq.ParquetFile(source, metadata=entry.footer, pre_buffer=False) as reader,
    ):
        yield reader


@contextmanager
def _readable(entry: Opened) -> Iterator[None]:
    """Turn what the library says of broken bytes into a sentence."""
    try:
        yield
    except (pa.ArrowException, OSError, EOFError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise entry.shard.unreadable(error) from error
        entry.shard.check_unchanged()
        reason = str(error).splitlines()[0][:200].rstrip(".")
        raise entry.shard.bad(f"is not a whole Parquet file ({reason}). Fetch it again.") from error
