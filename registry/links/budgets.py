"""Budgets: how many links of each dataset are handed out a day (UTC) at most.

What a batch gets is spent when it is claimed, so that workers together spend no more than one would. What nobody asked for
in the end is given back; a worker that dies has spent what it had.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC
from typing import TYPE_CHECKING

from django.db.models import Case, F, Value, When
from django.db.models.functions import Greatest

from registry.links.models import LinkPolicy

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date, datetime
    from uuid import UUID


def day_of(now: datetime) -> date:
    """The day whose budget is spent at this time."""
    return now.astimezone(UTC).date()


def budgets_left(day: date, *, lock: bool = False) -> dict[UUID, int]:
    """How many links each dataset may still hand out on this day; those that are paused or spent are left out.

    With `lock`, nobody else reads or changes them so until the transaction ends.
    """
    rows = LinkPolicy.objects.filter(paused_at=None).order_by("pk")
    policies = (rows.select_for_update() if lock else rows).values_list(
        "dataset", "daily_budget", "day", "spent"
    )
    left = {dataset: budget - (spent if on == day else 0) for dataset, budget, on, spent in policies}
    return {dataset: links for dataset, links in left.items() if links > 0}


def budgets_spend(paying: Iterable[UUID], day: date) -> None:
    """Write what is spent, a link of each dataset as often as it is named. Under the lock of `budgets_left`."""
    for dataset, count in Counter(paying).items():
        LinkPolicy.objects.filter(dataset=dataset).update(
            spent=Case(When(day=day, then=F("spent") + count), default=Value(count)), day=day
        )


def budgets_give_back(paid: Iterable[UUID], day: date) -> None:
    """Take back what was spent on this day on links that nobody asked for; once the next has begun there is nothing to take.

    Outside of any transaction: each dataset's is locked by itself.
    """
    for dataset, count in Counter(paid).items():
        LinkPolicy.objects.filter(dataset=dataset, day=day).update(spent=Greatest(F("spent") - count, 0))
