"""Which links are never contacted, by what was reported and what was decided."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.utils import timezone

from expunge.keys import keys_of_url
from registry.links.exclusion import excluded_rows, excluded_urls
from takedowns.cases.models import Case
from takedowns.removals.models import Removal
from takedowns.reports.models import Category, Item, Outcome, Sensitivity
from tests.factories import make_dataset, make_rows, make_version, run_jobs
from tests.factories_takedowns import make_report

if TYPE_CHECKING:
    from registry.datasets.models import Dataset
    from tests.factories_takedowns import Team

pytestmark = pytest.mark.django_db

URL, OTHER = "https://img.example.com/3.jpg", "https://img.example.com/4.jpg"


@pytest.fixture
def dataset(team: Team) -> Dataset:
    return make_dataset(team.organisation)


def decide(outcome: Outcome, sensitivity: Sensitivity) -> None:
    """As if every case had been decided so."""
    Category.objects.update(sensitivity=sensitivity)
    Item.objects.update(outcome=outcome)
    Case.objects.update(decided_at=timezone.now())


def test_what_nobody_reported_may_be_asked_for(dataset: Dataset) -> None:
    make_report(dataset, [OTHER])
    assert excluded_urls([URL]) == set()


@pytest.mark.parametrize(
    "line", [URL, "host:img.example.com", "domain:example.com", "https://IMG.example.com:443/3.jpg#x"]
)
def test_every_reported_item_is_excluded_until_it_is_decided(dataset: Dataset, line: str) -> None:
    make_report(dataset, [line])
    assert excluded_urls([URL, "https://elsewhere.example.org/"]) == {URL}
    Item.objects.update(outcome=Outcome.REJECT)  # marked by one person, and not decided
    assert excluded_urls([URL]) == {URL}


@pytest.mark.parametrize(
    ("outcome", "sensitivity", "excluded"),
    [
        (Outcome.REMOVE, Sensitivity.OPEN, False),
        (Outcome.REMOVE, Sensitivity.GUARDED, True),
        (Outcome.REMOVE, Sensitivity.SEALED, True),
        (Outcome.NOT_FOUND, Sensitivity.SEALED, True),
        (Outcome.NOT_FOUND, Sensitivity.GUARDED, True),
        (Outcome.INVALID, Sensitivity.SEALED, False),
        (Outcome.REJECT, Sensitivity.GUARDED, False),
        (Outcome.REJECT, Sensitivity.SEALED, False),
    ],
)
def test_a_decision_says_whether_it_stays_excluded(
    dataset: Dataset,
    outcome: Outcome,
    sensitivity: Sensitivity,
    excluded: bool,  # noqa: FBT001  -- a parameter of the table above
) -> None:
    make_report(dataset, [URL])
    decide(outcome, sensitivity)
    assert (excluded_urls([URL]) == {URL}) is excluded


def test_a_second_report_excludes_what_the_first_decision_freed(dataset: Dataset) -> None:
    make_report(dataset, [URL])
    decide(Outcome.REJECT, Sensitivity.OPEN)
    make_report(dataset, [URL])
    assert excluded_urls([URL]) == {URL}


def test_keys_of_a_guarded_removal_in_force_are_excluded(dataset: Dataset) -> None:
    category = Category.objects.order_by("pk").first()
    assert category
    Category.objects.update(sensitivity=Sensitivity.SEALED)
    removal = Removal.objects.create(dataset=dataset, category=category, summary="Gone.")
    key = next(text for kind, text in keys_of_url(URL).items() if kind == "url.c1.sha256")
    removal.keys.create(kind="url.c1.sha256", key=bytes.fromhex(key))
    assert excluded_urls([URL, OTHER]) == {URL}
    Category.objects.update(sensitivity=Sensitivity.OPEN)
    assert excluded_urls([URL]) == set()
    Category.objects.update(sensitivity=Sensitivity.SEALED)
    Removal.objects.update(withdrawn_at=timezone.now())
    assert excluded_urls([URL]) == set()


def test_rows_that_a_reported_hash_was_located_in_are_excluded(dataset: Dataset) -> None:
    rows = make_rows(10)
    shard = make_version(dataset, shards={"0.csv": rows}).shards.get()
    make_report(dataset, [f"md5:{rows[7]['md5']}"])
    assert excluded_rows([(shard.pk, 7)]) == set()  # not located yet
    run_jobs()
    assert excluded_rows([(shard.pk, 7), (shard.pk, 8), ("0" * 64, 7)]) == {(shard.pk, 7)}
    decide(Outcome.REJECT, Sensitivity.OPEN)
    assert excluded_rows([(shard.pk, 7)]) == set()


def test_a_reported_hash_excludes_what_any_dataset_recorded_under_it_before_it_is_located(
    dataset: Dataset,
) -> None:
    md5 = "0cc175b9c0f1b6a831c399e269772661"
    make_report(dataset, [f"md5:{md5}"])
    recorded = {URL: {("content.md5", bytes.fromhex(md5))}, OTHER: {("content.md5", bytes(16))}}
    assert excluded_urls([URL, OTHER], recorded) == {URL}
    decide(Outcome.REJECT, Sensitivity.OPEN)
    assert excluded_urls([URL, OTHER], recorded) == set()


def test_nothing_asked_is_nothing_excluded() -> None:
    assert excluded_urls([]) == set()
    assert excluded_rows([]) == set()
    assert excluded_urls(["https://a.example/\ud800"]) == set()
