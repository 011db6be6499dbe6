"""The pages that turn what the checks of a version's links found into a case: a preview, then a reason."""

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
from registry.lib.form_page import form_page
from registry.links.pages import links_crumbs, version_asked
from takedowns.cases.forms import OwnInitiativeForm
from takedowns.cases.own_initiative.selectors import (
    Finding,
    domain_preview,
    finding_domains,
    finding_links,
    preview,
)
from takedowns.cases.own_initiative.services import own_initiative_open, own_initiative_open_domain
from takedowns.cases.own_initiative.worked_on import domains_worked_on, links_worked_on
from takedowns.reports.models import Category

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from django.http import HttpResponse

    from registry.accounts.requests import SignedIn
    from registry.datasets.models import Version
    from registry.hooks import WorkedOn
    from registry.links.domains.models import Domain
    from takedowns.cases.models import Case
    from takedowns.cases.own_initiative.selectors import Preview


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def own_initiative(request: SignedIn, slug: str, name: str, finding: str) -> HttpResponse:
    """Show in rows and versions what a case about these links would concern; open it with a reason."""
    if finding not in Finding.values:
        raise Http404
    version, found = version_asked(request, slug, name, Role.STAFF), Finding(finding)

    def confirm(reason: str, seen: str) -> Case:
        return own_initiative_open(
            actor=request.user, version=version, finding=found, reason=reason, seen=seen
        )

    json = reverse("api-own-initiative", args=[slug, name, finding])
    seen, cases = preview(version, found), links_worked_on(version).get(finding, [])
    named = sum(case.items for case in cases)
    left_out = max(0, finding_links(version, found).count() - len(seen.lines) - named)
    return _page(request, version, seen, confirm, json, cases=cases, left_out=left_out)


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def own_initiative_domain(request: SignedIn, slug: str, name: str, domain: str) -> HttpResponse:
    """The same about every row of a domain that is gone or changed hands, in all versions."""
    version = version_asked(request, slug, name, Role.STAFF)
    found = get_object_or_404(finding_domains(request.user, version), name=domain)

    def confirm(reason: str, seen: str) -> Case:
        return own_initiative_open_domain(
            actor=request.user, version=version, name=domain, reason=reason, seen=seen
        )

    json = reverse("api-own-initiative-domain", args=[slug, name, domain])
    cases = list(domains_worked_on(version, [domain]).values())
    return _page(request, version, domain_preview(version, found), confirm, json, cases=cases, domain=found)


def _page(
    request: SignedIn,
    version: Version,
    seen: Preview,
    confirm: Callable[[str, str], Case],
    json: str,
    *,
    cases: Sequence[WorkedOn],
    domain: Domain | None = None,
    left_out: int = 0,
) -> HttpResponse:
    """Show the preview and the `cases` that there are; `confirm` opens one, given a reason and the digest that was seen."""
    form = OwnInitiativeForm(request.POST if request.method == "POST" else None)

    def act() -> HttpResponse:
        case = confirm(form.cleaned_data["reason"], form.cleaned_data["preview"])
        messages.success(request, f"{case.number} is open. Its rows are being located in every version.")
        return redirect("case_detail", number=case.number)

    dataset = version.dataset
    category = Category.objects.filter(pk=seen.category).first()
    return form_page(
        request,
        "takedowns/cases/own_initiative.html",
        form,
        act,
        version=version,
        dataset=dataset,
        seen=seen,
        domain=domain,
        left_out=left_out,
        json=json,
        cases=[case for case in cases if not case.is_kept],
        kept=[case for case in cases if case.is_kept],
        category=category,
        within=timedelta(hours=category.clock_hours) if category else None,
        crumbs=links_crumbs(version),
    )
