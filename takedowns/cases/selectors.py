"""Reading cases: the queue, a case's items and rows, its history."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db.models import Count, Exists, OuterRef, Q, Subquery, Sum
from django.db.models.functions import Coalesce
from django.utils import timezone

from registry.auditlog.selectors import audit_timeline
from registry.jobs.models import Job
from takedowns.cases.models import Case, Consequence, Decision, Location
from takedowns.cases.states import CHANGEABLE, UNDECIDED, CaseState
from takedowns.cases.wording import act_in_words
from takedowns.reports.models import Item, Outcome, Report

if TYPE_CHECKING:
    from datetime import datetime

    from django.contrib.auth.models import AnonymousUser
    from django.db.models import QuerySet

    from registry.accounts.models import User
    from registry.auditlog.models import AuditEntry
    from takedowns.cases.models import CaseQuerySet


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a case's history."""

    at: datetime
    what: str
    who: str
    detail: str


@dataclass(frozen=True, slots=True)
class ItemCounts:
    """Items of a case: all, with rows located, readable but without rows, kept, redacted, and unreadable or repeated."""

    all: int
    located: int
    unlocated: int
    kept: int
    redacted: int
    unreadable: int


def case_list(user: User | AnonymousUser | None) -> CaseQuerySet:
    """Cases that the user may see, by clock, each with `items`, `report_count`, `rows` and `redacted_rows` (of imported versions)."""
    reports = Report.objects.filter(cases=OuterRef("pk")).order_by().values("cases")
    rows = Consequence.objects.filter(case=OuterRef("pk"), version__base=None).order_by().values("case")
    return (
        Case.objects.visible_to(user)
        .select_related("dataset__organisation", "category", "claimed_by", "removal", "merged_into")
        .annotate(
            items=Coalesce(Subquery(reports.annotate(total=Sum("items_total")).values("total")), 0),
            report_count=Coalesce(Subquery(reports.annotate(total=Count("pk")).values("total")), 0),
            rows=Coalesce(Subquery(rows.annotate(total=Sum("rows")).values("total")), 0),
            redacted_rows=Coalesce(Subquery(rows.annotate(total=Sum("redacted_rows")).values("total")), 0),
        )
        .order_by("due_at", "number")
    )


def queue_filters(user: User | AnonymousUser, now: datetime) -> dict[str, Q]:
    """The queue's filters: name in the address -> condition."""
    undecided = Q(state__in=UNDECIDED)
    held = Q(claimed_by__isnull=False, claimed_until__gte=now)
    return {
        "open": ~Q(state=CaseState.CLOSED),
        "mine": undecided & held & Q(claimed_by=user.pk),
        "unclaimed": Q(state__in=CHANGEABLE) & ~held,
        "second": Q(state=CaseState.PROPOSED),
        "overdue": undecided & Q(due_at__lt=now),
        "closed": Q(state=CaseState.CLOSED),
    }


def queue_counts(user: User | AnonymousUser, cases: CaseQuerySet) -> dict[str, int]:
    """Count the cases of each filter of the queue, in one query."""
    filters = queue_filters(user, timezone.now())
    bare = Case.objects.filter(pk__in=cases.values("pk")).order_by()
    return bare.aggregate(**{name: Count("pk", filter=condition) for name, condition in filters.items()})


def case_items(case: Case) -> QuerySet[Item]:
    """Every item of every report of the case, as `report`, `position` order them."""
    return Item.objects.filter(report__in=case.reports.values("pk")).order_by("report_id", "position")


def items_with_rows(case: Case) -> QuerySet[Item]:
    """The items of the case, each with `located`, `rows` and `shard_count`; a shard counts once, whoever holds it."""
    found = Location.objects.filter(case=case, item=OuterRef("pk")).order_by()
    located = found.values("item")
    return (
        case_items(case)
        .select_related("report")
        .annotate(
            located=Exists(found),
            rows=Coalesce(Subquery(located.annotate(total=Sum("rows")).values("total")), 0),
            shard_count=Coalesce(Subquery(located.annotate(total=Count("pk")).values("total")), 0),
        )
    )


UNREADABLE = (Outcome.INVALID, Outcome.DUPLICATE)

# The filters of a case's items, on what `items_with_rows` returns: name in the address -> condition.
ITEM_FILTERS = {
    "all": Q(),
    "located": Q(located=True),
    "unlocated": Q(located=False) & ~Q(outcome__in=UNREADABLE),
    "kept": Q(outcome=Outcome.REJECT),
    "redacted": Q(outcome=Outcome.REDACT),
    "unreadable": Q(outcome__in=UNREADABLE),
}


def item_counts(case: Case) -> ItemCounts:
    """Count the items of the case by filter, in one query that reads each table once."""
    total = (
        case_items(case)
        .order_by()
        .aggregate(
            all=Count("pk"),
            unreadable=Count("pk", filter=Q(outcome__in=UNREADABLE)),
            kept=Count("pk", filter=Q(outcome=Outcome.REJECT)),
            redacted=Count("pk", filter=Q(outcome=Outcome.REDACT)),
        )
    )
    located = case.locations.aggregate(items=Count("item", distinct=True))["items"]
    return ItemCounts(
        all=total["all"],
        located=located,
        unlocated=total["all"] - total["unreadable"] - located,
        kept=total["kept"],
        redacted=total["redacted"],
        unreadable=total["unreadable"],
    )


def case_consequences(case: Case) -> QuerySet[Consequence]:
    """Rows that would go (or go), by version: imported ones and the releases that still hold them."""
    return case.consequences.select_related("version__dataset").order_by(
        "version__dataset__slug", "-version__dated", "version__name"
    )


def case_locations(case: Case) -> QuerySet[Location]:
    """Every located item and shard of the case, with what a page or the API shows of them."""
    return case.locations.select_related("item__report", "shard").order_by(
        "item__report_id", "item__position", "shard_id"
    )


def decision_open(case: Case) -> Decision | None:
    """The proposal that waits for a second person."""
    return case.decisions.filter(approved_at=None, returned_at=None).select_related("proposer").first()


def decision_last(case: Case) -> Decision | None:
    """The newest proposal, whatever became of it."""
    return case.decisions.select_related("proposer", "approver").first()


def case_job(case: Case) -> Job | None:
    """The newest job that locates the items of the case."""
    return Job.objects.filter(kind="case_locate", subject_id=case.pk).first()


def case_history(case: Case) -> list[Event]:
    """What was done to the case and its removal, oldest first, in words."""
    entries: list[AuditEntry] = list(audit_timeline(case))
    if case.removal:
        entries += audit_timeline(case.removal)
    return [
        Event(at=entry.at, who=str(entry.actor or ""), what=what, detail=detail)
        for entry in sorted(entries, key=lambda entry: entry.pk)
        for what, detail in [act_in_words(entry.action, entry.data)]
    ]
