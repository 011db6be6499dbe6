from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import time_machine
from django.urls import reverse

from takedowns.cases.models import Case
from takedowns.releases import services
from takedowns.removals.models import Removal
from takedowns.reports.models import Category, Report
from takedowns.transparency.statistics import statistics
from tests.factories import run_jobs
from tests.factories_takedowns import make_case, make_category, make_proposed, make_removal, make_report

if TYPE_CHECKING:
    from django.test import Client

    from takedowns.releases.models import Release
    from tests.takedowns.released import Setting

pytestmark = pytest.mark.django_db

START = datetime(2026, 9, 15, 12, tzinfo=UTC)


def report_decided_after(hours: float | None, at: datetime = START, category: str = "opt_out") -> Report:
    """A report of one item; its case is decided so many hours later."""
    report, _ = make_report(category=category)
    Report.objects.filter(pk=report.pk).update(created_at=at)
    if hours is not None:
        Case.objects.filter(reports=report).update(decided_at=at + timedelta(hours=hours))
    return report


def test_nothing_is_counted_on_an_empty_site() -> None:
    found = statistics()
    assert (found.total.reports, found.total.to_decision.count, found.total.to_decision.median) == (
        0,
        0,
        None,
    )
    assert (found.months, found.categories, found.other_reports, found.rows_removed) == ([], [], None, 0)


def test_times_are_the_median_and_the_ninetieth_percentile() -> None:
    for hours in (1, 2, 3, 4, 10):
        report_decided_after(hours)
    report_decided_after(None)
    times = statistics().total.to_decision
    assert (times.count, times.median, times.p90) == (5, timedelta(hours=3), timedelta(hours=7.6))


def test_each_open_category_has_its_own_figures() -> None:
    report_decided_after(2)
    report_decided_after(4, category="licence")
    report_decided_after(None, category="licence")
    rows = {row.label: row for row in statistics().categories}
    licence = rows[make_category("licence").label]
    assert (licence.reports, licence.items, licence.to_decision.count, licence.to_decision.median) == (
        2, 2, 1, timedelta(hours=4),
    )  # fmt: skip


@pytest.mark.parametrize(("count", "shown"), [(4, None), (5, 5)])
def test_few_reports_of_other_sensitivity_are_not_told(count: int, shown: int | None) -> None:
    make_category("privacy")
    report_decided_after(1)
    for _ in range(count):
        report = report_decided_after(1)
        Report.objects.filter(pk=report.pk).update(category=Category.objects.get(slug="privacy"))
    found = statistics()
    assert found.other_reports == shown
    assert found.total.reports == 1
    assert [row.label for row in found.categories] == [make_category("opt_out").label]
    assert sum(month.reports for month in found.months) == 1


def test_months_are_calendar_months_and_none_is_left_out() -> None:
    report_decided_after(24 * 20, at=datetime(2026, 8, 31, 23, 59, tzinfo=UTC))
    report_decided_after(None, at=datetime(2026, 10, 1, tzinfo=UTC))
    with time_machine.travel(datetime(2026, 11, 3, tzinfo=UTC), tick=False):
        months = statistics().months
    assert [(f"{row.month:%Y-%m}", row.reports, row.decided) for row in months] == [
        ("2026-08", 1, 0), ("2026-09", 0, 1), ("2026-10", 1, 0), ("2026-11", 0, 0),
    ]  # fmt: skip


def test_a_published_release_is_counted_once_for_its_base(setting: Setting, published: Release) -> None:
    found = statistics()
    assert (found.rows_removed, found.releases, found.advisories) == (2, 1, 1)
    assert (found.total.items, found.total.decided, found.total.removed) == (3, 3, 2)
    assert found.total.to_publication.count == 1
    removal = Removal.objects.get()
    case = Case.objects.get(removal=removal)
    assert removal.published_at is not None
    assert case.decided_at is not None
    assert found.total.to_publication.median == removal.published_at - case.decided_at


def test_the_api_gives_the_same_figures(setting: Setting, published: Release, client: Client) -> None:
    found: dict[str, Any] = client.get(reverse("api-statistics")).json()
    assert (found["total"]["reports"], found["rows_removed"], found["cells_redacted"]) == (1, 2, 0)
    assert isinstance(found["total"]["to_decision"]["median"], float)


def test_redacted_cells_are_counted_apart_from_removed_rows(setting: Setting, client: Client) -> None:
    lines = ["https://img.example.com/1.jpg", "cell:text https://img.example.com/2.jpg",
             "cell:md5 https://img.example.com/2.jpg", "cell:text https://img.example.com/3.jpg"]  # fmt: skip
    empty = statistics()
    assert (empty.cells_redacted, empty.total.redacted) == (0, 0)
    make_removal(setting.team, setting.dataset, lines)
    unpublished = statistics()
    assert (unpublished.cells_redacted, unpublished.total.redacted) == (0, 3)
    release_published(setting)
    found = statistics()
    assert (found.rows_removed, found.cells_redacted) == (2, 3)
    assert (found.total.removed, found.total.redacted, found.total.decided) == (3, 3, 7)
    # A second release of the same base counts nothing twice.
    make_removal(setting.team, setting.dataset, ["cell:text https://img.example.com/4.jpg"])
    release_published(setting)
    found = statistics()
    assert (found.rows_removed, found.cells_redacted, found.total.redacted) == (2, 4, 4)
    told: dict[str, Any] = client.get(reverse("api-statistics")).json()
    assert (told["cells_redacted"], told["total"]["redacted"]) == (4, 4)
    assert [row["redacted"] for row in told["categories"]] == [4]
    page = client.get(reverse("transparency")).content.decode()
    assert "2 rows and 4 cells of rows that stay are out of published releases." in page
    assert "in rows that stay 4 cells are redacted" in page
    assert "3 to be removed, 4 to be redacted; the others kept" in page


def test_what_one_person_proposes_to_redact_is_not_counted(setting: Setting) -> None:
    make_proposed(setting.team, make_case(setting.dataset, ["cell:text https://img.example.com/2.jpg"]))
    assert statistics().total.redacted == 0


def release_published(setting: Setting) -> Release:
    release = services.release_build(actor=setting.team.maintainer, base=setting.base)
    run_jobs()
    release.refresh_from_db()
    return services.release_publish(actor=setting.team.maintainer, release=release)


def test_the_csv_has_the_months(client: Client) -> None:
    report_decided_after(1, at=datetime.now(UTC))
    lines = client.get(reverse("transparency_csv")).content.decode().splitlines()
    assert lines == ["month,reports,reports_decided,advisories_published", f"{datetime.now(UTC):%Y-%m},1,1,0"]


def test_the_page_takes_the_same_queries_for_any_number(
    client: Client, django_assert_max_num_queries: Any
) -> None:
    for hours in range(4):
        report_decided_after(hours, category="opt_out" if hours % 2 else "licence")
    with django_assert_max_num_queries(13):
        client.get(reverse("transparency"))


def test_what_one_person_proposes_is_not_counted_as_decided(setting: Setting) -> None:
    before = statistics().total
    case = make_case(setting.dataset, ["https://img.example.com/3.jpg", "https://img.example.com/4.jpg"])
    make_proposed(setting.team, case)
    after = statistics().total
    assert after.items == before.items + 2
    assert (after.decided, after.removed) == (before.decided, before.removed)
