"""What changed between versions that follow each other by date.

Ingest starts a job when the dataset has another imported version to compare with. The job counts, by shard path and
raw URL, the rows that came and went since the version before and, for a version registered after the fact, up to the
one after. Releases are not compared here: a release says itself what it left out of its base.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction
from django.db.models import Q
from django.urls import reverse

from expunge.keys import Role
from registry.auditlog.services import audit_append
from registry.datasets.models import Version, VersionDiff, VersionStatus
from registry.datasets.selectors import version_shards
from registry.jobs.services import job_start

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from registry.accounts.models import User
    from registry.jobs.handlers import JobRun
    from registry.jobs.models import Job

KIND = "version_compare"


def version_before(version: Version) -> Version | None:
    """The imported version of the same dataset that is dated next before this one."""
    earlier = Q(dated__lt=version.dated) | Q(dated=version.dated, created_at__lt=version.created_at)
    return _comparable(version).filter(earlier).order_by("-dated", "-created_at").first()


def version_after(version: Version) -> Version | None:
    """The imported version of the same dataset that is dated next after this one."""
    later = Q(dated__gt=version.dated) | Q(dated=version.dated, created_at__gt=version.created_at)
    return _comparable(version).filter(later).order_by("dated", "created_at").first()


def pairs_missing(version: Version) -> list[tuple[Version, Version]]:
    """The (old, new) pairs around this version that were not compared yet."""
    before, after = version_before(version), version_after(version)
    pairs = [(before, version)] if before else []
    pairs += [(version, after)] if after else []
    return [pair for pair in pairs if not VersionDiff.objects.filter(old=pair[0], new=pair[1]).exists()]


def version_compare_start(*, actor: User | None, version: Version) -> Job | None:
    """Start comparing an imported version with its neighbours by date; None when there is nothing to compare."""
    known = (
        version.base_id is None
        and version.status != VersionStatus.DRAFT
        and Role.URL.value in version.columns
    )
    if not known or not pairs_missing(version):
        return None
    with transaction.atomic():
        audit_append(
            actor=actor,
            action="version_compare",
            subject=version,
            organisation=version.dataset.organisation,
        )
        return job_start(
            actor=actor,
            kind=KIND,
            subject_id=version.pk,
            organisation=version.dataset.organisation,
            title=f"Comparing {version} with its neighbours by date",
            page=reverse("version_detail", args=[version.dataset.slug, version.name]),
        )


def version_compare(run: JobRun) -> None:
    """The job: compare what is missing and keep the figures. May be run again at any point."""
    from expunge.diff import diff_versions  # noqa: PLC0415  it takes DuckDB along, 16 MB of every process that never compares

    version = Version.objects.select_related("dataset").get(pk=run.subject_id)
    pairs = pairs_missing(version)
    for old, new in pairs:
        urls = old.columns.get(Role.URL.value), new.columns.get(Role.URL.value)
        diff = diff_versions(
            version_shards(old),
            version_shards(new),
            by_shard=True,
            # A column that was renamed meanwhile is found by its usual names.
            columns={Role.URL.value: urls[0]} if urls[0] == urls[1] else None,
            progress=run.progress,
        )
        with transaction.atomic():
            run.confirm()
            VersionDiff.objects.update_or_create(
                old=old,
                new=new,
                defaults={"added": diff.added, "removed": diff.removed, "common": diff.common},
            )


def _comparable(version: Version) -> QuerySet[Version]:
    """The other imported versions of the dataset whose rows are known and still kept."""
    return Version.objects.filter(dataset_id=version.dataset_id, base=None).exclude(
        Q(pk=version.pk) | Q(status__in=[VersionStatus.DRAFT, VersionStatus.WITHDRAWN])
    )
