"""Marking items before a decision is proposed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction
from django.db.models import Case as CaseWhen
from django.db.models import F, Func, Value, When

from registry.auditlog.services import audit_append
from registry.lib.errors import Refused
from takedowns.cases.consequence import consequence_write
from takedowns.cases.models import Case
from takedowns.cases.permissions import require_staff
from takedowns.cases.redacting import columns_named, require_redactable
from takedowns.cases.selectors import case_items
from takedowns.cases.services.claim import require_unheld
from takedowns.cases.states import CHANGEABLE, CaseState
from takedowns.reports.models import Item, Outcome, Target

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from django.db.models import QuerySet

    from registry.accounts.models import User

# An item that could be read, and whose outcome the decision has still to settle.
MARKABLE = (Outcome.PENDING, Outcome.REJECT, Outcome.REDACT)


def case_lock(case: Case) -> Case:
    """Read the case again and hold its row until the transaction ends: items and decisions change under this lock only."""
    return (
        Case.objects.select_for_update(of=("self",))
        .select_related("dataset__organisation", "category", "claimed_by")
        .get(pk=case.pk)
    )


def item_mark(
    *,
    actor: User | None,
    case: Case,
    items: Collection[int],
    outcome: Outcome,
    note: str = "",
    columns: Sequence[str] = (),
) -> int:
    """Mark items of a case: `reject` with the reason for the reporter, `redact`, or `pending` to take the mark off.

    With `redact` the rows stay and `columns` become null in them; without any, the cell or element that each item names
    goes. Returns how many were marked. Raises NotAllowed, or Refused where the case is not under review, somebody else
    holds it, the reason is missing, an item is not one of the case's readable ones, or names no cell and no column is
    given, or a column is missing or may not be null; nothing is marked then.
    """
    actor = require_staff(actor, case)
    if outcome not in MARKABLE:
        raise Refused("An item can be marked to be kept or redacted, or its mark taken off.")
    if outcome == Outcome.REJECT and not note.strip():
        raise Refused("Say why these rows are kept: the reporter reads it.")
    with transaction.atomic():
        case = case_lock(case)
        require_unheld(case, actor)
        if case.state not in CHANGEABLE:
            raise Refused(
                f"{case.number} is “{CaseState(case.state).label}”: its items cannot be marked now."
            )
        marked = items_settle(case, items, outcome, note, columns)
        if outcome == Outcome.REDACT:
            require_redactable(case)
        consequence_write(case)
        audit_append(
            actor=actor,
            action="item_mark",
            subject=case,
            organisation=case.dataset.organisation,
            data={"items": marked, "outcome": outcome.value},
        )
    return marked


def items_settle(
    case: Case, items: Collection[int], outcome: Outcome, note: str, columns: Sequence[str] = ()
) -> int:
    """Write one outcome for the given items of a locked case and return how many. Raises Refused if one is not its own."""
    wanted = set(items)
    if not wanted:
        raise Refused("Choose at least one item.")
    found = case_items(case).filter(pk__in=wanted, outcome__in=MARKABLE)
    own = found.count()
    if own != len(wanted):
        raise Refused(
            f"These are not items of {case.number} that could be read: {len(wanted) - own:,} of {len(wanted):,}. "
            "Nothing was changed."
        )
    if outcome == Outcome.REDACT:
        items_redact(found, columns)
    else:
        kept_note = note.strip()[:500] if outcome == Outcome.REJECT else ""
        found.update(outcome=outcome, note=kept_note, redacted=[])
    return own


def items_redact(items: QuerySet[Item], columns: Sequence[str]) -> None:
    """Write that cells of these items' rows become null: in `columns` or, without any, what each item names.

    Raises Refused where an item names whole rows and no column is given.
    """
    if named := columns_named(columns):
        items.update(outcome=Outcome.REDACT, note="", redacted=named)
        return
    if items.filter(target=Target.ROW).exists():
        raise Refused("Name the columns to redact: some of these items name whole rows.")
    own = When(target=Target.CELL, then=Func(F("column"), template="ARRAY[%(expressions)s]"))
    redacted = CaseWhen(own, default=Value([]), output_field=Item._meta.get_field("redacted"))  # noqa: SLF001  -- _meta is Django's documented API
    items.update(outcome=Outcome.REDACT, note="", redacted=redacted)
