"""What comes after a proposal: it is returned, or approved and carried out."""

from __future__ import annotations

from datetime import date

import pytest
from django.utils import timezone

from registry.datasets.models import Version, VersionStatus
from registry.lib.errors import Refused
from takedowns.cases import services
from takedowns.cases.models import Case
from takedowns.cases.states import CaseState
from takedowns.reports.models import Item
from tests.factories import make_rows, make_version
from tests.factories_takedowns import (
    Team,
    make_case,
    make_dataset_of,
    make_proposed,
    make_removal,
    outcomes,
)

pytestmark = pytest.mark.django_db

URLS = [f"https://img.example.com/{n}.jpg" for n in range(3)]
ABSENT = "https://img.example.com/absent.jpg"


# Returning


def test_a_returned_proposal_keeps_the_marks_and_can_be_proposed_again(team: Team) -> None:
    dataset, _ = make_dataset_of(team)
    case = make_case(dataset, [*URLS, ABSENT])
    first = Item.objects.get(position=1)
    decision = make_proposed(team, case, keep={first.pk: "Kept"})
    case = services.case_return(actor=team.approver, case=case, reason="Look at line 2 again.")
    assert case.state == CaseState.IN_REVIEW
    assert outcomes(case) == ["reject", "pending", "pending", "pending"]
    decision.refresh_from_db()
    assert decision.return_reason == "Look at line 2 again."
    again = make_proposed(team, case)
    assert again.rows == 2
    assert (
        services.case_approve(actor=team.approver, case=case, preview=again.preview).state
        == CaseState.DECIDED
    )


def test_the_preview_of_a_returned_proposal_approves_no_later_one(team: Team) -> None:
    dataset, _ = make_dataset_of(team)
    case = make_case(dataset, URLS)
    first = make_proposed(team, case)
    services.case_return(actor=team.approver, case=case, reason="Keep one.")
    make_proposed(team, case, keep={Item.objects.get(position=1).pk: "Kept"})
    with pytest.raises(Refused, match="not the one that you were shown"):
        services.case_approve(actor=team.approver, case=case, preview=first.preview)


def test_the_proposer_takes_his_own_proposal_back(team: Team) -> None:
    dataset, _ = make_dataset_of(team)
    case = make_case(dataset)
    make_proposed(team, case)
    assert (
        services.case_return(actor=team.maintainer, case=case, reason="A slip.").state == CaseState.IN_REVIEW
    )


def test_a_return_needs_a_reason(team: Team) -> None:
    dataset, _ = make_dataset_of(team)
    case = make_case(dataset)
    make_proposed(team, case)
    with pytest.raises(Refused, match="Say why"):
        services.case_return(actor=team.approver, case=case, reason=" ")


# Carrying out


def test_a_case_stays_decided_until_every_affected_base_has_a_published_release(team: Team) -> None:
    dataset, version = make_dataset_of(team)
    removal = make_removal(team, dataset)
    case = services.case_executed(actor=team.maintainer, case=Case.objects.get())
    assert case.state == CaseState.DECIDED
    clean = make_version(dataset, base=version, shards={"0.csv": make_rows(9, start=20)})
    release = removal.releases.create(
        dataset=dataset,
        base=version,
        version=clean,
        serial=1,
        state="verified",
        verified_at=timezone.now(),
        root="0" * 64,
    )
    assert services.case_executed(actor=team.maintainer, case=case).state == CaseState.DECIDED
    removal.releases.filter(pk=release.pk).update(state="published", published_at=timezone.now())
    case = services.case_executed(actor=team.maintainer, case=case)
    assert case.state == CaseState.CLOSED
    assert case.closed_at is not None
    assert services.case_executed(actor=team.maintainer, case=case).state == CaseState.CLOSED


def test_a_base_that_was_withdrawn_needs_no_release(team: Team) -> None:
    dataset, version = make_dataset_of(team)
    make_removal(team, dataset)
    Version.objects.filter(pk=version.pk).update(status=VersionStatus.WITHDRAWN, dated=date(2020, 1, 1))
    assert services.case_executed(actor=team.maintainer, case=Case.objects.get()).state == CaseState.CLOSED
