"""Reading how the links of a version stand.

Links that are excluded show as "cannot be told" wherever they are counted, and are in no list: who sees that a row is
excluded would learn that somebody reported it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from django.conf import settings
from django.contrib.postgres.aggregates import ArrayAgg
from django.db.models import Count, Max, Min, Q

from registry.accounts.models import Role
from registry.accounts.permissions import has_role
from registry.links.content.selectors import content_is
from registry.links.content.states import ContentState
from registry.links.estimates import Estimate, estimate
from registry.links.models import OUT_OF_USE, Panel, PanelRow
from registry.links.schedule import NOW
from registry.links.states import IS_ALIVE, IS_DEAD, KEEPS_TIME, SHOWN, LinkState, shown
from registry.links.strata import NO_LIMIT, STRATA, panel_links, stratum_place

if TYPE_CHECKING:
    from datetime import datetime

    import numpy.typing as npt
    from django.db.models import QuerySet

    from registry.datasets.models import Version, Viewer
    from registry.links.strata import PanelLinks, Stratum


@dataclass(frozen=True, slots=True)
class Health:
    """How the links of a version's panel stand. `waiting` of them were asked for now and are not checked yet.

    `counts` are links of the panel, `shares` what that makes of all links of the version, from 0 to 1; `strata` is the
    estimate of each kind of domain that the panel has links of. The times are of links of which something is known, so
    none tells a link that refuses us from one that is excluded and has no time. `is_whole` tells that the panel is no
    sample: the version has no more links.
    """

    panel: Panel
    counts: dict[LinkState, int]
    shares: dict[LinkState, float]
    estimate: Estimate | None
    strata: dict[Stratum, Estimate]
    opted_out: int
    checked_first: datetime | None
    checked_last: datetime | None
    waiting: int
    is_whole: bool
    vantage: str  # from where links were asked


def may_read_links(user: Viewer, version: Version) -> bool:
    """Whether a reader who may see the version is told how its links stand; where it is out of use, only members are.

    Two versions tell by what differs what was taken out between them, and of a base that was withdrawn for it nobody may.
    """
    return version.status not in OUT_OF_USE or has_role(user, version.dataset.organisation, Role.STAFF)


def version_health(version: Version) -> Health | None:
    """How the version's links stand; None without a panel that was drawn. Two queries for any size."""
    panel = Panel.objects.filter(version=version, drawn_at__isnull=False).first()
    if panel is None:
        return None
    groups = list(
        PanelRow.objects.filter(panel=panel)
        .values_list("link__state", stratum_place("link__host__name"))
        .annotate(
            hosts=ArrayAgg("link__host"),
            first=Min("link__checked_at"),
            last=Max("link__checked_at"),
            opted_out=Count("pk", filter=~Q(link__opt_outs=[])),
            waiting=Count("pk", filter=Q(link__due_at=NOW)),
        )
        .order_by()
    )
    links = panel_links(panel, [(stratum, hosts) for _, stratum, hosts, *_ in groups])
    place = {state.value: SHOWN.index(shown(state)) for state in LinkState}
    # A URL that leads to no host is a row that cannot be told.
    places = np.repeat(
        [*(place[state] for state, *_ in groups), SHOWN.index(LinkState.UNVERIFIABLE)],
        [*(len(hosts) for _, _, hosts, *_ in groups), panel.urls_unusable],
    )
    of_state: dict[LinkState, npt.NDArray[np.bool_]] = {
        state: places == number for number, state in enumerate(SHOWN)
    }
    alive, dead = (np.any([of_state[state] for state in states], axis=0) for states in (IS_ALIVE, IS_DEAD))
    times = [
        (first, last) for state, _, _, first, last, *_ in groups if state in KEEPS_TIME and first is not None
    ]
    return Health(
        panel=panel,
        counts={state: int(holds.sum()) for state, holds in of_state.items()},
        shares={state: links.part(holds) for state, holds in of_state.items()},
        estimate=estimate(alive, dead, links.hosts, links.weights, whole=links.is_whole),
        strata=_by_stratum(alive, dead, links),
        is_whole=links.is_whole,
        opted_out=sum(opted_out for *_, opted_out, _ in groups),
        checked_first=min((first for first, _ in times), default=None),
        checked_last=max((last for _, last in times), default=None),
        waiting=sum(waiting for *_, waiting in groups),
        vantage=settings.LINKS_VANTAGE,
    )


def _by_stratum(
    alive: npt.NDArray[np.bool_], dead: npt.NDArray[np.bool_], links: PanelLinks
) -> dict[Stratum, Estimate]:
    """The estimate of each kind of domain; a kind that the panel holds all links of is counted."""
    found = {}
    for place, stratum in enumerate(STRATA):
        of = links.strata == place
        whole = links.limits.get(stratum) == NO_LIMIT
        if (one := estimate(alive[of], dead[of], links.hosts[of], whole=whole)) is not None:
            found[stratum] = one
    return found


def links_found(version: Version) -> dict[str, int]:
    """How many links of the version's panel are `dead`, and of how many the content is `replaced`."""
    found: dict[str, int] = (
        PanelRow.objects.filter(panel__version=version)
        .exclude(link__state=LinkState.EXCLUDED)
        .aggregate(
            dead=Count("pk", filter=Q(link__state__in=IS_DEAD)),
            replaced=Count("pk", filter=content_is(ContentState.REPLACED)),
        )
    )
    return found


def panel_rows(user: Viewer, version: Version) -> QuerySet[PanelRow]:
    """The rows of a version's panel, for members of its organisation; none for others, and none of an excluded link."""
    rows = PanelRow.objects.visible_to(user).filter(panel__version=version)
    return rows.exclude(link__state=LinkState.EXCLUDED).order_by("pk")
