"""Which cases are about something already that checks of links found. Fills hooks of `registry`, for members alone.

So a page that offers to open a case leads to the one that there is.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from django.db.models import Count, F, Q
from django.urls import reverse

from expunge.keys import KeyKind
from registry.hooks import WorkedOn
from takedowns.cases.own_initiative.selectors import CATEGORY, KEPT
from takedowns.cases.states import CaseState
from takedowns.reports.models import Item, Source

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from registry.datasets.models import Version

_NUMBER = "report__cases__number"


def domains_worked_on(version: Version, domains: Collection[str]) -> Mapping[str, WorkedOn]:
    """The newest case about the version's dataset that names each of these domains by a rule; one that keeps it last of all."""
    keys = [name.encode() for name in domains]
    found = _by_case(version, "key", kind=KeyKind.DOMAIN.value, key__in=keys)
    found.sort(key=lambda one: (one["kept"] < one["items"], one["number"]))  # the last one stands
    return {bytes(one["key"]).decode(): _worked_on(one) for one in found}


def links_worked_on(version: Version) -> Mapping[str, Sequence[WorkedOn]]:
    """Cases of our own about links that checks of this version found, by `Finding`, the oldest first."""
    finding_of = {category: finding.value for finding, category in CATEGORY.items()}
    by_link = ~Q(kind=KeyKind.DOMAIN.value)
    ours = {"report__source": Source.OWN_INITIATIVE, "report__category__in": list(finding_of)}
    told: dict[str, list[WorkedOn]] = defaultdict(list)
    for one in _by_case(version, "report__category", by_link, report__versions=version, **ours):
        told[finding_of[one["report__category"]]].append(_worked_on(one))
    return told


def _by_case(version: Version, by: str, *which: Q, **named: Any) -> list[dict[str, Any]]:
    """Cases by number, once for each value of `by`: how many `items` of these they name, and how many of them were `kept`.

    Those about the version's dataset: a report may have a case about another one, too.
    """
    items = Item.objects.filter(*which, report__cases__dataset=version.dataset_id, **named)
    counted = items.order_by(_NUMBER).values(by, number=F(_NUMBER), state=F("report__cases__state"))
    return list(counted.annotate(items=Count("pk"), kept=Count("pk", filter=Q(outcome__in=KEPT))))


def _worked_on(one: Mapping[str, Any]) -> WorkedOn:
    return WorkedOn(
        number=one["number"],
        url=reverse("case_detail", args=[one["number"]]),
        state=CaseState(one["state"]).label.lower(),
        items=one["items"] - one["kept"],
        is_kept=one["kept"] == one["items"],
    )
