"""The key index of the store's shards: which rows carry a key, answered without reading the shards (`expunge.index`).

    STORE/index/<digest[:2]>/<digest>/   one pair of files for each kind of key, however many versions hold the shard
    STORE/index/merged/                  the same of many shards in one array

1. Ingest feeds the index while it reads a shard for the first time (`Feeder`), and then merges (`index_merge`).
2. What is missing afterwards is built by job `index_build`: for the shards that a release wrote anew, after an ingest
   that could not write it, after a lookup that had to do without it (`locating`), or for all versions by
   `manage.py index_versions`.
3. What cannot be trusted is removed, and is then missing (`index_discard_bad`).

The index is a cache: without it everything is found by reading the shards, only later. It is as secret as the shards, for
rows of what nobody may see are found through it: the folder is closed to everybody but its owner.
"""

from __future__ import annotations

import shutil
import time
from collections import defaultdict
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import structlog
from django.conf import settings
from django.urls import reverse

from expunge.errors import UsageError
from expunge.index import BadIndex, IndexedShard, ShardIndexer, merge_shards
from expunge.index.arrays import SortedArray
from expunge.index.builder import index_files, is_indexed
from expunge.keyed import KeyedBatch
from expunge.keys import ROLE_OF, KeyKind
from expunge.shards import Column, ShardFile, bind_columns, check_binding, open_shard
from expunge.shards.source import row_format, split_extension
from registry.datasets.models import Shard, Version, VersionShard
from registry.datasets.store import object_path
from registry.jobs.services import job_start
from registry.lib.words import counted

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from expunge.shards import Binding
    from registry.accounts.models import User
    from registry.jobs.handlers import JobRun
    from registry.jobs.models import Job

KIND = "index_build"
STALE_SECONDS = 86_400

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class HeldShard:
    """A shard as a version holds it.

    `columns` (role to column name) is what the version declares, `binding` what that comes to in this shard; None where
    only the file itself can tell, which is then read and never indexed.
    """

    digest: str
    rows: int
    file: ShardFile
    columns: dict[str, str]
    binding: Binding | None
    version: Version

    @property
    def indexed(self) -> IndexedShard:
        """The shard as the engine's index is asked about it; where the file lies matters to the caller alone."""
        return IndexedShard(
            self.file.name, self.digest, self.rows, self.binding or {}, self.file.path, (0, 0, 0, 0)
        )


def held_shards(versions: Iterable[Version]) -> list[HeldShard]:
    """Every shard of these versions that has a row, once for each way in which its columns are bound."""
    by_id = {version.pk: version for version in versions}
    facts = {
        digest: (rows, form, [Column(**column) for column in schema])
        for digest, rows, form, schema in Shard.objects.filter(version_shards__version__in=by_id)
        .filter(rows__gt=0)
        .distinct()
        .values_list("digest", "rows", "format", "schema")
    }
    places = VersionShard.objects.filter(version__in=by_id, shard__in=facts).order_by(
        "version_id", "position"
    )
    held: dict[tuple[str, str, str], HeldShard] = {}
    for version_id, digest, path in places.values_list("version_id", "shard_id", "path"):
        version, (rows, recorded, schema) = by_id[version_id], facts[digest]
        form = "".join(split_extension(path)).removeprefix(".")
        # The same bytes under another extension are other rows.
        binding = _binding(schema, version.columns) if form == recorded else None
        bound = version.columns if binding is None else binding
        # Two versions may hold different shards at one path; the name is what the engine's messages say.
        name = f"{version.dataset.slug}@{version.name}/{path}"
        held.setdefault(
            (digest, form, repr(sorted(bound.items()))),
            HeldShard(digest, rows, ShardFile(object_path(digest), name), version.columns, binding, version),
        )
    return list(held.values())


def index_folder() -> Path:
    """Where the index is or would be."""
    return Path(settings.STORE) / "index"


def _indexer(kinds: Collection[KeyKind], binding: Binding) -> ShardIndexer:
    """One that writes to the index, whose folder is closed to others from its first moment."""
    index_folder().mkdir(mode=0o700, parents=True, exist_ok=True)
    return ShardIndexer(index_folder(), kinds, binding)


def kinds_missing(digest: str, binding: Binding | None) -> list[KeyKind]:
    """The kinds of keys that the columns of a shard carry and that are not indexed."""
    if not binding:
        return []
    folder = index_folder()
    kinds = [kind for kind in KeyKind if ROLE_OF[kind] in binding]
    return [kind for kind in kinds if not index_files(folder, digest, kind)[0].exists()]


def index_is_missing(version: Version) -> bool:
    """Whether anything of the version's index is still to be built."""
    return any(kinds_missing(one.digest, one.binding) for one in held_shards([version]))


def index_coverage(version: Version) -> tuple[int, int]:
    """How many of the version's distinct shards are indexed whole, and how many there are; rowless ones aside."""
    held = held_shards([version])
    whole = [one for one in held if one.binding and not kinds_missing(one.digest, one.binding)]
    return len(whole), len(held)


class Feeder:
    """Takes the batches of a shard while somebody reads it, and leaves its index; does nothing where there is one.

        with Feeder(shard.digest(), shard.format, binding) as feeder:
            for batch in shard.batches(feeder.columns):
                feeder.add(KeyedBatch(batch))
            feeder.finish()

    Whatever fails in it, a full disk for one, is logged and nothing more: the reader goes on.
    """

    def __init__(self, digest: str, form: str, binding: Binding) -> None:
        self._digest, self._form = digest, row_format(f".{form}")
        self._open = ExitStack()
        self._indexer: ShardIndexer | None = None
        with self._or_not_at_all():
            if kinds := self._kinds(binding):
                self._indexer = self._open.enter_context(_indexer(kinds, binding))
        self.columns = self._indexer.columns if self._indexer else []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def _kinds(self, binding: Binding) -> list[KeyKind]:
        """The kinds to index. The same bytes under another extension are other rows, so it matters who was first."""
        recorded = Shard.objects.filter(digest=self._digest).values_list("format", flat=True).first()
        if recorded is None:  # what there is may be of another format, by an ingest that was killed
            return [kind for kind in KeyKind if ROLE_OF[kind] in binding]
        return kinds_missing(self._digest, binding) if row_format(f".{recorded}") == self._form else []

    def add(self, keyed: KeyedBatch) -> None:
        """Take the next rows of the shard."""
        with self._or_not_at_all():
            if self._indexer:
                self._indexer.add(keyed)

    def finish(self) -> None:
        """Write the index of the shard, all of whose batches were added."""
        with self._or_not_at_all():
            if self._indexer:
                self._indexer.finish(self._digest, self._form)

    @contextmanager
    def _or_not_at_all(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # noqa: BLE001  -- an index is a cache: a shard is read with or without it
            self._indexer = None
            self._open.close()
            _log_failure(error)


def index_merge(held: Sequence[HeldShard]) -> None:
    """Merge the indexes of these shards where they are many. Failing is logged: each can be asked alone as well."""
    shards = [one.indexed for one in held]
    for kind in KeyKind:
        try:
            merge_shards(index_folder(), kind, shards)
        except (BadIndex, OSError) as error:
            _log_failure(error)


def index_start(version: Version, actor: User | None = None) -> Job:
    """Start building what is missing of the version's index, which changes no record; hence no audit entry."""
    return job_start(
        actor=actor,
        kind=KIND,
        subject_id=version.pk,
        organisation=version.dataset.organisation,
        title=f"Indexing the keys of {version}",
        page=reverse("version_detail", args=[version.dataset.slug, version.name]),
    )


def index_build(run: JobRun) -> None:
    """The job: read the shards of a version that are not indexed, and index them. May be run again at any point."""
    version = Version.objects.select_related("dataset__organisation").get(pk=run.subject_id)
    held = held_shards([version])
    missing = [one for one in held if kinds_missing(one.digest, one.binding)]
    stage, total, done = (
        f"Indexing {counted(len(missing), 'shard')}",
        sum(one.rows for one in missing),
        0,
    )
    for one in missing:
        binding = one.binding or {}
        shard = open_shard(one.file)
        check_binding(shard, binding)
        kinds = kinds_missing(one.digest, binding)
        with _indexer(kinds, binding) as indexer:
            for batch in shard.batches(indexer.columns):
                indexer.add(KeyedBatch(batch))
                done += batch.rows
                run.progress(stage, done, total)
            # What is indexed under a digest is what has that digest, or the index would lie for good.
            if shard.digest() != one.digest:
                raise shard.bad("is not what its digest says. Restore this object of the store.")
            indexer.finish(one.digest, row_format(one.file.name))
    run.progress("Merging", total, total)
    index_merge(held)


def index_discard_bad(digests: Collection[str]) -> None:
    """Remove of the indexes of these shards what is not whole, or is of a column that no version says carries keys.

    Every byte of them is read.
    """
    folder = index_folder()
    columns: dict[str, set[tuple[str, str, str]]] = defaultdict(set)
    holders = Version.objects.filter(version_shards__shard__in=digests).distinct().select_related("dataset")
    for one in held_shards(holders):
        form = row_format(one.file.name)
        columns[one.digest].update((role, name, form) for role, name in (one.binding or {}).items())
    for digest in digests:
        for kind in KeyKind:
            made = {(name, form) for role, name, form in columns[digest] if role == ROLE_OF[kind]}
            if not any(is_indexed(folder, digest, kind, name, form) for name, form in made):
                for path in index_files(folder, digest, kind):
                    path.unlink(missing_ok=True)


def index_forget(digests: Collection[str]) -> None:
    """Remove all that the index holds of these shards, as of shards that the store does not keep."""
    folder = index_folder()
    for digest in digests:
        shutil.rmtree(folder / digest[:2] / digest, ignore_errors=True)
    for path in folder.glob("merged/*/*.idx"):
        try:
            with SortedArray(path) as array:
                names_one = any(digest in digests for digest, _ in array.about["shards"])
        except (BadIndex, FileNotFoundError):
            continue  # passed over by every lookup, and removed by the next merge
        if names_one:
            path.unlink(missing_ok=True)


def index_sweep(older_than_seconds: float = STALE_SECONDS) -> None:
    """Forget shards that no ingest brought into the store in the end, because its worker was killed."""
    before = time.time() - older_than_seconds
    try:
        homes = [home for home in index_folder().glob("??/*") if home.stat().st_mtime < before]
        index_forget_unrecorded([home.name for home in homes])
    except (
        OSError
    ) as error:  # another worker sweeps at the same time, or the disk fails: what is left is harmless
        _log_failure(error)


def index_forget_unrecorded(digests: Collection[str]) -> None:
    """Forget those of these shards that no version holds or held, as after an ingest that read them and failed."""
    recorded = Shard.objects.filter(digest__in=digests).values_list("digest", flat=True)
    if strays := set(digests) - set(recorded):
        index_forget(strays)


def _binding(schema: Sequence[Column], columns: dict[str, str]) -> Binding | None:
    """The columns of a shard that carry keys, as the engine binds them; None where the record does not tell."""
    try:
        return bind_columns(schema, columns) if schema else None
    except UsageError:
        return None


def _log_failure(error: Exception) -> None:
    """Log what went wrong; the log's own processors withhold the text of an exception, which may quote a row."""
    # The number tells a full disk from a broken one.
    log.warning("index_failed", errno=getattr(error, "errno", None), exc_info=error)
