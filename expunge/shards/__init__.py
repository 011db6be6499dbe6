"""Shards: the files of a version, read and rewritten whatever their format.

    found = find_shards([Path("data")])
    for file in found.shards:
        shard = open_shard(file)
        binding = bind_columns(shard.columns)
        for batch in shard.batches([binding[Role.URL]]): ...

A new format is one subclass of `Shard` (or of `TextShard`, when rows are runs of bytes), its extension in
`source.py` and its line in `_CLASSES` below; `tests/expunge/formats.py` then runs every test on it.
"""

from __future__ import annotations

from dataclasses import dataclass

from expunge.errors import UsageError
from expunge.progress import Progress, quiet
from expunge.shards.columns import (
    BLANKED_ROLES,
    Binding,
    bind_columns,
    bind_shard,
    check_binding,
    is_list,
    parse_columns,
)
from expunge.shards.cut import NO_ROWS, Cut, Elements, Positions
from expunge.shards.delimited import DelimitedShard
from expunge.shards.jsonl import JsonLinesShard
from expunge.shards.parquet import ParquetShard
from expunge.shards.plain import PlainShard
from expunge.shards.shard import Batch, Column, Fingerprint, Method, Shard, ShardBytes, Written
from expunge.shards.source import Found, ShardFile, check_name, find_shards, is_shard_name, split_extension

_CLASSES: dict[str, type[Shard]] = {
    ".parquet": ParquetShard,
    ".csv": DelimitedShard,
    ".tsv": DelimitedShard,
    ".jsonl": JsonLinesShard,
    ".ndjson": JsonLinesShard,
    ".txt": PlainShard,
}

__all__ = [
    "BLANKED_ROLES",
    "NO_ROWS",
    "Batch",
    "Binding",
    "Column",
    "Cut",
    "Elements",
    "Fingerprint",
    "Found",
    "Method",
    "Positions",
    "Shard",
    "ShardBytes",
    "ShardFacts",
    "ShardFile",
    "Written",
    "bind_columns",
    "bind_shard",
    "check_binding",
    "check_name",
    "find_shards",
    "inspect_shard",
    "is_list",
    "is_shard_name",
    "open_shard",
    "parse_columns",
]


@dataclass(frozen=True, slots=True)
class ShardFacts:
    """What a whole reading of a shard tells. `rows` counts rows, `bytes` the file's length, `sha256` is hex."""

    name: str
    sha256: str
    bytes: int
    rows: int
    format: str
    columns: tuple[Column, ...]
    row_groups: int


def open_shard(file: ShardFile) -> Shard:
    """Open a file as the format that its name declares. Raises `BadShard` when it cannot be, `UsageError` for no format."""
    form, _ = split_extension(file.name)
    if not form:
        raise UsageError(f"{file.name} has no extension of a shard. Use one of: {' '.join(_CLASSES)}.")
    return _CLASSES[form](file)


def inspect_shard(file: ShardFile, progress: Progress = quiet) -> ShardFacts:
    """Read a shard whole, every row of it, and tell what it is. Raises `BadShard`, naming file and row."""
    shard = open_shard(file)
    rows = 0
    for batch in shard.batches([]):
        rows += batch.rows
        progress(f"Reading {file.name}", rows, 0)
    digest = shard.digest()
    size = file.path.stat().st_size
    return ShardFacts(file.name, digest, size, rows, shard.format, shard.columns, shard.row_groups)
