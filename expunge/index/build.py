"""Index the shards of a version."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from expunge.errors import UsageError
from expunge.index.builder import MEMORY_BYTES, ShardIndexer, index_files, is_indexed
from expunge.index.merging import merge_shards
from expunge.index.store import open_array
from expunge.index.versions import (
    IndexedShard,
    IndexedVersion,
    check_version_name,
    distinct_shards,
    has_versions,
    read_versions,
    write_version,
)
from expunge.keyed import KeyedBatch
from expunge.keys import ROLE_OF, KeyKind
from expunge.manifest import version_root
from expunge.pool import Advance, map_shards
from expunge.progress import Progress, quiet
from expunge.shards import ShardFile, bind_shard, check_binding, open_shard
from expunge.shards.source import row_format

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Built:
    """What indexing a version did.

    `indexed` and `reused` count shards, `indexed_rows` the rows of those that were read. `archive_bytes` is the length of
    the version's archives and `archive_rows` the rows they are of, counted once for each kind.
    """

    version: IndexedVersion
    kinds: tuple[KeyKind, ...]
    indexed: int
    reused: int
    rows: int
    indexed_rows: int
    archive_bytes: int
    archive_rows: int


def build_index(
    shards: Sequence[ShardFile],
    folder: Path,
    *,
    kinds: Collection[KeyKind] = (),
    name: str = "",
    columns: Mapping[str, str] | None = None,
    workers: int = 1,
    memory: int = MEMORY_BYTES,
    progress: Progress = quiet,
) -> Built:
    """Index `shards` as one version in the index in `folder`, reading only those that it does not hold yet.

    `kinds` are the kinds of keys to index, all that the columns carry where none is named; `columns` names columns by role
    where the usual names do not fit. The version is called `name`, or by its root. An index that is damaged, or was made
    of another column, is built again. `memory` (bytes) bounds what sorting takes, all `workers` together. Two runs may
    build in one folder at the same time. Raises `BadShard` and `UsageError`, also when no shard carries one of `kinds`, and
    when a shard's bytes are in the index as another format, for an index has one set of rows for a digest.
    """
    if name:
        check_version_name(name)
    before = {digest: shard.name for digest, shard in _known(folder, name).items()}
    job = _Job(folder, tuple(sorted(set(kinds or KeyKind))), dict(columns or {}), memory // workers, before)
    total = sum(open_shard(shard).rows for shard in shards)
    done = map_shards(
        _index_shard, job, shards, workers=workers, stage="Indexing", total=total, progress=progress
    )
    carried = {kind for one in done for kind in one.kinds}
    if absent := set(kinds) - carried:
        raise UsageError(
            f"No column carries {', '.join(sorted(absent))}. Name one with --column KIND=NAME, or leave that kind out."
        )
    _check_formats(folder, name, [one.shard for one in done])
    root = version_root({one.shard.name: one.shard.sha256 for one in done})
    version = IndexedVersion(name or root, root, tuple(one.shard for one in done))
    write_version(folder, version)
    known = distinct_shards(read_versions(folder)).values()
    for kind in sorted(carried):
        merge_shards(folder, kind, known, proved=True, workers=workers, progress=progress)
    return Built(
        version=version,
        kinds=tuple(sorted(carried)),
        indexed=sum(one.read for one in done),
        reused=sum(not one.read for one in done),
        rows=sum(one.shard.rows for one in done),
        indexed_rows=sum(one.shard.rows for one in done if one.read),
        archive_bytes=sum(one.archive_bytes for one in done),
        archive_rows=sum(one.shard.rows * len(one.kinds) for one in done),
    )


def _check_formats(folder: Path, name: str, shards: Sequence[IndexedShard]) -> None:
    """Refuse shards of the same bytes whose rows are not the same: of this version, or beside one that is in the index."""
    known = _known(folder, name)
    first: dict[str, IndexedShard] = {}
    for shard in shards:
        other = known.get(shard.sha256) or first.setdefault(shard.sha256, shard)
        _check_format(shard.name, other.name)


def _check_format(name: str, other: str) -> None:
    """Refuse a shard that holds the same bytes as another, if its rows are not the same."""
    if row_format(name) != row_format(other):
        raise UsageError(
            f"{name} and {other} hold the same bytes, which as another format are other rows. "
            "Index one of them in a folder of its own."
        )


def _known(folder: Path, name: str) -> dict[str, IndexedShard]:
    """The shards of all versions in the index, by digest, before the one of this name is written anew."""
    return distinct_shards(read_versions(folder, anew=name)) if has_versions(folder) else {}


@dataclass(frozen=True, slots=True)
class _Job:
    """What is asked of every shard. `known` are the names of those that are in the index already, by digest."""

    folder: Path
    kinds: tuple[KeyKind, ...]
    columns: Mapping[str, str]
    memory: int
    known: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Indexed:
    """One shard with the kinds that it is indexed by; `read` says whether it had to be read for one of them."""

    shard: IndexedShard
    kinds: list[KeyKind]
    read: bool
    archive_bytes: int


def _index_shard(job: _Job, item: ShardFile, advance: Advance) -> _Indexed:
    shard = open_shard(item)
    binding = bind_shard(shard, job.columns)
    indexed = {ROLE_OF[kind] for kind in job.kinds}
    check_binding(shard, {role: name for role, name in binding.items() if role in indexed})
    digest = shard.digest()
    _check_format(item.name, job.known.get(digest, item.name))  # before it takes the place of what is there
    form = row_format(item.name)
    kinds = [kind for kind in job.kinds if ROLE_OF[kind] in binding]
    missing = [
        kind for kind in kinds if not is_indexed(job.folder, digest, kind, binding[ROLE_OF[kind]], form)
    ]
    rows = 0
    if missing or not kinds:
        with ShardIndexer(job.folder, missing, binding, memory=job.memory) as indexer:
            for batch in shard.batches(indexer.columns):
                indexer.add(KeyedBatch(batch))
                rows += batch.rows
                advance(batch.rows)
            indexer.finish(digest, form)
    else:
        with open_array(job.folder, digest, kinds[0], binding[ROLE_OF[kinds[0]]]) as array:
            rows = array.about["rows"]
        advance(rows)
    return _Indexed(
        IndexedShard(item.name, digest, rows, binding, item.path.absolute(), shard.fingerprint),
        kinds,
        bool(missing),
        sum(index_files(job.folder, digest, kind)[1].stat().st_size for kind in kinds),
    )
