"""The states of a case, and the one table of ways between them.

open -> in_review          somebody claims it
in_review -> proposed      a maintainer proposes an outcome for every item
proposed -> in_review      the second person returns it
proposed -> decided        the second person approves it
decided -> executed        every affected base has a published release
executed -> closed         the reporters see the end of it
decided -> closed          nothing was to be removed
open, in_review -> closed  merged into another case
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import models

from registry.lib.errors import Refused

if TYPE_CHECKING:
    from takedowns.cases.models import Case


class CaseState(models.TextChoices):
    """Where a case stands."""

    OPEN = "open", "Open"
    IN_REVIEW = "in_review", "In review"
    PROPOSED = "proposed", "Waiting for a second person"
    DECIDED = "decided", "Decided"
    EXECUTED = "executed", "Executed"
    CLOSED = "closed", "Closed"


# The database holds the same table in a trigger made of this one (cases/models.py).
TRANSITIONS: list[tuple[str, str]] = [
    (CaseState.OPEN.value, CaseState.IN_REVIEW.value),
    (CaseState.OPEN.value, CaseState.CLOSED.value),
    (CaseState.IN_REVIEW.value, CaseState.PROPOSED.value),
    (CaseState.IN_REVIEW.value, CaseState.CLOSED.value),
    (CaseState.PROPOSED.value, CaseState.IN_REVIEW.value),
    (CaseState.PROPOSED.value, CaseState.DECIDED.value),
    (CaseState.DECIDED.value, CaseState.EXECUTED.value),
    (CaseState.DECIDED.value, CaseState.CLOSED.value),
    (CaseState.EXECUTED.value, CaseState.CLOSED.value),
]

# Work that a person still has to do before the clock runs out.
UNDECIDED = (CaseState.OPEN, CaseState.IN_REVIEW, CaseState.PROPOSED)
# Items may still be marked, located and merged.
CHANGEABLE = (CaseState.OPEN, CaseState.IN_REVIEW)
# The reporter may read outcomes.
SETTLED = (CaseState.DECIDED, CaseState.EXECUTED, CaseState.CLOSED)


def case_transition(case: Case, to: CaseState, **fields: Any) -> None:
    """Move a case, and write `fields` with it, by compare-and-swap: of two at once, one touches the row.

    Raises Refused where the table has no such way, and where somebody else moved the case since it was read.
    """
    now = CaseState(case.state)
    if (now.value, to.value) not in TRANSITIONS:
        raise Refused(
            f"{case.number} is “{now.label}”, so it cannot become “{to.label}”. Nothing was changed."
        )
    touched = type(case).objects.filter(pk=case.pk, state=now).update(state=to, **fields)
    if touched != 1:
        raise Refused(
            f"Somebody else moved {case.number} in the meantime. Nothing was changed: load the page again."
        )
    case.state = to
    for name, value in fields.items():
        setattr(case, name, value)
