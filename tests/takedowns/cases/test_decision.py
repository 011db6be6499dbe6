"""The decision of two people: who may, what is refused, and what comes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.db import Error as DatabaseError
from django.db import connection, transaction
from django.utils import timezone

from registry.accounts.models import Role
from registry.auditlog.models import AuditEntry
from registry.datasets.models import Version, VersionStatus
from registry.lib.errors import NotAllowed, Refused
from takedowns.cases import services
from takedowns.cases.models import Case, Decision
from takedowns.cases.states import CaseState
from takedowns.removals.models import Removal
from takedowns.reports.models import Item, Outcome
from tests.factories import (
    make_dataset,
    make_edge,
    make_member,
    make_organisation,
    make_rows,
    make_user,
    make_version,
    run_jobs,
)
from tests.factories_takedowns import Team, make_case, make_dataset_of, make_proposed, make_removal, make_team

if TYPE_CHECKING:
    from collections.abc import Callable

    from registry.accounts.models import User

pytestmark = pytest.mark.django_db

URLS = [f"https://img.example.com/{n}.jpg" for n in range(3)]
ABSENT = "https://img.example.com/absent.jpg"


@pytest.fixture
def team() -> Team:
    return make_team()


def outcomes(case: Case) -> list[str]:
    return list(
        Item.objects.filter(report__cases=case).order_by("position").values_list("outcome", flat=True)
    )


def test_a_proposal_settles_every_item_and_counts_the_rows(team: Team) -> None:
    dataset, _ = make_dataset_of(team)
    case = make_case(dataset, [*URLS, ABSENT, "nonsense", URLS[0]])
    decision = make_proposed(team, case)
    assert outcomes(case) == ["remove", "remove", "remove", "not_found", "invalid", "duplicate"]
    assert decision.rows == 3
    assert Case.objects.get(pk=case.pk).state == CaseState.PROPOSED
    assert Case.objects.get(pk=case.pk).claimed_by is None


def test_an_approved_proposal_makes_a_removal_of_its_keys_and_versions(team: Team) -> None:
    dataset, version = make_dataset_of(team)
    case = make_case(dataset, [*URLS, ABSENT])
    decision = make_proposed(team, case, summary="Public words")
    decided = services.case_approve(actor=team.approver, case=case, preview=decision.preview)
    removal = Removal.objects.get()
    assert decided.state == CaseState.DECIDED
    assert decided.decided_at is not None
    assert decided.removal == removal
    assert (removal.summary, removal.advisory_id, removal.category_id) == ("Public words", None, "opt_out")
    assert removal.keys.count() == 3
    assert [(one.version, one.rows) for one in removal.affected.all()] == [(version, 3)]
    decision.refresh_from_db()
    assert decision.approver == team.approver


def test_each_act_writes_one_entry_without_words_of_people(team: Team) -> None:
    dataset, _ = make_dataset_of(team)
    make_removal(team, dataset)
    entries = AuditEntry.objects.order_by("pk").values_list("action", "actor")
    assert list(entries) == [
        ("report_create", None),
        ("case_open", None),
        ("case_located", None),
        ("case_claim", team.maintainer.pk),
        ("case_propose", team.maintainer.pk),
        ("removal_create", team.approver.pk),
        ("case_approve", team.approver.pk),
    ]
    assert "opted out" not in str(list(AuditEntry.objects.values_list("data")))


def test_items_that_are_kept_stay_out_of_the_removal_and_say_why(team: Team) -> None:
    dataset, _ = make_dataset_of(team)
    case = make_case(dataset, URLS)
    first = Item.objects.get(position=1)
    decision = make_proposed(team, case, keep={first.pk: "It is in the public domain."})
    case = services.case_approve(actor=team.approver, case=case, preview=decision.preview)
    first.refresh_from_db()
    assert (first.outcome, first.note) == ("reject", "It is in the public domain.")
    assert decision.rows == 2
    assert case.removal is not None
    assert case.removal.keys.count() == 2


def test_a_row_of_a_kept_item_still_goes_when_another_item_names_it(team: Team) -> None:
    dataset, _ = make_dataset_of(team)
    case = make_case(dataset, [URLS[0], "host:img.example.com"])
    first = Item.objects.get(position=1)
    assert make_proposed(team, case, keep={first.pk: "Kept"}).rows == 10


def test_rows_that_several_items_name_count_once(team: Team) -> None:
    dataset, _ = make_dataset_of(team)
    case = make_case(dataset, [*URLS, "host:img.example.com"])
    assert make_proposed(team, case).rows == 10


def test_when_everything_is_kept_the_case_closes_without_a_removal(team: Team) -> None:
    dataset, _ = make_dataset_of(team)
    case = make_case(dataset, URLS)
    decision = make_proposed(team, case, default=Outcome.REJECT, default_note="They are not yours.")
    case = services.case_approve(actor=team.approver, case=case, preview=decision.preview)
    assert (case.state, case.removal) == (CaseState.CLOSED, None)
    assert case.closed_at == case.decided_at
    assert decision.rows == 0
    assert not Removal.objects.exists()
    assert set(Item.objects.values_list("outcome", "note")) == {("reject", "They are not yours.")}


def test_when_nothing_was_found_the_case_closes_without_a_removal(team: Team) -> None:
    dataset, _ = make_dataset_of(team)
    case = make_case(dataset, [ABSENT])
    decision = make_proposed(team, case)
    case = services.case_approve(actor=team.approver, case=case, preview=decision.preview)
    assert case.state == CaseState.CLOSED
    assert outcomes(case) == ["not_found"]


# Who may


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


# What changed since


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


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"statement": " "}, "statement of reasons"),
        ({"summary": ""}, "public summary"),
        ({"default": Outcome.REJECT}, "Say why"),
        ({"default": Outcome.INVALID}, "removed or kept"),
        ({"keep": {0: "x"}}, "not items of"),
        ({"keep": {1: " "}}, "Say why"),
    ],
)
def test_a_proposal_that_lacks_something_is_refused_and_changes_nothing(
    team: Team, fields: dict[str, object], said: str
) -> None:
    dataset, _ = make_dataset_of(team)
    case = make_case(dataset, [URLS[0], ABSENT])
    with pytest.raises(Refused, match=said):
        make_proposed(team, case, **fields)
    assert outcomes(case) == ["pending", "pending"]
    assert not Decision.objects.exists()


def test_a_case_that_nobody_took_up_cannot_be_proposed(team: Team) -> None:
    dataset, _ = make_dataset_of(team)
    with pytest.raises(Refused, match="claim it and review it"):
        services.case_propose(actor=team.maintainer, case=make_case(dataset), statement="x", summary="x")


def test_a_case_that_somebody_else_holds_cannot_be_proposed(team: Team) -> None:
    dataset, _ = make_dataset_of(team)
    case = make_case(dataset)
    services.case_claim(actor=team.staff, case=case)
    with pytest.raises(Refused, match="holds"):
        services.case_propose(actor=team.maintainer, case=case, statement="x", summary="x")


def test_a_second_approval_is_refused(team: Team) -> None:
    dataset, _ = make_dataset_of(team)
    case = make_case(dataset)
    decision = make_proposed(team, case)
    services.case_approve(actor=team.approver, case=case, preview=decision.preview)
    with pytest.raises(Refused, match="no proposal to approve"):
        services.case_approve(actor=team.second_approver, case=case, preview=decision.preview)
    assert Removal.objects.count() == 1


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
