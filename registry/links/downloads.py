"""CSV of a version's links: the figures, how each link in the sample stands, and for members each link with its URL.

The first two name no row: no URL, key or address, and the lines of the second stand in the order of what they say. So the
files of a base and of its release do not tell together which rows left. A link that is excluded cannot be told and has
nothing beside it, and neither has any other that cannot be told.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from datetime import UTC
from typing import TYPE_CHECKING, Any

import numpy as np
from django.contrib.auth.decorators import login_required
from django.db.models import Count, F, Func, TextField, Value
from django.db.models.functions import TruncDate
from django.http import Http404, HttpResponse, StreamingHttpResponse
from django.views.decorators.http import require_safe

from registry.accounts.models import Role
from registry.links.content.selectors import with_content
from registry.links.domains.selectors import DomainKind, version_domains
from registry.links.filters import PanelRowFilter
from registry.links.models import Panel, PanelRow
from registry.links.pages import links_asked, version_asked
from registry.links.rows import rows_in_turn
from registry.links.selectors import panel_rows, version_health
from registry.links.states import KEEPS_TIME, LinkState, shown
from registry.links.strata import STRATA, Stratum, link_weights, panel_limits, stratum_place

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import date

    from django.db.models import QuerySet
    from django.http import HttpRequest

    from registry.accounts.requests import SignedIn
    from registry.datasets.models import Version
    from registry.links.estimates import Estimate


@require_safe
def version_links_csv(request: HttpRequest, slug: str, name: str) -> HttpResponse:
    """Give the figures of a version's links: by state, then estimated shares with their intervals, of all and by kind."""
    version = links_asked(request, slug, name)
    health = version_health(version)
    if health is None or health.estimate is None:
        raise Http404
    it = health.estimate
    rows: list[Sequence[object]] = [
        ("links", state.value, count, health.shares[state], "", "") for state, count in health.counts.items()
    ]
    rows += _shares("", it)
    for stratum, one in health.strata.items():
        rows.append(("sample", stratum.value, one.n, "", "", ""))
        rows += _shares(f"{stratum.value}.", one)
    rows += _domains(version)
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
    """Give how each link of a version's sample stands, without saying which one it is."""
    version = links_asked(request, slug, name)
    panel = Panel.objects.filter(version=version, drawn_at__isnull=False).first()
    if panel is None:
        raise Http404
    lines = _states(panel)
    if not lines:
        raise Http404
    return _csv(version, "link-states", _STATE_COLUMNS, sorted(lines.elements()))


@require_safe
@login_required
def version_link_rows_csv(request: SignedIn, slug: str, name: str) -> StreamingHttpResponse:
    """Give members each link of the sample with its URL, or those that the filters of the page leave."""
    version = version_asked(request, slug, name, Role.STAFF)
    found = PanelRowFilter(request.GET, panel_rows(request.user, version))
    if not found.is_valid():
        raise Http404
    return StreamingHttpResponse(_lines(version, found.qs), **_as_file(version, "links-with-urls"))


_STATE_COLUMNS = ("kind", "weight", "state", "content", "outcome", "status", "checked_on")


def _states(panel: Panel) -> Counter[tuple[str, ...]]:
    """What stands under _STATE_COLUMNS, with how many links of the panel each line is of."""
    groups = (
        with_content(PanelRow.objects.filter(panel=panel))
        .values_list(
            stratum_place("link__host__name"),
            "link__state",
            "content",
            "link__outcome",
            "link__status",
            TruncDate("link__checked_at", tzinfo=UTC),
        )
        .annotate(links=Count("pk"))
        .order_by()
    )
    seen = [(stratum, links, _seen(*rest)) for stratum, *rest, links in groups]
    # A URL that leads to no host is a row that cannot be told.
    seen.append((STRATA.index(Stratum.NONE), panel.urls_unusable, _seen(LinkState.UNVERIFIABLE.value)))
    limits = panel_limits(panel, sum(links for _, links, _ in seen))
    weights = link_weights(np.arange(len(STRATA), dtype=np.uint8), limits).tolist()
    lines: Counter[tuple[str, ...]] = Counter()
    for stratum, links, one in seen:
        lines[STRATA[stratum].value, str(weights[stratum]), *one] += links
    return +lines  # without what there is none of


def _seen(
    state: str, content: str = "", outcome: str = "", status: int = 0, on: date | None = None
) -> tuple[str, ...]:
    """The state of a link and what everybody may be told beside it: nothing of one that is not known to be there or not."""
    if state not in KEEPS_TIME:
        return shown(state).value, "", "", "", ""
    return state, content, outcome, str(status or ""), on.isoformat() if on else ""


def _iso(field: str) -> Func:
    """A time in UTC as ISO 8601 writes it."""
    template = """to_char(%(expressions)s AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"')"""
    return Func(F(field), template=template, output_field=TextField())


# What a column is called -> what it says, as for `rows_in_turn`. The database writes what is not text: so many times are
# read and written again in half of the time that the rest takes.
_COLUMNS: dict[str, str | Func] = {
    "path": "path",
    "shard": "shard",
    "row": "row",
    "url.raw.sha256": Func(F("link__key"), Value("hex"), function="encode", output_field=TextField()),
    "url": "link__url",
    "host": "link__host__name",
    "state": "link__state",
    "outcome": "link__outcome",
    "status": "link__status",
    "content": "content",
    "ownership_changed": "ownership_changed",
    "opt_outs": Func(F("link__opt_outs"), Value(" "), function="array_to_string", output_field=TextField()),
    "failures": "link__failures",
    "checked_at": _iso("link__checked_at"),
    "due_at": _iso("link__due_at"),
}


def _lines(version: Version, rows: QuerySet[PanelRow]) -> Iterator[str]:
    """Lines of CSV, as they are read. Every URL begins with its scheme, so no spreadsheet takes one for a formula."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(_COLUMNS)
    for page in rows_in_turn(version, rows, list(_COLUMNS.values())):
        writer.writerows(page)
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()
    yield buffer.getvalue()


def _shares(prefix: str, it: Estimate) -> list[Sequence[object]]:
    return [
        *(
            ("share", f"{prefix}{what}", "", share.value, share.low, share.high)
            for what, share in (("alive", it.alive), ("dead", it.dead), ("unknown", it.unknown))
        ),
        ("bounds", f"{prefix}dead", "", "", it.dead_at_least, it.dead_at_most),
    ]


def _domains(version: Version) -> list[Sequence[object]]:
    """By what became of their domain: how many domains, and how many links of the sample, in all and by how they stand."""
    health = version_domains(version)
    if health is None:
        return []
    rows: list[Sequence[object]] = []
    for kind in DomainKind:
        rows.append(("domains", kind.value, health.domains[kind], "", "", ""))
        rows.append(("domain_links", kind.value, health.links[kind], "", "", ""))
        rows += [
            ("domain_links", f"{kind.value}.{what}", of[kind], "", "", "")
            for what, of in (("alive", health.alive), ("dead", health.dead), ("unknown", health.unknown))
        ]
    return rows


def _csv(
    version: Version, what: str, header: Sequence[str], rows: Iterable[Sequence[object]]
) -> HttpResponse:
    response = HttpResponse(**_as_file(version, what))
    writer = csv.writer(response)
    writer.writerow(header)
    writer.writerows(rows)
    return response


def _as_file(version: Version, what: str) -> dict[str, Any]:
    """How an answer says that it is a file of CSV to keep."""
    name = f"{version.dataset.slug}-{version.name}-{what}.csv"
    return {
        "content_type": "text/csv; charset=utf-8",
        "headers": {"Content-Disposition": f'attachment; filename="{name}"'},
    }
