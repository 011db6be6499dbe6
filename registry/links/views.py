"""Pages: how the links of a version stand, and what a maintainer does about them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from registry.accounts.models import Role
from registry.accounts.permissions import has_role
from registry.hooks import hooks
from registry.jobs.models import Job
from registry.jobs.services import ALIVE
from registry.jobs.views import STOP_POLLING
from registry.lib.errors import Refused
from registry.lib.form_page import form_page
from registry.lib.words import counted
from registry.links import panel, services
from registry.links.checking import links_to_hurry, version_checking
from registry.links.comparison import panel_against, panels_comparable, versions_compare
from registry.links.content import recorded
from registry.links.content.selectors import content_consequence, version_content
from registry.links.content.states import ContentChecks, ContentState
from registry.links.domains.page import domains_context
from registry.links.forms import BudgetForm, ContentForm, PanelForm
from registry.links.hosts import worst_hosts
from registry.links.models import LinkPolicy, Panel
from registry.links.pages import links_asked, version_asked, version_crumbs
from registry.links.selectors import links_found, version_health
from registry.links.states import LinkState

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from django.http import HttpRequest, HttpResponse

    from registry.accounts.requests import SignedIn
    from registry.datasets.models import Dataset, Version, Viewer
    from registry.hooks import WorkedOn
    from registry.links.schedule import Hurried
    from registry.links.selectors import Health

WORST_HOSTS = 10  # of the page; another page has all
WATCHED = 10  # versions that a dataset's page names
MEANINGS = {
    LinkState.ALIVE: "good",
    LinkState.MOVED: "good",
    LinkState.FAILING: "attention",
    LinkState.DEAD: "danger",
    LinkState.DOMAIN_GONE: "danger",
}
DEFINITIONS = {
    LinkState.ALIVE: "answers, or redirects within its site",
    LinkState.MOVED: "redirects to another site",
    LinkState.FAILING: "failed, but not often enough to call it dead",
    LinkState.DEAD: "failed three times, each at least 72 hours after the one before",
    LinkState.DOMAIN_GONE: "two resolvers found no such domain, twice, at least 24 hours apart",
    LinkState.UNVERIFIABLE: "its host refuses us, or we may not ask",
    LinkState.UNCHECKED: "waits for its first check",
}

CONTENT_MEANINGS = {
    ContentState.IDENTICAL: "good",
    ContentState.REVALIDATED: "good",
    ContentState.NEAR_IDENTICAL: "good",
    ContentState.CHANGED: "attention",
    ContentState.REPLACED: "danger",
}
CONTENT_DEFINITIONS = {
    ContentState.IDENTICAL: "the bytes that the dataset recorded, or that were there at the first look",
    ContentState.REVALIDATED: "its server says that it was not modified",
    ContentState.NEAR_IDENTICAL: "other bytes of a picture that looks the same",
    ContentState.CHANGED: "other bytes; often harmless",
    ContentState.REPLACED: "another picture or kind of content, or a placeholder, twice, 72 hours apart",
    ContentState.UNKNOWN: "read once so far, does not answer, or may not be read",
}


@require_safe
def version_links(request: HttpRequest, slug: str, name: str) -> HttpResponse:
    """How the links of a version stand: counts and estimate for everybody, hosts and acts for members."""
    version = links_asked(request, slug, name)
    return render(request, "registry/links/version_links.html", _context(request, version))


@login_required
@require_http_methods(["POST"])
def panel_draw(request: SignedIn, slug: str, name: str) -> HttpResponse:
    """Draw the links to check; leads to the job."""
    version = version_asked(request, slug, name, Role.MAINTAINER)
    form = PanelForm(request.POST)

    def act() -> HttpResponse:
        job = panel.panel_draw(actor=request.user, version=version, size=form.cleaned_data["size"])
        return redirect("job_detail", job.pk)

    context = _context(request, version) | {"panel_form": form}
    return form_page(request, "registry/links/version_links.html", form, act, **context)


@login_required
@require_http_methods(["POST"])
def links_budget(request: SignedIn, slug: str, name: str) -> HttpResponse:
    """Change how many links a day are checked."""
    version = version_asked(request, slug, name, Role.MAINTAINER)
    form = BudgetForm(request.POST)

    def act() -> HttpResponse:
        budget = form.cleaned_data["daily_budget"]
        services.links_budget(actor=request.user, dataset=version.dataset, daily_budget=budget)
        messages.success(request, f"At most {budget:,} links a day are checked from now on.")
        return _back(request, version)

    context = _context(request, version) | {"budget_form": form}
    return form_page(request, "registry/links/version_links.html", form, act, **context)


@login_required
@require_http_methods(["POST"])
def links_content(request: SignedIn, slug: str, name: str) -> HttpResponse:
    """Turn the reading of content on or off."""
    version = version_asked(request, slug, name, Role.MAINTAINER)
    form = ContentForm(request.POST)

    def act() -> HttpResponse:
        checks, links = ContentChecks(form.cleaned_data["content"]), form.cleaned_data["links"]
        services.links_content(actor=request.user, dataset=version.dataset, checks=checks, links=links)
        messages.success(request, f"From now on: {checks.label.lower()}.")
        return _back(request, version)

    context = _context(request, version) | {"content_form": form}
    return form_page(request, "registry/links/version_links.html", form, act, **context)


@login_required
@require_POST
def links_check_now(request: SignedIn, slug: str, name: str) -> HttpResponse:
    """Let the links of this version come first."""
    version = version_asked(request, slug, name, Role.MAINTAINER)
    try:
        hurried = services.links_check_now(actor=request.user, version=version)
    except Refused as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, _hurried_said(hurried))
    return _back(request, version)


@login_required
@require_POST
def links_pause(request: SignedIn, slug: str, name: str) -> HttpResponse:
    """Check no more links of the dataset."""
    version = version_asked(request, slug, name)
    services.links_pause(actor=request.user, dataset=version.dataset)
    messages.success(request, "Paused. What is under way ends within five minutes; nothing is lost.")
    return _back(request, version)


@login_required
@require_POST
def links_resume(request: SignedIn, slug: str, name: str) -> HttpResponse:
    """Check links of the dataset again."""
    version = version_asked(request, slug, name)
    services.links_resume(actor=request.user, dataset=version.dataset)
    messages.success(request, "Links are checked again, the longest due first.")
    return _back(request, version)


@require_safe
@login_required
def links_progress(request: SignedIn, slug: str, name: str) -> HttpResponse:
    """The progress alone, for polling by members. The page is not loaded anew at the end: somebody may be writing in it."""
    version = version_asked(request, slug, name, Role.STAFF)
    context = _progress(version)
    status = 200 if context["poll_url"] else STOP_POLLING
    return render(request, "components/_progress.html", context, status=status)


def dataset_links_context(user: Viewer, dataset: Dataset) -> dict[str, Any]:
    """The context of the fragment `_dataset_links.html` on a dataset's page: versions whose links are checked, the newest first.

    For members how far the checks of the newest one are, and for maintainers what they may do about them.
    """
    panels = Panel.objects.visible_to(user).filter(version__dataset=dataset, drawn_at__isnull=False)
    newest = panels.select_related("version").order_by("-version__dated", "-version__created_at")
    watched = [panel.version for panel in newest[:WATCHED]]
    if not watched:
        return {"watched": []}
    is_member = has_role(user, dataset.organisation, Role.STAFF)
    may_write = has_role(user, dataset.organisation, Role.MAINTAINER)
    return {
        "watched": watched,
        "policy": LinkPolicy.objects.filter(dataset=dataset).first(),
        "progress": _progress(watched[0]) if is_member else None,
        "may_check": may_write,
        "to_hurry": links_to_hurry(watched[0]) if may_write else 0,
    }


def _hurried_said(hurried: Hurried) -> str:
    """What came of asking for checks now, in words."""
    if not hurried.links:
        return "No link can be asked for now: each was checked within the last hour."
    come = counted(hurried.links, "link comes", "links come")
    said = f"{come} first now. Each host is asked as politely as ever."
    if not hurried.recent:
        return said
    were, are = counted(hurried.recent, "was", "were"), "is" if hurried.recent == 1 else "are"
    return f"{said} {were} checked within the last hour, and {are} not asked again yet."


def _back(request: HttpRequest, version: Version) -> HttpResponse:
    """To the page from which an act was sent: that of the dataset says so, else it is that of the version's links."""
    if request.POST.get("page") == "dataset":
        return redirect(f"{reverse('dataset_detail', args=[version.dataset.slug])}#links")
    return redirect("version_links", version.dataset.slug, version.name)


def _progress(version: Version) -> dict[str, Any]:
    """What components/_progress.html takes; `poll_url` is empty where nothing is left or nothing moves."""
    it = version_checking(version)
    address = reverse("links_progress", args=[version.dataset.slug, version.name])
    return {
        "ident": "checking-progress",
        "title": f"Checking the links of {version.name}",
        "done": it.done,
        "total": it.links,
        "unit": "link",
        "left": it.seconds_left,
        "step": it.why_not,
        "to_check": it.left,
        "poll_url": address if it.left and not it.why_not else "",
    }


def _content(
    version: Version, health: Health | None, policy: LinkPolicy | None, *, may_write: bool
) -> dict[str, Any]:
    """What the page says of content, and what its maintainer may change about that."""
    content = version_content(health.panel, policy) if health else None
    consequence = content_consequence(version.dataset) if health and policy and may_write else None
    initial = {"content": policy.content, "links": consequence.links} if policy and consequence else None
    return {
        "content": content,
        "content_states": [
            (
                state.label,
                CONTENT_MEANINGS.get(state, "neutral") if content.counts[state] else "neutral",
                text,
                content.counts[state],
                content.shares[state],
            )
            for state, text in CONTENT_DEFINITIONS.items()
            if content
        ],
        "consequence": consequence,
        "content_form": ContentForm(initial=initial) if consequence else None,
    }


def _context(request: HttpRequest, version: Version) -> dict[str, Any]:
    dataset, health = version.dataset, version_health(version)
    policy = LinkPolicy.objects.filter(dataset=dataset).first()
    may_write = has_role(request.user, dataset.organisation, Role.MAINTAINER)
    is_member = has_role(request.user, dataset.organisation, Role.STAFF)
    at_work = Job.objects.filter(kind__in=[panel.KIND, recorded.KIND], subject_id=version.pk, state__in=ALIVE)
    jobs = {job.kind: job for job in at_work} if is_member else {}
    against = panels_comparable(request.user, version)
    old = panel_against(request.user, version, request.GET.get("against", "")) if health else None
    comparison = versions_compare(old.version, version) if old else None
    return {
        "version": version,
        "dataset": dataset,
        "comparison": comparison,
        "not_comparable": old.version if old and comparison is None else None,
        "against": list(against.values_list("version__name", flat=True)[:10]) if old else [],
        "crumbs": version_crumbs(version),
        "health": health,
        "states": _states(health),
        "kinds": [(kind.label, it) for kind, it in health.strata.items()] if health else [],
        "policy": policy,
        "is_member": is_member,
        "may_write": may_write,
        "hosts": worst_hosts(request.user, version)[:WORST_HOSTS] if is_member else [],
        **domains_context(request.user, version, is_member=is_member),
        "progress": _progress(version) if is_member and health else None,
        "to_hurry": links_to_hurry(version) if may_write and health else 0,
        "findings": _findings(version) if is_member else [],
        "job": jobs.get(panel.KIND),
        "recorded_job": jobs.get(recorded.KIND),
        **_content(version, health, policy, may_write=may_write),
        "panel_form": PanelForm(initial={"size": health.panel.size} if health else None),
        "budget_form": BudgetForm(initial={"daily_budget": policy.daily_budget}) if policy else None,
    }


def _findings(version: Version) -> list[dict[str, Any]]:
    """For members: what the checks found that a case can be about, the cases that are, and about how many links none is."""
    found = links_found(version)
    cases: dict[str, Sequence[WorkedOn]] = {}
    for ask in hooks.links_worked_on:
        cases |= ask(version)
    named = {finding: sum(case.items for case in cases.get(finding, [])) for finding in found}
    return [
        {
            "finding": finding,
            "count": count,
            "noun": f"{finding} link",
            "cases": cases.get(finding, []),
            "others": max(0, count - named[finding]),
            "others_noun": f"other {finding} link" if named[finding] else f"{finding} link",
        }
        for finding, count in found.items()
        if count
    ]


def _states(health: Health | None) -> list[tuple[str, str, str, int, float]]:
    """For each state its name, its meaning, its definition, how many links of the panel are in it, and what share of all."""
    if health is None:
        return []
    return [
        (
            state.label,
            MEANINGS.get(state, "neutral") if health.counts[state] else "neutral",
            text,
            health.counts[state],
            health.shares[state],
        )
        for state, text in DEFINITIONS.items()
    ]
