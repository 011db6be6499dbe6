"""Compare what two versions do not share by a key that was named, and tell changed rows from removed and added ones.

Rows with the same key pair up: first those that are equal in every other value, then the rest in their order, which
are the changed ones. What finds no partner was removed or added. So of a key that occurs several times it is the
number of differing rows that counts, and not how they are spread over row groups and shards.

Values are compared by their text, over the columns that every shard has: the number 5 of a Parquet shard is the `5`
of a CSV shard. Nested values are compared as their format spells them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import orjson
import pyarrow as pa

from expunge.diff.reading import read_piece
from expunge.diff.urls import Counted
from expunge.errors import UsageError
from expunge.files import writing
from expunge.keys import ROLE_OF, Role
from expunge.shards import Batch, bind_shard, is_list, open_shard
from expunge.shards.jsonl import JsonLinesShard

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    import duckdb

    from expunge.diff.sharing import ColumnsOf, Opened, Piece, Sharing
    from expunge.progress import Progress
    from expunge.shards import Shard, ShardFile

_INSERT_ROWS = 500_000

# Each value with its length, so that two rows have one text only when they have the same values.
_VALUE = "coalesce(length({0}::VARCHAR) || ':' || {0}::VARCHAR, '-')"

_COUNTS = """
    WITH by_value AS (
        SELECT scope, key, count(*) FILTER (side = 0) AS old, count(*) FILTER (side = 1) AS new
        FROM rows GROUP BY scope, key, value),
    by_key AS (
        SELECT sum(greatest(old - new, 0)) AS old, sum(greatest(new - old, 0)) AS new
        FROM by_value GROUP BY scope, key)
    SELECT coalesce(sum(new - least(old, new)), 0), coalesce(sum(old - least(old, new)), 0),
           coalesce(sum(least(old, new)), 0)
    FROM by_key
"""

_ROWS = """
    WITH unlike AS (
        SELECT * FROM (
            SELECT *, row_number() OVER (PARTITION BY scope, key, value, side ORDER BY shard, row) AS number,
                   count(*) FILTER (side = 0) OVER (PARTITION BY scope, key, value) AS old,
                   count(*) FILTER (side = 1) OVER (PARTITION BY scope, key, value) AS new
            FROM rows)
        WHERE number > least(old, new)),
    paired AS (
        SELECT side, shard, row, key, row_number() OVER (PARTITION BY scope, key, side ORDER BY shard, row)
                   <= least(count(*) FILTER (side = 0) OVER (PARTITION BY scope, key),
                            count(*) FILTER (side = 1) OVER (PARTITION BY scope, key)) AS pair
        FROM unlike)
    SELECT if(pair, 'changed', if(side = 1, 'added', 'removed')) AS change, path, row, key
    FROM paired JOIN shards USING (side, shard)
    WHERE side = 1 OR NOT pair
    ORDER BY change, path, row
"""


@dataclass(frozen=True, slots=True)
class Changed:
    """Rows of a key that the other version lacks, and rows of the same key with other values."""

    added: int
    removed: int
    changed: int


def key_and_values(
    on: str, files: Sequence[ShardFile], given: Mapping[str, str] | None
) -> tuple[ColumnsOf, tuple[str, ...]]:
    """Which columns of a shard are compared, its key first, and the columns that not every shard has.

    `on` is a role or a kind of key (`url`, `id`, `content.md5`), else a column's name; names are compared without
    case where that is clear. Raises `UsageError` for a shard without such a column, and `BadShard`.
    """
    shards = [
        shard for shard in map(open_shard, files) if shard.columns
    ]  # JSON Lines without an object has none
    keys = {shard.file: _key_column(on, shard, given) for shard in shards}
    names = [_names(shard, keys[shard.file]) for shard in shards]
    everywhere = sorted(set.intersection(*(set(found) for found in names))) if names else []
    ignored = sorted({name for found in names for name in found} - set(everywhere))

    def columns_of(shard: Shard) -> tuple[str, ...]:
        if not shard.columns:
            return ()
        found = _names(shard, keys[shard.file])
        return (keys[shard.file], *(found[name] for name in everywhere))

    return columns_of, tuple(ignored)


def _key_column(on: str, shard: Shard, given: Mapping[str, str] | None) -> str:
    roles = {role.value: role for role in Role} | {kind.value: role for kind, role in ROLE_OF.items()}
    if on in roles:
        column = bind_shard(shard, given).get(roles[on])
        if column is None:
            raise UsageError(
                f"{shard.file.name} has no column for the key {on}. Name it with --column {on}=NAME."
            )
        return column
    names = [column.name for column in shard.columns]
    found = [name for name in names if name == on] or [name for name in names if name.lower() == on.lower()]
    if len(found) != 1:
        raise UsageError(
            f"{shard.file.name} has {'no' if not found else 'more than one'} column {on!r} (columns: {', '.join(names)})."
        )
    return found[0]


def _names(shard: Shard, key: str) -> dict[str, str]:
    """The columns beside the key, by their names in lower case where only one has that name. Raises `UsageError`."""
    found: dict[str, str] = {}
    names = [column.name for column in shard.columns]
    if twice := [name for name in names if names.count(name) > 1]:
        raise UsageError(
            f"{shard.file.name} has more than one column {twice[0]!r}, so their values cannot be compared. Rename them."
        )
    lower = [name.lower() for name in names]
    for column, name in zip(shard.columns, lower, strict=True):
        if column.name != key:
            found[name if lower.count(name) == 1 else column.name] = column.name
    return found


class KeyComparison:
    """The comparison of two opened versions by a key; the table `shards` of the database knows their names."""

    def __init__(
        self,
        database: duckdb.DuckDBPyConnection,
        versions: tuple[Sequence[Opened], Sequence[Opened]],
        scopes: dict[str, int],
        progress: Progress,
    ) -> None:
        self._database = database
        self._versions = versions
        self._scopes = scopes
        self._progress = progress
        self.counted = Counted()
        database.execute(
            "CREATE TABLE rows (side TINYINT, scope INTEGER, shard INTEGER, row BIGINT, key VARCHAR, value BLOB)"
        )

    def load(self, sharing: Sharing) -> None:
        """Count what is shared, and read what is not. Raises `BadShard` and `UsageError`."""
        for one, other in sharing.pairs:
            rows = without = 0
            for batch in self._batches(one, keys_only=True):
                rows += batch.rows
                without += batch.arrays["key"].null_count if batch.arrays else 0
            for piece in (one, other):
                self.counted.add(piece.side, rows, rows - without, without)
        for pieces in sharing.left:
            for piece in pieces:
                self._read(piece)

    def count(self, output: Path | None) -> Changed:
        """Count what differs; with `output` those rows are written there."""
        added, removed, changed = self._database.execute(_COUNTS).fetchall()[0]
        if output is not None:
            with writing(output) as partial:
                self._database.sql(_ROWS).write_parquet(str(partial), compression="zstd")
        return Changed(int(added), int(removed), int(changed))

    def _read(self, piece: Piece) -> None:
        """Read a piece into the table, each row with its key and the digest of its other values."""
        entry = self._versions[piece.side][piece.shard]
        waiting: list[pa.Table] = []
        rows = 0
        for batch in self._batches(piece, keys_only=False):
            if not batch.arrays:
                continue
            without = batch.arrays["key"].null_count
            self.counted.add(piece.side, batch.rows, batch.rows - without, without)
            numbers = pa.array(np.arange(batch.first, batch.first + batch.rows))
            waiting.append(pa.table({"row": numbers, **batch.arrays}))
            rows += batch.rows
            if rows >= _INSERT_ROWS:
                self._insert(entry, waiting)
                rows = 0
            self._progress("Comparing rows", sum(self.counted.rows), 0)
        self._insert(entry, waiting)

    def _insert(self, entry: Opened, waiting: list[pa.Table]) -> None:
        if not waiting:
            return
        # Of a text format a column's type is that of the batch: text, or null where no row has a value.
        table = pa.concat_tables(waiting, promote_options="permissive")
        values = " || ".join(_VALUE.format(name) for name in table.column_names[2:]) or "''"
        self._database.register("waiting", table)
        self._database.execute(
            f"INSERT INTO rows SELECT {entry.side}, {self._scopes[entry.file.name]}, {entry.place}, row, "  # noqa: S608  names and numbers of ours
            f"key::VARCHAR, unhex(sha256({values})) FROM waiting WHERE key IS NOT NULL"
        )
        self._database.unregister("waiting")
        waiting.clear()

    def _batches(self, piece: Piece, *, keys_only: bool) -> Iterator[Batch]:
        """The rows of a piece, its columns called `key`, `v0`, `v1` and so on."""
        entry = self._versions[piece.side][piece.shard]
        columns = entry.columns[:1] if keys_only else entry.columns
        names = ["key", *(f"v{place}" for place in range(len(columns) - 1))]
        if isinstance(entry.shard, JsonLinesShard):
            batches = _AnyValue(entry.file).batches(columns)
        else:
            batches = read_piece(entry, piece, columns)
        for batch in batches:
            arrays = [batch.arrays[column] for column in columns]
            if arrays and (is_list(arrays[0]) or pa.types.is_nested(arrays[0].type)):
                raise UsageError(
                    f"{entry.file.name}: column {columns[0]!r} holds lists, so it is no key of a row."
                )
            yield Batch(batch.first, batch.rows, dict(zip(names, arrays, strict=False)))


class _AnyValue(JsonLinesShard):
    """JSON Lines with any value as its text; the format's own reading knows keys alone, which are text."""

    def arrays(self, rows: list[object], columns: Sequence[str], first: int) -> dict[str, pa.Array]:  # noqa: ARG002  no row is refused
        """The values of the named columns, as text."""
        objects = cast("list[dict[str, Any]]", rows)
        return {
            name: pa.array([_text(row.get(name)) for row in objects], pa.large_string()) for name in columns
        }


def _text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
