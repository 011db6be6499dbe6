from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from registry.datasets.compare import version_after, version_before, version_compare_start
from registry.datasets.models import Dataset, Version, VersionDiff, VersionStatus
from registry.jobs.models import Job
from tests.factories import make_dataset, make_rows, make_version, run_jobs

pytestmark = pytest.mark.django_db

LISTS = Path(__file__).parents[4] / "shared/data/test-lists"


def version(dataset: Dataset, year: int, rows: int = 10, start: int = 0, **fields: object) -> Version:
    shards = {"0.csv": make_rows(rows, start=start)}
    return make_version(dataset, f"{year}", shards, dated=date(year, 1, 1), **fields)  # type: ignore[arg-type]


def figures() -> set[tuple[str, str, int, int, int]]:
    return {(d.old.name, d.new.name, d.added, d.removed, d.common) for d in VersionDiff.objects.all()}


def test_it_counts_rows_that_came_and_went() -> None:
    dataset = make_dataset()
    version(dataset, 2021)
    new = version(dataset, 2023, rows=12, start=3)
    assert version_compare_start(actor=None, version=new) is not None
    run_jobs()
    assert figures() == {("2021", "2023", 5, 3, 7)}
    assert Job.objects.get().state == "succeeded"


def test_rows_count_as_often_as_they_occur_and_by_shard() -> None:
    dataset = make_dataset()
    make_version(dataset, "a", {"0.csv": make_rows(2) * 2, "1.csv": make_rows(1)}, dated=date(2021, 1, 1))
    new = make_version(dataset, "b", {"0.csv": make_rows(2), "2.csv": make_rows(1)}, dated=date(2022, 1, 1))
    version_compare_start(actor=None, version=new)
    run_jobs()
    assert figures() == {("a", "b", 1, 3, 2)}


def test_a_version_registered_after_the_fact_is_compared_with_both_neighbours() -> None:
    dataset = make_dataset()
    version(dataset, 2021)
    new = version(dataset, 2025, start=1)
    version_compare_start(actor=None, version=new)
    run_jobs()
    between = version(dataset, 2023, start=2)
    version_compare_start(actor=None, version=between)
    run_jobs()
    assert {row[:2] for row in figures()} == {("2021", "2025"), ("2021", "2023"), ("2023", "2025")}


def test_there_is_nothing_to_do_for_the_first_version_a_draft_or_what_was_compared() -> None:
    dataset = make_dataset()
    first = version(dataset, 2021)
    assert version_compare_start(actor=None, version=first) is None
    draft = version(dataset, 2022, status=VersionStatus.DRAFT)
    assert version_compare_start(actor=None, version=draft) is None
    second = version(dataset, 2023)
    version_compare_start(actor=None, version=second)
    run_jobs()
    assert version_compare_start(actor=None, version=second) is None


def test_drafts_withdrawn_versions_and_releases_are_no_neighbours() -> None:
    dataset = make_dataset()
    first = version(dataset, 2020)
    version(dataset, 2021, status=VersionStatus.DRAFT)
    version(dataset, 2022, status=VersionStatus.WITHDRAWN)
    version(dataset, 2023, base=first)
    last = version(dataset, 2024)
    version(make_dataset(), 2023)
    assert version_before(last) == first
    assert version_after(first) == last


def test_a_dataset_without_urls_is_not_compared() -> None:
    dataset = make_dataset()
    version(dataset, 2021, columns={"text": "text"})
    new = version(dataset, 2022, columns={"text": "text"})
    assert version_compare_start(actor=None, version=new) is None


@pytest.mark.skipif(not LISTS.is_dir(), reason="the real lists are not beside the repository")
def test_it_finds_the_known_figures_of_real_lists() -> None:
    """The figures that the lists' README gives."""
    from expunge.shards import find_shards, inspect_shard
    from registry.datasets import store
    from registry.datasets.models import Shard, VersionShard

    dataset = make_dataset()
    for name in ("2021-01-01", "2023-01-01", "2025-01-01"):
        registered = make_version(dataset, name, {}, dated=date.fromisoformat(name), columns={"url": "url"})
        for position, file in enumerate(find_shards([LISTS / name]).shards):
            facts = inspect_shard(file)
            store.put(file.path, facts.sha256)
            shard, _ = Shard.objects.get_or_create(
                digest=facts.sha256, defaults={"rows": facts.rows, "bytes": facts.bytes, "format": "csv"}
            )
            VersionShard.objects.create(version=registered, shard=shard, path=file.name, position=position)
        version_compare_start(actor=None, version=registered)
        run_jobs()
    assert {(row[1], row[2], row[3]) for row in figures()} == {
        ("2023-01-01", 8563, 7337),
        ("2025-01-01", 2650, 1444),
    }
