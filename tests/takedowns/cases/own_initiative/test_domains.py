"""A domain that changed hands becomes a report in the queue by itself, once, and its case locates the rows."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import pytest
from django.db import IntegrityError, transaction

from registry.links.domains.models import Domain, DomainChange, Takeover
from registry.links.domains.takeovers import takeovers_tell
from registry.links.exclusion import excluded_urls
from takedowns.cases.models import Case, DomainReport, Location
from takedowns.cases.own_initiative.domains import domains_report
from takedowns.reports.models import Report, Source
from tests.factories import make_version, run_jobs

if TYPE_CHECKING:
    from registry.datasets.models import Dataset

pytestmark = pytest.mark.django_db

URLS = ["https://x.a.com/1", "https://y.a.com/2", "https://b.com/3"]


@pytest.fixture
def dataset() -> Dataset:
    rows = {"0.csv": [{"url": url} for url in URLS]}
    return make_version(shards=rows, columns={"url": "url"}, dated=date(2023, 3, 1)).dataset


def takeover(dataset: Dataset, name: str = "a.com") -> Takeover:
    domain = Domain.objects.create(name=name, suffix="com")
    change = DomainChange.objects.create(
        domain=domain, kind="registered", at=datetime(2024, 1, 2, tzinfo=UTC)
    )
    return Takeover.objects.create(dataset=dataset, domain=domain, change=change)


def test_the_report_is_in_the_queue_with_its_rows(dataset: Dataset) -> None:
    takeover(dataset)
    assert takeovers_tell() == 1
    report = Report.objects.get()
    assert (report.dataset, report.category_id, report.source) == (
        dataset,
        "poisoning",
        Source.OWN_INITIATIVE,
    )
    item = report.items.get()
    assert (item.kind, bytes(item.key or b"")) == ("domain.c1", b"a.com")
    assert "a.com: it was registered anew, 2024-01-02." in report.description
    run_jobs()
    case = Case.objects.get(reports=report)
    assert sum(location.rows for location in Location.objects.filter(case=case)) == 2


def test_it_is_reported_once_however_often_it_is_told(dataset: Dataset) -> None:
    one = takeover(dataset)
    for _ in range(2):
        domains_report([one.pk])
    Takeover.objects.update(told_at=None)
    takeovers_tell()
    assert Report.objects.count() == 1


def test_the_database_refuses_a_second_report_of_one_takeover(dataset: Dataset) -> None:
    one = takeover(dataset)
    domains_report([one.pk])
    with pytest.raises(IntegrityError), transaction.atomic():
        DomainReport.objects.create(takeover=one, report=Report.objects.get())


def test_several_domains_of_a_dataset_are_one_report(dataset: Dataset) -> None:
    for number in range(25):
        takeover(dataset, f"d{number}.com")
    takeovers_tell()
    report = Report.objects.get()
    assert report.items_readable == 25
    assert "And 5 more; each is an item." in report.description
    assert DomainReport.objects.filter(report=report).count() == 25


def test_its_links_are_not_contacted_until_somebody_decided(dataset: Dataset) -> None:
    takeover(dataset)
    takeovers_tell()
    assert excluded_urls(URLS) == set(URLS[:2])


def test_a_report_that_cannot_be_kept_is_tried_again(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = takeover(dataset)
    monkeypatch.setattr("takedowns.cases.own_initiative.domains.CATEGORY", "none")
    with pytest.raises(Exception, match="does not exist"):
        takeovers_tell()
    one.refresh_from_db()
    assert one.told_at is None
    assert not Report.objects.exists()
