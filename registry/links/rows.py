"""The links of a version one by one, for members of its organisation: where each stands and what it waits for.

An excluded link is in no list. One that was reported a moment ago is not marked so before a batch meets it, so what is
about to be shown is asked for once more (`rows_shown`): a value that nobody triaged yet is never written out.

Lists are narrowed and sorted as numbers alone; what is told of a row is read for those that are shown.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from django.db.models import Case, Count, OuterRef, Subquery, Value, When
from django.utils import timezone

from registry.datasets.models import VersionShard
from registry.lib.among import among_ids
from registry.links.content.selectors import with_content
from registry.links.content.states import Evidence
from registry.links.content.store import recorded_keys
from registry.links.domains.takeovers import with_takeovers
from registry.links.exclusion import excluded_links, excluded_urls
from registry.links.models import LinkPolicy, Observation, PanelRow
from registry.links.outcomes import Outcome
from registry.links.schedule import NOW
from registry.links.selectors import panel_rows
from registry.links.states import LinkState

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from django.db.models import QuerySet
    from django.db.models.expressions import Combinable

    from registry.datasets.models import Version, Viewer
    from registry.links.models import Link

AT_ONCE = 2_000  # rows of a download that are read, and asked for exclusion, at a time
WORST = (
    LinkState.DOMAIN_GONE,
    LinkState.DEAD,
    LinkState.FAILING,
    LinkState.UNVERIFIABLE,
    LinkState.UNCHECKED,
    LinkState.MOVED,
    LinkState.ALIVE,
)


@dataclass(frozen=True, slots=True)
class NextCheck:
    """What the next check of a link waits for, in words, and the time that they speak of; None without one."""

    why: str
    at: datetime | None = None


def worst_first(rows: QuerySet[PanelRow]) -> QuerySet[PanelRow]:
    """Rows of panels, those first whose links stand worst; of like ones those that failed more often."""
    place = Case(
        *(When(link__state=state, then=Value(rank)) for rank, state in enumerate(WORST)),
        default=Value(len(WORST)),
    )
    return rows.order_by(place, "-link__failures", "pk")


def rows_shown(ids: Sequence[int]) -> list[PanelRow]:
    """The rows of these primary keys in this order with all that is told of them, but for those that are excluded by now.

    Each has `content`, `content_evidence` and `ownership_changed`, and `path`, the name of its shard in the version. As many
    queries for many as for one; who may see the rows was asked before (`panel_rows`).
    """
    if not ids:
        return []
    told = _told(PanelRow.objects.filter(among_ids("id", ids))).select_related("link__host")
    found = {row.pk: row for row in told}
    links = [row.link for row in found.values()]
    out = excluded_links(links, recorded_keys(links))
    return [found[pk] for pk in ids if pk in found and found[pk].link_id not in out]


def rows_in_turn(
    version: Version, rows: QuerySet[PanelRow], columns: Sequence[str | Combinable]
) -> Iterator[list[tuple[Any, ...]]]:
    """What `columns` say of all of these rows of a version that may be shown, by primary key, at most AT_ONCE at a time.

    Columns are fields, also of what a row leads to, whatever else `rows_shown` gives a row, and expressions. They are plain
    values: to make objects of so many rows takes longer than to read them.
    """
    told = _told(PanelRow.objects.filter(panel=version.pk)).order_by("pk")
    ids = iter(ids_of(rows.order_by("pk")).iterator(chunk_size=AT_ONCE))
    while page := list(islice(ids, AT_ONCE)):
        found = list(told.filter(among_ids("id", page)).values_list("link", "link__url", *columns))
        links = [_Asked(link, url) for link, url, *_ in found]
        out = excluded_links(links, recorded_keys(links))
        yield [row[2:] for row in found if row[0] not in out]


class _Asked(NamedTuple):
    """As much of a link as it takes to ask whether it is excluded."""

    pk: int
    url: str


def _told(rows: QuerySet[PanelRow]) -> QuerySet[PanelRow]:
    """These rows with all that is told of them, but for those that are known to be excluded."""
    may_be = rows.exclude(link__state=LinkState.EXCLUDED)
    return with_takeovers(with_content(may_be)).annotate(path=_path())


def ids_of(rows: QuerySet[PanelRow]) -> QuerySet[PanelRow, int]:
    """The primary keys of these rows in their order: what a page is cut from."""
    return rows.values_list("pk", flat=True)


def rows_by_state(rows: QuerySet[PanelRow]) -> dict[LinkState, int]:
    """How many of these rows have a link in each state; states without any are left out."""
    counted = rows.order_by().values_list("link__state").annotate(links=Count("pk"))
    return {LinkState(state): links for state, links in counted}


def version_row(user: Viewer, version: Version, link: int) -> PanelRow | None:
    """The row of a link by its id; None where it is not in the version's panel, is excluded, or the user is no member."""
    found = rows_shown(list(ids_of(panel_rows(user, version).filter(link=link))))
    return found[0] if found else None


def link_versions(user: Viewer, row: PanelRow) -> QuerySet[PanelRow]:
    """Rows of the same link in panels of all versions of the row's organisation, for members; the newest version first."""
    organisation = row.panel.version.dataset.organisation_id
    rows = PanelRow.objects.visible_to(user).filter(
        link=row.link_id, panel__version__dataset__organisation=organisation
    )
    return (
        rows.annotate(path=_path())
        .select_related("panel__version__dataset")
        .order_by("-panel__version__dated", "pk")
    )


def link_history(link: Link) -> QuerySet[Observation]:
    """What each attempt saw, the newest first, as far back as months are kept."""
    return Observation.objects.filter(link=link).order_by("-at")


def last_answer(link: Link) -> str:
    """What the last check of a link saw, in words, with the HTTP status where they do not name it; "" before the first."""
    words = link.get_outcome_display() if link.outcome else ""
    return f"{words}, HTTP {link.status}" if link.status and str(link.status) not in words else words


def link_target(link: Link) -> str:
    """Where redirects led at last; "" where nowhere, or to what must not be named."""
    return "" if excluded_urls({link.target} - {""}) else link.target


def next_check(link: Link, policy: LinkPolicy | None, now: datetime | None = None) -> NextCheck:
    """What keeps the next check of a link, as its dataset's `policy` and its host have it."""
    now, host = now or timezone.now(), link.host
    if host.opted_out_at:
        return NextCheck("Its host opted out, so it is not asked any more: since", host.opted_out_at)
    if link.due_at is None:
        gone = link.state == LinkState.DOMAIN_GONE
        return NextCheck(
            "Its domain has to be there again first. Name servers are asked for it once a week."
            if gone
            else "It is not on the schedule."
        )
    if policy is None or policy.paused_at:
        return NextCheck("Checks of its dataset are paused until somebody resumes them.")
    if host.lease_until and host.lease_until > now:
        return NextCheck("A worker asks its host at this moment, one link after the other.")
    if max(link.due_at, host.next_at) > now:
        if host.next_at > link.due_at:
            return NextCheck("Its host is left alone until", host.next_at)
        return NextCheck("It is due", link.due_at)
    if policy.day == now.date() and policy.spent >= policy.daily_budget:
        return NextCheck("It is due, but the day's budget is spent: it goes on at midnight UTC.")
    if link.due_at == NOW:
        return NextCheck("Somebody asked for it: it comes first as soon as a worker is free.")
    return NextCheck("It waits for a free worker. Due since", link.due_at)


def opt_out_evidence(row: PanelRow) -> list[tuple[str, datetime | None]]:
    """Every opt-out that is known to concern the link: what says so, and when that was seen."""
    link = row.link
    found = [(f"Its answer declares {directive}", link.checked_at) for directive in link.opt_outs]
    if row.content_evidence == Evidence.OPTED_OUT and not link.opt_outs:  # type: ignore[attr-defined]  # annotated
        found.append((f"{Evidence.OPTED_OUT.label}, so its content is not read", None))
    if link.outcome == Outcome.ROBOTS_DISALLOWED:
        found.append(("robots.txt does not allow us to ask for it", link.checked_at))
    if link.host.opted_out_at:
        found.append(("Its host opted out of all requests", link.host.opted_out_at))
    return found


def _path() -> Subquery:
    """The name of a panel row's shard in its version."""
    there = VersionShard.objects.filter(version=OuterRef("panel"), shard=OuterRef("shard"))
    return Subquery(there.order_by("position").values("path")[:1])
