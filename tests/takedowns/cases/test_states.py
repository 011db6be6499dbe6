"""The states of a case: the table, and the database that holds to it."""

from __future__ import annotations

import itertools
from datetime import timedelta

import pytest
from django.db import Error as DatabaseError
from django.db import transaction
from django.utils import timezone

from registry.lib.errors import Refused
from takedowns.cases.models import Case, Decision
from takedowns.cases.states import TRANSITIONS, CaseState, case_transition
from takedowns.reports.numbers import number_next
from tests.factories import make_dataset
from tests.factories_takedowns import Team, make_category, make_team

pytestmark = pytest.mark.django_db

EVERY_WAY = list(itertools.permutations([state.value for state in CaseState], 2))
# How to bring a case to a state by allowed ways.
WAY_TO = {
    "open": [],
    "in_review": ["in_review"],
    "proposed": ["in_review", "proposed"],
    "decided": ["in_review", "proposed", "decided"],
    "executed": ["in_review", "proposed", "decided", "executed"],
    "closed": ["closed"],
}


def make_at(team: Team, state: str, *, approved: bool = True) -> Case:
    """A case in a state; with an approved decision only the table of states can refuse it a way."""
    case = Case.objects.create(
        number=number_next("CASE"),
        dataset=make_dataset(team.organisation),
        category=make_category(),
        due_at=timezone.now() + timedelta(days=1),
    )
    if approved:
        decision = Decision.objects.create(case=case, proposer=team.maintainer, preview="0" * 64, rows=0)
        decision.approver, decision.approved_at = team.approver, timezone.now()
        decision.save(update_fields=["approver", "approved_at"])
    for step in WAY_TO[state]:
        case_transition(case, CaseState(step))
    return case


@pytest.mark.parametrize(("start", "end"), EVERY_WAY)
def test_service_and_database_allow_exactly_the_ways_of_the_table(start: str, end: str) -> None:
    case = make_at(make_team(), start)
    if (start, end) in TRANSITIONS:
        case_transition(case, CaseState(end))
        assert Case.objects.get(pk=case.pk).state == end == case.state
        return
    with pytest.raises(Refused, match="cannot become"):
        case_transition(case, CaseState(end))
    with pytest.raises(DatabaseError), transaction.atomic():
        Case.objects.filter(pk=case.pk).update(state=end)
    assert Case.objects.get(pk=case.pk).state == start


def test_it_writes_other_fields_with_the_state() -> None:
    case, now = make_at(make_team(), "open"), timezone.now()
    case_transition(case, CaseState.CLOSED, closed_at=now)
    assert case.closed_at == Case.objects.get(pk=case.pk).closed_at == now


def test_of_two_who_move_a_case_at_once_the_second_is_refused() -> None:
    case = make_at(make_team(), "open")
    stale = Case.objects.get(pk=case.pk)
    case_transition(case, CaseState.IN_REVIEW)
    with pytest.raises(Refused, match="Somebody else moved"):
        case_transition(stale, CaseState.IN_REVIEW)


@pytest.mark.parametrize("state", [state for state in CaseState if state is not CaseState.OPEN])
def test_the_database_refuses_a_case_that_starts_anywhere_but_open(state: CaseState) -> None:
    with pytest.raises(DatabaseError), transaction.atomic():
        Case.objects.create(
            number="CASE-X",
            dataset=make_dataset(),
            category=make_category(),
            state=state,
            due_at=timezone.now(),
        )


def test_the_database_refuses_an_unknown_state() -> None:
    case = make_at(make_team(), "open")
    with pytest.raises(DatabaseError), transaction.atomic():
        Case.objects.filter(pk=case.pk).update(state="reopened")


def test_the_database_refuses_to_decide_what_nobody_approved() -> None:
    team = make_team()
    case = make_at(team, "proposed", approved=False)
    Decision.objects.create(case=case, proposer=team.maintainer, preview="0" * 64, rows=0)
    with pytest.raises(DatabaseError, match="no approved decision"), transaction.atomic():
        Case.objects.filter(pk=case.pk).update(state="decided")
