"""Claims: who works on a case now. A claim is a lease, so that nobody who went home blocks a case."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from django.db import transaction
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from registry.accounts.models import Role
from registry.accounts.permissions import organisations_of
from registry.auditlog.services import audit_append
from registry.lib.errors import NotAllowed, Refused
from takedowns.cases.models import Case, Decision
from takedowns.cases.permissions import require_staff
from takedowns.cases.states import CHANGEABLE, UNDECIDED, CaseState, case_transition

if TYPE_CHECKING:
    from datetime import datetime

    from registry.accounts.models import User

CLAIM = timedelta(minutes=30)


def unclaimed(now: datetime) -> Q:
    """Cases that nobody holds: never claimed, released, or the claim has lapsed."""
    return Q(claimed_by=None) | Q(claimed_until__lt=now)


def require_unheld(case: Case, actor: User) -> None:
    """Raise Refused when somebody else holds the case now."""
    if (
        case.claimed_by_id not in {None, actor.pk}
        and case.claimed_until
        and case.claimed_until > timezone.now()
    ):
        raise Refused(
            f"{case.claimed_by} holds {case.number} until {case.claimed_until:%H:%M} UTC. Nothing was changed."
        )


def case_claim(*, actor: User | None, case: Case) -> Case:
    """Hold a case for half an hour, or half an hour more. Raises NotAllowed, Refused when another holds it."""
    actor = require_staff(actor, case)
    now = timezone.now()
    with transaction.atomic():
        free = unclaimed(now) | Q(claimed_by=actor)
        # Compare and swap: of two who claim at once, one touches the row.
        held = Case.objects.filter(free, pk=case.pk, state__in=UNDECIDED).update(
            claimed_by=actor, claimed_until=now + CLAIM
        )
        case = Case.objects.select_related("dataset__organisation", "claimed_by").get(pk=case.pk)
        if not held:
            require_unheld(case, actor)
            raise Refused(
                f"{case.number} is “{CaseState(case.state).label}”: there is nothing left to work on."
            )
        _begin(actor, case)
    return case


def case_claim_next(*, actor: User | None) -> Case | None:
    """Claim the most urgent case that the actor can work on and nobody holds; None when there is none.

    For an approver that includes cases which wait for a second person, unless he proposed the decision himself.
    """
    if actor is None or not organisations_of(actor).exists():
        raise NotAllowed("The queue is for members of an organisation.")
    now = timezone.now()
    own = Decision.objects.filter(case=OuterRef("pk"), proposer=actor, approved_at=None, returned_at=None)
    second = Q(state=CaseState.PROPOSED, dataset__organisation__in=organisations_of(actor, Role.APPROVER))
    with transaction.atomic():
        case = (
            Case.objects.visible_to(actor)
            .filter(unclaimed(now), Q(state__in=CHANGEABLE) | second & ~Exists(own))
            .select_related("dataset__organisation")
            # Two people who ask at once get two cases: a row that the other is about to claim is passed over.
            .select_for_update(of=("self",), skip_locked=True)
            .order_by("due_at")
            .first()
        )
        if case is None:
            return None
        case.claimed_by, case.claimed_until = actor, now + CLAIM
        case.save(update_fields=["claimed_by", "claimed_until"])
        _begin(actor, case)
    return case


def case_release_claim(*, actor: User | None, case: Case) -> Case:
    """Let go of a case; marks made on its items stay. Raises Refused when the actor does not hold it."""
    actor = require_staff(actor, case)
    with transaction.atomic():
        if not Case.objects.filter(pk=case.pk, claimed_by=actor).update(claimed_by=None, claimed_until=None):
            raise Refused(f"You do not hold {case.number}, so there is nothing to release.")
        case.claimed_by, case.claimed_until = None, None
        audit_append(
            actor=actor, action="case_release_claim", subject=case, organisation=case.dataset.organisation
        )
    return case


def _begin(actor: User, case: Case) -> None:
    if case.state == CaseState.OPEN:
        case_transition(case, CaseState.IN_REVIEW)
    audit_append(actor=actor, action="case_claim", subject=case, organisation=case.dataset.organisation)
