"""The reporter's view of a report: where it stands, what happens next and by when, and what came of each item.

A reporter knows the secret link and nothing else, so nothing here tells who works on the case, what else it holds, or
what is proposed: an outcome shows once two people stand behind it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db.models import Case as CaseWhen
from django.db.models import CharField, Count, F, Q, Value, When
from django.utils import timezone

from registry.lib.ids import secret_digest
from registry.lib.words import counted
from takedowns.cases.states import SETTLED, CaseState
from takedowns.reports.models import Item, Outcome, Report

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from django.db.models import QuerySet

    from takedowns.cases.models import Case

# Known at intake, so that the reporter can send the corrected lines at once.
KNOWN_AT_INTAKE = (Outcome.INVALID, Outcome.DUPLICATE)


@dataclass(frozen=True, slots=True)
class ReportStatus:
    """All that the status page says; `outcomes` counts items by outcome, undecided ones as `pending`."""

    report: Report
    state: CaseState
    settled: bool
    late: bool
    headline: str
    next: str
    outcomes: Mapping[Outcome, int]
    statement: str
    decided_at: datetime | None
    advisory: str


def report_by_secret(secret: str) -> Report | None:
    """Return the report of a secret link, or None. The digest is looked up, so timing tells nothing about the secret."""
    found = Report.objects.filter(token_digest=secret_digest(secret))
    return found.select_related("dataset__organisation", "category").first()


def report_items(report: Report, *, settled: bool) -> QuerySet[Item]:
    """The report's items with `shown_outcome` and `shown_note`: what the reporter may know of each by now."""
    items = report.items.select_related("report")
    if settled:
        return items.annotate(shown_outcome=F("outcome"), shown_note=F("note"))
    known = Q(outcome__in=KNOWN_AT_INTAKE)
    return items.annotate(
        shown_outcome=CaseWhen(
            When(known, then=F("outcome")), default=Value(Outcome.PENDING.value), output_field=CharField()
        ),
        shown_note=CaseWhen(When(known, then=F("note")), default=Value(""), output_field=CharField()),
    )


def report_status(report: Report) -> ReportStatus:
    """Say where a report stands."""
    case: Case = report.cases.select_related("removal").get()  # exactly one: a merge moves the report
    state = CaseState(case.state)
    settled = state in SETTLED
    counts = report.items.order_by().values_list("outcome").annotate(n=Count("pk"))
    outcomes: Counter[Outcome] = Counter()
    for value, number in counts:
        outcome = Outcome(value)
        outcomes[outcome if settled or outcome in KNOWN_AT_INTAKE else Outcome.PENDING] += number
    late = not settled and report.due_at < timezone.now()
    approved = case.decisions.filter(approved_at__isnull=False).first() if settled else None
    advisory = (case.removal.advisory_id or "") if settled and case.removal else ""
    headline, following = _words(report, state, outcomes, late=late, advisory=advisory)
    return ReportStatus(
        report=report,
        state=state,
        settled=settled,
        late=late,
        headline=headline,
        next=following,
        outcomes=outcomes,
        statement=approved.statement if approved else "",
        decided_at=case.decided_at if settled else None,
        advisory=advisory,
    )


def _words(
    report: Report, state: CaseState, outcomes: Mapping[Outcome, int], *, late: bool, advisory: str
) -> tuple[str, str]:
    """Return the state in words, and what happens next."""
    who = report.dataset.organisation.name
    by = (
        f"A decision was due by {report.due_at:%Y-%m-%d %H:%M} UTC and is late."
        if late
        else (f"A decision is due by {report.due_at:%Y-%m-%d %H:%M} UTC.")
    )
    removed, redacted = outcomes.get(Outcome.REMOVE, 0), outcomes.get(Outcome.REDACT, 0)
    if state is CaseState.OPEN:
        return "Received, waiting for someone to take it up", (
            f"The rows that you named are looked for in every version of {report.dataset}. Then a person at {who} reads "
            f"your report. {by}"
        )
    if state is CaseState.IN_REVIEW:
        return "Being reviewed", (
            f"A person at {who} is working on it. What they propose is checked by a second person. {by}"
        )
    if state is CaseState.PROPOSED:
        return (
            "A decision is proposed",
            f"A second person at {who} checks it and approves it or sends it back. {by}",
        )
    if not removed and not redacted:
        return "Decided: nothing is removed", "The reasons are below. Nothing more happens with this report."
    what = "rows" if not redacted else "cells" if not removed else "rows and cells"
    if state is CaseState.CLOSED:
        return f"Done: the {what} of {counted(removed + redacted, 'item')} are out", (
            f"A clean release of {report.dataset} without these {what} is published. "
            + (f"The public record is advisory {advisory}. " if advisory else "")
            + "Everyone who holds an older version can check and clean their copy with it."
        )
    verb = "removed" if not redacted else "redacted" if not removed else "removed or redacted"
    return f"Decided: the {what} of {counted(removed + redacted, 'item')} will be {verb}", (
        f"{who} builds a clean release of {report.dataset} without these {what} and publishes it. "
        "This page says so when it is out."
    )
