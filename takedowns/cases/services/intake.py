"""How a case begins, and how two about one matter become one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction
from django.utils import timezone

from registry.auditlog.services import audit_append
from registry.lib.errors import Refused
from takedowns.cases.models import Case
from takedowns.cases.permissions import require_staff
from takedowns.cases.services.claim import require_unheld
from takedowns.cases.services.location import locate_start
from takedowns.cases.states import CHANGEABLE, CaseState, case_transition
from takedowns.reports.numbers import number_next

if TYPE_CHECKING:
    from registry.accounts.models import User
    from takedowns.reports.models import Report


def case_open(report: Report) -> None:
    """Open a case for a new report, inside its transaction, and have its items located (hook `report_created`)."""
    organisation = report.dataset.organisation
    case = Case.objects.create(
        number=number_next("CASE"),
        dataset=report.dataset,
        category=report.category,
        created_at=report.created_at,
        due_at=report.due_at,
    )
    case.reports.add(report)
    audit_append(
        actor=None,
        action="case_open",
        subject=case,
        organisation=organisation,
        data={"report": report.number, "items": report.items_total},
    )
    locate_start(None, case)


def case_merge(*, actor: User | None, case: Case, into: Case) -> Case:
    """Move the reports of one undecided case into another about the same dataset, which goes on with the earlier clock.

    The first one is closed and says where it went. Returns the case that goes on. Raises NotAllowed, or Refused where
    the two do not belong together, are decided already or are held by somebody else.
    """
    actor = require_staff(actor, case)
    require_staff(actor, into)
    if case.pk == into.pk:
        raise Refused(f"{case.number} cannot be merged into itself.")
    with transaction.atomic():
        # In the order of their ids, so that two merges at once cannot wait for each other.
        locked = {
            one.pk: one
            for one in Case.objects.select_for_update(of=("self",))
            .select_related("dataset__organisation")
            .filter(pk__in=[case.pk, into.pk])
            .order_by("pk")
        }
        case, into = locked[case.pk], locked[into.pk]
        if case.dataset_id != into.dataset_id:
            raise Refused(
                f"{case.number} and {into.number} are about different datasets. Nothing was changed."
            )
        for one in (case, into):
            require_unheld(one, actor)
            if one.state not in CHANGEABLE:
                raise Refused(
                    f"{one.number} is “{CaseState(one.state).label}”: only undecided cases can be merged. "
                    "Nothing was changed."
                )
        reports = list(case.reports.all())
        into.reports.add(*reports)
        case.reports.clear()
        case.locations.all().delete()
        case.consequences.all().delete()
        case_transition(
            case,
            CaseState.CLOSED,
            merged_into=into,
            closed_at=timezone.now(),
            claimed_by=None,
            claimed_until=None,
        )
        into.due_at = min(into.due_at, case.due_at)
        into.located_at = None
        into.save(update_fields=["due_at", "located_at"])
        audit_append(
            actor=actor,
            action="case_merge",
            subject=case,
            organisation=case.dataset.organisation,
            data={"into": into.number, "reports": len(reports)},
        )
        locate_start(actor, into)
    return into
