"""The files of a release's diff: what was taken out, by position and by key."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from expunge.keys import DIGEST_SIZE, KeyKind
from expunge.lists import Entry, Redaction
from expunge.manifest.sums import BadRelease
from expunge.shards import Cut, Positions

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from expunge.manifest.release import Release

REMOVED_FILE = "diff/removed.parquet"
KEYS_FILE = "diff/keys.parquet"
REDACTED_FILE = "diff/redacted.parquet"
REDACTED_KEYS_FILE = "diff/redacted_keys.parquet"

_KEY_COLUMNS = {"kind": pa.string(), "key": pa.binary()}
_REDACTED_COLUMNS = {"shard": pa.string(), "row": pa.int64(), "column": pa.string(), "element": pa.int64()}


def diff_files(release: Release) -> tuple[str, ...]:
    """The files that the diff of this release consists of."""
    if release.redacted:
        return REMOVED_FILE, KEYS_FILE, REDACTED_FILE, REDACTED_KEYS_FILE
    return REMOVED_FILE, KEYS_FILE


def write_positions(path: Path, positions: Iterable[tuple[str, Positions]]) -> None:
    """Write `diff/removed.parquet` from pairs of a base shard's digest and rows of it."""
    pairs = sorted(positions, key=lambda pair: pair[0])
    shards = np.repeat(np.arange(len(pairs)), [len(rows) for _, rows in pairs])
    digests = pa.array([digest for digest, _ in pairs], pa.string())
    table = pa.table(
        {
            "shard": pa.DictionaryArray.from_arrays(pa.array(shards, pa.int32()), digests),
            "row": np.concatenate([rows for _, rows in pairs]) if pairs else pa.array([], pa.int64()),
        }
    )
    _write(path, table)


def read_positions(folder: Path) -> dict[str, Positions]:
    """Read `diff/removed.parquet`: base shard digest -> sorted rows. Raises `BadRelease`."""
    table = _read(folder / REMOVED_FILE, {"shard": pa.string(), "row": pa.int64()})
    if any(column.null_count for column in table.columns):
        raise BadRelease(f"{folder / REMOVED_FILE} names no shard or row in some line. Fetch it again.")
    rows = table.column("row").combine_chunks().to_numpy(zero_copy_only=False)
    return {digest: np.unique(rows[lines]) for digest, lines in _lines_by(table, "shard").items()}


def write_keys(path: Path, keys: Iterable[tuple[KeyKind, bytes]]) -> None:
    """Write `diff/keys.parquet`, sorted so that the order tells nothing."""
    ordered = sorted(set(keys))
    table = pa.table(
        {
            "kind": pa.array([kind.value for kind, _ in ordered], pa.string()),
            "key": pa.array([key for _, key in ordered], pa.binary()),
        }
    )
    _write(path, table)


def read_keys(folder: Path) -> list[Entry]:
    """Read `diff/keys.parquet` as entries. Raises `BadRelease`, naming the row."""
    path = folder / KEYS_FILE
    return _entries(path, _read(path, _KEY_COLUMNS))


def write_redacted(path: Path, cells: Mapping[str, Cut]) -> None:
    """Write `diff/redacted.parquet` from what redactions take out of each shard of the base, by its digest.

    Cells that become null and elements that go are read from the cut; its rows that go are not.
    """
    lines: set[tuple[str, int, str, int]] = set()
    for digest, cut in cells.items():
        for name, rows in cut.null.items():
            lines.update((digest, row, name, -1) for row in rows.tolist())
        for name, pairs in cut.elements.items():
            lines.update((digest, row, name, element) for row, element in pairs.tolist())
    ordered = [
        {"shard": digest, "row": row, "column": name, "element": None if element < 0 else element}
        for digest, row, name, element in sorted(lines)
    ]
    _write(path, pa.Table.from_pylist(ordered, pa.schema(_REDACTED_COLUMNS.items())))


def read_redacted(folder: Path) -> dict[str, Cut]:
    """Read `diff/redacted.parquet`: base shard digest -> the cells and elements to take out. Raises `BadRelease`."""
    path = folder / REDACTED_FILE
    table = _read(path, _REDACTED_COLUMNS)
    if any(table.column(name).null_count for name in ("shard", "row", "column")):
        raise BadRelease(f"{path} names no shard, row or column in some line. Fetch it again.")
    return {digest: _redacted_cut(part) for digest, part in _by(table, "shard").items()}


def write_redacted_keys(path: Path, redactions: Iterable[tuple[KeyKind, bytes, str | None]]) -> None:
    """Write `diff/redacted_keys.parquet` from kinds, keys and columns (None: the key's own), sorted."""
    ordered = sorted(set(redactions), key=lambda one: (one[0], one[1], one[2] or ""))
    table = pa.table(
        {
            "kind": pa.array([kind.value for kind, _, _ in ordered], pa.string()),
            "key": pa.array([key for _, key, _ in ordered], pa.binary()),
            "column": pa.array([column for _, _, column in ordered], pa.string()),
        }
    )
    _write(path, table)


def read_redacted_keys(folder: Path) -> list[Redaction]:
    """Read `diff/redacted_keys.parquet`. Raises `BadRelease`, naming the row."""
    path = folder / REDACTED_KEYS_FILE
    table = _read(path, {**_KEY_COLUMNS, "column": pa.string()})
    columns = table.column("column").to_pylist()
    return [Redaction(entry, column) for entry, column in zip(_entries(path, table), columns, strict=True)]


def _entries(path: Path, table: pa.Table) -> list[Entry]:
    entries: list[Entry] = []
    pairs = zip(table.column("kind").to_pylist(), table.column("key").to_pylist(), strict=True)
    for row, (name, key) in enumerate(pairs):
        try:
            kind = KeyKind(name)
        except ValueError as error:
            raise BadRelease(
                f"{path}: row {row} has the unknown kind {name!r}. A newer expunge may know it."
            ) from error
        if not key or len(key) != DIGEST_SIZE.get(kind, len(key)):
            raise BadRelease(f"{path}: the key in row {row} has not the length of {kind}.")
        entries.append(Entry(kind, key, f"{kind}:{key.hex()}", row))
    return entries


def _redacted_cut(table: pa.Table) -> Cut:
    null: dict[str, Positions] = {}
    elements: dict[str, np.typing.NDArray[np.int64]] = {}
    for name, part in _by(table, "column").items():
        whole = part.column("element").is_null().to_numpy()
        rows = part.column("row").to_numpy()
        if whole.any():
            null[name] = np.unique(rows[whole])
        if not whole.all():
            places = part.column("element").drop_null().to_numpy()
            elements[name] = np.unique(np.stack((rows[~whole], places), axis=1), axis=0)
    return Cut(null=null, elements=elements)


def _by(table: pa.Table, column: str) -> dict[str, pa.Table]:
    """The lines of a table by the text in one of its columns, in their order."""
    return {value: table.take(pa.array(lines)) for value, lines in _lines_by(table, column).items()}


def _lines_by(table: pa.Table, column: str) -> dict[str, np.typing.NDArray[np.int64]]:
    """The numbers of the lines that hold each text of a column."""
    encoded = table.column(column).combine_chunks().dictionary_encode()
    which = encoded.indices.to_numpy(zero_copy_only=False)
    order = np.argsort(which, kind="stable")
    texts = encoded.dictionary.to_pylist()
    bounds = np.searchsorted(which[order], np.arange(len(texts) + 1))
    return {text: order[bounds[place] : bounds[place + 1]] for place, text in enumerate(texts)}


def _write(path: Path, table: pa.Table) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, compression="zstd", store_schema=False)


def _read(path: Path, columns: Mapping[str, pa.DataType]) -> pa.Table:
    try:
        # `read_table` would import PyArrow's datasets first, and pandas with them.
        with pq.ParquetFile(path) as reader:
            table = reader.read()
        return table.select(list(columns)).cast(pa.schema([pa.field(n, t) for n, t in columns.items()]))
    except (OSError, pa.ArrowException, KeyError) as error:
        raise BadRelease(f"{path} cannot be read as a diff. Fetch it again.") from error
