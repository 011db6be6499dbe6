"""`report_create`: what is taken in, what becomes of each line, and what is refused with nothing kept."""

from __future__ import annotations

from datetime import timedelta

import pytest

from expunge.keys import KeyKind
from registry.auditlog.models import AuditEntry
from registry.jobs.models import Job
from registry.lib.errors import Refused
from registry.lib.ids import secret_digest
from takedowns.cases.models import Case
from takedowns.cases.states import CaseState
from takedowns.reports.models import Category, Item, Outcome, Report
from takedowns.reports.services import MAX_ITEMS, MAX_KEY_BYTES, MAX_LINE, report_create
from tests.factories import make_dataset, make_version
from tests.factories_takedowns import make_category, make_report

pytestmark = pytest.mark.django_db


def outcomes(report: Report) -> list[tuple[int, str]]:
    return list(report.items.values_list("position", "outcome"))


def test_it_takes_an_anonymous_report_and_opens_a_case_whose_items_will_be_located() -> None:
    report, secret = make_report(
        lines=["https://img.example.com/1.jpg", "host:img.example.com", "md5:" + "a" * 32]
    )
    case = report.cases.get()
    assert report.number.startswith("RPT-")
    assert case.number.startswith("CASE-")
    assert (case.state, case.dataset, case.due_at) == (CaseState.OPEN, report.dataset, report.due_at)
    assert bytes(report.token_digest) == secret_digest(secret)
    assert secret not in str(Report.objects.values())
    assert list(report.items.values_list("kind", flat=True)) == [KeyKind.URL_C1, KeyKind.HOST, KeyKind.MD5]
    assert Job.objects.get().kind == "case_locate"
    assert Job.objects.get().subject_id == case.pk


def test_its_clock_is_that_of_its_category() -> None:
    report, _ = make_report(category="poisoning")
    assert report.due_at - report.created_at == timedelta(hours=24)


def test_the_log_holds_numbers_and_no_item_and_no_word_of_the_reporter() -> None:
    make_report(description="My private words", contact_name="Ann", contact_email="ann@example.org")
    log = str(list(AuditEntry.objects.values_list("action", "data")))
    assert "report_create" in log
    assert "case_open" in log
    for secret in ("private", "Ann", "ann@", "example.com"):
        assert secret not in log


def test_a_line_that_cannot_be_read_stays_with_its_reason_and_a_repeated_one_names_the_first() -> None:
    lines = ["https://a.example.com/1", "", "not a url", "md5:xyz", "HTTPS://a.example.com:443/1#top", "  "]
    report, _ = make_report(lines=lines)
    assert outcomes(report) == [(1, "pending"), (3, "invalid"), (4, "invalid"), (5, "duplicate")]
    third, fourth, fifth = report.items.order_by("position")[1:]
    assert "neither a URL nor KIND:VALUE" in third.note
    assert "md5" in fourth.note
    assert fifth.note == "The same as line 1."
    assert third.key is None
    assert (report.items_total, report.items_readable) == (4, 1)


def test_an_over_long_line_and_characters_that_nothing_can_hold_are_invalid() -> None:
    report, _ = make_report(
        lines=[
            "https://a.example.com/" + "x" * MAX_LINE,
            "https://a.example.com/\0",
            "https://a.example.com/\ud800",
            "id:" + "7" * (MAX_KEY_BYTES + 1),
            "id:7",
        ]
    )
    assert [outcome for _, outcome in outcomes(report)] == ["invalid"] * 4 + ["pending"]
    assert len(report.items.get(position=1).value) == MAX_LINE


@pytest.mark.parametrize("lines", [[], ["", "  "], ["nonsense", "md5:1"]])
def test_it_refuses_a_report_that_names_nothing_readable(lines: list[str]) -> None:
    with pytest.raises(Refused):
        make_report(lines=lines)
    assert not Report.objects.exists()
    assert not Item.objects.exists()


def test_it_says_why_the_first_line_cannot_be_read() -> None:
    with pytest.raises(Refused, match=r"None of the 2 lines could be read\. Line 1: This entry"):
        make_report(lines=["nonsense", "md5:1"])


def test_it_takes_100_000_lines_in_few_queries(django_assert_max_num_queries: pytest.FixtureRequest) -> None:
    dataset, category = make_version().dataset, make_category()
    with django_assert_max_num_queries(60):  # type: ignore[operator]  # pytest-django's fixture
        report, _ = report_create(
            actor=None,
            dataset=dataset,
            category=category,
            description="Many.",
            lines=(f"https://img.example.com/{n}.jpg" for n in range(MAX_ITEMS)),
        )
    assert report.items_readable == report.items.count() == MAX_ITEMS


def test_it_refuses_100_001_lines_and_keeps_none() -> None:
    with pytest.raises(Refused, match="at most 100,000 items"):
        make_report(lines=[f"id:{n}" for n in range(MAX_ITEMS + 1)])
    assert not Item.objects.exists()


@pytest.mark.parametrize("slug", ["privacy", "intimate_image", "copyright", "child_safety"])
def test_it_refuses_what_this_site_cannot_take_and_says_where_to_turn(slug: str) -> None:
    with pytest.raises(Refused, match="does not yet take reports of this kind") as refused:
        make_report(category=slug)
    assert "Nothing that you sent was kept" in str(refused.value)
    assert not Report.objects.exists()
    assert not Case.objects.exists()
    assert not AuditEntry.objects.exists()


def test_a_child_safety_report_is_sent_to_a_hotline_without_the_address() -> None:
    with pytest.raises(Refused) as refused:
        make_report(category="child_safety")
    assert "Do not send us the address" in str(refused.value)
    assert "inhope.org" in str(refused.value)


def test_an_operators_own_category_that_is_not_open_is_refused_too() -> None:
    made = Category.objects.create(slug="own", label="Own kind", help="", sensitivity="sealed", clock_hours=1)
    with pytest.raises(Refused, match="own kind"):
        report_create(actor=None, dataset=make_dataset(), category=made, description="x", lines=["id:1"])


def test_it_refuses_versions_of_another_dataset() -> None:
    with pytest.raises(Refused, match="another dataset"):
        make_report(versions=[make_version()])
    assert not Report.objects.exists()


def test_it_keeps_the_versions_that_were_named() -> None:
    version = make_version()
    report, _ = make_report(version.dataset, versions=[version])
    assert list(report.versions.all()) == [version]


def test_a_failure_while_the_case_opens_keeps_nothing_and_uses_up_no_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dataset = make_version().dataset

    def fail(_report: Report) -> None:
        raise RuntimeError

    monkeypatch.setattr("takedowns.reports.services.hooks.report_created", [fail])
    with pytest.raises(RuntimeError):
        make_report(dataset)
    assert not Item.objects.exists()
    monkeypatch.undo()
    report, _ = make_report(dataset)
    assert report.number.endswith("-0001")


def test_two_reports_have_different_secrets_and_following_numbers() -> None:
    dataset = make_version().dataset
    (first, one), (second, two) = make_report(dataset), make_report(dataset)
    assert one != two
    assert int(second.number[-4:]) == int(first.number[-4:]) + 1
    assert first.items.get().outcome == Outcome.PENDING


def named(report: Report) -> list[tuple[str, str, str]]:
    return list(report.items.values_list("target", "column", "outcome"))


def test_a_line_may_name_a_cell_or_an_element() -> None:
    url = "https://a.example.com/1"
    lines = [
        url,
        f"cell:caption {url}",
        f'CELL: "alt text"  md5:{"a" * 32}',
        f"element:{url}",
        f"cell:author {url}",
        f"cell:caption   {url}#top",
    ]
    report, _ = make_report(lines=lines)
    assert named(report) == [
        ("row", "", "pending"),
        ("cell", "caption", "pending"),
        ("cell", "alt text", "pending"),
        ("element", "", "pending"),
        ("cell", "author", "pending"),
        ("cell", "caption", "duplicate"),
    ]
    assert report.items.values("kind", "key").distinct().count() == 2


@pytest.mark.parametrize(
    "line",
    [
        "cell:",
        "cell:caption",
        "cell:caption ",
        'cell:"" https://a.example.com/1',
        'cell:" " https://a.example.com/1',
        "cell:caption nonsense",
        f"cell:{'x' * 201} https://a.example.com/1",
        "cell: https://a.example.com/1 https://a.example.com/1",
        'cell:"see https://a.example.com/1" https://a.example.com/1',
        "cell:\u202enoitpac https://a.example.com/1",
        "element:",
        "element:nonsense",
        "element:cell:caption https://a.example.com/1",
    ],
)
def test_a_cell_or_element_that_is_named_badly_is_an_unreadable_line(line: str) -> None:
    report, _ = make_report(lines=["https://a.example.com/1", line])
    assert named(report)[1] == ("row", "", "invalid")
    assert report.items.get(position=2).note


def test_a_refusal_names_the_line_where_it_stands() -> None:
    with pytest.raises(Refused, match=r"None of the 2 lines could be read\. Line 2 of the pasted text"):
        make_report(lines=["", "nonsense"], file_lines=["nothing"])
    with pytest.raises(Refused, match=r"The only line could not be read\. Line 3 of the file"):
        make_report(lines=[""], file_lines=["", "", "nonsense"])
