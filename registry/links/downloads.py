"""CSV of a version's links: the figures, and the state of each link in the sample.

No URL is in either. In the states one that is excluded cannot be told and has nothing beside it, and neither has any
other that cannot be told: a line that changes there from one day to the next says nothing about who reported what.
"""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_safe

from registry.datasets.selectors import version_list
from registry.links.models import PanelRow
from registry.links.selectors import version_health
from registry.links.states import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from django.http import HttpRequest

    from registry.datasets.models import Version


@require_safe
def version_links_csv(request: HttpRequest, slug: str, name: str) -> HttpResponse:
    """Give the figures of a version's links: counts by state, then estimated shares with their intervals."""
    version = _version(request, slug, name)
    health = version_health(version)
    if health is None or health.estimate is None:
        raise Http404
    it = health.estimate
    rows: list[Sequence[object]] = [
        ("links", state.value, count, count / it.n, "", "") for state, count in health.counts.items()
    ]
    rows += [
        ("share", what, "", share.value, share.low, share.high)
        for what, share in (("alive", it.alive), ("dead", it.dead), ("unknown", it.unknown))
    ]
    rows.append(("bounds", "dead", "", "", it.dead_at_least, it.dead_at_most))
    drawn, last = health.panel.drawn_at, health.checked_last
    for what, value in (
        ("sample", it.n),
        ("hosts", it.hosts),
        ("drawn_at", drawn.isoformat() if drawn else ""),
        ("checked_last", last.isoformat() if last else ""),
        ("vantage", health.vantage),
    ):
        rows.append(("about", what, value, "", "", ""))
    return _csv(version, "links", ("kind", "name", "value", "share", "low", "high"), rows)


@require_safe
def version_link_states_csv(request: HttpRequest, slug: str, name: str) -> HttpResponse:
    """Give the state of each link of a version's sample, by row address and key."""
    version = _version(request, slug, name)
    found = PanelRow.objects.filter(panel__version=version, panel__drawn_at__isnull=False).order_by("pk")
    if not found.exists():
        raise Http404
    links = found.values_list("shard", "row", "link__key", "link__state").iterator(chunk_size=5_000)
    rows = ((shard, row, bytes(key).hex(), shown(state).value) for shard, row, key, state in links)
    return _csv(version, "link-states", ("shard", "row", "url.raw.sha256", "state"), rows)


def _version(request: HttpRequest, slug: str, name: str) -> Version:
    return get_object_or_404(version_list(request.user), dataset__slug=slug, name=name)


def _csv(
    version: Version, what: str, header: Sequence[str], rows: Iterable[Sequence[object]]
) -> HttpResponse:
    response = HttpResponse(
        content_type="text/csv; charset=utf-8",
        headers={
            "Content-Disposition": f'attachment; filename="{version.dataset.slug}-{version.name}-{what}.csv"'
        },
    )
    writer = csv.writer(response)
    writer.writerow(header)
    writer.writerows(rows)
    return response
