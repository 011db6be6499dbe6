"""Who may propose and approve, and that the database too refuses one person alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.db import Error as DatabaseError
from django.db import connection, transaction
from django.utils import timezone

from registry.accounts.models import Role
from registry.lib.errors import NotAllowed
from takedowns.cases import services
from takedowns.cases.models import Case, Decision
from takedowns.cases.states import CaseState
from takedowns.removals.models import Removal
from tests.factories import make_member, make_organisation, make_user
from tests.factories_takedowns import Team, make_case, make_dataset_of, make_proposed, make_removal

if TYPE_CHECKING:
    from collections.abc import Callable

    from registry.accounts.models import User

pytestmark = pytest.mark.django_db

URLS = [f"https://img.example.com/{n}.jpg" for n in range(3)]


def test_the_proposer_cannot_approve_though_he_has_the_role(team: Team) -> None:
    dataset, _ = make_dataset_of(team)
    case = make_case(dataset)
    services.case_claim(actor=team.approver, case=case)
    decision = services.case_propose(actor=team.approver, case=case, statement="x", summary="x")
    with pytest.raises(NotAllowed, match="another approver must approve"):
        services.case_approve(actor=team.approver, case=case, preview=decision.preview)
    assert Case.objects.get().state == CaseState.PROPOSED
    assert (
        services.case_approve(actor=team.second_approver, case=case, preview=decision.preview).state
        == "decided"
    )


def test_a_superuser_who_proposed_cannot_approve_either(team: Team) -> None:
    dataset, _ = make_dataset_of(team)
    case = make_case(dataset)
    team.approver.is_superuser = True
    team.approver.save()
    services.case_claim(actor=team.approver, case=case)
    decision = services.case_propose(actor=team.approver, case=case, statement="x", summary="x")
    with pytest.raises(NotAllowed):
        services.case_approve(actor=team.approver, case=case, preview=decision.preview)


@pytest.mark.parametrize("who", ["nobody", "stranger", "superuser", "other approver", "staff", "maintainer"])
def test_only_an_approver_of_the_organisation_approves_or_returns(team: Team, who: str) -> None:
    dataset, _ = make_dataset_of(team)
    case = make_case(dataset)
    decision = make_proposed(team, case)
    makers: dict[str, Callable[[], User | None]] = {
        "nobody": lambda: None,
        "stranger": make_user,
        "superuser": lambda: make_user(is_superuser=True, is_staff=True),
        "other approver": lambda: make_member(make_organisation(), Role.APPROVER),
        "staff": lambda: team.staff,
        "maintainer": lambda: make_member(team.organisation, Role.MAINTAINER),
    }
    actor = makers[who]()
    with pytest.raises(NotAllowed):
        services.case_approve(actor=actor, case=case, preview=decision.preview)
    with pytest.raises(NotAllowed):
        services.case_return(actor=actor, case=case, reason="No.")
    assert Case.objects.get().state == CaseState.PROPOSED
    assert not Removal.objects.exists()


@pytest.mark.parametrize("who", ["nobody", "stranger", "other approver", "staff"])
def test_only_a_maintainer_proposes(team: Team, who: str) -> None:
    dataset, _ = make_dataset_of(team)
    case = make_case(dataset)
    services.case_claim(actor=team.staff, case=case)
    services.case_release_claim(actor=team.staff, case=case)
    actor = {
        "nobody": None,
        "stranger": make_user(),
        "other approver": make_member(make_organisation(), Role.APPROVER),
        "staff": team.staff,
    }[who]
    with pytest.raises(NotAllowed):
        services.case_propose(actor=actor, case=case, statement="x", summary="x")
    assert not Decision.objects.exists()


def test_a_member_who_left_cannot_approve(team: Team) -> None:
    dataset, _ = make_dataset_of(team)
    case = make_case(dataset)
    decision = make_proposed(team, case)
    team.approver.memberships.all().delete()
    with pytest.raises(NotAllowed):
        services.case_approve(actor=team.approver, case=case, preview=decision.preview)


# The database


def test_the_database_refuses_the_proposer_as_approver(team: Team) -> None:
    dataset, _ = make_dataset_of(team)
    decision = make_proposed(team, make_case(dataset))
    with (
        pytest.raises(DatabaseError, match="decision_two_people"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(
            "UPDATE takedowns_decision SET approver_id = proposer_id, approved_at = now() WHERE id = %s",
            [decision.pk],
        )


def test_the_database_refuses_an_approval_by_nobody(team: Team) -> None:
    dataset, _ = make_dataset_of(team)
    decision = make_proposed(team, make_case(dataset))
    with pytest.raises(DatabaseError, match="decision_approved_by_someone"), transaction.atomic():
        Decision.objects.filter(pk=decision.pk).update(approved_at=timezone.now())


def test_the_database_refuses_to_take_the_proposers_name_off_first(team: Team) -> None:
    dataset, _ = make_dataset_of(team)
    decision = make_proposed(team, make_case(dataset))
    with pytest.raises(DatabaseError), transaction.atomic():
        Decision.objects.filter(pk=decision.pk).update(proposer=team.staff)


@pytest.mark.parametrize("change", ["update", "delete"])
def test_the_database_keeps_a_settled_decision(team: Team, change: str) -> None:
    dataset, _ = make_dataset_of(team)
    make_removal(team, dataset)
    settled = Decision.objects.all()
    act = {"update": lambda: settled.update(approver=team.second_approver), "delete": settled.delete}[change]
    with pytest.raises(DatabaseError), transaction.atomic():
        act()


def test_the_database_refuses_a_second_open_proposal(team: Team) -> None:
    dataset, _ = make_dataset_of(team)
    decision = make_proposed(team, make_case(dataset))
    with pytest.raises(DatabaseError, match="decision_one_open_per_case"), transaction.atomic():
        Decision.objects.create(case=decision.case, proposer=team.staff, preview="0" * 64, rows=0)


@pytest.mark.parametrize("field", ["approved_at", "returned_at", "approver"])
def test_the_database_refuses_a_decision_that_begins_as_settled(team: Team, field: str) -> None:
    dataset, _ = make_dataset_of(team)
    case = make_case(dataset, URLS)
    settled: dict[str, object] = {"approver": team.approver} | (
        {} if field == "approver" else {field: timezone.now()}
    )
    with pytest.raises(DatabaseError, match="Cannot insert"), transaction.atomic():
        Decision.objects.create(
            case=case,
            proposer=team.maintainer,
            statement="They are yours.",
            summary="Rows.",
            preview="0" * 64,
            rows=3,
            **settled,
        )
