"""Which links come first: somebody asked for them, or something happened to them since they were last asked.

The schedule hands out what is due longest, so a priority is a day of 1970 that a link is due since. Behind these come the
links whose own time has come: the panels. A link that was asked after the event, or that comes earlier already, is left
alone, so that the sweep may run as often as anybody likes. No host is hurried and no budget is passed.
"""

from __future__ import annotations

from datetime import timedelta
from enum import IntEnum
from typing import TYPE_CHECKING

from django.db.models import Exists, F, OuterRef, Q
from django.utils import timezone

from registry.hooks import hooks
from registry.links.domains.models import ChangeKind
from registry.links.models import Link, PanelRow
from registry.links.schedule import NOW, links_set

if TYPE_CHECKING:
    from datetime import datetime

    from django.db.models import QuerySet

    from registry.hooks import RowsFirst

# What happened longer ago was swept already, for beat sweeps every five minutes. But what was excluded until its case was
# decided is on the schedule again only after the hourly review of such links.
LOOK_BACK = timedelta(hours=3)


class Priority(IntEnum):
    """Why links come first, the most urgent first."""

    ASKED = 0
    TRIAGED = 1  # their row was reported, and triage called the matter open
    DOMAIN_CHANGED = 2
    RELEASED = 3  # a release took their row out


def due_since(priority: Priority) -> datetime:
    """Since when links of a priority are due: long ago, and the more urgent the longer."""
    return NOW + timedelta(days=priority)


def links_prioritise(now: datetime | None = None) -> int:
    """Let the links come first to which something happened within LOOK_BACK; returns how many."""
    since = (now or timezone.now()) - LOOK_BACK
    moved = 0
    for first in (first for ask in hooks.rows_first for first in ask(since)):
        moved += _come_first(_links_of(first), Priority[first.why.upper()])
    changed = Link.objects.filter(
        Q(checked_at=None) | Q(checked_at__lt=F("host__of_domain__domain__changes__at")),
        Exists(PanelRow.objects.filter(link=OuterRef("pk"))),
        host__of_domain__domain__changes__kind__in=[
            kind for kind in ChangeKind if kind is not ChangeKind.BACK
        ],
        host__of_domain__domain__changes__at__gte=since,
    )
    return moved + _come_first(changed, Priority.DOMAIN_CHANGED)


def _links_of(first: RowsFirst) -> QuerySet[Link]:
    """Links of sampled rows among those that are named, not asked since."""
    rows = PanelRow.objects.filter(
        Q(link__checked_at=None) | Q(link__checked_at__lt=first.at),
        shard=first.shard,
        row__gte=first.rows.min(),
        row__lte=first.rows.max(),
    )
    return Link.objects.filter(
        pk__in=[link for link, row in rows.values_list("link", "row") if row in first.rows]
    )


def _come_first(links: QuerySet[Link], priority: Priority) -> int:
    later = Link.objects.filter(pk__in=links.values("pk"), due_at__gt=due_since(priority))
    return links_set(later, due_at=due_since(priority))
