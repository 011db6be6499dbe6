"""Build a release: a base minus the removals in force, verified by reading it back, signed, not yet public."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, cast

from django.db import transaction
from django.db.models import Max
from django.urls import reverse
from django.utils import timezone

from expunge.clean import clean
from expunge.manifest import version_root
from expunge.shards import ShardFile, inspect_shard
from registry.accounts.models import Role
from registry.accounts.permissions import require_role
from registry.auditlog.services import audit_append
from registry.datasets import store
from registry.datasets.key_index import index_is_missing, index_start
from registry.datasets.models import Dataset, Shard, Version, VersionShard, VersionStatus
from registry.datasets.selectors import STATUSES_IN_USE, version_shards
from registry.jobs.models import Job
from registry.jobs.services import ALIVE, job_start
from registry.lib.errors import Refused
from takedowns.releases.files import discard, list_small_files, release_folder
from takedowns.releases.models import Form, Release, ReleaseState
from takedowns.releases.selectors import removals_unreleased
from takedowns.releases.signatures import public_keys, signer_load
from takedowns.removals.models import Removal, RemovalKey
from takedowns.removals.selectors import removal_entries, removal_redactions

if TYPE_CHECKING:
    from uuid import UUID

    from expunge import manifest
    from expunge.clean import CleanResult
    from expunge.lists import Entry, Redaction
    from registry.accounts.models import User
    from registry.jobs.handlers import JobRun

BUILD = "release_build"
PUBLISH = "release_publish"
VERSION_NAME_MOST = 100


def release_build(*, actor: User | None, base: Version, form: str = Form.COMPACT) -> Release:
    """Make a draft release of an imported version and start the job that builds it.

    A base has at most one release that is not published: that one is built anew. `actor` is a maintainer, or None
    when the schedule builds. Raises NotAllowed, and Refused when there is nothing to leave out or a build is running.
    """
    if actor is not None:
        require_role(actor, base.dataset.organisation, Role.MAINTAINER)
    if form not in Form.values:
        raise Refused(f"A release has one of the forms {', '.join(Form.values)}.")
    with transaction.atomic():
        # Serials and names of the dataset's releases are given to one at a time.
        dataset = Dataset.objects.select_for_update().get(pk=base.dataset_id)
        base = Version.objects.select_related("dataset__organisation").get(pk=base.pk)
        _check_base(base)
        release = Release.objects.exclude(state=ReleaseState.PUBLISHED).filter(base=base).first()
        if release is None:
            release = Release(
                dataset=dataset, base=base, serial=_next_serial(dataset), version=_draft(base, actor)
            )
        else:
            _check_idle(release)
            release.removals.clear()
        release.form = form
        release.state = ReleaseState.BUILDING
        release.failure = release.root = ""
        release.files, release.public_keys = [], {}
        release.verified_at = None
        release.created_by, release.created_at = actor, timezone.now()
        release.save()
        job = job_start(
            actor=actor,
            kind=BUILD,
            subject_id=release.pk,
            organisation=dataset.organisation,
            title=f"Building the release {release.version}",
            page=reverse("release_detail", args=[dataset.slug, release.version.name]),
        )
        audit_append(
            actor=actor,
            action="release_build",
            subject=release,
            organisation=dataset.organisation,
            data={"base": str(base.pk), "form": form, "job": str(job.pk)},
        )
    return release


def release_build_run(run: JobRun) -> None:
    """The job: build, verify and sign, then record the result. Run again after a kill, it starts from the base anew.

    Nothing is public before `release_publish`: until then the release is a folder that only its members may read.
    """
    release = Release.objects.select_related("base", "version", "dataset__organisation").get(
        pk=run.subject_id
    )
    if release.state != ReleaseState.BUILDING:
        return  # an earlier run had finished when its worker died
    signer = signer_load()
    discard(release)
    removals = list(Removal.objects.in_force(release.dataset))
    entries = removal_entries(removals)
    redactions = removal_redactions(removals, release.base)
    result = clean(
        version_shards(release.base),
        entries,
        release_folder(release),
        dataset=release.dataset.slug,
        version=release.version.name,
        serial=release.serial,
        redactions=list(redactions),
        created=release.created_at,
        base_version=release.base.name,
        previous=_previous(release),
        form=cast("manifest.Form", release.form),
        columns=release.base.columns,
        link=True,
        signer=signer,
        progress=run.progress,
    )
    shards = _shards_keep(release, result)
    with transaction.atomic():
        run.confirm()
        _version_fill(release, result, shards)
        release.state = ReleaseState.VERIFIED
        release.rows_before, release.rows_removed = result.rows_before, result.rows_removed
        release.rows_after = result.rows_after
        release.cells_redacted = sum(shard.redacted for shard in result.shards)
        release.root = result.root
        release.files = list_small_files(result.path)
        release.public_keys = public_keys(signer)
        release.verified_at = timezone.now()
        release.save()
        release.removals.set(_removals_hit(release.base, removals, entries, result.hits, redactions))
        audit_append(
            actor=run.job.created_by,
            action="release_verified",
            subject=release,
            organisation=release.dataset.organisation,
            data={
                "rows_removed": result.rows_removed,
                "cells_redacted": release.cells_redacted,
                "root": result.root,
            },
        )
    # A matter of speed alone: without an index the rewritten shards are read when something is looked for.
    if index_is_missing(release.version):
        index_start(release.version, run.job.created_by)


def release_build_failed(job: Job, reason: str) -> None:
    """Say on the release why its build failed; nothing of it is kept."""
    release = Release.objects.get(pk=job.subject_id)
    if release.state == ReleaseState.BUILDING:
        release.state, release.failure = ReleaseState.FAILED, reason
        release.save(update_fields=["state", "failure"])
        transaction.on_commit(lambda: discard(release, unfinished=True))


def _check_base(base: Version) -> None:
    if base.base_id is not None:
        raise Refused(f"{base} is itself a release. Releases are made of the imported version {base.base}.")
    if base.status not in STATUSES_IN_USE:
        raise Refused(f"{base} is {base.status}, so no release is made of it.")
    if not removals_unreleased(base).exists():
        raise Refused(
            f"No removal in force takes a row or cell out of {base} that a published release still holds."
        )


def _check_idle(release: Release) -> None:
    if Job.objects.filter(kind__in=[BUILD, PUBLISH], subject_id=release.pk, state__in=ALIVE).exists():
        raise Refused(f"{release.version} is being built or published now. Wait until that has ended.")


def _next_serial(dataset: Dataset) -> int:
    last: int | None = dataset.releases.aggregate(last=Max("serial"))["last"]
    return (last or 0) + 1


def _draft(base: Version, actor: User | None) -> Version:
    """The version that the release will be, named after its base: 2025-01-01-r1, then -r2."""
    number = Release.objects.filter(base=base).count() + 1
    while Version.objects.filter(dataset=base.dataset, name=f"{base.name}-r{number}").exists():
        number += 1
    name = f"{base.name}-r{number}"
    if len(name) > VERSION_NAME_MOST:
        raise Refused(
            f"{name} would be longer than a version's name may be ({VERSION_NAME_MOST} characters)."
        )
    return Version.objects.create(
        dataset=base.dataset,
        name=name,
        base=base,
        status=VersionStatus.DRAFT,
        dated=timezone.now().date(),
        columns=base.columns,
        created_by=actor,
    )


def _previous(release: Release) -> str | None:
    """The root of the last published release of the same base."""
    last = Release.objects.published().filter(base=release.base).order_by("-serial").first()
    return last.root if last else None


def _shards_keep(release: Release, result: CleanResult) -> list[manifest.ReleaseShard]:
    """Make the rewritten shards objects of the store, so that the release's version is read like any other."""
    names = {shard.name: shard for shard in result.shards}
    for name, shard in names.items():
        file = result.path / shard.path
        store.link(file, shard.sha256)
        if not Shard.objects.filter(digest=shard.sha256).exists():
            facts = inspect_shard(ShardFile(path=file, name=name))
            Shard.objects.get_or_create(
                digest=shard.sha256,
                defaults={
                    "bytes": facts.bytes,
                    "rows": facts.rows,
                    "format": facts.format,
                    "row_groups": facts.row_groups,
                    "schema": [
                        {"name": column.name, "type": column.type, "required": column.required}
                        for column in facts.columns
                    ],
                },
            )
    order = release.base.version_shards.order_by("position").values_list("path", flat=True)
    return [names[path] for path in order]


def _version_fill(release: Release, result: CleanResult, shards: list[manifest.ReleaseShard]) -> None:
    version = release.version
    version.version_shards.all().delete()
    VersionShard.objects.bulk_create(
        VersionShard(version=version, shard_id=shard.sha256, path=shard.name, position=position)
        for position, shard in enumerate(shards)
    )
    version.rows = result.rows_after
    version.bytes = sum(shard.bytes for shard in shards)
    version.root = version_root({shard.name: shard.sha256 for shard in shards})
    version.save(update_fields=["rows", "bytes", "root"])


def _removals_hit(
    base: Version,
    removals: list[Removal],
    entries: list[Entry],
    hits: list[int],
    redactions: dict[Redaction, list[Removal]],
) -> list[Removal]:
    """The removals that took at least one row out of this base, or redact cells of it.

    A redaction may find its cells gone already, with their rows or because they were null: it is carried out all the same.
    """
    hit = {(entry.kind.value, entry.key) for entry, rows in zip(entries, hits, strict=True) if rows}
    owners: defaultdict[UUID, bool] = defaultdict(bool)
    keys = RemovalKey.objects.filter(removal__in=removals).values_list("removal_id", "kind", "key")
    for removal, kind, key in keys.iterator():
        owners[removal] |= (kind, bytes(key)) in hit
    redacting = {removal.pk for each in redactions.values() for removal in each}
    affecting = base.affected_by.filter(removal__in=redacting, redacted_rows__gt=0)
    owners.update(dict.fromkeys(affecting.values_list("removal_id", flat=True), True))
    return [removal for removal in removals if owners[removal.pk]]
