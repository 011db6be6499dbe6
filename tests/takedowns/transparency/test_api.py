"""The JSON of datasets and versions says what their pages say, and no more."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

import pytest

from registry.accounts.models import Role
from registry.datasets.models import VersionDiff, VersionStatus
from tests.factories import make_dataset, make_member, make_organisation, make_rows, make_version
from tests.factories_takedowns import make_removal

if TYPE_CHECKING:
    from django.test import Client

    from registry.datasets.models import Dataset
    from takedowns.releases.models import Release
    from tests.takedowns.released import Setting

UNTOUCHED = {
    "affected": False,
    "rows_affected": 0,
    "rows_affected_exact": True,
    "advisories": [],
    "fixed": None,
    "fixed_root": None,
    "use": None,
    "answer": "Not affected. No published advisory names a row of this version.",
}


def version(client: Client, dataset: Dataset, name: str) -> Any:
    """The version's JSON, which its detail and the list give alike."""
    answer = client.get(f"/api/v1/datasets/{dataset.slug}/versions/{name}/")
    if answer.status_code != 200:
        return answer.status_code
    listed = client.get(f"/api/v1/datasets/{dataset.slug}/versions/").json()["results"]
    assert [one for one in listed if one["name"] == name] == [answer.json()]
    return answer.json()


def dataset_json(client: Client, dataset: Dataset) -> Any:
    answer = client.get(f"/api/v1/datasets/{dataset.slug}/").json()
    assert client.get(f"/api/v1/datasets/?q={dataset.slug}").json()["results"] == [answer]
    return answer


def test_an_affected_version_names_its_advisory_and_the_release_to_use(
    setting: Setting, published: Release, client: Client
) -> None:
    setting.removal.refresh_from_db()
    assert version(client, setting.dataset, "2025-01-01")["standing"] == {
        "affected": True,
        "rows_affected": 2,
        "rows_affected_exact": True,
        "advisories": [{"id": setting.removal.advisory_id, "rows": 2}],
        "fixed": "2025-01-01-r1",
        "fixed_root": published.root,
        "use": "2025-01-01-r1",
        "answer": "Use 2025-01-01-r1. 2 rows of this version must go, by 1 advisory.",
    }


def test_a_clean_release_and_an_untouched_version_stand_unaffected(
    setting: Setting, published: Release, client: Client
) -> None:
    make_version(setting.dataset, "2020-01-01", {"0.csv": make_rows(host="z.example.com")})
    for name in ("2025-01-01-r1", "2020-01-01"):
        assert version(client, setting.dataset, name)["standing"] == UNTOUCHED


def test_an_affected_version_without_a_release_says_so(
    setting: Setting, published: Release, client: Client
) -> None:
    old = make_version(setting.dataset, "2024-01-01", dated=date(2024, 1, 1), status=VersionStatus.DEPRECATED)
    setting.removal.affected.create(version=old, rows=3)
    standing = version(client, setting.dataset, "2024-01-01")["standing"]
    assert (standing["affected"], standing["fixed"], standing["use"]) == (True, None, None)
    assert standing["answer"].startswith("Affected, and no clean release yet. 3 rows")


def test_a_version_that_must_not_be_used_names_the_one_to_use(
    setting: Setting, published: Release, client: Client
) -> None:
    for name, status in (("old", VersionStatus.DEPRECATED), ("bad", VersionStatus.QUARANTINED)):
        make_version(setting.dataset, name, shards={}, dated=date(2020, 1, 1), status=status)
        assert version(client, setting.dataset, name)["standing"]["use"] == "2025-01-01-r1"


def test_rows_that_two_advisories_may_share_are_at_most_that_many(
    setting: Setting, published: Release, client: Client
) -> None:
    second = make_removal(setting.team, setting.dataset, ["https://other.example.com/3.jpg"])
    second.published_at, second.advisory_id = published.published_at, "EXP-2026-0099"
    second.save()
    standing = version(client, setting.dataset, "2025-01-01")["standing"]
    assert standing["fixed"] is None  # the one release still holds a row of the second
    assert (standing["rows_affected"], standing["rows_affected_exact"]) == (3, False)
    assert sorted(one["rows"] for one in standing["advisories"]) == [1, 2]


def test_a_dataset_names_the_version_to_use_though_another_is_newer(
    setting: Setting, published: Release, client: Client
) -> None:
    other = make_version(setting.dataset, "later", shards={}, dated=date(2999, 1, 1))
    setting.removal.affected.create(version=other, rows=1)
    shown = dataset_json(client, setting.dataset)
    assert (shown["newest"], shown["use"], shown["advisories"]) == ("later", "2025-01-01-r1", 1)
    assert shown["answer"] == "Use 2025-01-01-r1. 2 versions are affected."


def test_a_dataset_of_which_nothing_can_be_used_says_so(client: Client, setting: Setting) -> None:
    empty = make_dataset(setting.team.organisation)
    client.force_login(setting.team.staff)
    shown = dataset_json(client, empty)
    assert (shown["use"], shown["newest"], shown["advisories"]) == (None, None, 0)
    assert shown["answer"].startswith("There is nothing to use yet.")


def test_a_version_says_what_changed_since_the_one_before(client: Client, db: None) -> None:
    old = make_version(make_dataset(), "a", dated=date(2023, 1, 1))
    new = make_version(old.dataset, "b", dated=date(2025, 1, 1), shards={"0.csv": make_rows(12)})
    VersionDiff.objects.create(old=old, new=new, added=5, removed=3, common=7)
    shown = version(client, old.dataset, "b")
    assert shown["diff"] == {"old": "a", "added": 5, "removed": 3, "common": 7}
    assert version(client, old.dataset, "a")["diff"] is None


def test_a_comparison_with_a_draft_is_told_to_nobody(client: Client, db: None) -> None:
    old = make_version(make_dataset(), "unborn", status=VersionStatus.DRAFT, dated=date(2023, 1, 1))
    new = make_version(old.dataset, "b", dated=date(2025, 1, 1))
    VersionDiff.objects.create(old=old, new=new, added=5, removed=3, common=7)
    assert version(client, old.dataset, "b")["diff"] is None


@pytest.mark.parametrize("who", ["nobody", "stranger"])
def test_a_stranger_learns_nothing_of_what_is_not_published(
    setting: Setting, verified: Release, client: Client, who: str
) -> None:
    """The removal is decided and the release is built, and the public pages show neither."""
    if who == "stranger":
        client.force_login(make_member(make_organisation(), Role.APPROVER))
    make_version(setting.dataset, "unborn", status=VersionStatus.DRAFT)
    assert version(client, setting.dataset, "2025-01-01")["standing"] == UNTOUCHED
    assert version(client, setting.dataset, "unborn") == 404
    assert version(client, setting.dataset, "2025-01-01-r1") == 404
    shown = dataset_json(client, setting.dataset)
    assert (shown["use"], shown["advisories"], shown["version_count"]) == ("2025-01-01", 0, 1)
    told = client.get(f"/api/v1/datasets/{setting.dataset.slug}/versions/").content.decode()
    assert not any(hidden in told for hidden in ("unborn", "-r1", verified.root, "EXP-"))


def test_a_member_reads_the_standing_of_a_draft(setting: Setting, verified: Release, client: Client) -> None:
    client.force_login(setting.team.staff)
    standing = version(client, setting.dataset, "2025-01-01-r1")["standing"]
    assert standing["answer"].startswith("Only your organisation sees this.")
    assert (standing["affected"], standing["use"]) == (False, None)


@pytest.mark.parametrize("others", [0, 8])
def test_the_lists_take_the_same_queries_for_any_number(
    setting: Setting,
    published: Release,
    client: Client,
    django_assert_max_num_queries: Any,
    others: int,
) -> None:
    for year in range(2010, 2010 + others):
        make_version(setting.dataset, f"{year}", shards={}, dated=date(year, 1, 1))
        make_version(make_dataset(), shards={})
    with django_assert_max_num_queries(7):
        client.get("/api/v1/datasets/")
    with django_assert_max_num_queries(11):
        client.get(f"/api/v1/datasets/{setting.dataset.slug}/versions/")
