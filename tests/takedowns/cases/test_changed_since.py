"""An approval holds for what was shown, and is refused once anything changed since."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from registry.datasets.models import Version, VersionStatus
from registry.lib.errors import Refused
from takedowns.cases import services
from takedowns.cases.models import Case
from takedowns.cases.states import CaseState
from takedowns.removals.models import Removal
from takedowns.reports.models import Item, Outcome
from tests.factories import make_dataset, make_edge, make_rows, make_version, run_jobs
from tests.factories_takedowns import Team, make_case, make_dataset_of, make_proposed

if TYPE_CHECKING:
    from collections.abc import Callable


pytestmark = pytest.mark.django_db


def test_an_approval_of_something_else_than_was_shown_is_refused(team: Team) -> None:
    dataset, _ = make_dataset_of(team)
    case = make_case(dataset)
    make_proposed(team, case)
    with pytest.raises(Refused, match="not the one that you were shown"):
        services.case_approve(actor=team.approver, case=case, preview="0" * 64)


def change_item(_team: Team, case: Case) -> None:
    Item.objects.filter(report__cases=case).update(outcome=Outcome.REJECT)


def change_note(_team: Team, case: Case) -> None:
    Item.objects.filter(report__cases=case).update(note="Another reason")


def change_rows(_team: Team, case: Case) -> None:
    case.locations.update(rows=2)


def add_version(_team: Team, case: Case) -> None:
    make_version(case.dataset, shards={"0.csv": make_rows(20)})


def withdraw_version(_team: Team, case: Case) -> None:
    case.dataset.versions.update(status=VersionStatus.WITHDRAWN)


def add_derived(team: Team, case: Case) -> None:
    make_edge(case.dataset.versions.get(), make_version(make_dataset(team.organisation)))


@pytest.mark.parametrize(
    "change", [change_item, change_note, change_rows, add_version, withdraw_version, add_derived]
)
def test_an_approval_is_refused_when_anything_changed_since_the_proposal(
    team: Team, change: Callable[[Team, Case], None]
) -> None:
    dataset, _ = make_dataset_of(team)
    case = make_case(dataset)
    decision = make_proposed(team, case)
    change(team, case)
    with pytest.raises(Refused, match="changed since it was proposed"):
        services.case_approve(actor=team.approver, case=case, preview=decision.preview)
    assert Case.objects.get(pk=case.pk).state == CaseState.PROPOSED
    assert not Removal.objects.exists()


def test_after_a_new_version_the_items_must_be_located_again_before_a_proposal(team: Team) -> None:
    dataset, _ = make_dataset_of(team)
    case = make_case(dataset)
    newer = make_version(dataset, shards={"0.csv": make_rows(20)})
    with pytest.raises(Refused, match=r"versions that CASE-.* concerns changed"):
        make_proposed(team, case)
    services.case_locate(actor=team.maintainer, case=case)
    run_jobs()
    decision = services.case_propose(actor=team.maintainer, case=case, statement="x", summary="x")
    case = services.case_approve(actor=team.approver, case=case, preview=decision.preview)
    assert case.removal is not None
    assert newer in Version.objects.filter(affected_by__removal=case.removal)


def test_a_proposal_waits_until_the_items_are_located(team: Team) -> None:
    dataset, _ = make_dataset_of(team)
    case = make_case(dataset)
    services.case_claim(actor=team.maintainer, case=case)
    services.case_locate(actor=team.maintainer, case=case)
    with pytest.raises(Refused, match="not been located yet"):
        services.case_propose(actor=team.maintainer, case=case, statement="x", summary="x")
