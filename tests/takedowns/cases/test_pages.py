"""The queue and the case page: who sees them, what they show, what their buttons do."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.staticfiles import finders
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from registry.accounts.models import Role
from takedowns.cases import services
from takedowns.cases.models import Case
from takedowns.cases.states import CaseState
from takedowns.reports.models import Item
from tests.factories import make_member, make_organisation, make_user
from tests.factories_takedowns import Team, make_case, make_dataset_of, make_proposed, make_report

pytestmark = pytest.mark.django_db

SCRIPT = "<script>alert(1)</script>"
LINES = [
    "https://img.example.com/1.jpg?name=secret",
    "https://img.example.com/2.jpg",
    "host:nowhere.example.com",
    "nonsense",
]
ACTS = ["claim", "release-claim", "locate", "items", "propose", "approve", "return", "merge"]


@pytest.fixture
def case(team: Team) -> Case:
    dataset, _ = make_dataset_of(team)
    return make_case(dataset, LINES, description=SCRIPT)


def page(client: Client, url: str) -> str:
    answer = client.get(url)
    assert answer.status_code == 200
    return str(answer.content.decode())


def detail(case: Case) -> str:
    return reverse("case_detail", args=[case.number])


def act(client: Client, case: Case, name: str, data: dict[str, Any] | None = None) -> Any:
    return client.post(f"{detail(case)}{name}/", data or {})


# Who


def test_who_is_not_signed_in_is_sent_to_sign_in(client: Client, case: Case) -> None:
    for url in (reverse("queue"), detail(case)):
        answer = client.get(url)
        assert answer.status_code == 302
        assert "/sign-in/" in answer["Location"]
    for name in ACTS:
        assert act(client, case, name).status_code == 302


@pytest.mark.parametrize("who", ["stranger", "superuser", "member of another organisation"])
def test_a_case_of_others_does_not_exist(client: Client, case: Case, who: str) -> None:
    user = make_user(is_superuser=who == "superuser", is_staff=who == "superuser")
    if who.startswith("member"):
        user = make_member(make_organisation(), Role.APPROVER)
        client.force_login(user)
        assert case.number not in page(client, reverse("queue"))
    else:
        client.force_login(user)
        assert client.get(reverse("queue")).status_code == 404
    assert client.get(detail(case)).status_code == 404
    for name in ACTS:
        assert act(client, case, name).status_code == 404


def test_an_act_needs_the_token_of_the_page(team: Team, case: Case) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(team.staff)
    assert act(strict, case, "claim").status_code == 403
    assert Case.objects.get().state == CaseState.OPEN


def test_an_act_cannot_be_done_by_following_a_link(client: Client, team: Team, case: Case) -> None:
    client.force_login(team.staff)
    for name in ACTS:
        assert client.get(f"{detail(case)}{name}/").status_code == 405


# Queue


def test_the_queue_counts_and_filters(client: Client, team: Team, case: Case) -> None:
    late = make_case(case.dataset)
    Case.objects.filter(pk=late.pk).update(due_at=timezone.now())
    proposed = make_case(case.dataset)
    make_proposed(team, proposed)
    services.case_claim(actor=team.staff, case=late)
    client.force_login(team.staff)
    queue = reverse("queue")
    assert "3 cases are open, 1 overdue, 1 waiting for a second person" in page(client, queue)
    shown = {
        name: {
            number
            for number in (case.number, late.number, proposed.number)
            if number in page(client, f"{queue}?queue={name}")
        }
        for name in ("open", "mine", "unclaimed", "second", "overdue", "closed")
    }
    assert shown == {
        "open": {case.number, late.number, proposed.number},
        "mine": {late.number},
        "unclaimed": {case.number},
        "second": {proposed.number},
        "overdue": {late.number},
        "closed": set(),
    }


def test_the_queue_finds_a_case_by_number_report_and_dataset(client: Client, team: Team, case: Case) -> None:
    other, _ = make_dataset_of(team)
    hidden = make_case(other)
    client.force_login(team.staff)
    for text in (case.number, case.reports.get().number, case.dataset.slug.upper()):
        found = page(client, f"{reverse('queue')}?q={text}")
        assert case.number in found
        assert hidden.number not in found
    for text in ("nothing", "%00", "' OR 1=1 --"):
        assert detail(case) not in page(client, f"{reverse('queue')}?q={text}")


@pytest.mark.parametrize(
    "query", ["queue=nonsense", "page=0", "page=999999999999999999999", "queue=%00", "q=%F0%9F%A6%86"]
)
def test_a_strange_query_breaks_nothing(client: Client, team: Team, case: Case, query: str) -> None:
    client.force_login(team.staff)
    page(client, f"{reverse('queue')}?{query}")
    page(client, f"{detail(case)}?{query.replace('queue', 'show')}")


def test_the_queue_takes_as_many_queries_for_many_cases_as_for_one(
    client: Client, team: Team, case: Case, django_assert_max_num_queries: Any
) -> None:
    client.force_login(team.staff)
    with django_assert_max_num_queries(9):
        page(client, reverse("queue"))
    for _ in range(5):
        make_report(case.dataset)
    with django_assert_max_num_queries(9):
        page(client, reverse("queue"))


def test_the_next_case_is_claimed_and_shown(client: Client, team: Team, case: Case) -> None:
    client.force_login(team.staff)
    answer = client.post(reverse("case_next"))
    assert answer["Location"] == detail(case)
    assert Case.objects.get().claimed_by == team.staff
    answer = client.post(reverse("case_next"), follow=True)
    assert "No case waits for you" in answer.content.decode()


# Case


def test_a_case_shows_what_was_reported_and_located_with_every_value_masked(
    client: Client, team: Team, case: Case
) -> None:
    client.force_login(team.staff)
    shown = page(client, detail(case))
    key = bytes(Item.objects.get(position=2).key or b"").hex()
    assert f"https://img.example.com/… {key[:12]}" in shown
    assert "2.jpg" not in shown
    assert "secret" not in shown
    assert "Removes 1 row" in shown
    assert "1 of 4 items located, 2 found nowhere, 0 kept, 0 redacted, 1 unreadable or repeated" in shown
    assert "These are" not in shown


def test_what_a_reporter_wrote_is_escaped(client: Client, team: Team, case: Case) -> None:
    client.force_login(team.staff)
    shown = page(client, detail(case))
    assert SCRIPT not in shown
    assert "&lt;script&gt;alert(1)" in shown


def test_its_items_filter_by_what_was_found(client: Client, team: Team, case: Case) -> None:
    client.force_login(team.staff)
    for name, lines in {"located": [2], "unlocated": [1, 3], "unreadable": [4], "kept": []}.items():
        shown = page(client, f"{detail(case)}?show={name}")
        for line in range(1, 5):
            assert (f"line {line}, RPT-" in shown) == (line in lines)


def test_a_large_case_takes_no_more_queries_than_a_small_one(
    client: Client, team: Team, django_assert_max_num_queries: Any
) -> None:
    dataset, _ = make_dataset_of(team)
    small = make_case(dataset)
    large = make_case(
        dataset, ["host:img.example.com", *(f"https://img.example.com/{n}.jpg" for n in range(3_000))]
    )
    client.force_login(team.maintainer)
    for one in (small, large):
        with django_assert_max_num_queries(28):
            shown = page(client, detail(one))
    assert "Items 1\u201350 of 3,001" in shown


def test_the_whole_way_by_its_buttons(client: Client, team: Team, case: Case) -> None:
    client.force_login(team.maintainer)
    assert act(client, case, "claim").status_code == 302
    second = Item.objects.get(position=2)
    assert (
        act(client, case, "items", {"items": [second.pk], "outcome": "reject", "note": "Ours."}).status_code
        == 302
    )
    assert "Removes no row" in page(client, detail(case))
    assert act(client, case, "items", {"items": [second.pk], "outcome": "pending"}).status_code == 302
    words = {
        "propose-default": "remove",
        "propose-statement": "Your <b>pictures</b>.",
        "propose-summary": "Opted out.",
    }
    assert act(client, case, "propose", words).status_code == 302
    shown = page(client, detail(case))
    assert "somebody else must approve" in shown
    assert "Approve removal" not in shown
    assert "&lt;b&gt;" in shown

    client.force_login(team.approver)
    shown = page(client, detail(case))
    assert "Approve removal of 1 row" in shown
    preview = case.decisions.get().preview
    assert preview in shown
    assert act(client, case, "return", {"return-reason": "Once more."}).status_code == 302
    assert "Once more." in page(client, detail(case))

    client.force_login(team.maintainer)
    act(client, case, "claim")
    act(client, case, "propose", words)
    client.force_login(team.approver)
    preview = case.decisions.get(returned_at=None).preview
    assert act(client, case, "approve", {"preview": preview}).status_code == 302
    assert Case.objects.get().state == CaseState.DECIDED
    shown = page(client, detail(case))
    assert "Will remove 1 row" in shown
    assert "Decision approved by a second person" in shown


def test_the_proposer_who_sends_the_approval_anyway_is_refused(
    client: Client, team: Team, case: Case
) -> None:
    services.case_claim(actor=team.approver, case=case)
    decision = services.case_propose(actor=team.approver, case=case, statement="x", summary="x")
    client.force_login(team.approver)
    refused = act(client, case, "approve", {"preview": decision.preview})
    assert refused.status_code == 403
    assert "You proposed this decision, so another approver must approve it." in refused.content.decode()
    assert Case.objects.get().state == CaseState.PROPOSED


def test_staff_who_send_a_proposal_anyway_are_refused(client: Client, team: Team, case: Case) -> None:
    client.force_login(team.staff)
    act(client, case, "claim")
    words = {"propose-default": "remove", "propose-statement": "x", "propose-summary": "x"}
    assert act(client, case, "propose", words).status_code == 403


@pytest.mark.parametrize(
    "attempt",
    [
        (
            "propose",
            {"propose-default": "remove", "propose-summary": "Kept words"},
            400,
            "Write the statement of reasons",
        ),
        (
            "propose",
            {"propose-default": "invalid", "propose-statement": "x", "propose-summary": "x"},
            400,
            "Select a valid",
        ),
        (
            "propose",
            {"propose-default": "reject", "propose-statement": "x", "propose-summary": "x"},
            409,
            "Say why",
        ),
        ("items", {"outcome": "reject", "note": "x"}, 400, "Tick at least one item"),
        ("items", {"items": ["x"], "outcome": "reject", "note": "x"}, 400, "Select a valid choice"),
        ("items", {"items": ["999999999"], "outcome": "reject", "note": "x"}, 409, "not items of"),
        ("items", {"items": ["1"], "outcome": "reject"}, 409, "Say why"),
        ("approve", {}, 400, "required"),
        ("approve", {"preview": "0" * 64}, 409, "no proposal to approve"),
        ("return", {}, 400, "Say why it is returned"),
        ("return", {"return-reason": "x"}, 409, "no proposal to approve"),
        ("merge", {"merge-into": "CASE-1999-0001"}, 409, "There is no case of this number"),
        ("merge", {}, 400, "number of the other case"),
        ("release-claim", {}, 409, "You do not hold"),
    ],
)
def test_what_is_wrong_is_said_on_the_case(
    client: Client, team: Team, case: Case, attempt: tuple[str, dict[str, Any], int, str]
) -> None:
    name, data, status, said = attempt
    client.force_login(team.maintainer)
    if name != "release-claim":
        act(client, case, "claim")
    answer = act(client, case, name, data)
    assert answer.status_code == status
    assert said in answer.content.decode()
    assert Case.objects.get().state in {CaseState.IN_REVIEW, CaseState.OPEN}


def test_a_case_that_somebody_else_holds_offers_no_claim(client: Client, team: Team, case: Case) -> None:
    services.case_claim(actor=team.staff, case=case)
    client.force_login(team.maintainer)
    shown = page(client, detail(case))
    assert "Claim this case" not in shown
    assert str(team.staff) in shown
    assert act(client, case, "claim").status_code == 409


def test_a_merged_case_says_where_it_went(client: Client, team: Team, case: Case) -> None:
    into = make_case(case.dataset)
    client.force_login(team.staff)
    assert act(client, case, "merge", {"merge-into": into.number.lower()}).status_code == 302
    assert into.number in page(client, detail(case))


def test_the_keys_of_the_queue_have_their_script(client: Client, team: Team) -> None:
    client.force_login(team.staff)
    assert "js/queue.js" in page(client, reverse("queue"))
    assert finders.find("js/queue.js")
