"""Claims: one person holds a case, for half an hour."""

from __future__ import annotations

from datetime import timedelta

import pytest
import time_machine
from django.utils import timezone

from registry.accounts.models import Role
from registry.lib.errors import NotAllowed, Refused
from takedowns.cases import services
from takedowns.cases.models import Case
from takedowns.cases.states import CaseState
from tests.factories import make_member, make_organisation, make_user
from tests.factories_takedowns import Team, make_case, make_dataset_of, make_proposed, make_removal

pytestmark = pytest.mark.django_db


def test_a_claim_takes_the_case_into_review_for_half_an_hour(team: Team) -> None:
    dataset, _ = make_dataset_of(team)
    case = services.case_claim(actor=team.staff, case=make_case(dataset))
    assert (case.state, case.claimed_by) == (CaseState.IN_REVIEW, team.staff)
    assert case.claimed_until is not None
    assert timedelta(minutes=29) < case.claimed_until - timezone.now() <= timedelta(minutes=30)


def test_a_case_that_somebody_holds_is_refused_to_others_until_the_claim_lapses(team: Team) -> None:
    dataset, _ = make_dataset_of(team)
    case = make_case(dataset)
    services.case_claim(actor=team.staff, case=case)
    with pytest.raises(Refused, match="holds CASE-"):
        services.case_claim(actor=team.maintainer, case=case)
    with time_machine.travel(timezone.now() + timedelta(minutes=31)):
        assert services.case_claim(actor=team.maintainer, case=case).claimed_by == team.maintainer


def test_whoever_holds_it_may_hold_it_longer(team: Team) -> None:
    dataset, _ = make_dataset_of(team)
    case = make_case(dataset)
    first = services.case_claim(actor=team.staff, case=case).claimed_until
    second = services.case_claim(actor=team.staff, case=case).claimed_until
    assert first is not None
    assert second is not None
    assert second > first


def test_a_released_case_is_free_and_stays_in_review(team: Team) -> None:
    dataset, _ = make_dataset_of(team)
    case = make_case(dataset)
    services.case_claim(actor=team.staff, case=case)
    case = services.case_release_claim(actor=team.staff, case=case)
    assert (case.claimed_by, Case.objects.get().state) == (None, CaseState.IN_REVIEW)
    assert services.case_claim(actor=team.maintainer, case=case).claimed_by == team.maintainer


def test_nobody_releases_what_another_holds(team: Team) -> None:
    dataset, _ = make_dataset_of(team)
    case = make_case(dataset)
    services.case_claim(actor=team.staff, case=case)
    with pytest.raises(Refused, match="You do not hold"):
        services.case_release_claim(actor=team.maintainer, case=case)


def test_a_decided_case_cannot_be_claimed(team: Team) -> None:
    dataset, _ = make_dataset_of(team)
    make_removal(team, dataset)
    with pytest.raises(Refused, match="nothing left to work on"):
        services.case_claim(actor=team.staff, case=Case.objects.get())


def test_strangers_and_other_organisations_claim_nothing(team: Team) -> None:
    dataset, _ = make_dataset_of(team)
    case = make_case(dataset)
    for actor in (
        None,
        make_user(),
        make_user(is_superuser=True),
        make_member(make_organisation(), Role.APPROVER),
    ):
        with pytest.raises(NotAllowed):
            services.case_claim(actor=actor, case=case)
        with pytest.raises(NotAllowed):
            services.case_release_claim(actor=actor, case=case)


def test_the_next_case_is_the_most_urgent_that_nobody_holds(team: Team) -> None:
    dataset, _ = make_dataset_of(team)
    slow, urgent = make_case(dataset), make_case(dataset, category="poisoning")
    assert services.case_claim_next(actor=team.staff) == urgent
    assert services.case_claim_next(actor=team.maintainer) == slow
    assert services.case_claim_next(actor=team.approver) is None


def test_the_next_case_of_an_approver_may_wait_for_a_second_person_but_is_never_his_own_proposal(
    team: Team,
) -> None:
    dataset, _ = make_dataset_of(team)
    case = make_case(dataset)
    services.case_claim(actor=team.approver, case=case)
    services.case_propose(actor=team.approver, case=case, statement="x", summary="x")
    assert services.case_claim_next(actor=team.approver) is None
    assert services.case_claim_next(actor=team.maintainer) is None
    found = services.case_claim_next(actor=team.second_approver)
    assert found == case
    assert found is not None
    assert found.state == CaseState.PROPOSED


def test_the_next_case_is_never_one_of_another_organisation(team: Team) -> None:
    dataset, _ = make_dataset_of(team)
    make_proposed(team, make_case(dataset))
    make_case(dataset)
    assert services.case_claim_next(actor=make_member(make_organisation(), Role.APPROVER)) is None
    with pytest.raises(NotAllowed):
        services.case_claim_next(actor=make_user())
    with pytest.raises(NotAllowed):
        services.case_claim_next(actor=None)
