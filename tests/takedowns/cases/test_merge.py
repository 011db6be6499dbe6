"""Two cases about one matter become one."""

from __future__ import annotations

import pytest

from registry.accounts.models import Role
from registry.lib.errors import NotAllowed, Refused
from takedowns.cases import services
from takedowns.cases.models import Case
from takedowns.cases.states import CaseState
from takedowns.reports.models import Item
from tests.factories import make_member, make_organisation, run_jobs
from tests.factories_takedowns import Team, make_case, make_dataset_of, make_proposed

pytestmark = pytest.mark.django_db

URL = "https://img.example.com/1.jpg"


def test_the_reports_go_on_in_one_case_with_the_earlier_clock(team: Team) -> None:
    dataset, _ = make_dataset_of(team)
    case, into = (
        make_case(dataset, [URL], category="poisoning"),
        make_case(dataset, ["https://img.example.com/2.jpg"]),
    )
    into = services.case_merge(actor=team.staff, case=case, into=into)
    case = Case.objects.get(pk=case.pk)
    assert (case.state, case.merged_into, case.reports.count()) == (CaseState.CLOSED, into, 0)
    assert into.reports.count() == 2
    assert into.due_at == case.due_at
    assert not case.locations.exists()
    run_jobs()
    assert into.locations.count() == 2


def test_the_same_item_in_two_reports_gets_one_key_and_both_outcomes(team: Team) -> None:
    dataset, _ = make_dataset_of(team)
    case, into = make_case(dataset, [URL]), make_case(dataset, [URL])
    services.case_merge(actor=team.staff, case=case, into=into)
    run_jobs()
    decision = make_proposed(team, into)
    done = services.case_approve(actor=team.approver, case=into, preview=decision.preview)
    assert decision.rows == 1
    assert done.removal is not None
    assert done.removal.keys.count() == 1
    assert list(Item.objects.values_list("outcome", flat=True)) == ["remove", "remove"]


def test_it_refuses_what_does_not_belong_together(team: Team) -> None:
    dataset, _ = make_dataset_of(team)
    other, _ = make_dataset_of(team)
    case = make_case(dataset)
    with pytest.raises(Refused, match="into itself"):
        services.case_merge(actor=team.staff, case=case, into=case)
    with pytest.raises(Refused, match="different datasets"):
        services.case_merge(actor=team.staff, case=case, into=make_case(other))


def test_it_refuses_what_is_proposed_or_held_by_somebody(team: Team) -> None:
    dataset, _ = make_dataset_of(team)
    case, proposed, held = make_case(dataset), make_case(dataset), make_case(dataset)
    make_proposed(team, proposed)
    services.case_claim(actor=team.approver, case=held)
    for one, two in ((case, proposed), (proposed, case), (case, held), (held, case)):
        with pytest.raises(Refused):
            services.case_merge(actor=team.staff, case=one, into=two)
    assert not Case.objects.exclude(merged_into=None).exists()


def test_only_staff_of_the_organisation_merges(team: Team) -> None:
    dataset, _ = make_dataset_of(team)
    one, two = make_case(dataset), make_case(dataset)
    for actor in (None, make_member(make_organisation(), Role.APPROVER)):
        with pytest.raises(NotAllowed):
            services.case_merge(actor=actor, case=one, into=two)
