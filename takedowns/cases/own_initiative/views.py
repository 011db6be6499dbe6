"""The page that turns what the checks of a version's links found into a case: a preview, then a reason."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from registry.accounts.models import Role
from registry.accounts.permissions import require_role
from registry.datasets.selectors import version_list
from registry.lib.form_page import form_page
from takedowns.cases.forms import OwnInitiativeForm
from takedowns.cases.own_initiative.selectors import CATEGORY, Finding, preview
from takedowns.cases.own_initiative.services import own_initiative_open
from takedowns.reports.models import Category

if TYPE_CHECKING:
    from django.http import HttpResponse

    from registry.accounts.requests import SignedIn


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def own_initiative(request: SignedIn, slug: str, name: str, finding: str) -> HttpResponse:
    """Show in rows and versions what a case about these links would concern; open it with a reason."""
    if finding not in Finding.values:
        raise Http404
    version = get_object_or_404(version_list(request.user), dataset__slug=slug, name=name)
    require_role(request.user, version.dataset.organisation, Role.STAFF)
    found = Finding(finding)
    seen = preview(version, found)
    form = OwnInitiativeForm(request.POST if request.method == "POST" else None)

    def act() -> HttpResponse:
        case = own_initiative_open(
            actor=request.user,
            version=version,
            finding=found,
            reason=form.cleaned_data["reason"],
            seen=form.cleaned_data["preview"],
        )
        messages.success(request, f"{case.number} is open. Its rows are being located in every version.")
        return redirect("case_detail", number=case.number)

    dataset = version.dataset
    category = Category.objects.filter(pk=CATEGORY[found]).first()
    return form_page(
        request,
        "takedowns/cases/own_initiative.html",
        form,
        act,
        version=version,
        dataset=dataset,
        seen=seen,
        category=category,
        within=timedelta(hours=category.clock_hours) if category else None,
        crumbs=[
            ("Datasets", reverse("dataset_list")),
            (dataset.name, reverse("dataset_detail", args=[dataset.slug])),
            (version.name, reverse("version_detail", args=[dataset.slug, version.name])),
            ("Links", reverse("version_links", args=[dataset.slug, version.name])),
        ],
    )
