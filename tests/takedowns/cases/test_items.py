"""Marking items before a decision is proposed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from registry.lib.errors import NotAllowed, Refused
from takedowns.cases import services
from takedowns.reports.models import Item, Outcome
from tests.factories import make_user
from tests.factories_takedowns import Team, make_case, make_dataset_of, make_proposed

if TYPE_CHECKING:
    from takedowns.cases.models import Case

pytestmark = pytest.mark.django_db

LINES = ["https://img.example.com/1.jpg", "https://img.example.com/2.jpg", "nonsense"]


@pytest.fixture
def case(team: Team) -> Case:
    dataset, _ = make_dataset_of(team)
    return make_case(dataset, LINES)


def at(position: int) -> Item:
    return Item.objects.get(position=position)


def test_a_marked_item_takes_its_rows_out_of_the_consequence_and_back(team: Team, case: Case) -> None:
    assert case.consequences.get().rows == 2
    marked = services.item_mark(
        actor=team.staff, case=case, items=[at(1).pk], outcome=Outcome.REJECT, note=" Ours. "
    )
    assert marked == 1
    assert case.consequences.get().rows == 1
    assert at(1).note == "Ours."
    services.item_mark(actor=team.staff, case=case, items=[at(1).pk], outcome=Outcome.PENDING)
    assert case.consequences.get().rows == 2
    assert at(1).note == ""


@pytest.mark.parametrize(
    ("outcome", "note", "said"),
    [
        (Outcome.REJECT, " ", "Say why"),
        (Outcome.REMOVE, "x", "to be kept or redacted, or its mark"),
        (Outcome.INVALID, "x", "to be kept or redacted, or its mark"),
    ],
)
def test_a_mark_needs_a_reason_and_decides_nothing(
    team: Team, case: Case, outcome: Outcome, note: str, said: str
) -> None:
    with pytest.raises(Refused, match=said):
        services.item_mark(actor=team.staff, case=case, items=[at(1).pk], outcome=outcome, note=note)


def test_items_that_are_unreadable_or_of_another_case_are_refused_and_none_is_marked(
    team: Team, case: Case
) -> None:
    dataset, _ = make_dataset_of(team)
    foreign = Item.objects.get(report__cases=make_case(dataset, ["id:1"])).pk
    for wrong in ([at(3).pk], [foreign], [0], []):
        with pytest.raises(Refused):
            services.item_mark(
                actor=team.staff,
                case=case,
                items=[*wrong, *(wrong and [at(2).pk])],
                outcome=Outcome.REJECT,
                note="x",
            )
    assert not Item.objects.filter(outcome=Outcome.REJECT).exists()


def test_items_of_a_proposed_case_or_one_that_somebody_holds_cannot_be_marked(team: Team, case: Case) -> None:
    services.case_claim(actor=team.staff, case=case)
    with pytest.raises(Refused, match="holds"):
        services.item_mark(
            actor=team.maintainer, case=case, items=[at(1).pk], outcome=Outcome.REJECT, note="x"
        )
    services.case_release_claim(actor=team.staff, case=case)
    make_proposed(team, case)
    with pytest.raises(Refused, match="cannot be marked now"):
        services.item_mark(actor=team.staff, case=case, items=[at(1).pk], outcome=Outcome.REJECT, note="x")


def test_a_stranger_marks_nothing(case: Case) -> None:
    for actor in (None, make_user()):
        with pytest.raises(NotAllowed):
            services.item_mark(actor=actor, case=case, items=[at(1).pk], outcome=Outcome.REJECT, note="x")
