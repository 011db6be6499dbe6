"""The public pages: datasets, versions, releases, advisories, and what was done. They only read.

Members see their drafts on the same pages, with what they can do next.
"""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.http import require_safe

from registry.accounts.models import Role
from registry.accounts.permissions import organisations_of
from registry.auditlog.selectors import audit_timeline
from registry.datasets.filters import DatasetFilter
from registry.datasets.key_index import index_coverage
from registry.datasets.models import Dataset, VersionStatus
from registry.datasets.selectors import diffs_by_version, version_list
from registry.jobs.models import Job
from registry.jobs.services import ALIVE
from registry.lib.pagination import page_of
from registry.links.distributions.views import distributions_context
from registry.links.selectors import may_read_links
from registry.links.views import dataset_links_context
from takedowns.lookup.selectors import standings
from takedowns.releases.files import release_files, shards_by_path
from takedowns.releases.forms import BuildForm
from takedowns.releases.models import Release, ReleaseState
from takedowns.releases.permissions import may_release
from takedowns.releases.selectors import release_list, removals_unreleased
from takedowns.removals.filters import AdvisoryFilter
from takedowns.removals.models import Removal
from takedowns.removals.selectors import advisory_get, advisory_list
from takedowns.reports.models import Category
from takedowns.transparency.selectors import (
    dataset_lineage,
    dataset_rows,
    dataset_standing,
    datasets_shown,
    recommended,
    version_lineage,
)
from takedowns.transparency.statistics import SMALL_CELL, months, statistics
from takedowns.transparency.wording import (
    RELEASE_ACTS,
    RELEASE_MEANING,
    VERSION_MEANING,
    release_answer,
    rows_and_cells,
    version_answer,
)

if TYPE_CHECKING:
    from django.http import HttpRequest

    from registry.datasets.models import Version, Viewer

HISTORY_MOST = 50


@require_safe
def dataset_list(request: HttpRequest) -> HttpResponse:
    """All datasets, each with the version to use."""
    found = DatasetFilter(request.GET, queryset=datasets_shown(request.user))
    page = page_of(request, found.qs)
    return render(
        request,
        "takedowns/transparency/dataset_list.html",
        {
            "page": page,
            "rows": dataset_rows(list(page)),
            "filtered": bool(request.GET.get("q")),
            "may_create": organisations_of(request.user, Role.MAINTAINER).exists(),
        },
    )


@require_safe
def dataset_detail(request: HttpRequest, slug: str) -> HttpResponse:
    """One dataset: the version to use, all versions, lineage, advisories."""
    dataset = _dataset(request.user, slug)
    answer, versions = dataset_standing(dataset, request.user)
    lineage, drawing = dataset_lineage(dataset, request.user)
    advisories = advisory_list().filter(affected__version__dataset=dataset).distinct()
    return render(
        request,
        "takedowns/transparency/dataset_detail.html",
        {
            "dataset": dataset,
            "answer": answer,
            "versions": page_of(request, versions, param="versions"),
            "lineage": page_of(request, lineage, param="lineage"),
            "drawing": drawing,
            "advisories": page_of(request, advisories, param="advisories"),
            "may_write": may_release(request.user, dataset),
            **dataset_links_context(request.user, dataset),
            **distributions_context(request.user, dataset),
            "crumbs": [("Datasets", reverse("dataset_list"))],
        },
    )


@require_safe
def version_detail(request: HttpRequest, slug: str, name: str) -> HttpResponse:
    """One version: how it stands, the command to check a copy, facts, shards, lineage, releases, advisories."""
    version = get_object_or_404(version_list(request.user), dataset__slug=slug, name=name)
    dataset = version.dataset
    standing = standings([version])[version.pk]
    shards = version.version_shards.select_related("shard").order_by("position")
    wanted = request.GET.get("shard", "").replace("\0", "")
    if wanted:
        shards = shards.filter(shard__digest__startswith=wanted)
    up, down, drawing = version_lineage(version, request.user)
    releases = release_list(request.user).filter(base=version)
    context = {
        "version": version,
        "dataset": dataset,
        "meaning": VERSION_MEANING[VersionStatus(version.status)],
        "standing": standing,
        "answer": version_answer(standing, recommended(dataset)),
        "diff": diffs_by_version([version]).get(version.pk),
        "may_read_links": may_read_links(request.user, version),
        "shards": page_of(request, shards, param="shards"),
        "wanted": wanted,
        "advisories": page_of(request, standing.advisories, param="advisories"),
        "steps": page_of(request, [*up, *down], param="lineage"),
        "drawing": drawing,
        "releases": page_of(
            request,
            [(release, RELEASE_MEANING[ReleaseState(release.state)]) for release in releases],
            param="releases",
        ),
        "release": release_list(request.user).filter(version=version).first(),
        "crumbs": _crumbs(dataset),
    }
    if standing.fix:
        context |= _commands(request, standing.fix)
    if may_release(request.user, dataset):
        context["indexed"], context["indexable"] = index_coverage(version)
        if version.base is None:
            context |= _to_build(version)
    return render(request, "takedowns/transparency/version_detail.html", context)


@require_safe
def release_detail(request: HttpRequest, slug: str, name: str) -> HttpResponse:
    """One release: what it leaves out, how to get, verify and apply it, its files; for its members, to publish it."""
    seen = release_list(request.user).prefetch_related("removals")
    release = get_object_or_404(seen, dataset__slug=slug, version__name=name)
    standing = standings([release.version])[release.version_id]
    files = release_files(release) if release.root else []
    made = shards_by_path(release) if release.root else {}
    shards = release.version.version_shards.select_related("shard").order_by("position")
    page = page_of(request, shards, param="shards")
    context = {
        "release": release,
        "dataset": release.dataset,
        "meaning": RELEASE_MEANING[ReleaseState(release.state)],
        "answer": release_answer(release, standing),
        "small_files": [file for file in files if not file.path.startswith("data/")],
        "shards": page,
        "shard_rows": [(row, made.get(row.path)) for row in page],
        "bytes": sum(file.bytes for file in files),
        "advisories": page_of(
            request,
            [removal for removal in release.removals.all() if removal.advisory_id],
            param="advisories",
        ),
        "crumbs": [
            *_crumbs(release.dataset),
            (release.base.name, reverse("version_detail", args=[slug, release.base.name])),
        ],
    }
    if release.root:
        context |= _commands(request, release)
    if may_release(request.user, release.dataset):
        context |= _to_publish(release)
    return render(request, "takedowns/transparency/release_detail.html", context)


@require_safe
def advisories(request: HttpRequest) -> HttpResponse:
    """All published advisories, by category and words."""
    found = AdvisoryFilter(request.GET, queryset=advisory_list())
    chosen = request.GET.get("category", "")
    categories = Category.objects.filter(removals__published_at__isnull=False).distinct()
    chips = [{"text": "All", "url": "?", "current": not chosen}] + [
        {"text": category.label, "url": f"?category={category.slug}", "current": chosen == category.slug}
        for category in categories
    ]
    context = {
        "page": page_of(request, found.qs),
        "chips": chips,
        "filtered": bool(request.GET.get("q") or chosen),
    }
    return render(request, "takedowns/transparency/advisory_list.html", context)


@require_safe
def advisory_detail(request: HttpRequest, advisory_id: str) -> HttpResponse:
    """One advisory: which versions are affected, and the release that fixes each."""
    try:
        removal = advisory_get(advisory_id)
    except Removal.DoesNotExist as error:
        raise Http404 from error
    affected = list(removal.affected.all())
    stand = standings([row.version for row in affected])
    rows = [(row, stand[row.version_id].fix) for row in affected]
    bases = [row for row in affected if row.version.base_id is None]
    redacted = sum(row.redacted_rows for row in bases)
    return render(
        request,
        "takedowns/transparency/advisory_detail.html",
        {
            "removal": removal,
            "rows": page_of(request, rows, param="versions"),
            "what": rows_and_cells(sum(row.rows for row in bases), redacted),
            "redacted": redacted,
            "bases": len(bases),
            "unfixed": [row for row, fix in rows if fix is None],
            "crumbs": [("Advisories", reverse("advisory_list"))],
        },
    )


@require_safe
def transparency(request: HttpRequest) -> HttpResponse:
    """What came in, what was decided, how long it took."""
    figures = statistics()
    by_month = [(f"{month.month:%Y-%m}", month.reports) for month in figures.months]
    by_category = sorted(((row.label, row.items) for row in figures.categories), key=lambda row: -row[1])
    return render(
        request,
        "takedowns/transparency/transparency.html",
        {
            "figures": figures,
            "by_month": by_month,
            "busiest": max(by_month, key=lambda row: row[1], default=("", 0))[0],
            "by_category": by_category,
            "small_cell": SMALL_CELL,
        },
    )


@require_safe
def transparency_csv(_request: HttpRequest) -> HttpResponse:
    """Give the figures by month as CSV."""
    response = HttpResponse(
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": 'attachment; filename="expunge-by-month.csv"'},
    )
    writer = csv.writer(response)
    writer.writerow(["month", "reports", "reports_decided", "advisories_published"])
    for month in months():
        writer.writerow([f"{month.month:%Y-%m}", month.reports, month.decided, month.advisories])
    return response


def _dataset(user: Viewer, slug: str) -> Dataset:
    """Return the dataset, or raise 404 for whoever may not know of it."""
    return get_object_or_404(Dataset.objects.visible_to(user).select_related("organisation"), slug=slug)


def _crumbs(dataset: Dataset) -> list[tuple[str, str]]:
    return [
        ("Datasets", reverse("dataset_list")),
        (dataset.name, reverse("dataset_detail", args=[dataset.slug])),
    ]


def _commands(request: HttpRequest, release: Release) -> dict[str, Any]:
    """What the commands on a page need: the release, its address, its small files, and how it is verified."""
    args = [release.dataset.slug, release.version.name]
    return {
        "fix": release,
        # Named after the dataset too: whoever holds two of them must not mix up their diffs or their keys.
        "folder": f"{release.dataset.slug}-{release.version.name}",
        "key_file": f"{release.dataset.organisation.slug}-minisign.pub",
        "files_url": request.build_absolute_uri(
            reverse("release_file", args=[*args, "SHA256SUMS"])
        ).removesuffix("SHA256SUMS"),
        "list_url": request.build_absolute_uri(reverse("release_urls", args=args)),
        "key_url": request.build_absolute_uri(reverse("release_key", args=[*args, "minisign.pub"])),
        "small_names": [file["path"] for file in release.files],
        "minisign": release.public_keys.get("minisign", ""),
        "oms": release.public_keys.get("oms", ""),
    }


def _to_build(version: Version) -> dict[str, Any]:
    """For a maintainer: what a release of this version would leave out that no published one does."""
    waiting = removals_unreleased(version)
    rows = sum(
        row for row in waiting.filter(affected__version=version).values_list("affected__rows", flat=True)
    )
    return {
        "may_write": True,
        "waiting": waiting.count(),
        "waiting_rows": rows,
        "build_form": BuildForm(),
        "unpublished": Release.objects.select_related("version")
        .filter(base=version)
        .exclude(state=ReleaseState.PUBLISHED)
        .first(),
    }


def _to_publish(release: Release) -> dict[str, Any]:
    """For a maintainer: the job at work, and what publishing does."""
    job = Job.objects.filter(subject_id=release.pk).order_by("-created_at").first()
    unpublished = release.removals.filter(published_at=None).count()
    return {
        "may_write": True,
        "job": job if job and job.state in ALIVE else None,
        "unpublished": unpublished,
        "history": [
            {
                "at": entry.at,
                "who": entry.actor or "the schedule",
                "what": RELEASE_ACTS.get(entry.action, entry.action.replace("_", " ").capitalize()),
            }
            for entry in audit_timeline(release)[:HISTORY_MOST]
        ][::-1],
    }
