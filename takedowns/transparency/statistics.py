"""True figures of what was reported, decided and published, for the public.

- Categories of sensitivity `open` are counted one by one. All others are counted together, and where together they
  make fewer than SMALL_CELL reports no figure of them is given: a small number of privacy or safety reports could be
  told apart by those who know of one. Totals are of open categories, so nothing can be worked out by subtraction.
- Times are taken over reports: from receipt to the decision of their case, and from that decision to the publication
  of the removal. Medians and 90th percentiles are interpolated, as SQL's `percentile_cont` does.
- Rows removed and cells redacted are those that the newest published release of each base leaves out, so that each is
  counted once for each base however many releases were cut from it. A cell is one made null or an element dropped, in a
  row that stays.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.db.models import (
    Aggregate,
    Count,
    DurationField,
    ExpressionWrapper,
    F,
    Min,
    OuterRef,
    Q,
    Subquery,
    Sum,
)
from django.db.models.functions import TruncMonth

from takedowns.cases.models import Case
from takedowns.cases.states import SETTLED
from takedowns.releases.models import Release
from takedowns.removals.models import Removal
from takedowns.reports.models import Category, Item, Outcome, Report, Sensitivity

if TYPE_CHECKING:
    from django.db.models import QuerySet

# Below this many reports nothing is said of categories that are not open.
SMALL_CELL = 5
MONTHS_SHOWN = 12
ITEM_COUNTS = ("items", "decided", "removed", "redacted")


class Percentile(Aggregate):
    """The interpolated percentile of durations, by PostgreSQL."""

    function = "PERCENTILE_CONT"
    template = "%(function)s(%(fraction)s) WITHIN GROUP (ORDER BY %(expressions)s)"
    output_field = DurationField()

    def __init__(self, expression: str, fraction: float, **extra: Any) -> None:
        super().__init__(expression, fraction=float(fraction), **extra)


@dataclass(frozen=True, slots=True)
class Times:
    """How long something took: over how many reports, the median and the 90th percentile (None over none)."""

    count: int
    median: timedelta | None
    p90: timedelta | None


@dataclass(frozen=True, slots=True)
class Figures:
    """What came in and what became of it, in all or in one category. Items are those that could be read."""

    label: str
    reports: int
    items: int
    decided: int
    removed: int
    redacted: int
    to_decision: Times
    to_publication: Times


@dataclass(frozen=True, slots=True)
class Month:
    """One calendar month (UTC)."""

    month: datetime
    reports: int
    decided: int
    advisories: int


@dataclass(frozen=True, slots=True)
class Statistics:
    """Everything that the transparency page says; `other_reports` is None while they are fewer than SMALL_CELL."""

    at: datetime
    total: Figures
    categories: list[Figures]
    other_reports: int | None
    advisories: int
    releases: int
    rows_removed: int
    cells_redacted: int
    months: list[Month]


def statistics() -> Statistics:
    """Work out all figures as of now, in a fixed number of queries."""
    reports = _with_times(Report.objects.filter(category__sensitivity=Sensitivity.OPEN))
    per_category = {
        row["category"]: row for row in reports.order_by().values("category").annotate(**_times())
    }
    items = _items()
    open_categories = Category.objects.filter(sensitivity=Sensitivity.OPEN)
    categories = [
        _figures(category.label, per_category[category.pk], items.get(category.pk, {}))
        for category in open_categories
        if category.pk in per_category
    ]
    totals = {key: sum(row[key] for row in items.values()) for key in ITEM_COUNTS}
    left_out = _left_out()
    other = Report.objects.exclude(category__sensitivity=Sensitivity.OPEN).count()
    return Statistics(
        at=datetime.now(UTC),
        total=_figures("All", reports.aggregate(**_times()), totals),
        categories=categories,
        other_reports=other if other >= SMALL_CELL else None,
        advisories=_advisories().count(),
        releases=Release.objects.published().count(),
        rows_removed=left_out["rows"],
        cells_redacted=left_out["cells"],
        months=months(),
    )


def months() -> list[Month]:
    """The last MONTHS_SHOWN calendar months in which anything had happened by then, oldest first, none left out."""
    received = _by_month(Report.objects.filter(category__sensitivity=Sensitivity.OPEN), "created_at")
    decided = _by_month(
        _with_times(Report.objects.filter(category__sensitivity=Sensitivity.OPEN)).filter(
            decided_at__isnull=False
        ),
        "decided_at",
    )
    published = _by_month(_advisories(), "published_at")
    happened = {*received, *decided, *published}
    if not happened:
        return []
    month, found = min(happened), []
    this_month = datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    while month <= this_month:
        found.append(Month(month, received.get(month, 0), decided.get(month, 0), published.get(month, 0)))
        month = (month + timedelta(days=32)).replace(day=1)
    return found[-MONTHS_SHOWN:]


def _advisories() -> QuerySet[Removal]:
    return Removal.objects.published().filter(category__sensitivity=Sensitivity.OPEN)


def _with_times(reports: QuerySet[Report]) -> QuerySet[Any]:
    """Add when each report's first decision was made and its removal published, and how long both took."""
    cases = Case.objects.filter(reports=OuterRef("pk")).order_by().values("reports")
    return reports.annotate(
        decided_at=Subquery(cases.annotate(at=Min("decided_at")).values("at")),
        removal_at=Subquery(cases.annotate(at=Min("removal__published_at")).values("at")),
        to_decision=ExpressionWrapper(F("decided_at") - F("created_at"), DurationField()),
        to_publication=ExpressionWrapper(F("removal_at") - F("decided_at"), DurationField()),
    )


def _times() -> dict[str, Aggregate]:
    return {
        "reports": Count("pk"),
        "decision_count": Count("to_decision"),
        "decision_median": Percentile("to_decision", 0.5),
        "decision_p90": Percentile("to_decision", 0.9),
        "publication_count": Count("to_publication"),
        "publication_median": Percentile("to_publication", 0.5),
        "publication_p90": Percentile("to_publication", 0.9),
    }


def _items() -> dict[str, dict[str, int]]:
    """Readable items by category: in all, decided, decided to be removed, and decided to be redacted.

    What one person proposes is written on the items already; it counts once a second person approved it.
    """
    unread = [Outcome.INVALID, Outcome.DUPLICATE]
    settled = Q(report__in=Report.objects.filter(cases__state__in=SETTLED).values("pk"))
    rows = (
        Item.objects.filter(report__category__sensitivity=Sensitivity.OPEN)
        .exclude(outcome__in=unread)
        .order_by()
        .values("report__category")
        .annotate(
            items=Count("pk"),
            decided=Count("pk", filter=settled & ~Q(outcome=Outcome.PENDING)),
            removed=Count("pk", filter=settled & Q(outcome=Outcome.REMOVE)),
            redacted=Count("pk", filter=settled & Q(outcome=Outcome.REDACT)),
        )
        .values_list("report__category", *ITEM_COUNTS)
    )
    return {category: dict(zip(ITEM_COUNTS, counts, strict=True)) for category, *counts in rows}


def _figures(label: str, row: dict[str, Any], items: dict[str, int]) -> Figures:
    return Figures(
        label=label,
        reports=row["reports"],
        items=items.get("items", 0),
        decided=items.get("decided", 0),
        removed=items.get("removed", 0),
        redacted=items.get("redacted", 0),
        to_decision=Times(row["decision_count"], row["decision_median"], row["decision_p90"]),
        to_publication=Times(row["publication_count"], row["publication_median"], row["publication_p90"]),
    )


def _left_out() -> dict[str, int]:
    """The `rows` and `cells` that the newest published release of each base leaves out."""
    newest = Release.objects.published().filter(base=OuterRef("base")).order_by("-serial").values("pk")[:1]
    found: dict[str, int] = (
        Release.objects.published()
        .filter(pk=Subquery(newest))
        .aggregate(rows=Sum("rows_removed", default=0), cells=Sum("cells_redacted", default=0))
    )
    return found


def _by_month(rows: QuerySet[Any], field: str) -> dict[datetime, int]:
    counted = (
        rows.order_by().annotate(month=TruncMonth(field, tzinfo=UTC)).values("month").annotate(n=Count("pk"))
    )
    return {row["month"]: row["n"] for row in counted}
