"""A proposal and its approval: what comes of them, and what is refused."""

from __future__ import annotations

import pytest

from registry.auditlog.models import AuditEntry
from registry.lib.errors import Refused
from takedowns.cases import services
from takedowns.cases.models import Case, Decision
from takedowns.cases.states import CaseState
from takedowns.removals.models import Removal
from takedowns.reports.models import Item, Outcome
from tests.factories_takedowns import Team, make_case, make_dataset_of, make_proposed, make_removal, outcomes

pytestmark = pytest.mark.django_db

URLS = [f"https://img.example.com/{n}.jpg" for n in range(3)]
ABSENT = "https://img.example.com/absent.jpg"


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


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"statement": " "}, "statement of reasons"),
        ({"summary": ""}, "public summary"),
        ({"default": Outcome.REJECT}, "Say why"),
        ({"default": Outcome.INVALID}, "removed, redacted or kept"),
        ({"default": Outcome.REDACT}, "Name the columns"),
        ({"default": Outcome.REDACT, "columns": ["nowhere"]}, "has a column “nowhere”"),
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
