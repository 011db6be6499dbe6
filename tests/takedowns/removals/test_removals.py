"""Removals: what is in force, publication, the guard against rows that come back, and the advisories."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.db import Error as DatabaseError
from django.db import transaction
from django.test.utils import override_settings
from django.urls import reverse
from django.utils import timezone

from registry.accounts.models import Role
from registry.datasets.models import VersionStatus
from registry.hooks import hooks
from registry.lib.errors import NotAllowed, Refused
from takedowns.removals.models import Removal
from takedowns.removals.selectors import advisory_list, removal_entries
from takedowns.removals.services import removal_create, removal_publish, rows_by_removal, version_objections
from tests.factories import (
    make_dataset,
    make_edge,
    make_member,
    make_organisation,
    make_rows,
    make_user,
    make_version,
    run_jobs,
)
from tests.factories_takedowns import Team, make_category, make_dataset_of, make_removal

if TYPE_CHECKING:
    from django.test import Client

pytestmark = pytest.mark.django_db

URLS = [f"https://img.example.com/{n}.jpg" for n in range(3)]


# In force


def test_a_removal_binds_its_dataset_and_those_whose_rows_it_took_but_no_other(team: Team) -> None:
    dataset, version = make_dataset_of(team)
    subset = make_version(make_dataset(team.organisation), shards={"s.csv": make_rows(3)})
    make_edge(version, subset)
    removal = make_removal(team, dataset)
    other, _ = make_dataset_of(team)
    assert list(Removal.objects.in_force(dataset)) == [removal]
    assert list(Removal.objects.in_force(subset.dataset)) == [removal]
    assert not Removal.objects.in_force(other).exists()


def test_a_withdrawn_removal_binds_nothing(team: Team) -> None:
    dataset, _ = make_dataset_of(team)
    make_removal(team, dataset)
    Removal.objects.update(withdrawn_at=timezone.now())
    assert not Removal.objects.in_force(dataset).exists()


def test_its_entries_are_distinct_over_several_removals(team: Team) -> None:
    dataset, _ = make_dataset_of(team)
    removals = [make_removal(team, dataset, URLS[:2]), make_removal(team, dataset, URLS[1:])]
    assert len(removal_entries(removals)) == 3


@pytest.mark.parametrize(("keys", "affected"), [([], {"x": (1, 0)}), ([("row.id", b"1")], {})])
def test_a_removal_of_nothing_is_refused(
    team: Team, keys: list[Any], affected: dict[Any, tuple[int, int]]
) -> None:
    with pytest.raises(Refused):
        removal_create(
            actor=team.approver,
            dataset=make_dataset(team.organisation),
            category=make_category(),
            summary="x",
            keys=keys,
            redactions=[],
            affected=affected,
        )


# Publication


def test_it_gets_its_id_at_publication_and_keeps_it(team: Team) -> None:
    dataset, _ = make_dataset_of(team)
    first, second = make_removal(team, dataset, URLS[:1]), make_removal(team, dataset, URLS[1:])
    published = removal_publish(actor=team.maintainer, removal=second)
    year = timezone.now().year
    assert published.advisory_id == f"EXP-{year}-0001"
    assert removal_publish(actor=team.maintainer, removal=second).advisory_id == f"EXP-{year}-0001"
    assert removal_publish(actor=None, removal=first).advisory_id == f"EXP-{year}-0002"


@override_settings(ADVISORY_PREFIX="LAB")
def test_the_operator_chooses_the_prefix(team: Team) -> None:
    dataset, _ = make_dataset_of(team)
    assert str(removal_publish(actor=None, removal=make_removal(team, dataset))).startswith("LAB-")


def test_only_a_maintainer_publishes(team: Team) -> None:
    dataset, _ = make_dataset_of(team)
    removal = make_removal(team, dataset)
    for actor in (make_user(), team.staff, make_member(make_organisation(), Role.APPROVER)):
        with pytest.raises(NotAllowed):
            removal_publish(actor=actor, removal=removal)
    assert Removal.objects.get().advisory_id is None


def test_the_database_refuses_an_id_without_publication(team: Team) -> None:
    dataset, _ = make_dataset_of(team)
    make_removal(team, dataset)
    with pytest.raises(DatabaseError, match="removal_published_has_id"), transaction.atomic():
        Removal.objects.update(advisory_id="EXP-1")


# The guard


def test_it_needs_no_reading_of_shards_that_are_indexed(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset, _ = make_dataset_of(team)
    removal = make_removal(team, dataset, URLS)
    rows = make_rows(10, start=1)
    version = make_version(dataset, shards={"a.parquet": rows, "b.parquet": rows})
    by_reading = rows_by_removal(version)
    run_jobs()  # which indexes the version

    def refuse(*_args: object, **_options: object) -> None:
        raise AssertionError("a shard was read whole")

    monkeypatch.setattr("registry.datasets.locating.locate", refuse)
    assert rows_by_removal(version) == by_reading == {removal: 4}


def test_it_is_asked_before_a_version_becomes_active() -> None:
    assert version_objections in hooks.version_objections


def test_a_version_that_brings_rows_back_is_told_how_many_and_by_which_advisory(team: Team) -> None:
    dataset, _ = make_dataset_of(team)
    published = removal_publish(
        actor=None, removal=make_removal(team, dataset, [*URLS[:2], "host:gone.example.com"])
    )
    make_removal(team, dataset, URLS[2:])
    back = make_version(
        dataset, shards={"a.csv": make_rows(2), "b.csv": make_rows(8)}, status=VersionStatus.DRAFT
    )
    assert version_objections(back) == [
        f"It brings back 4 rows that {published.advisory_id} removed.",
        "It brings back 1 row that a removal not yet published removed.",
    ]


def test_a_row_that_two_keys_of_a_removal_name_counts_once(team: Team) -> None:
    dataset, _ = make_dataset_of(team)
    removal = make_removal(team, dataset, [URLS[0], "host:img.example.com"])
    back = make_version(dataset, status=VersionStatus.DRAFT)
    assert rows_by_removal(back) == {removal: 10}


def test_a_version_without_such_rows_and_one_of_another_dataset_have_no_objection(team: Team) -> None:
    dataset, _ = make_dataset_of(team)
    make_removal(team, dataset)
    clean = make_version(dataset, shards={"a.csv": make_rows(5, start=50)}, status=VersionStatus.DRAFT)
    assert version_objections(clean) == []
    assert version_objections(make_version(status=VersionStatus.DRAFT)) == []


def test_an_old_version_registered_after_the_fact_is_no_objection_and_joins_the_advisory(team: Team) -> None:
    dataset, _ = make_dataset_of(team)
    removal = removal_publish(actor=None, removal=make_removal(team, dataset, URLS))
    old = make_version(
        dataset,
        shards={"old.csv": make_rows(2)},
        status=VersionStatus.DRAFT,
        final_status=VersionStatus.DEPRECATED,
    )
    assert version_objections(old) == []
    assert version_objections(old) == []
    assert removal.affected.get(version=old).rows == 2
    assert Removal.objects.get().modified_at > removal.modified_at


# Advisories


def test_nobody_reads_an_advisory_before_its_publication(client: Client, team: Team) -> None:
    dataset, _ = make_dataset_of(team)
    removal = make_removal(team, dataset)
    assert client.get(reverse("api-advisory-list")).json()["count"] == 0
    assert not Removal.objects.visible_to(None).exists()
    assert list(Removal.objects.visible_to(team.staff)) == [removal]
    for name in (str(removal.pk), "EXP-2026-0001", "None"):
        assert client.get(reverse("api-advisory-detail", args=[name])).status_code == 404


def test_an_advisory_has_the_shape_of_osv_and_holds_no_key(client: Client, team: Team) -> None:
    dataset, version = make_dataset_of(team)
    subset = make_version(make_dataset(team.organisation), shards={"s.csv": make_rows(2)})
    make_edge(version, subset)
    removal = removal_publish(actor=None, removal=make_removal(team, dataset, URLS))
    clean = make_version(dataset, name="clean", base=version, shards={"0.csv": make_rows(7, start=3)})
    removal.releases.create(
        dataset=dataset,
        base=version,
        version=clean,
        serial=1,
        state="published",
        verified_at=timezone.now(),
        published_at=timezone.now(),
        root="0" * 64,
    )
    assert removal.advisory_id is not None
    answer = client.get(reverse("api-advisory-detail", args=[removal.advisory_id]))
    record = answer.json()
    assert record["id"] == removal.advisory_id
    assert record["published"].endswith("Z")
    assert "withdrawn" not in record
    affected = {one["package"]["name"]: one for one in record["affected"]}
    assert affected[dataset.slug]["package"]["ecosystem"] == "Expunge"
    assert affected[dataset.slug]["versions"] == [version.name]
    assert affected[dataset.slug]["database_specific"]["versions"] == [
        {"version": version.name, "rows": 3, "redacted_rows": 0, "fixed": "clean"}
    ]
    assert affected[subset.dataset.slug]["database_specific"]["versions"][0]["fixed"] is None
    assert record["database_specific"] == {"category": "opt_out", "rows": 5, "redacted_rows": 0}
    key = bytes(removal.keys.first().key).hex()  # type: ignore[union-attr]  # it has three
    assert key not in answer.content.decode()
    assert "img.example.com" not in answer.content.decode()


def test_a_withdrawn_advisory_says_so(client: Client, team: Team) -> None:
    dataset, _ = make_dataset_of(team)
    removal = removal_publish(actor=None, removal=make_removal(team, dataset))
    Removal.objects.update(withdrawn_at=timezone.now())
    assert removal.advisory_id is not None
    assert "withdrawn" in client.get(reverse("api-advisory-detail", args=[removal.advisory_id])).json()


def test_advisories_are_listed_filtered_and_take_few_queries(
    client: Client, team: Team, django_assert_max_num_queries: Any
) -> None:
    dataset, version = make_dataset_of(team)
    subset = make_version(make_dataset(team.organisation), shards={"s.csv": make_rows(2)})
    make_edge(version, subset)
    for url in URLS:
        removal_publish(actor=None, removal=make_removal(team, dataset, [url]))
    url = reverse("api-advisory-list")
    with django_assert_max_num_queries(8):
        listed = client.get(url).json()
    assert [record["id"][-4:] for record in listed["results"]] == ["0003", "0002", "0001"]
    assert client.get(url, {"dataset": subset.dataset.slug}).json()["count"] == 2
    assert client.get(url, {"q": listed["results"][0]["id"]}).json()["count"] == 1
    assert client.get(url, {"category": "licence"}).json()["count"] == 0
    assert advisory_list().first().affected_rows == 1  # type: ignore[union-attr]  # there are three
