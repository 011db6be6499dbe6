"""A site on which every list of every record page is longer than one page of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING

from django.urls import reverse
from django.utils import timezone

from registry.datasets.models import LineageEdge, LineageKind, Version, VersionShard, VersionStatus
from takedowns.releases.models import Release, ReleaseState
from takedowns.removals.models import AffectedVersion, Removal
from takedowns.reports.models import Report
from tests.factories import make_version
from tests.factories_takedowns import make_report

if TYPE_CHECKING:
    from registry.datasets.models import Dataset
    from tests.takedowns.released import Setting

LONG = 60


@dataclass(frozen=True)
class LongList:
    """One list: the address of its page, its parameter, which is also the id of its place, and how many rows it has."""

    path: str
    param: str
    rows: int


def make_long_lists(setting: Setting, release: Release) -> dict[str, LongList]:
    """Make every list long; returns them by name. `setting` is the dataset of the published release."""
    dataset, base = setting.dataset, setting.base
    versions = _versions(dataset)
    _edges(base, versions)
    _removals(setting, release, versions)
    _releases(release)
    for version in (base, release.version):
        _shards(version)
    report, secret = make_report(dataset, [f"https://img.example.com/{n}.jpg" for n in range(LONG)])
    case = report.cases.get()
    _reports(report)
    slug = dataset.slug
    advisory = Removal.objects.get(pk=setting.removal.pk)
    pages = {
        "dataset": reverse("dataset_detail", args=[slug]),
        "version": reverse("version_detail", args=[slug, base.name]),
        "release": reverse("release_detail", args=[slug, release.version.name]),
        "advisory": reverse("advisory_detail", args=[advisory.advisory_id]),
        "case": reverse("case_detail", args=[case.number]),
        "status": reverse("report_status", args=[secret]),
    }
    rows = {
        ("dataset", "versions"): 2 + 2 * LONG,  # the base, its release, and those that were added
        ("dataset", "lineage"): LONG,
        ("dataset", "advisories"): 1 + LONG,
        ("version", "advisories"): 1 + LONG,
        ("version", "releases"): 1 + LONG,
        ("version", "shards"): 2 + LONG,
        ("version", "lineage"): LONG,
        ("release", "advisories"): 1 + LONG,
        ("release", "shards"): 2 + LONG,
        ("advisory", "versions"): 1 + LONG,
        ("case", "reports"): 1 + LONG,
        ("case", "items"): LONG,
        ("status", "items"): LONG,
    }
    return {f"{page} {param}": LongList(pages[page], param, count) for (page, param), count in rows.items()}


def _versions(dataset: Dataset) -> list[Version]:
    return Version.objects.bulk_create(
        Version(
            dataset=dataset,
            name=f"day-{number:03}",
            dated=date(2020, 1, 1) + timedelta(days=number),
            status=VersionStatus.DEPRECATED,
            root=sha256(b"version %d" % number).hexdigest(),
            rows=number,
        )
        for number in range(LONG)
    )


def _edges(base: Version, versions: list[Version]) -> None:
    LineageEdge.objects.bulk_create(
        LineageEdge(parent=base, child=version, kind=LineageKind.MIRROR_OF) for version in versions
    )


def _removals(setting: Setting, release: Release, versions: list[Version]) -> None:
    """Advisories that name a row of the base, and versions that the first one names."""
    now = timezone.now()
    removals = Removal.objects.bulk_create(
        Removal(
            dataset=setting.dataset,
            category=setting.removal.category,
            summary=f"Row {number} that its owner opted out, and words that take up some room in the table.",
            advisory_id=f"EXP-2020-{number:04}",
            published_at=now - timedelta(days=number),
        )
        for number in range(LONG)
    )
    AffectedVersion.objects.bulk_create(
        AffectedVersion(removal=removal, version=setting.base, rows=1) for removal in removals
    )
    AffectedVersion.objects.bulk_create(
        AffectedVersion(removal=setting.removal, version=version, rows=1) for version in versions
    )
    release.removals.add(*removals)


def _releases(release: Release) -> None:
    for number in range(LONG):
        version = Version.objects.create(
            dataset=release.dataset,
            base=release.base,
            name=f"old-r{number:03}",
            dated=date(2025, 1, 1),
            status=VersionStatus.DEPRECATED,
            root=sha256(b"release %d" % number).hexdigest(),
        )
        Release.objects.create(
            dataset=release.dataset,
            base=release.base,
            version=version,
            serial=1000 + number,
            state=ReleaseState.PUBLISHED,
            root=sha256(b"sums %d" % number).hexdigest(),
            verified_at=timezone.now(),
            published_at=timezone.now(),
        )


def _shards(version: Version) -> None:
    shard = make_version().version_shards.get().shard
    VersionShard.objects.bulk_create(
        VersionShard(version=version, shard=shard, path=f"more/part-{number:05}.csv", position=100 + number)
        for number in range(LONG)
    )


def _reports(report: Report) -> None:
    """More reports in the case of this one."""
    more = Report.objects.bulk_create(
        Report(
            number=f"RPT-2020-{number:04}",
            dataset=report.dataset,
            category=report.category,
            description=f"Description {number} of what is wrong.",
            token_digest=sha256(b"secret %d" % number).digest(),
            items_total=1,
            items_readable=1,
            due_at=report.due_at,
        )
        for number in range(LONG)
    )
    report.cases.get().reports.add(*more)
