"""A domain that changed hands becomes a report in the queue by itself, once, and its case locates the rows."""

from __future__ import annotations

from datetime import UTC, date, datetime
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from expunge.keys import url_host
from registry.links.domains.models import Domain, DomainChange, Takeover
from registry.links.domains.takeovers import takeovers_tell
from registry.links.exclusion import excluded_rows, excluded_urls
from registry.links.models import Host, Link, Panel, PanelRow
from takedowns.cases.models import Case, DomainReport, Location
from takedowns.cases.own_initiative.domains import domains_report
from takedowns.reports.models import Category, Report, Sensitivity, Source
from tests.factories import make_version, run_jobs
from tests.factories_takedowns import make_report

if TYPE_CHECKING:
    from collections.abc import Sequence

    from registry.datasets.models import Dataset, Version

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


def panel_of(version: Version, urls: Sequence[str]) -> None:
    panel = Panel.objects.create(version=version, size=len(urls))
    for row, url in enumerate(urls):
        host, _ = Host.objects.get_or_create(name=url_host(url))
        link, _ = Link.objects.get_or_create(
            key=sha256(url.encode()).digest(), defaults={"url": url, "host": host}
        )
        PanelRow.objects.create(panel=panel, link=link, shard=version.shards.get(), row=row)


def test_its_links_are_not_contacted_until_somebody_decided(dataset: Dataset) -> None:
    panel_of(dataset.versions.get(), URLS)
    takeover(dataset)
    assert excluded_urls(URLS) == set()
    takeovers_tell()
    assert excluded_urls(URLS) == set(URLS[:2])  # at once, located or not
    run_jobs()
    assert excluded_urls(URLS) == set(URLS[:2])
    Category.objects.update(sensitivity=Sensitivity.OPEN)
    Case.objects.update(decided_at=timezone.now())
    assert excluded_urls(URLS) == set()


def test_it_keeps_nobody_from_the_links_of_another_dataset(dataset: Dataset) -> None:
    """The day by which the domain changed hands is the word of one maintainer."""
    others = ["https://x.a.com/theirs", "https://nota.com/1"]
    rows = {"0.csv": [{"url": url} for url in others]}
    other = make_version(shards=rows, columns={"url": "url"}, dated=date(2023, 3, 1))
    panel_of(dataset.versions.get(), URLS)
    panel_of(other, others)
    takeover(dataset)
    takeovers_tell()
    run_jobs()
    located = {(shard.pk, row) for shard in other.shards.all() for row in range(2)}
    assert excluded_urls([*URLS, *others, "https://z.a.com/nobody's"]) == set(URLS[:2])
    assert excluded_rows(located) == set()
    # Whoever reports it is believed until somebody decided, as ever.
    make_report(dataset, ["domain:a.com"])
    assert excluded_urls([*URLS, *others]) == {*URLS[:2], others[0]}


def test_a_domain_is_not_reported_again_before_that_was_decided(dataset: Dataset) -> None:
    first = takeover(dataset)
    takeovers_tell()

    def again(day: int) -> Takeover:
        at = datetime(2025, 1, day, tzinfo=UTC)
        change = DomainChange.objects.create(domain=first.domain, kind="parked", at=at)
        return Takeover.objects.create(dataset=dataset, domain=first.domain, change=change)

    second = again(1)
    fresh = takeover(dataset, "b.com")
    takeovers_tell()
    assert Report.objects.count() == 2
    assert second.domain_report.report == first.domain_report.report
    assert fresh.domain_report.report != first.domain_report.report
    Case.objects.update(decided_at=timezone.now())
    third = again(2)
    takeovers_tell()
    assert third.domain_report.report not in {first.domain_report.report, fresh.domain_report.report}


def test_what_another_dataset_was_told_of_is_reported_in_this_one_too(dataset: Dataset) -> None:
    one = takeover(dataset)
    takeovers_tell()
    other = make_version(shards={"0.csv": [{"url": URLS[0]}]}, columns={"url": "url"}).dataset
    Takeover.objects.create(dataset=other, domain=one.domain, change=one.change)
    takeovers_tell()
    assert set(Report.objects.values_list("dataset", flat=True)) == {dataset.pk, other.pk}


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
