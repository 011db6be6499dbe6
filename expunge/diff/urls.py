"""Compare what two versions do not share by the exact bytes of its URLs.

Parquet shards of which nothing is shared are read by DuckDB itself; of others the row groups that are left are walked
in step with their older selves, and what remains goes into a table beside the text formats' rows.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import duckdb
import numpy as np
import pyarrow as pa

from expunge.diff.reading import Table, read_group, read_piece
from expunge.diff.walk import walk
from expunge.files import writing
from expunge.shards import is_list

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from expunge.diff.sharing import Opened, Piece, Sharing
    from expunge.progress import Progress

_WALK_ROWS = 2_000_000
"""Row groups with more rows are not walked: both would have to be in memory."""

_PROBE_ROWS = 1024

_DIRECT_ROWS = 50_000
"""Shards with fewer rows are not worth a part of their own in a query."""

_SURPLUS = """
    SELECT {scope} AS scope, url, sum_no_overflow(sign) AS surplus FROM (
        SELECT scope, url, 1 AS sign FROM rows WHERE side = 0 UNION ALL
        SELECT scope, url, -1 FROM rows WHERE side = 1 {direct})
    GROUP BY {key}
"""

_COUNTS = (
    "SELECT coalesce(sum(greatest(surplus, 0)), 0), coalesce(sum(greatest(-surplus, 0)), 0) FROM ({surplus})"
)

# Of the rows with the same URL that are not shared, the last ones are those that were added or removed.
_ROWS = """
    SELECT if(side = 1, 'added', 'removed') AS change, path, row, sha256(url) AS "url.raw.sha256", url
    FROM (SELECT side, shard, row, url, surplus, count(*) OVER same AS copies,
                 row_number() OVER (same ORDER BY shard, row) AS number
          FROM (SELECT * FROM rows {direct}) JOIN surplus USING (scope, url)
          WHERE if(side = 1, surplus < 0, surplus > 0)
          WINDOW same AS (PARTITION BY scope, url, side))
    JOIN shards USING (side, shard)
    WHERE number > copies - abs(surplus)
    ORDER BY change, path, row
"""


@dataclass(slots=True)
class Counted:
    """Rows, values and rows without a value on each side, older and newer. A list has a value for each element."""

    rows: list[int] = field(default_factory=lambda: [0, 0])
    values: list[int] = field(default_factory=lambda: [0, 0])
    without: list[int] = field(default_factory=lambda: [0, 0])

    def add(self, side: int, rows: int, values: int, without: int) -> None:
        """Count some rows of a side."""
        self.rows[side] += rows
        self.values[side] += values
        self.without[side] += without


class UrlComparison:
    """The comparison of two opened versions; the table `shards` of the database knows their names."""

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
        self._direct: list[Opened] = []
        self.counted = Counted()
        database.execute(
            "CREATE TABLE rows (side TINYINT, scope INTEGER, shard INTEGER, row BIGINT, url VARCHAR)"
        )
        self._rows = Table(database, "rows")

    def load(self, sharing: Sharing) -> None:
        """Count what is shared, and read what is not. Raises `BadShard`."""
        for one, other in sharing.pairs:
            rows, values, without = self._count(one)
            for piece in (one, other):
                self.counted.add(piece.side, rows, values, without)
        left: dict[tuple[int, int], list[Piece]] = {}
        for pieces in sharing.left:
            for piece in pieces:
                left.setdefault((piece.side, piece.shard), []).append(piece)
        self._walk(left)
        for (side, place), pieces in left.items():
            entry = self._versions[side][place]
            if len(pieces) == len(entry.pieces) and _is_plain(entry):
                self._direct.append(entry)
                for piece in pieces:
                    self.counted.add(side, *self._count(piece))
            else:
                for piece in pieces:
                    self._read(entry, piece)
        self._rows.flush()

    def count(self, output: Path | None) -> tuple[int, int]:
        """How many values were removed and added; with `output` those rows are written there."""
        # Without the scope, where there is but one, less goes to disk.
        scoped = len(set(self._scopes.values())) > 1
        surplus = _SURPLUS.format(
            scope="scope" if scoped else "0",
            key="scope, url" if scoped else "url",
            direct=self._direct_urls(),
        )
        try:
            if output is None:
                removed, added = self._database.execute(_COUNTS.format(surplus=surplus)).fetchall()[0]
                return int(removed), int(added)
            self._database.execute(f"CREATE TABLE surplus AS {surplus} HAVING surplus <> 0")
            removed, added = self._database.execute(
                _COUNTS.format(surplus="SELECT * FROM surplus")
            ).fetchall()[0]
            with writing(output) as partial:
                rows = self._database.sql(_ROWS.format(direct=self._direct_rows()))
                rows.write_parquet(str(partial), compression="zstd")
        except (duckdb.DataError, duckdb.InvalidInputException):
            # A file that DuckDB cannot read is named, with the place, by our own reader.
            for entry in self._direct:
                for piece in entry.pieces:
                    for batch in read_piece(entry, piece, entry.columns):
                        _checked(entry, batch.arrays[entry.columns[0]])
            raise
        return int(removed), int(added)

    def _count(self, piece: Piece) -> tuple[int, int, int]:
        """Rows, values and rows without a value of a piece: from the footer where it says so, else by reading."""
        entry = self._versions[piece.side][piece.shard]
        nulls = _nulls(entry, piece)
        if nulls is not None:
            return piece.rows, piece.rows - nulls, nulls
        rows = values = without = 0
        for batch in read_piece(entry, piece, entry.columns):
            rows += batch.rows
            for array in batch.arrays.values():
                found = _checked(entry, array)
                places = _places(array)[found.is_valid().to_numpy(zero_copy_only=False)]
                values += len(places)
                without += batch.rows - _distinct(places)
        return rows, values, without

    def _walk(self, left: dict[tuple[int, int], list[Piece]]) -> None:
        """Walk the row groups that follow their older selves, and take them out of `left`."""
        newer = {entry.file.name: entry for entry in self._versions[1]}
        pairs: list[tuple[Opened, Piece, Opened, Piece]] = []
        for one in self._versions[0]:
            other = newer.get(one.file.name)
            if other is None or one.footer is None or other.footer is None:
                continue
            olds, news = left.get((0, one.place), []), left.get((1, other.place), [])
            found = [(one, a, other, b) for a, b in zip(olds, news, strict=False)]
            if len(olds) != len(news) or any(max(a.rows, b.rows) > _WALK_ROWS for _, a, _, b in found):
                continue
            # Of two shards that share nothing the first row groups tell whether they have an order in common; where these
            # are small and all that there is, walking them is as cheap as asking.
            small = len(found) == 1 and max(piece.rows for piece in (*olds, *news)) <= _PROBE_ROWS
            if found and (len(olds) < len(one.pieces) or small or _have_order_in_common(*found[0])):
                pairs += found
                del left[0, one.place], left[1, other.place]
        total = sum(a.rows + b.rows for _, a, _, b in pairs)
        done = 0
        workers = min(4, os.cpu_count() or 1)
        with ThreadPoolExecutor(workers) as threads:
            for begin in range(0, len(pairs), workers):  # what was walked waits in memory
                for sides in threads.map(lambda pair: _walked(*pair), pairs[begin : begin + workers]):
                    for side in sides:
                        self.counted.add(side.entry.side, side.rows, side.values, side.without)
                        self._add(side.entry, side.left, side.urls)
                        done += side.rows
                    self._progress("Comparing URLs", done, total)

    def _read(self, entry: Opened, piece: Piece) -> None:
        """Read a piece into the table."""
        for batch in read_piece(entry, piece, entry.columns):
            if not entry.columns:  # JSON Lines without an object
                continue
            array = batch.arrays[entry.columns[0]]
            urls = _checked(entry, array)
            keyed = urls.is_valid().to_numpy(zero_copy_only=False)
            places = _places(array)[keyed]
            self.counted.add(entry.side, batch.rows, len(places), batch.rows - _distinct(places))
            self._add(entry, places + batch.first, urls.drop_null())
            self._progress("Comparing URLs", sum(self.counted.rows), 0)

    def _add(self, entry: Opened, rows: NDArray[np.int64], urls: pa.Array) -> None:
        if len(rows):
            columns = (
                np.full(len(rows), entry.side, np.int8),
                np.full(len(rows), self._scopes[entry.file.name], np.int32),
                np.full(len(rows), entry.place, np.int32),
                rows,
            )
            self._rows.add(
                pa.table([*map(pa.array, columns), urls], names=["side", "scope", "shard", "row", "url"])
            )

    def _direct_urls(self) -> str:
        """The URLs of the shards that DuckDB reads, as a part of `_SURPLUS`."""
        groups: dict[tuple[int, int, str], list[str]] = {}
        for entry in self._direct:
            scope = self._scopes[entry.file.name]
            groups.setdefault((entry.side, scope, _url_of(entry)), []).append(_quoted(str(entry.file.path)))
        return "".join(
            f" UNION ALL SELECT {scope}, {url}, {-1 if side else 1} "  # noqa: S608  numbers, and names in quotes
            f"FROM read_parquet([{', '.join(paths)}], hive_partitioning = false) WHERE {url} IS NOT NULL"
            for (side, scope, url), paths in groups.items()
        )

    def _direct_rows(self) -> str:
        """The rows of the shards that DuckDB reads, as a part of `_ROWS`."""
        return "".join(
            f" UNION ALL SELECT {entry.side}, {self._scopes[entry.file.name]}, {entry.place}, file_row_number, {_url_of(entry)} "  # noqa: S608  as above
            f"FROM read_parquet({_quoted(str(entry.file.path))}, hive_partitioning = false, file_row_number = true)"
            for entry in self._direct
        )


@dataclass(frozen=True, slots=True)
class _Side:
    """A row group after the walk: what it held, and the rows and URLs that are left."""

    entry: Opened
    rows: int
    values: int
    without: int
    left: NDArray[np.int64]
    urls: pa.Array


def _have_order_in_common(one: Opened, old: Piece, other: Opened, new: Piece) -> bool:
    """Whether at least half of the first rows of two row groups are found by walking them."""
    first = [
        _checked(entry, next(read_piece(entry, piece, entry.columns, _PROBE_ROWS)).arrays[entry.columns[0]])
        for entry, piece in ((one, old), (other, new))
    ]
    return 2 * len(walk(*first)[0]) <= len(first[0])


def _walked(one: Opened, old: Piece, other: Opened, new: Piece) -> list[_Side]:
    """Walk two row groups in step; what is left are rows with their URLs."""
    entries, pieces = (one, other), (old, new)
    arrays = [
        read_group(entry, piece, entry.columns[0]) for entry, piece in zip(entries, pieces, strict=True)
    ]
    urls = [_checked(entry, array) for entry, array in zip(entries, arrays, strict=True)]
    sides = []
    for entry, piece, array, values, left in zip(entries, pieces, arrays, urls, walk(*urls), strict=True):
        places = _places(array)
        keyed = values.is_valid().to_numpy(zero_copy_only=False)
        kept = left[keyed[left]]
        without = piece.rows - _distinct(places[keyed])
        sides.append(
            _Side(
                entry,
                piece.rows,
                int(keyed.sum()),
                without,
                places[kept] + piece.first,
                values.take(pa.array(kept)),
            )
        )
    return sides


def _checked(entry: Opened, array: pa.Array) -> pa.Array:
    """The values as large strings, lists flattened. Raises `BadShard` where one is not UTF-8."""
    values = array.flatten() if is_list(array) else array
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    try:
        return values.cast(pa.large_binary()).cast(pa.large_string())  # which looks at every byte
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise entry.shard.bad(f"column {entry.columns[0]!r} holds a URL that is not UTF-8.") from error


def _places(array: pa.Array) -> NDArray[np.int64]:
    """The row of each value, counted from the first of the array."""
    if is_list(array):
        return np.asarray(pa.compute.list_parent_indices(array).to_numpy(zero_copy_only=False), np.int64)
    return np.arange(len(array), dtype=np.int64)


def _distinct(places: NDArray[np.int64]) -> int:
    """How many different rows there are among ascending ones."""
    return int(np.count_nonzero(np.diff(places))) + bool(len(places))


def _nulls(entry: Opened, piece: Piece) -> int | None:
    """How many rows of a row group have no value, where the footer says so and each row has at most one."""
    if entry.footer is None or piece.group is None or len(entry.columns) != 1:
        return None
    group = entry.footer.row_group(piece.group)
    leaves = [
        place
        for place in range(group.num_columns)
        if entry.footer.schema.column(place).path == entry.columns[0]
    ]
    if len(leaves) != 1:
        return None
    leaf = entry.footer.schema.column(leaves[0])
    if leaf.max_repetition_level or leaf.max_definition_level > 1:
        return None
    if leaf.max_definition_level == 0:
        return 0
    statistics = group.column(leaves[0]).statistics
    return int(statistics.null_count) if statistics is not None and statistics.has_null_count else None


# The types that DuckDB reads as text or bytes, and so does every other reader.
_PLAIN = {"string", "large_string", "string_view"}
_BYTES = {"binary", "large_binary", "binary_view"}


def _is_plain(entry: Opened) -> bool:
    """Whether DuckDB can read a shard by itself and must find the same in it as we do."""
    if entry.footer is None or not entry.columns:
        return False
    names = [column.name.lower() for column in entry.shard.columns]
    return (
        entry.footer.num_rows >= _DIRECT_ROWS
        and names.count(entry.columns[0].lower()) == 1
        and "file_row_number" not in names
        and _type_of(entry) in _PLAIN | _BYTES
        and not set("*?[") & set(str(entry.file.path))
        and all(_nulls(entry, piece) is not None for piece in entry.pieces)
    )


def _type_of(entry: Opened) -> str:
    return next(column.type for column in entry.shard.columns if column.name == entry.columns[0])


def _url_of(entry: Opened) -> str:
    """The expression for the URL column of a shard that DuckDB reads."""
    name = '"' + entry.columns[0].replace('"', '""') + '"'
    return f"decode({name})" if _type_of(entry) in _BYTES else name


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
