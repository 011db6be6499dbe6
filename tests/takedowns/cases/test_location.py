"""Locating: which rows of which shards the items of a case name."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from pyroaring import BitMap

from registry.datasets import locating
from registry.datasets.locating import rows_named
from registry.datasets.models import VersionStatus
from registry.datasets.store import object_path
from registry.jobs.models import JobState
from registry.jobs.services import job_run
from registry.lib.errors import NotAllowed, Refused
from takedowns.cases import services
from takedowns.cases.models import Case, Location
from takedowns.cases.selectors import case_consequences
from takedowns.cases.services import location as location_service
from tests.factories import make_dataset, make_edge, make_rows, make_user, make_version, run_jobs
from tests.factories_takedowns import Team, make_case, make_dataset_of, make_proposed, make_report

pytestmark = pytest.mark.django_db


def rows_of(case: Case) -> dict[int, list[int]]:
    """Rows by the position of the item."""
    return {
        location.item.position: list(BitMap.deserialize(bytes(location.positions)))
        for location in case.locations.select_related("item")
    }


def consequence(case: Case) -> dict[str, int]:
    return {str(one.version): one.rows for one in case_consequences(case)}


def test_it_finds_a_url_in_any_spelling_a_host_a_domain_an_md5_and_an_id_but_nothing_absent(
    team: Team,
) -> None:
    dataset, _ = make_dataset_of(team)
    case = make_case(
        dataset,
        [
            "https://img.example.com/1.jpg",
            "HTTPS://IMG.EXAMPLE.COM:443/2.jpg#top",
            "host:img.example.com",
            "domain:example.com",
            "md5:" + hashlib.md5(b"https://img.example.com/7.jpg").hexdigest(),
            "https://img.example.com/absent.jpg",
            "host:nowhere.example.com",
            "text:caption om/4.jpg",
        ],
    )
    assert rows_of(case) == {1: [1], 2: [2], 3: list(range(10)), 4: list(range(10)), 5: [7], 8: [4]}
    assert case.located_at is not None


def test_it_finds_the_same_by_the_key_index_alone(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = make_dataset(team.organisation)
    rows = make_rows(40, host="by-index.example.com")
    make_version(dataset, "1", {"a.parquet": rows + rows[:5], "b.csv": rows[:9]})
    make_version(dataset, "2", {"b.csv": rows[:9], "c.csv": rows[3:30]})
    subset = make_version(make_dataset(team.organisation), "3", {"d.parquet": rows[:2]})
    make_edge(dataset.versions.get(name="1"), subset)
    lines = [
        "https://by-index.example.com/3.jpg",
        "domain:example.com",
        "text:caption om/4.jpg",
        "md5:" + "a" * 32,
    ]
    case = make_case(dataset, lines)  # which leaves an index to each version that was read
    by_reading = list(case.locations.order_by("item", "shard").values_list("item", "shard", "positions"))

    def refuse(*_args: Any, **_options: Any) -> None:
        raise AssertionError("a shard was read whole")

    monkeypatch.setattr(locating, "locate", refuse)
    case.locations.all().delete()
    services.case_locate(actor=team.staff, case=case)
    (job,) = run_jobs()
    assert job.state == JobState.SUCCEEDED
    again = list(case.locations.order_by("item", "shard").values_list("item", "shard", "positions"))
    assert len(again) == 4 + 3 + 3
    assert again == by_reading


def test_a_shard_of_several_versions_is_read_once_and_counts_in_each(team: Team) -> None:
    dataset = make_dataset(team.organisation)
    old = make_version(dataset, "old", {"a.csv": make_rows(10)}, status=VersionStatus.DEPRECATED)
    new = make_version(dataset, "new", {"a.csv": make_rows(10), "b.csv": make_rows(10, start=5)})
    case = make_case(dataset, ["https://img.example.com/5.jpg"])
    assert Location.objects.count() == 2
    assert consequence(case) == {str(old): 1, str(new): 2}


def test_a_shard_that_stands_twice_in_a_version_counts_twice(team: Team) -> None:
    dataset = make_dataset(team.organisation)
    version = make_version(dataset, "v", {"a.csv": make_rows(10), "b.csv": make_rows(10)})
    case = make_case(dataset, ["https://img.example.com/5.jpg"])
    assert consequence(case) == {str(version): 2}


def test_it_looks_in_what_was_made_of_the_dataset_in_the_same_organisation_only(team: Team) -> None:
    dataset, version = make_dataset_of(team)
    subset = make_version(make_dataset(team.organisation), shards={"s.csv": make_rows(3)})
    second = make_version(make_dataset(team.organisation), shards={"t.csv": make_rows(2)})
    foreign = make_version(shards={"f.csv": make_rows(4)})
    make_edge(version, subset)
    make_edge(subset, second)
    make_edge(version, foreign)
    case = make_case(dataset, ["https://img.example.com/1.jpg"])
    assert consequence(case) == {str(version): 1, str(subset): 1, str(second): 1}


@pytest.mark.parametrize("status", [VersionStatus.DRAFT, VersionStatus.ARCHIVED, VersionStatus.WITHDRAWN])
def test_it_leaves_out_versions_that_nobody_uses(team: Team, status: VersionStatus) -> None:
    dataset, version = make_dataset_of(team)
    make_version(dataset, shards={"x.csv": make_rows(30)}, status=status)
    assert consequence(make_case(dataset, ["https://img.example.com/1.jpg"])) == {str(version): 1}


def test_it_says_where_no_column_carries_the_key(team: Team) -> None:
    dataset = make_dataset(team.organisation)
    bare = [{"url": row["url"]} for row in make_rows(5)]
    make_version(dataset, "bare", {"a.csv": bare}, columns={"url": "url"})
    case = make_case(dataset, ["https://img.example.com/1.jpg", "md5:" + "a" * 32])
    assert case.gaps == [
        f"{dataset.slug}@bare: no column carries MD5 keys, so those items could not be looked up there."
    ]
    assert rows_of(case) == {1: [1]}


def test_located_again_it_replaces_what_was_there(team: Team) -> None:
    dataset, _ = make_dataset_of(team)
    case = make_case(dataset, ["https://img.example.com/1.jpg"])
    services.case_locate(actor=team.staff, case=case)
    run_jobs()
    assert Location.objects.count() == 1


def test_a_dataset_without_versions_has_nothing_to_find(team: Team) -> None:
    case = make_case(make_dataset(team.organisation))
    assert case.located_at is not None
    assert not case.locations.exists()


def test_items_that_a_merge_brings_while_it_runs_are_located_too(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset, _ = make_dataset_of(team)
    other = make_case(dataset, ["https://img.example.com/2.jpg"])
    report, _ = make_report(dataset, ["https://img.example.com/1.jpg"])
    case = report.cases.get()
    calls: list[int] = []

    def find(*args: Any, **options: Any) -> object:
        if not calls:
            services.case_merge(actor=team.staff, case=other, into=case)
        calls.append(1)
        return rows_named(*args, **options)

    monkeypatch.setattr(location_service, "rows_named", find)
    run_jobs()
    assert len(calls) == 2
    assert {location.item.value for location in case.locations.all()} == {
        "https://img.example.com/1.jpg",
        "https://img.example.com/2.jpg",
    }


def test_a_proposal_made_meanwhile_is_not_touched(team: Team) -> None:
    dataset, _ = make_dataset_of(team)
    case = make_case(dataset)
    make_proposed(team, case)
    job = location_service.locate_start(None, case)
    job_run(job.pk)
    job.refresh_from_db()
    assert job.state == JobState.FAILED
    assert "Return it to review first" in job.error
    with pytest.raises(Refused, match="not located again"):
        services.case_locate(actor=team.staff, case=case)


def test_a_stranger_cannot_have_anything_located(team: Team) -> None:
    dataset, _ = make_dataset_of(team)
    case = make_case(dataset)
    for actor in (None, make_user()):
        with pytest.raises(NotAllowed):
            services.case_locate(actor=actor, case=case)


def test_a_shard_that_cannot_be_read_fails_plainly_and_keeps_what_was_located(team: Team) -> None:
    dataset, version = make_dataset_of(team)
    case = make_case(dataset)
    shard = version.shards.get()
    path = object_path(shard.digest)
    content = path.read_bytes()
    path.chmod(0o600)
    try:
        path.write_bytes(b"\x00\xff" * 100)
        services.case_locate(actor=team.staff, case=case)
        (job,) = run_jobs()
    finally:
        path.write_bytes(content)
        path.chmod(0o400)
    assert job.state == JobState.FAILED
    assert job.error
    assert case.locations.count() == 1
