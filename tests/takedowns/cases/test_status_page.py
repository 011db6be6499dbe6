"""What a reporter sees behind the secret link, page and API, at every stage."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
import time_machine
from django.urls import reverse
from django.utils import timezone

from takedowns.cases import services
from takedowns.removals.services import removal_publish
from takedowns.reports.models import Item
from tests.factories import run_jobs
from tests.factories_takedowns import Team, make_dataset_of, make_proposed, make_report

if TYPE_CHECKING:
    from django.test import Client

    from takedowns.cases.models import Case

pytestmark = pytest.mark.django_db

LINES = [
    "https://img.example.com/1.jpg?secret",
    "https://img.example.com/2.jpg",
    "nonsense",
    "https://img.example.com/2.jpg",
]


def start(team: Team) -> tuple[Case, str]:
    dataset, _ = make_dataset_of(team)
    report, secret = make_report(dataset, LINES)
    run_jobs()
    return report.cases.get(), secret


def page(client: Client, secret: str) -> str:
    answer = client.get(reverse("report_status", args=[secret]))
    assert answer.status_code == 200
    return str(answer.content.decode())


def api(client: Client, secret: str) -> dict[str, Any]:
    answer = client.get(reverse("api-report-status"), headers={"Report-Secret": secret})
    assert answer.status_code == 200
    assert answer["Cache-Control"] == "no-store"
    status: dict[str, Any] = answer.json()
    return status


def test_it_says_at_every_stage_where_the_report_stands_and_no_outcome_before_the_decision(
    client: Client, team: Team
) -> None:
    case, secret = start(team)
    assert "Received, waiting for someone to take it up" in page(client, secret)
    assert api(client, secret)["outcomes"] == {"pending": 2, "invalid": 1, "duplicate": 1}

    services.case_claim(actor=team.maintainer, case=case)
    assert "Being reviewed" in page(client, secret)

    decision = make_proposed(team, case, keep={Item.objects.get(position=2).pk: "A public work."})
    shown = page(client, secret)
    assert "A decision is proposed" in shown
    for hidden in ("A public work", "They are yours", "In no version", team.maintainer.username):
        assert hidden not in shown
    assert api(client, secret)["outcomes"]["pending"] == 2

    services.case_approve(actor=team.approver, case=case, preview=decision.preview)
    shown = page(client, secret)
    assert "nothing is removed" in shown
    assert "A public work." in shown
    assert "They are yours." in shown
    assert team.approver.username not in shown
    assert api(client, secret)["outcomes"] == {"reject": 1, "not_found": 1, "invalid": 1, "duplicate": 1}


def test_it_says_what_is_removed_and_then_that_it_is_done_with_the_advisory(
    client: Client, team: Team
) -> None:
    case, secret = start(team)
    decision = make_proposed(team, case)
    case = services.case_approve(actor=team.approver, case=case, preview=decision.preview)
    assert "the rows of 1 item will be removed" in page(client, secret)
    assert case.removal is not None
    removal = removal_publish(actor=team.maintainer, removal=case.removal)
    case.removal.affected.all().delete()  # as if each base had its release
    services.case_executed(actor=None, case=case)
    assert "Done: the rows of 1 item are out" in page(client, secret)
    assert api(client, secret)["advisory"] == removal.advisory_id


def test_it_says_when_it_is_late(client: Client, team: Team) -> None:
    case, secret = start(team)
    with time_machine.travel(timezone.now() + timedelta(hours=73)):
        assert "and is late" in page(client, secret)
        assert api(client, secret)["late"]
    assert case.state == "open"


def test_it_follows_a_report_into_another_case(client: Client, team: Team) -> None:
    case, secret = start(team)
    other, _ = make_report(case.dataset, ["id:1"])
    services.case_merge(actor=team.staff, case=case, into=other.cases.get())
    assert "Received" in page(client, secret)


def test_it_lists_the_items_masked(client: Client, team: Team) -> None:
    _, secret = start(team)
    shown = page(client, secret)
    rows = client.get(reverse("api-report-status-items"), headers={"Report-Secret": secret}).json()
    assert rows["count"] == 4
    assert [row["outcome"] for row in rows["results"]] == ["pending", "pending", "invalid", "duplicate"]
    for text in (shown, str(rows)):
        assert "https://img.example.com/… " in text
        assert "secret" not in text.replace(secret, "").replace("Report-Secret", "").replace(
            "it is secret", ""
        ).replace("the secret as header", "")
        assert "1.jpg" not in text


def test_the_link_is_cached_nowhere_and_told_to_nobody(client: Client, team: Team) -> None:
    _, secret = start(team)
    answer = client.get(reverse("report_status", args=[secret]))
    assert "no-store" in answer["Cache-Control"]
    assert answer["Referrer-Policy"] == "no-referrer"
    assert answer["X-Robots-Tag"] == "noindex, nofollow"


@pytest.mark.parametrize("guess", ["x", "RPT-2026-0001", "a" * 32, "ü", "%2e%2e"])
def test_without_the_secret_there_is_nothing(client: Client, team: Team, guess: str) -> None:
    start(team)
    assert client.get(f"/status/{guess}/").status_code == 404
    for name in ("api-report-status", "api-report-status-items"):
        assert client.get(reverse(name)).status_code == 404
        assert client.get(reverse(name), {"secret": guess}).status_code == 404


def test_the_secret_does_not_reach_the_log(
    client: Client, team: Team, caplog: pytest.LogCaptureFixture
) -> None:
    _, secret = start(team)
    page(client, secret)
    api(client, secret)
    assert secret not in caplog.text


def test_each_line_is_named_where_the_reporter_wrote_it(client: Client, team: Team) -> None:
    dataset, _ = make_dataset_of(team)
    _, secret = make_report(dataset, LINES[:1], file_lines=LINES)
    shown = page(client, secret)
    assert '<th scope="row">Line 1 of the pasted text</th>' in shown
    assert '<th scope="row">Line 4 of the file</th>' in shown
    assert "The same as line 2 of the file." in shown
    items = client.get(reverse("api-report-status-items"), headers={"Report-Secret": secret}).json()[
        "results"
    ]
    assert [one["place"] for one in items][:2] == ["line 1 of the pasted text", "line 1 of the file"]
