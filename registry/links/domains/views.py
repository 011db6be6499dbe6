"""The page of all domains behind a version's links, for members."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

from django.contrib.auth.decorators import login_required
from django.shortcuts import render
from django.views.decorators.http import require_safe

from registry.accounts.models import Role
from registry.lib.pagination import page_of
from registry.links.domains.filters import DomainFilter
from registry.links.domains.page import rows_told
from registry.links.domains.selectors import DomainKind, domain_rows, version_domains
from registry.links.pages import links_crumbs, version_asked

if TYPE_CHECKING:
    from typing import Any

    from django.http import HttpResponse, QueryDict

    from registry.accounts.requests import SignedIn
    from registry.links.domains.selectors import DomainHealth


@require_safe
@login_required
def version_link_domains(request: SignedIn, slug: str, name: str) -> HttpResponse:
    """Every domain behind the version's links with its evidence, the gravest first; narrowed by kind and by name."""
    version = version_asked(request, slug, name, Role.STAFF)
    health, everything = version_domains(version), domain_rows(request.user, version)
    found = DomainFilter(request.GET, everything)
    page = page_of(request, found.qs if found.is_valid() else everything.none())
    asked = [(key, value) for key in ("q", "kind") for value in request.GET.getlist(key) if value]
    return render(
        request,
        "registry/links/version_domains.html",
        {
            "version": version,
            "dataset": version.dataset,
            "domains": health,
            "page": page,
            "domain_rows": rows_told(version, page),
            "chips": _chips(request.GET, health) if health else [],
            "kept": [(key, value) for key, value in asked if key == "kind"],
            "query": f"?{urlencode(asked)}" if asked else "",
            "filtered": bool(asked),
            "crumbs": links_crumbs(version),
        },
    )


def _chips(asked: QueryDict, health: DomainHealth) -> list[dict[str, Any]]:
    """All domains, and those of each kind that there is, with how many of the version these are."""
    part, now = asked.get("q"), set(asked.getlist("kind")) - {""}
    rest = [("q", part)] if part else []
    # What is sought in names is not counted by kind.
    chips = [
        {
            "text": "All",
            "url": f"?{urlencode(rest)}",
            "count": None if part else health.total,
            "current": not now,
        }
    ]
    return chips + [
        {
            "text": kind.label,
            "url": f"?{urlencode([*rest, ('kind', kind.value)])}",
            "count": None if part else health.domains[kind],
            "current": kind.value in now,
        }
        for kind in DomainKind
        if health.domains[kind] or kind.value in now
    ]
