"""Reading how the content of a version's links stands, and what it means to turn the reading of content on.

Shown only where the maintainer turned it on. The content of a link that does not answer, or that is excluded, is not
known; so is what was read once and had nothing to be compared with.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from django.contrib.postgres.aggregates import ArrayAgg
from django.db.models import Case, Count, F, Max, Min, Q, Value, When

from registry.links.content.states import ContentChecks, ContentState
from registry.links.estimates import Share, share
from registry.links.models import PanelRow
from registry.links.states import IS_ALIVE
from registry.links.strata import panel_links, stratum_place

if TYPE_CHECKING:
    from datetime import datetime

    from django.db.models import QuerySet

    from registry.datasets.models import Dataset
    from registry.links.models import LinkPolicy, Panel

SAME = (ContentState.IDENTICAL, ContentState.REVALIDATED, ContentState.NEAR_IDENTICAL)
_MAY_BE_TOLD = Q(
    panel__version__dataset__link_policy__content__in=[ContentChecks.BYTES, ContentChecks.IMAGES],
    link__state__in=IS_ALIVE,
)


@dataclass(frozen=True, slots=True)
class ContentHealth:
    """How the content of a panel's links stands, and what that says of all links of the version.

    `counts` are links of the panel, `shares` what that makes of all links of the version, from 0 to 1.
    The share that was replaced lies, with 95 % confidence, within `replaced_at_least` and `replaced_at_most`, which takes
    all that is not known as replaced.
    """

    checks: ContentChecks
    counts: dict[ContentState, int]
    shares: dict[ContentState, float]
    same: Share
    changed: Share
    replaced: Share
    unknown: Share
    replaced_at_least: float
    replaced_at_most: float
    read_first: datetime | None
    read_last: datetime | None


@dataclass(frozen=True, slots=True)
class ContentConsequence:
    """What reading content would concern: the links in panels of a dataset, their hosts, and the versions they are of."""

    links: int
    hosts: int
    versions: int


def content_is(state: ContentState) -> Q:
    """Rows of panels whose link's content stands so, where their dataset may know it and the link answers.

    `state` is one that was seen; what is not known has many reasons.
    """
    return _MAY_BE_TOLD & Q(link__content__state=state)


def with_content(rows: QuerySet[PanelRow]) -> QuerySet[PanelRow]:
    """Give each row `content` and `content_evidence`: how the content of its link stands, as its dataset may know it."""
    return rows.annotate(
        content=_told("state", otherwise=ContentState.UNKNOWN),
        content_evidence=_told("evidence", otherwise=""),
    )


def _told(field: str, *, otherwise: str) -> Case:
    """A field of the content of a row's link, where the dataset may know it and the link answers."""
    when = When(_MAY_BE_TOLD & Q(link__content__isnull=False), then=F(f"link__content__{field}"))
    return Case(when, default=Value(str(otherwise)))


def version_content(panel: Panel, policy: LinkPolicy | None) -> ContentHealth | None:
    """How the content of a panel's links stands; None where none is read, or the panel is empty. One query."""
    if policy is None or policy.content == ContentChecks.OFF:
        return None
    groups = list(
        PanelRow.objects.filter(panel=panel)
        .values_list(_told("state", otherwise=ContentState.UNKNOWN), stratum_place("link__host__name"))
        .annotate(
            hosts=ArrayAgg("link__host"),
            # Of links that do not answer nothing is told, nor when they were read.
            first=Min("link__content__read_at", filter=Q(link__state__in=IS_ALIVE)),
            last=Max("link__content__read_at", filter=Q(link__state__in=IS_ALIVE)),
        )
        .order_by()
    )
    links = panel_links(panel, [(stratum, hosts) for _, stratum, hosts, *_ in groups])
    if not len(links.hosts):
        return None
    states = list(ContentState)
    # A URL that leads to no host is a row that cannot be told.
    places = np.repeat(
        [*(states.index(ContentState(state)) for state, *_ in groups), states.index(ContentState.UNKNOWN)],
        [*(len(hosts) for _, _, hosts, *_ in groups), panel.urls_unusable],
    )
    of_state = {state: places == place for place, state in enumerate(states)}

    def of(*those: ContentState) -> Share:
        holds = np.any([of_state[state] for state in those], axis=0)
        return share(holds, links.hosts, links.weights, whole=links.is_whole)

    firsts = [first for *_, first, _ in groups if first is not None]
    lasts = [last for *_, last in groups if last is not None]
    replaced = of(ContentState.REPLACED)
    return ContentHealth(
        checks=ContentChecks(policy.content),
        counts={state: int(holds.sum()) for state, holds in of_state.items()},
        shares={state: links.part(holds) for state, holds in of_state.items()},
        same=of(*SAME),
        changed=of(ContentState.CHANGED),
        replaced=replaced,
        unknown=of(ContentState.UNKNOWN),
        replaced_at_least=replaced.low,
        replaced_at_most=of(ContentState.REPLACED, ContentState.UNKNOWN).high,
        read_first=min(firsts, default=None),
        read_last=max(lasts, default=None),
    )


def content_consequence(dataset: Dataset) -> ContentConsequence:
    """What reading the content of a dataset's links concerns now."""
    counted = PanelRow.objects.filter(panel__version__dataset=dataset).aggregate(
        links=Count("link", distinct=True),
        hosts=Count("link__host", distinct=True),
        versions=Count("panel", distinct=True),
    )
    return ContentConsequence(**counted)
