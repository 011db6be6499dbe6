"""Pages: the links of a version one by one, and all that is known of one of them; for members.

URLs are text on them and never a hyperlink: nobody goes by accident where an expired domain may lead, and no browser
looks a name up, fetches or tells who asks. Redirect targets are written likewise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import Http404
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_safe

from registry.accounts.models import Role
from registry.lib.pagination import PAGE_SIZE, page_of
from registry.links.content.states import ContentChecks, ContentState, Evidence
from registry.links.filters import PanelRowFilter
from registry.links.models import LinkPolicy
from registry.links.pages import links_crumbs, version_asked
from registry.links.rows import (
    WORST,
    ids_of,
    last_answer,
    link_history,
    link_target,
    link_versions,
    next_check,
    opt_out_evidence,
    rows_by_state,
    rows_shown,
    version_row,
    worst_first,
)
from registry.links.selectors import panel_rows
from registry.links.states import APART, FAILURES, WHOLE_HOST_COUNTS, LinkState
from registry.links.views import CONTENT_MEANINGS, DEFINITIONS, MEANINGS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from django.db.models import QuerySet
    from django.http import HttpResponse, QueryDict

    from registry.accounts.requests import SignedIn
    from registry.links.models import PanelRow

HISTORY = 20  # attempts on a page
NARROWING = ("q", "state", "content", "ownership_changed", "opted_out", "host", "outcome")


@require_safe
@login_required
def version_link_rows(request: SignedIn, slug: str, name: str) -> HttpResponse:
    """The links of the version's sample, worst first; narrowed by chips, by host and by a part of the URL."""
    version = version_asked(request, slug, name, Role.STAFF)
    everything = panel_rows(request.user, version)
    found = _narrowed(request.GET, everything)
    # Counted once, by state and within whatever else was asked for.
    others, states = _without_states(request.GET)
    counted = rows_by_state(_narrowed(others, everything))
    within = sum(counted.values())
    count = sum(links for state, links in counted.items() if state.value in states) if states else within
    count = 0 if found.query.is_empty() else count
    page = page_of(request, ids_of(worst_first(found)), PAGE_SIZE, count=count)
    policy = LinkPolicy.objects.filter(dataset=version.dataset).first()
    return render(
        request,
        "registry/links/version_link_rows.html",
        {
            "version": version,
            "dataset": version.dataset,
            "page": page,
            "rows": [
                (row, MEANINGS.get(LinkState(row.link.state), "neutral"), last_answer(row.link))
                for row in rows_shown(list(page.object_list))
            ],
            "total": everything.count() if _pairs(others) else within,
            "states": _state_chips(others, states, counted),
            "findings": _finding_chips(request.GET, policy),
            "kept": [(key, value) for key, value in _pairs(request.GET) if key != "q"],
            "query": _query(_pairs(request.GET)),
            "filtered": bool(_pairs(request.GET)),
            "crumbs": links_crumbs(version),
        },
    )


@require_safe
@login_required
def link_detail(request: SignedIn, slug: str, name: str, link: int) -> HttpResponse:
    """One link: how it stands, what its next check waits for, what was seen of it, and which versions hold it."""
    version = version_asked(request, slug, name, Role.STAFF)
    row = version_row(request.user, version, link)
    if row is None:
        raise Http404
    state, policy = LinkState(row.link.state), LinkPolicy.objects.filter(dataset=version.dataset).first()
    content = ContentState(row.content)  # type: ignore[attr-defined]  # annotated by rows_shown
    return render(
        request,
        "registry/links/link_detail.html",
        {
            "version": version,
            "dataset": version.dataset,
            "row": row,
            "link": row.link,
            "meaning": MEANINGS.get(state, "neutral"),
            "definition": DEFINITIONS[state],
            "last_answer": last_answer(row.link),
            "failures_dead": FAILURES,
            "of_host_count": WHOLE_HOST_COUNTS,
            "keep_months": settings.LINKS_KEEP_MONTHS,
            "counts_again": row.link.failed_at + APART if row.link.failed_at else None,
            "next": next_check(row.link, policy),
            "target": link_target(row.link),
            "content": content if _reads_content(policy) else None,
            "evidence": Evidence(row.content_evidence).label if row.content_evidence else "",  # type: ignore[attr-defined]  # likewise
            "content_meaning": CONTENT_MEANINGS.get(content, "neutral"),
            "opt_outs": opt_out_evidence(row),
            "history": page_of(request, link_history(row.link), HISTORY, param="history"),
            "versions": page_of(request, link_versions(request.user, row), param="versions"),
            "crumbs": [
                *links_crumbs(version),
                ("Each link", reverse("version_link_rows", args=[version.dataset.slug, version.name])),
            ],
        },
    )


def _narrowed(asked: QueryDict, rows: QuerySet[PanelRow]) -> QuerySet[PanelRow]:
    """The rows that were asked for; none where that makes no sense."""
    found = PanelRowFilter(asked, rows)
    narrowed: QuerySet[PanelRow] = found.qs if found.is_valid() else rows.none()
    return narrowed


def _without_states(asked: QueryDict) -> tuple[QueryDict, set[str]]:
    """What was asked for beside states, and the states."""
    others = asked.copy()
    others.pop("state", None)
    return others, set(asked.getlist("state")) - {""}


def _state_chips(others: QueryDict, now: set[str], counted: Mapping[LinkState, int]) -> list[dict[str, Any]]:
    """All links, and those in each state that any has, counted within whatever else was asked for."""
    rest = _pairs(others)
    chips = [{"text": "All", "url": _query(rest), "count": sum(counted.values()), "current": not now}]
    return chips + [
        {
            "text": state.label,
            "url": _query([*rest, ("state", state.value)]),
            "count": counted.get(state, 0),
            "current": state.value in now,
        }
        for state in WORST
        if state in counted or state.value in now
    ]


def _finding_chips(asked: QueryDict, policy: LinkPolicy | None) -> list[dict[str, Any]]:
    """What a link may be found to be beside its state; each chip is put on and taken off."""
    wanted = [
        ("ownership_changed", "true", "Domain changed hands"),
        ("opted_out", "true", "Declares an opt-out"),
        *(
            ("content", state.value, f"Content: {state.label.lower()}")
            for state in ContentState
            if _reads_content(policy)
        ),
        *(
            (key, value, f"{key.capitalize()}: {value}")
            for key, value in _pairs(asked)
            if key in {"host", "outcome"}
        ),
    ]  # fmt: skip
    chips = []
    for key, value, text in wanted:
        rest = [pair for pair in _pairs(asked) if pair[0] != key]
        current = asked.get(key) == value
        chips.append(
            {"text": text, "url": _query(rest if current else [*rest, (key, value)]), "current": current}
        )
    return chips


def _reads_content(policy: LinkPolicy | None) -> bool:
    return policy is not None and policy.content != ContentChecks.OFF


def _pairs(asked: QueryDict) -> list[tuple[str, str]]:
    """What narrows the list, without the page: another list begins at its first."""
    return [(key, value) for key in NARROWING for value in asked.getlist(key) if value]


def _query(pairs: list[tuple[str, str]]) -> str:
    return f"?{urlencode(pairs)}"
