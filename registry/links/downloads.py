"""CSV of a version's links: the figures, the state of each link in the sample, and for members each link with its URL.

No URL is in the first two. In the states one that is excluded cannot be told and has nothing beside it, and neither has any
other that cannot be told: a line that changes there from one day to the next says nothing about who reported what.
"""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse, StreamingHttpResponse
from django.views.decorators.http import require_safe

from registry.accounts.models import Role
from registry.links.domains.selectors import DomainKind, version_domains
from registry.links.filters import PanelRowFilter
from registry.links.models import PanelRow
from registry.links.pages import version_asked
from registry.links.rows import rows_in_turn, version_rows
from registry.links.selectors import version_health
from registry.links.states import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from django.db.models import QuerySet
    from django.http import HttpRequest

    from registry.accounts.requests import SignedIn
    from registry.datasets.models import Version
    from registry.links.estimates import Estimate

_AT_ONCE = 64 * 1024  # characters that are sent at a time


@require_safe
def version_links_csv(request: HttpRequest, slug: str, name: str) -> HttpResponse:
    """Give the figures of a version's links: by state, then estimated shares with their intervals, of all and by kind."""
    version = version_asked(request, slug, name)
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
    """Give the state of each link of a version's sample, by row address and key."""
    version = version_asked(request, slug, name)
    found = PanelRow.objects.filter(panel__version=version, panel__drawn_at__isnull=False).order_by("pk")
    if not found.exists():
        raise Http404
    links = found.values_list("shard", "row", "link__key", "link__state").iterator(chunk_size=5_000)
    rows = ((shard, row, bytes(key).hex(), shown(state).value) for shard, row, key, state in links)
    return _csv(version, "link-states", ("shard", "row", "url.raw.sha256", "state"), rows)


@require_safe
@login_required
def version_link_rows_csv(request: SignedIn, slug: str, name: str) -> StreamingHttpResponse:
    """Give members each link of the sample with its URL, or those that the filters of the page leave."""
    version = version_asked(request, slug, name, Role.STAFF)
    found = PanelRowFilter(request.GET, version_rows(request.user, version))
    if not found.is_valid():
        raise Http404
    return StreamingHttpResponse(_lines(found.qs), **_as_file(version, "links-with-urls"))


_COLUMNS = (
    "path", "shard", "row", "url.raw.sha256", "url", "host", "state", "outcome", "status", "content", "ownership_changed",
    "opt_outs", "failures", "checked_at", "due_at",
)  # fmt: skip


def _lines(rows: QuerySet[PanelRow]) -> Iterator[str]:
    """Lines of CSV, as they are read. Every URL begins with its scheme, so no spreadsheet takes one for a formula."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(_COLUMNS)
    for row in rows_in_turn(rows):
        writer.writerow(_cells(row))
        if buffer.tell() > _AT_ONCE:
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()


def _cells(row: Any) -> Sequence[object]:
    """What stands under _COLUMNS; `row` is one of `version_rows`."""
    link = row.link
    return (
        row.path, row.shard_id, row.row, bytes(link.key).hex(), link.url, link.host.name, link.state, link.outcome,
        link.status, row.content, row.ownership_changed, " ".join(link.opt_outs), link.failures,
        *(at.isoformat() if at else "" for at in (link.checked_at, link.due_at)),
    )  # fmt: skip


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
