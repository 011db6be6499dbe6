"""Redacting: rows that stay and of which cells or elements go, from the line of a report to the removal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.db import IntegrityError, transaction
from django.urls import reverse
from django.utils import timezone

from registry.datasets.models import Shard
from registry.lib.errors import NotAllowed, Refused
from registry.lib.ids import secret_digest
from takedowns.cases import services
from takedowns.cases.models import Case
from takedowns.cases.redacting import MOST_COLUMNS
from takedowns.cases.selectors import case_history
from takedowns.cases.states import CaseState
from takedowns.cases.wording import consequence_in_words
from takedowns.reports.models import Item, Outcome
from tests.factories import make_dataset, make_edge, make_rows, make_user, make_version
from tests.factories_takedowns import Team, make_case, make_dataset_of, make_proposed, outcomes

if TYPE_CHECKING:
    from django.test import Client

    from takedowns.removals.models import Removal

pytestmark = pytest.mark.django_db

URLS = [f"https://img.example.com/{n}.jpg" for n in range(4)]
CELL = f"cell:text {URLS[0]}"


def at(position: int) -> Item:
    return Item.objects.get(position=position)


def redact(team: Team, case: Case, positions: list[int], columns: list[str]) -> int:
    items = [at(position).pk for position in positions]
    return services.item_mark(
        actor=team.staff, case=case, items=items, outcome=Outcome.REDACT, columns=columns
    )


def approve(team: Team, case: Case, **fields: Any) -> Removal:
    decision = make_proposed(team, case, **fields)
    removal = services.case_approve(actor=team.approver, case=case, preview=decision.preview).removal
    assert removal is not None
    return removal


def cells(removal: Removal) -> list[tuple[str, str]]:
    return sorted(removal.redactions.values_list("kind", "column"))


def test_a_reported_cell_is_redacted_and_its_row_stays(team: Team) -> None:
    dataset, version = make_dataset_of(team)
    case = make_case(dataset, [CELL, URLS[1]])
    assert [(one.rows, one.redacted_rows) for one in case.consequences.all()] == [(1, 1)]
    removal = approve(team, case)
    assert outcomes(case) == ["redact", "remove"]
    assert at(1).redacted == ["text"]
    assert removal.keys.count() == 1
    assert cells(removal) == [("url.c1.sha256", "text")]
    affected = removal.affected.get()
    assert (affected.version, affected.rows, affected.redacted_rows) == (version, 1, 1)
    decision = case.decisions.get()
    assert (decision.rows, decision.redacted_rows) == (1, 1)


def test_a_case_of_cells_alone_makes_a_removal_without_keys(team: Team) -> None:
    dataset, _ = make_dataset_of(team)
    removal = approve(team, make_case(dataset, [CELL]))
    assert not removal.keys.exists()
    affected = removal.affected.get()
    assert (affected.rows, affected.redacted_rows) == (0, 1)


def test_the_history_counts_rows_that_lose_cells_as_located(team: Team) -> None:
    dataset, _ = make_dataset_of(team)
    case = make_case(dataset, [CELL])
    told = {event.what: event.detail for event in case_history(case)}
    assert told["Items located"] == "1 row in 1 of 1 version"


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (CaseState.IN_REVIEW, "Removes 3 rows, redacts cells of 1 row"),
        (CaseState.DECIDED, "Will remove 3 rows, will redact cells of 1 row"),
        (CaseState.CLOSED, "Removed 3 rows, redacted cells of 1 row"),
    ],
)
def test_what_a_case_does_is_told_by_how_far_it_is(state: CaseState, said: str) -> None:
    case = Case(state=state, decided_at=None if state == CaseState.IN_REVIEW else timezone.now())
    assert consequence_in_words(case, 3, 1) == said


def test_a_reported_element_is_redacted_by_its_key_alone(team: Team) -> None:
    dataset, _ = make_dataset_of(team)
    removal = approve(team, make_case(dataset, [f"element:{URLS[2]}"]))
    assert cells(removal) == [("url.c1.sha256", "")]


def test_rows_are_marked_to_be_redacted_and_the_mark_comes_off(team: Team) -> None:
    dataset, _ = make_dataset_of(team)
    case = make_case(dataset, URLS)
    assert redact(team, case, [1, 2], ["text", " md5 ", "text"]) == 2
    assert at(1).redacted == ["text", "md5"]
    counts = case.consequences.get()
    assert (counts.rows, counts.redacted_rows) == (2, 2)
    services.item_mark(actor=team.staff, case=case, items=[at(1).pk], outcome=Outcome.PENDING)
    assert (at(1).outcome, at(1).redacted) == ("pending", [])
    assert cells(approve(team, case)) == [("url.c1.sha256", "md5"), ("url.c1.sha256", "text")]


def test_a_proposal_redacts_everything_that_is_not_marked(team: Team) -> None:
    dataset, _ = make_dataset_of(team)
    case = make_case(dataset, [*URLS, CELL, "id:absent"])
    keep = {at(1).pk: "It is in the public domain."}
    removal = approve(team, case, default=Outcome.REDACT, columns=["md5"], keep=keep)
    assert outcomes(case) == ["reject", "redact", "redact", "redact", "redact", "not_found"]
    assert (at(2).redacted, at(5).redacted, at(6).redacted) == (["md5"], ["text"], [])
    assert removal.affected.get().redacted_rows == 4


def test_a_row_that_goes_for_another_item_is_not_counted_as_redacted(team: Team) -> None:
    dataset, _ = make_dataset_of(team)
    case = make_case(dataset, [CELL, URLS[0], URLS[1]])
    counts = case.consequences.get()
    assert (counts.rows, counts.redacted_rows) == (2, 0)


def test_a_returned_proposal_keeps_what_was_marked_to_be_redacted(team: Team) -> None:
    dataset, _ = make_dataset_of(team)
    case = make_case(dataset, URLS)
    redact(team, case, [1], ["text"])
    make_proposed(team, case)
    services.case_return(actor=team.approver, case=case, reason="Look again.")
    assert outcomes(case) == ["redact", "pending", "pending", "pending"]


def test_the_proposer_cannot_approve_a_redaction(team: Team) -> None:
    dataset, _ = make_dataset_of(team)
    case = make_case(dataset, [CELL])
    services.case_claim(actor=team.approver, case=case)
    decision = services.case_propose(actor=team.approver, case=case, statement="x", summary="x")
    with pytest.raises(NotAllowed):
        services.case_approve(actor=team.approver, case=case, preview=decision.preview)


def test_other_columns_than_those_approved_are_noticed(team: Team) -> None:
    dataset, _ = make_dataset_of(team)
    case = make_case(dataset, [CELL])
    decision = make_proposed(team, case)
    Item.objects.update(redacted=["url"])
    with pytest.raises(Refused, match="changed since it was proposed"):
        services.case_approve(actor=team.approver, case=case, preview=decision.preview)


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ([], "Name the columns"),
        ([" "], "Name the columns"),
        (["nowhere"], "No version that holds these rows has a column “nowhere”"),
        (["x" * 201], "at most 200"),
        (["te\0xt"], "at most 200"),
        ([f"c{n}" for n in range(MOST_COLUMNS + 1)], "At most 50 columns"),
    ],
)
def test_columns_that_are_none_are_refused_and_nothing_is_marked(
    team: Team, columns: list[str], said: str
) -> None:
    dataset, _ = make_dataset_of(team)
    case = make_case(dataset, URLS)
    with pytest.raises(Refused, match=said):
        redact(team, case, [1, 2], columns)
    assert outcomes(case) == ["pending"] * 4


def schema_is(**required: bool) -> None:
    Shard.objects.update(
        schema=[{"name": name, "type": "string", "required": value} for name, value in required.items()]
    )


def test_a_column_that_may_not_be_null_is_refused(team: Team) -> None:
    dataset, version = make_dataset_of(team)
    case = make_case(dataset, URLS)
    schema_is(url=True, text=True, md5=False)
    with pytest.raises(Refused, match=f"Column “text” of {version} is REQUIRED"):
        redact(team, case, [1], ["md5", "text"])


def test_the_cell_of_the_key_itself_may_be_one_that_cannot_be_null(team: Team) -> None:
    dataset, _ = make_dataset_of(team)
    case = make_case(dataset, [f"element:{URLS[0]}"])
    schema_is(url=True, text=False, md5=False)
    with pytest.raises(Refused, match=r"Column “url” of .* is REQUIRED"):
        make_proposed(team, case)
    Shard.objects.update(schema=[{"name": "url", "type": "list<element: string>", "required": True}])
    make_proposed(team, case)  # an element leaves the list, which stays


def test_a_name_that_two_columns_have_is_refused(team: Team) -> None:
    dataset, _ = make_dataset_of(team)
    case = make_case(dataset, URLS)
    one = {"name": "text", "type": "string", "required": False}
    Shard.objects.update(schema=[one, one])
    with pytest.raises(Refused, match="Several columns"):
        redact(team, case, [1], ["text"])


def test_a_cell_that_the_reporter_misnamed_stops_the_proposal_until_it_is_named(team: Team) -> None:
    dataset, _ = make_dataset_of(team)
    case = make_case(dataset, [f"cell:captoin {URLS[0]}"])
    with pytest.raises(Refused, match="captoin"):
        make_proposed(team, case)
    assert Case.objects.get().state == "in_review"
    services.item_mark(
        actor=team.maintainer, case=case, items=[at(1).pk], outcome=Outcome.REDACT, columns=["text"]
    )
    services.case_propose(actor=team.maintainer, case=case, statement="x", summary="x")
    assert at(1).redacted == ["text"]


def test_a_derived_version_without_the_column_is_named_and_not_affected(team: Team, client: Client) -> None:
    dataset, version = make_dataset_of(team)
    bare = [{"url": row["url"]} for row in make_rows(5)]
    derived = make_version(make_dataset(team.organisation), shards={"0.csv": bare}, columns={"url": "url"})
    make_edge(version, derived)
    case = make_case(dataset, URLS)
    services.case_claim(actor=team.maintainer, case=case)
    client.force_login(team.maintainer)
    act = reverse("api-case-items-mark", args=[case.number])
    body = {"items": [at(1).pk], "outcome": "redact", "columns": ["text"]}
    answer = client.post(act, body, content_type="application/json")
    assert answer.status_code == 200, answer.json()
    assert answer.json()["redaction_gaps"] == [
        f"{derived} has no column “text”, so nothing of it is redacted there."
    ]
    assert {one["version"]: (one["rows"], one["redacted_rows"]) for one in answer.json()["consequences"]} == {
        version.name: (3, 1),
        derived.name: (3, 0),
    }
    page = client.get(reverse("case_detail", args=[case.number])).content.decode()
    assert f"{derived} has no column “text”" in page


def test_a_derived_version_that_calls_the_column_otherwise_is_affected(team: Team) -> None:
    dataset, version = make_dataset_of(team)
    renamed = [{"link": row["url"], "caption": row["text"]} for row in make_rows(5)]
    columns = {"url": "link", "text": "caption"}
    derived = make_version(make_dataset(team.organisation), shards={"0.csv": renamed}, columns=columns)
    make_edge(version, derived)
    removal = approve(team, make_case(dataset, [CELL]))
    assert {one.version: one.redacted_rows for one in removal.affected.all()} == {version: 1, derived: 1}


def test_a_stranger_marks_nothing(team: Team, client: Client) -> None:
    dataset, _ = make_dataset_of(team)
    case = make_case(dataset, URLS)
    client.force_login(make_user())
    body = {"items": [at(1).pk], "outcome": "redact", "columns": ["text"]}
    for name in ("api-case-items-mark", "item_mark"):
        url = reverse(name, args=[case.number])
        assert client.post(url, body, content_type="application/json").status_code == 404
    assert outcomes(case) == ["pending"] * 4


def test_the_database_refuses_a_redaction_of_nothing(team: Team) -> None:
    dataset, _ = make_dataset_of(team)
    make_case(dataset, [URLS[0], CELL])
    for change in ({"outcome": "redact"}, {"target": "cell"}, {"column": "text"}, {"target": "table"}):
        with pytest.raises(IntegrityError), transaction.atomic():
            Item.objects.filter(position=1).update(**change)


def test_the_page_marks_and_proposes_redactions_and_says_what_they_do(team: Team, client: Client) -> None:
    dataset, _ = make_dataset_of(team)
    case = make_case(dataset, [*URLS, CELL])
    client.force_login(team.maintainer)
    services.case_claim(actor=team.maintainer, case=case)
    given = {"items": [at(1).pk], "outcome": "redact", "columns": 'md5, "text"'}
    marked = client.post(reverse("item_mark", args=[case.number]), given, follow=True).content.decode()
    assert at(1).redacted == ["md5", "text"]
    assert "Redact: md5, text" in marked
    assert "cell text" in marked
    proposal = {
        "propose-default": "redact",
        "propose-columns": "md5",
        "propose-statement": "Yours.",
        "propose-summary": "Captions.",
    }
    proposed = client.post(reverse("case_propose", args=[case.number]), proposal, follow=True)
    assert "Redacts cells of 4 rows" in proposed.content.decode()
    client.force_login(team.approver)
    page = client.get(reverse("case_detail", args=[case.number])).content.decode()
    assert "Approve redaction of 4 rows" in page
    assert "Redact: text" in page


def test_the_page_keeps_what_was_written_when_a_column_is_unknown(team: Team, client: Client) -> None:
    dataset, _ = make_dataset_of(team)
    case = make_case(dataset, URLS)
    client.force_login(team.maintainer)
    services.case_claim(actor=team.maintainer, case=case)
    proposal = {
        "propose-default": "redact",
        "propose-columns": "<b>captoin</b>",
        "propose-statement": "Yours.",
        "propose-summary": "Captions.",
    }
    answer = client.post(reverse("case_propose", args=[case.number]), proposal)
    assert answer.status_code == 409
    assert "&lt;b&gt;captoin&lt;/b&gt;" in answer.content.decode()
    assert "<b>captoin</b>" not in answer.content.decode()


def test_the_reporter_reads_what_is_redacted_only_once_it_is_decided(team: Team, client: Client) -> None:
    dataset, _ = make_dataset_of(team)
    case = make_case(dataset, [URLS[0], CELL])
    report = case.reports.get()
    report.token_digest = secret_digest("s")
    report.save()
    redact(team, case, [1], ["md5"])
    status, items = reverse("report_status", args=["s"]), reverse("api-report-status-items")
    before = client.get(items, headers={"Report-Secret": "s"}).json()["results"]
    assert [one["redacted"] for one in before] == [[], []]
    assert [(one["target"], one["column"]) for one in before] == [("row", ""), ("cell", "text")]
    assert "Redact" not in client.get(status).content.decode()
    approve(team, case)
    page = client.get(status).content.decode()
    assert "Decided: the cells of 2 items will be redacted" in page
    assert "Redact: md5" in page
    after = client.get(items, headers={"Report-Secret": "s"}).json()["results"]
    assert [one["redacted"] for one in after] == [["md5"], ["text"]]
