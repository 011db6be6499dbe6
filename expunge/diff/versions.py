"""One comparison from the shards to the figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from expunge.diff.changes import KeyComparison, key_and_values
from expunge.diff.reading import Table, comparing
from expunge.diff.sharing import find_shared, open_version
from expunge.diff.urls import UrlComparison
from expunge.errors import UsageError
from expunge.keys import Role
from expunge.progress import Progress, quiet
from expunge.shards import Shard, ShardFile, bind_shard

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import duckdb

    from expunge.diff.sharing import ColumnsOf, Opened


@dataclass(frozen=True, slots=True)
class Changes:
    """What comparing by a key tells beside: rows of the same key with other values, and with the same.

    `ignored` are the columns that not every shard has, which were not compared.
    """

    on: str
    changed: int
    unchanged: int
    ignored: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Diff:
    """What two versions differ by, in rows. Rows without a key are counted in the totals alone.

    `common` counts the rows whose key both have, changed ones included. `renamed` pairs the names, older and newer,
    of shards that are byte for byte in both versions, but not under the same name. `shared_shards` and
    `shared_row_groups` were not read, for both versions hold the same bytes.
    """

    old_rows: int
    old_shards: int
    new_rows: int
    new_shards: int
    added: int
    removed: int
    common: int
    without_key: int
    shared_shards: int
    shared_row_groups: int
    renamed: tuple[tuple[str, str], ...]
    changes: Changes | None = None

    def to_dict(self) -> dict[str, Any]:
        """The figures for machines."""
        figures: dict[str, Any] = {
            "old": {"rows": self.old_rows, "shards": self.old_shards},
            "new": {"rows": self.new_rows, "shards": self.new_shards},
            "added": self.added,
            "removed": self.removed,
            "common": self.common,
            "without_key": self.without_key,
            "shared": {"shards": self.shared_shards, "row_groups": self.shared_row_groups},
            "renamed": [{"old": old, "new": new} for old, new in self.renamed],
        }
        if self.changes is not None:
            figures |= {
                "on": self.changes.on,
                "changed": self.changes.changed,
                "unchanged": self.changes.unchanged,
                "columns_not_compared": list(self.changes.ignored),
            }
        return figures


def diff_versions(
    old: Sequence[ShardFile],
    new: Sequence[ShardFile],
    *,
    by_shard: bool = False,
    on: str = "",
    columns: Mapping[str, str] | None = None,
    output: Path | None = None,
    progress: Progress = quiet,
) -> Diff:
    """Compare two versions, over all their shards or, `by_shard`, each shard with the one of the same name.

    With `on`, a role or a column's name, rows are compared by that key, and those whose other values differ are
    counted apart. `output` is a new Parquet file for the rows that differ: change, path, row, and their
    url.raw.sha256 and url, or with `on` their key. Raises `BadShard` and `UsageError`.
    """
    if output is not None and (
        output.suffix != ".parquet" or output.exists() or not output.absolute().parent.is_dir()
    ):
        raise UsageError(f"{output} must be a new file that ends in .parquet, in a folder that exists.")
    ignored: tuple[str, ...] = ()
    columns_of: ColumnsOf
    if on:
        columns_of, ignored = key_and_values(on, (*old, *new), columns)
    else:
        columns_of = _UrlColumn(columns)
    versions = (
        open_version(old, 0, columns_of, named=bool(on)),
        open_version(new, 1, columns_of, named=bool(on)),
    )
    sharing = find_shared(*versions, by_shard=by_shard, progress=progress)
    names = sorted({entry.file.name for side in versions for entry in side})
    scopes = {name: place if by_shard else 0 for place, name in enumerate(names)}
    changes = None
    with comparing() as database:
        _name_shards(database, versions)
        if on:
            by_key = KeyComparison(database, versions, scopes, progress)
            by_key.load(sharing)
            found = by_key.count(output)
            counted, added, removed = by_key.counted, found.added, found.removed
            common = counted.values[0] - removed
            changes = Changes(on, found.changed, common - found.changed, ignored)
        else:
            by_url = UrlComparison(database, versions, scopes, progress)
            by_url.load(sharing)
            removed, added = by_url.count(output)
            counted = by_url.counted
            common = counted.values[0] - removed
    for side in versions:
        for entry in side:
            entry.shard.check_unchanged()
    left = {(piece.side, piece.shard) for pieces in sharing.left for piece in pieces}
    return Diff(
        old_rows=counted.rows[0],
        old_shards=len(old),
        new_rows=counted.rows[1],
        new_shards=len(new),
        added=added,
        removed=removed,
        common=common,
        without_key=sum(counted.without),
        shared_shards=sum(bool(entry.pieces) and (0, entry.place) not in left for entry in versions[0]),
        shared_row_groups=sum(piece.group is not None for piece, _ in sharing.pairs),
        renamed=tuple(sharing.renamed),
        changes=changes,
    )


class _UrlColumn:
    """Which column of a shard holds its URLs."""

    def __init__(self, given: Mapping[str, str] | None) -> None:
        self._given = given

    def __call__(self, shard: Shard) -> tuple[str, ...]:
        binding = bind_shard(shard, self._given)
        if Role.URL in binding:
            return (binding[Role.URL],)
        if not shard.columns:  # no rows either
            return ()
        raise UsageError(
            f"{shard.file.name} has no column of URLs to compare. Name it with --column url=NAME."
        )


def _name_shards(
    database: duckdb.DuckDBPyConnection, versions: tuple[Sequence[Opened], Sequence[Opened]]
) -> None:
    """Make the table of the shards' names, which the rows of an output are told with."""
    database.execute("CREATE TABLE shards (side TINYINT, shard INTEGER, path VARCHAR)")
    entries = [entry for side in versions for entry in side]
    table = Table(database, "shards")
    table.add(
        pa.table(
            {
                "side": pa.array([entry.side for entry in entries], pa.int8()),
                "shard": pa.array([entry.place for entry in entries], pa.int32()),
                "path": pa.array([entry.file.name for entry in entries], pa.string()),
            }
        )
    )
    table.flush()
