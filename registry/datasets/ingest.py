"""Reading a new version's files, in a worker.

1. Find the shards, each inside its import root after links; nothing outside is opened.
2. Read every shard whole: digest, rows, columns; and check on a sample that each key column is what it is said
   to be. The same reading feeds the key index (`key_index`) and whoever else wants to see the rows
   (`hooks.row_readers`). A shard whose bytes are known as another format is refused. Nothing else is written up to
   here, and bad input leaves nothing behind.
3. Copy each shard into the store, unless it is there.
4. Write the version's shards, totals and root; it is still a draft.
5. Ask the packages above for objections (does it bring a removed row back?), then give it its final status, or
   keep it a draft with the reason.

Killed anywhere, the job runs again from the start: every step does what is not done yet.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db import transaction

from expunge.keyed import KeyedBatch
from expunge.keys import Role as KeyRole
from expunge.manifest import version_root
from expunge.shards import ShardFacts, bind_shard, check_binding, open_shard
from expunge.shards.source import row_format
from registry.auditlog.services import audit_append
from registry.datasets import store
from registry.datasets.compare import version_compare_start
from registry.datasets.key_index import (
    Feeder,
    held_shards,
    index_forget_unrecorded,
    index_is_missing,
    index_merge,
    index_start,
    index_sweep,
)
from registry.datasets.models import Shard, Version, VersionShard, VersionStatus
from registry.datasets.services import version_objections
from registry.datasets.sources import version_files, version_roots
from registry.hooks import hooks
from registry.lib.errors import Refused
from registry.lib.words import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from expunge.shards import Binding, ShardFile
    from registry.hooks import RowReader
    from registry.jobs.handlers import JobRun
    from registry.jobs.models import Job


def version_ingest(run: JobRun) -> None:
    """The job: make a draft what it is to be. May be run again at any point."""
    version = Version.objects.select_related("dataset__organisation").get(pk=run.subject_id)
    if version.status != VersionStatus.DRAFT:
        return  # killed after the end was written
    store.sweep()
    index_sweep()
    readers = [reader for ask in hooks.row_readers if (reader := ask(version))]
    if not version.root:  # else killed, or objected to, after step 4
        read: list[str] = []
        try:
            _take_in(run, version, read, readers)
        except Exception:
            index_forget_unrecorded(read)
            raise
        run.progress("Merging the key index", version.rows, version.rows)
        index_merge(held_shards([version]))
    run.progress("Looking for rows that were removed before", version.rows, version.rows)
    objections = version_objections(version)
    _finish(run, version, objections, readers)
    store.discard_uploads(version.pk)
    if objections:
        raise Refused(f"{version} stays a draft. " + " ".join(objections))
    if index_is_missing(version):
        index_start(version, run.job.created_by)
    version_compare_start(actor=run.job.created_by, version=version)


def version_ingest_failed(job: Job, reason: str) -> None:
    """Say on the draft why, and keep nothing of it; a version that was only objected to keeps its shards."""
    version = Version.objects.get(pk=job.subject_id)
    if version.status != VersionStatus.DRAFT:
        return
    version.status_reason = reason
    if not version.root:
        version.version_shards.all().delete()
        version.rows = version.bytes = 0
    version.save()
    transaction.on_commit(lambda: store.discard_uploads(version.pk))


def _take_in(run: JobRun, version: Version, read: list[str], readers: Sequence[RowReader]) -> None:
    """Steps 1 to 4; adds the digest of each shard to `read` before anything is kept of it."""
    shards = version_files(version)
    facts, columns = _read(run, shards, version.columns, read, readers)
    _check_formats(facts)
    stored, rows, roots = 0, _rows(facts), version_roots(version)
    for shard, fact in zip(shards, facts, strict=True):
        run.progress(f"Storing {counted(len(shards), 'shard')}", stored, rows)
        store.put(shard.path, fact.sha256, inside=roots)
        stored += fact.rows
    _write(run, version, facts, columns)
    for reader in readers:
        reader.settle(version)


def _read(
    run: JobRun,
    shards: Sequence[ShardFile],
    given: dict[str, str],
    read: list[str],
    readers: Sequence[RowReader],
) -> tuple[list[ShardFacts], dict[str, str]]:
    """Read every shard whole; returns the facts of each and which column carries what, as `given` or found."""
    facts: list[ShardFacts] = []
    columns = given
    rows = 0

    def progress(done: int) -> None:
        # How many rows there are in all is what is being found out: 0 means not known.
        run.progress(f"Reading {counted(len(shards), 'shard')}", rows + done, 0)

    for place, shard in enumerate(shards):
        # The first shard settles which roles are carried; the others must hold the same columns.
        fact, binding = _read_one(shard, columns, read, _Audience(place, readers), progress)
        columns = {role.value: binding.get(role, "") for role in KeyRole}
        facts.append(fact)
        rows += fact.rows
    # A role named with no column stays so: nobody shall bind it by the column's name later.
    return facts, {role: column for role, column in columns.items() if column or role in given}


@dataclass(frozen=True, slots=True)
class _Audience:
    """Those who want to see the rows of the version's shard at `place`."""

    place: int
    readers: Sequence[RowReader]

    def columns(self, binding: Binding) -> set[str]:
        return {name for reader in self.readers for name in reader.columns(binding)}

    def add(self, binding: Binding, keyed: KeyedBatch) -> None:
        for reader in self.readers:
            reader.add(self.place, binding, keyed)


def _read_one(
    file: ShardFile,
    columns: dict[str, str],
    read: list[str],
    audience: _Audience,
    progress: Callable[[int], None],
) -> tuple[ShardFacts, Binding]:
    """Read one shard whole, and index its keys unless a version before held it; returns which column carries what."""
    shard = open_shard(file)
    binding = bind_shard(shard, columns)
    check_binding(shard, binding)
    digest = shard.digest()
    read.append(digest)
    rows = 0
    with Feeder(digest, shard.format, binding) as feeder:
        for batch in shard.batches(sorted(audience.columns(binding).union(feeder.columns))):
            keyed = KeyedBatch(batch)
            feeder.add(keyed)
            audience.add(binding, keyed)
            rows += batch.rows
            progress(rows)
        feeder.finish()
    size = file.path.stat().st_size
    return ShardFacts(file.name, digest, size, rows, shard.format, shard.columns, shard.row_groups), binding


def _write(run: JobRun, version: Version, facts: Sequence[ShardFacts], columns: dict[str, str]) -> None:
    """Step 4, in one transaction."""
    with transaction.atomic():
        run.confirm()
        Shard.objects.bulk_create(
            [
                Shard(
                    digest=fact.sha256,
                    bytes=fact.bytes,
                    rows=fact.rows,
                    format=fact.format,
                    row_groups=fact.row_groups,
                    schema=[
                        {"name": column.name, "type": column.type, "required": column.required}
                        for column in fact.columns
                    ],
                )
                for fact in {fact.sha256: fact for fact in facts}.values()
            ],
            ignore_conflicts=True,  # another version holds the shard: it is kept once
        )
        _check_formats(facts)  # another ingest may have recorded one meanwhile
        version.version_shards.all().delete()
        VersionShard.objects.bulk_create(
            [
                VersionShard(version=version, shard_id=fact.sha256, path=fact.name, position=position)
                for position, fact in enumerate(facts)
            ]
        )
        version.columns = columns
        version.rows = _rows(facts)
        version.bytes = sum(fact.bytes for fact in facts)
        version.root = version_root({fact.name: fact.sha256 for fact in facts})
        version.save()


def _check_formats(facts: Sequence[ShardFacts]) -> None:
    """Refuse a shard whose bytes are known as another format: a row address, digest and row, would mean two rows."""
    known = dict(
        Shard.objects.filter(digest__in={fact.sha256 for fact in facts}).values_list("digest", "format")
    )
    for fact in facts:
        form = known.setdefault(fact.sha256, fact.format)
        if row_format(f".{fact.format}") != row_format(f".{form}"):
            raise Refused(
                f"{fact.name} holds the same bytes as a shard that is {form}, and as another format they are other rows. "
                f"Give it the extension .{form}, or leave it out."
            )


def _finish(run: JobRun, version: Version, objections: list[str], readers: Sequence[RowReader]) -> None:
    with transaction.atomic():
        run.confirm()
        version.status = VersionStatus.DRAFT if objections else version.final_status
        version.status_reason = " ".join(objections)
        version.save()
        audit_append(
            actor=run.job.created_by,
            action="version_ingest",
            subject=version,
            organisation=version.dataset.organisation,
            data={"status": version.status, "rows": version.rows, "objections": len(objections)},
        )
        for reader in () if objections else readers:
            reader.keep(version, run.job.created_by)


def _rows(facts: Sequence[ShardFacts]) -> int:
    return sum(fact.rows for fact in facts)
