"""Pages that write: a new dataset, a new version, a draft read again, an edge of lineage.

The public pages of a dataset show its advisories and are in the packages above; these redirect there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.http import require_http_methods

from registry.accounts.models import Role
from registry.accounts.permissions import organisations_of, require_role
from registry.datasets import services
from registry.datasets.forms import DatasetForm, LineageForm, OriginForm, VersionForm
from registry.datasets.models import Dataset, VersionStatus
from registry.datasets.selectors import version_list
from registry.jobs.models import Job
from registry.lib.errors import NotAllowed
from registry.lib.form_page import form_page

if TYPE_CHECKING:
    from django.http import HttpResponse

    from registry.accounts.requests import SignedIn
    from registry.datasets.models import Version


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def dataset_create(request: SignedIn) -> HttpResponse:
    """Create a dataset."""
    if not organisations_of(request.user, Role.MAINTAINER).exists():
        raise NotAllowed("Only a maintainer of an organisation creates datasets.")
    form = DatasetForm(request.POST or None, user=request.user)

    def act() -> HttpResponse:
        dataset = services.dataset_create(actor=request.user, **form.cleaned_data)
        messages.success(request, f"{dataset.name} is created. Register its first version next.")
        return redirect("version_create", dataset.slug)

    return form_page(request, "registry/datasets/dataset_create.html", form, act)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def version_create(request: SignedIn, slug: str) -> HttpResponse:
    """Register a version from an import folder or an upload; leads to its job."""
    dataset = _dataset(request, slug)
    form = VersionForm(request.POST or None, request.FILES or None)

    def act() -> HttpResponse:
        version = services.version_register(
            actor=request.user,
            dataset=dataset,
            name=form.cleaned_data["name"],
            dated=form.cleaned_data["dated"],
            source=form.cleaned_data["source"],
            uploads=form.uploads,
            columns=form.columns,
            final_status=form.cleaned_data["final_status"],
        )
        return _to_job(version)

    return form_page(request, "registry/datasets/version_create.html", form, act, dataset=dataset)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def version_retry(request: SignedIn, slug: str, name: str) -> HttpResponse:
    """Read a draft again, from another place or with other columns; leads to its job."""
    dataset = _dataset(request, slug)
    version = get_object_or_404(
        version_list(request.user).filter(status=VersionStatus.DRAFT, base=None), dataset=dataset, name=name
    )
    initial = OriginForm.initial_of(version)
    form = OriginForm(request.POST or None, request.FILES or None, initial=initial)

    def act() -> HttpResponse:
        changed = form.has_changed()
        services.version_ingest_retry(
            actor=request.user,
            version=version,
            source=form.cleaned_data["source"] if changed else None,
            uploads=form.uploads,
            columns=form.columns if changed else None,
        )
        return _to_job(version)

    template = "registry/datasets/version_retry.html"
    return form_page(request, template, form, act, dataset=dataset, version=version)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def lineage_create(request: SignedIn, slug: str) -> HttpResponse:
    """Record what a version of this dataset was made of, or what was made of it."""
    dataset = _dataset(request, slug)
    form = LineageForm(
        request.POST or None, user=request.user, initial={"child": request.GET.get("child", "")}
    )

    def act() -> HttpResponse:
        edge = services.lineage_create(actor=request.user, **form.cleaned_data)
        messages.success(request, f"Recorded: {edge.child or edge.artifact} was made of {edge.parent}.")
        shown = edge.child or edge.parent
        return redirect("version_detail", shown.dataset.slug, shown.name)

    return form_page(request, "registry/datasets/lineage_create.html", form, act, dataset=dataset)


def _dataset(request: SignedIn, slug: str) -> Dataset:
    """The dataset, if the user may see it. Raises NotAllowed (403) when he may not write to it."""
    dataset = get_object_or_404(
        Dataset.objects.visible_to(request.user).select_related("organisation"), slug=slug
    )
    require_role(request.user, dataset.organisation, Role.MAINTAINER)
    return dataset


def _to_job(version: Version) -> HttpResponse:
    job = Job.objects.filter(kind=services.INGEST, subject_id=version.pk).latest("created_at")
    return redirect("job_detail", job.pk)
