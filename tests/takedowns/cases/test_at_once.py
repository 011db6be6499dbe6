"""Two people who act in the same moment, on real connections."""

from __future__ import annotations

from threading import Barrier, Thread
from typing import TYPE_CHECKING

import pytest
from django.db import connection

from registry.lib.errors import Refused
from takedowns.cases import services
from takedowns.cases.models import Case
from takedowns.removals.models import Removal
from tests.factories_takedowns import make_case, make_dataset_of, make_proposed, make_team

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.django_db(transaction=True)


def at_once(*acts: Callable[[], object]) -> list[str]:
    """Do the acts in threads that start together; returns "done" or the refusal of each, in any order."""
    results: list[str] = []
    start = Barrier(len(acts))

    def run(act: Callable[[], object]) -> None:
        start.wait()
        try:
            act()
        except Refused as refused:
            results.append(str(refused))
        else:
            results.append("done")
        finally:
            connection.close()

    threads = [Thread(target=run, args=[act]) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_of_two_approvers_one_decides_and_the_other_is_told() -> None:
    team = make_team()
    dataset, _ = make_dataset_of(team)
    case = make_case(dataset)
    decision = make_proposed(team, case)
    results = at_once(
        lambda: services.case_approve(actor=team.approver, case=case, preview=decision.preview),
        lambda: services.case_approve(actor=team.second_approver, case=case, preview=decision.preview),
    )
    assert sorted(result == "done" for result in results) == [False, True]
    assert Removal.objects.count() == 1


def test_an_approval_and_a_return_do_not_both_happen() -> None:
    team = make_team()
    dataset, _ = make_dataset_of(team)
    case = make_case(dataset)
    decision = make_proposed(team, case)
    results = at_once(
        lambda: services.case_approve(actor=team.approver, case=case, preview=decision.preview),
        lambda: services.case_return(actor=team.second_approver, case=case, reason="No."),
    )
    assert sorted(result == "done" for result in results) == [False, True]
    decided = Case.objects.get().state == "decided"
    assert Removal.objects.exists() == decided


def test_of_two_who_claim_one_gets_the_case() -> None:
    team = make_team()
    dataset, _ = make_dataset_of(team)
    case = make_case(dataset)
    results = at_once(
        lambda: services.case_claim(actor=team.staff, case=case),
        lambda: services.case_claim(actor=team.maintainer, case=case),
    )
    assert sorted(result == "done" for result in results) == [False, True]


def test_two_who_ask_for_the_next_case_get_two() -> None:
    team = make_team()
    dataset, _ = make_dataset_of(team)
    make_case(dataset)
    make_case(dataset)
    results = at_once(
        lambda: services.case_claim_next(actor=team.staff),
        lambda: services.case_claim_next(actor=team.maintainer),
    )
    assert results == ["done", "done"]
    assert set(Case.objects.values_list("claimed_by", flat=True)) == {team.staff.pk, team.maintainer.pk}


def test_two_merges_crosswise_do_not_wait_for_each_other() -> None:
    team = make_team()
    dataset, _ = make_dataset_of(team)
    one, two = make_case(dataset), make_case(dataset)
    results = at_once(
        lambda: services.case_merge(actor=team.staff, case=one, into=two),
        lambda: services.case_merge(actor=team.staff, case=two, into=one),
    )
    assert sorted(result == "done" for result in results) == [False, True]
