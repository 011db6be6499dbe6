"""The API of casework: the same rules as the pages."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from django.test import Client
from django.urls import reverse

from registry.accounts.models import Role
from takedowns.reports.models import Item
from tests.factories import make_member, make_organisation, make_user, run_jobs
from tests.factories_takedowns import Team, make_case, make_dataset_of

if TYPE_CHECKING:
    from takedowns.cases.models import Case

pytestmark = pytest.mark.django_db

LINES = [
    "https://img.example.com/1.jpg",
    "https://img.example.com/2.jpg",
    "https://img.example.com/absent.jpg",
]
ACTS: dict[str, dict[str, Any]] = {
    "claim": {},
    "locate": {},
    "items-mark": {"items": [1], "outcome": "reject", "note": "x"},
    "propose": {"statement": "x", "summary": "x"},
    "approve": {"preview": "0" * 64},
    "return": {"reason": "x"},
    "merge": {"into": "CASE-2026-0001"},
}


@pytest.fixture
def case(team: Team) -> Case:
    dataset, _ = make_dataset_of(team)
    return make_case(dataset, LINES)


def post(client: Client, case: Case, act: str, data: object = None) -> Any:
    url = reverse(f"api-case-{act}", args=[case.number])
    return client.post(url, json.dumps(data or {}), content_type="application/json")


def get(client: Client, name: str, *args: str, **query: str) -> Any:
    return client.get(reverse(name, args=args), query)


def test_the_whole_way_with_one_item_kept(client: Client, team: Team, case: Case) -> None:
    client.force_login(team.maintainer)
    assert post(client, case, "claim").json()["state"] == "in_review"
    keep = [{"item": Item.objects.get(position=2).pk, "note": "A public work."}]
    answer = post(client, case, "propose", {"statement": "Yours.", "summary": "Opted out.", "keep": keep})
    assert answer.status_code == 200
    proposed = answer.json()
    assert proposed["state"] == "proposed"
    assert proposed["decision"]["rows"] == 1
    assert [(one["rows"], one["imported"]) for one in proposed["consequences"]] == [(1, True)]
    preview = {"preview": proposed["decision"]["preview"]}
    refused = post(client, case, "approve", preview)
    assert refused.status_code == 403

    client.force_login(team.approver)
    decided = post(client, case, "approve", preview).json()
    assert (decided["state"], decided["decision"]["approver"]) == ("decided", team.approver.username)
    assert post(client, case, "approve", preview).status_code == 409
    items = get(client, "api-case-items", case.number).json()["results"]
    assert [item["outcome"] for item in items] == ["remove", "reject", "not_found"]
    assert [item["rows"] for item in items] == [1, 1, 0]


def test_items_and_locations_are_masked_filtered_and_paged(client: Client, team: Team, case: Case) -> None:
    client.force_login(team.staff)
    located = get(client, "api-case-items", case.number, show="located", page_size="1").json()
    assert (located["count"], len(located["results"])) == (2, 1)
    rows = get(client, "api-case-locations", case.number).json()
    assert [(row["position"], row["rows"]) for row in rows["results"]] == [(1, 1), (2, 1)]
    for text in (str(located), str(rows)):
        assert "https://img.example.com/… " in text
        assert "1.jpg" not in text
    assert get(client, "api-case-items", case.number, show="nonsense").status_code == 400


def test_the_list_filters_as_the_queue_does(client: Client, team: Team, case: Case) -> None:
    client.force_login(team.staff)
    assert get(client, "api-case-list", queue="unclaimed").json()["count"] == 1
    post(client, case, "claim")
    assert get(client, "api-case-list", queue="unclaimed").json()["count"] == 0
    mine = get(client, "api-case-list", queue="mine").json()["results"]
    assert [(row["number"], row["items"], row["rows"], row["claimed_by"]) for row in mine] == [
        (case.number, 3, 2, team.staff.username)
    ]
    assert client.delete(reverse("api-case-claim", args=[case.number])).json()["claimed_by"] is None
    assert get(client, "api-case-list", queue="nonsense").status_code == 400


def test_the_next_case_is_claimed_or_there_is_none(client: Client, team: Team, case: Case) -> None:
    client.force_login(team.staff)
    assert client.post(reverse("api-case-next")).json()["number"] == case.number
    assert client.post(reverse("api-case-next")).status_code == 204


def test_marking_locating_returning_and_merging(client: Client, team: Team, case: Case) -> None:
    client.force_login(team.staff)
    first = Item.objects.get(position=1).pk
    marked = post(client, case, "items-mark", {"items": [first], "outcome": "reject", "note": "Ours."})
    assert marked.json()["rows"] == 1
    assert post(client, case, "locate").status_code == 200
    into = make_case(case.dataset, ["id:1"])
    assert post(client, case, "merge", {"into": into.number}).json()["number"] == into.number
    run_jobs()
    client.force_login(team.maintainer)
    post(client, into, "claim")
    assert post(client, into, "propose", {"statement": "x", "summary": "x"}).status_code == 200
    client.force_login(team.approver)
    assert (
        post(client, into, "return", {"reason": "Once more."}).json()["decision"]["return_reason"]
        == "Once more."
    )


@pytest.mark.parametrize("who", ["stranger", "superuser", "other approver"])
def test_a_case_of_others_does_not_exist(client: Client, case: Case, who: str) -> None:
    client.force_login(
        make_member(make_organisation(), Role.APPROVER)
        if who == "other approver"
        else make_user(is_superuser=who == "superuser")
    )
    assert get(client, "api-case-list").json()["count"] == 0
    for name in ("detail", "items", "locations"):
        assert get(client, f"api-case-{name}", case.number).status_code == 404
    for name, data in ACTS.items():
        assert post(client, case, name, data).status_code == 404


def test_who_is_not_signed_in_reads_and_does_nothing(client: Client, case: Case) -> None:
    assert get(client, "api-case-list").status_code in {401, 403}
    for name in ("detail", "items", "locations"):
        assert get(client, f"api-case-{name}", case.number).status_code in {401, 403}
    for name, data in ACTS.items():
        assert post(client, case, name, data).status_code in {401, 403}


@pytest.mark.parametrize(
    ("act", "data"),
    [
        ("propose", {}),
        ("propose", []),
        ("propose", {"statement": "x", "summary": "x", "default": "invalid"}),
        ("propose", {"statement": "x", "summary": "x", "keep": {"1": "x"}}),
        ("propose", {"statement": "x", "summary": "x", "keep": [{"item": "x", "note": "y"}]}),
        ("approve", {}),
        ("return", {"reason": ""}),
        ("items-mark", {"items": [], "outcome": "reject"}),
        ("items-mark", {"items": [1], "outcome": "remove"}),
        ("merge", {}),
    ],
)
def test_a_body_of_the_wrong_shape_is_refused(
    client: Client, team: Team, case: Case, act: str, data: object
) -> None:
    client.force_login(team.maintainer)
    post(client, case, "claim")
    answer = client.post(
        reverse(f"api-case-{act}", args=[case.number]), json.dumps(data), content_type="application/json"
    )
    assert answer.status_code == 400


def test_a_refusal_says_why(client: Client, team: Team, case: Case) -> None:
    client.force_login(team.maintainer)
    answer = post(client, case, "propose", {"statement": "x", "summary": "x"})
    assert answer.status_code == 409
    assert "claim it and review it" in answer.json()["detail"]


def test_a_session_needs_the_token_too(team: Team, case: Case) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(team.staff)
    assert post(strict, case, "claim").status_code == 403


def test_one_case_takes_few_queries(
    client: Client, team: Team, case: Case, django_assert_max_num_queries: Any
) -> None:
    client.force_login(team.staff)
    with django_assert_max_num_queries(8):
        get(client, "api-case-detail", case.number)
    with django_assert_max_num_queries(8):
        get(client, "api-case-items", case.number)
