"""How far the checks of a version's links are that were asked for, or that are the first ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db.models import Count, F, Q
from django.utils import timezone

from registry.links.models import OUT_OF_USE, LinkPolicy, PanelRow
from registry.links.schedule import NOW, RECENTLY
from registry.links.states import LinkState

if TYPE_CHECKING:
    from registry.datasets.models import Version


@dataclass(frozen=True, slots=True)
class Checking:
    """Links of a panel: all, and those that are still to be checked. `why_not` says what keeps them, if anything does."""

    links: int
    left: int
    seconds_left: float | None  # at least; None where it cannot be told
    why_not: str

    @property
    def done(self) -> int:
        """Links that wait for nothing."""
        return self.links - self.left


def version_checking(version: Version) -> Checking:
    """How far the checks of the version's panel are. Three queries for any size."""
    rows = PanelRow.objects.filter(panel__version=version)
    waiting = rows.filter(
        Q(link__due_at=NOW) | Q(link__state=LinkState.UNCHECKED),
        link__due_at__isnull=False,
        link__host__opted_out_at=None,
    )
    # Each host is asked one link after the other, so the one with the most to do ends last.
    by_host = waiting.values("link__host", delay=F("link__host__delay")).annotate(left=Count("pk")).order_by()
    hosts = [(host["left"], host["delay"]) for host in by_host]
    left = sum(count for count, _ in hosts)
    policy = LinkPolicy.objects.filter(dataset=version.dataset_id).first()
    why_not = _why_not(version, policy) if left else ""
    return Checking(
        links=rows.count(),
        left=left,
        seconds_left=None if why_not or not left else max(count * delay for count, delay in hosts),
        why_not=why_not,
    )


def links_to_hurry(version: Version) -> int:
    """How many links of the panel come first once somebody asks for that: not those that do already, or were just checked."""
    rows = PanelRow.objects.filter(panel__version=version, link__due_at__gt=NOW)
    return rows.exclude(link__checked_at__gt=timezone.now() - RECENTLY).count()


def _why_not(version: Version, policy: LinkPolicy | None) -> str:
    if version.status in OUT_OF_USE:
        return f"This version is {version.get_status_display().lower()}: its links are not asked any more."
    if policy is None or policy.paused_at:
        return "Paused: nothing is asked before somebody resumes it."
    if policy.day == timezone.now().date() and policy.spent >= policy.daily_budget:
        return "The day's budget is spent: it goes on at midnight UTC."
    return ""
