from __future__ import annotations

import re
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.urls import reverse

from registry.accounts.models import Role
from registry.datasets.models import Version, VersionDiff, VersionStatus
from takedowns.releases import services
from takedowns.releases.files import release_folder
from takedowns.releases.models import Release
from tests.factories import (
    make_dataset,
    make_edge,
    make_member,
    make_organisation,
    make_rows,
    make_version,
    run_jobs,
)
from tests.factories_takedowns import make_removal

if TYPE_CHECKING:
    from django.test import Client

    from tests.takedowns.released import Setting


def text(response: Any) -> str:
    """What a reader sees: no tags, single spaces."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", response.content.decode()))


def page(client: Client, name: str, *args: str) -> Any:
    return client.get(reverse(name, args=args))


def test_an_empty_site_says_so(client: Client, db: None) -> None:
    for name, words in (
        ("dataset_list", "No dataset is registered yet"),
        ("advisory_list", "No advisory is published yet"),
        ("transparency", "No report has come in yet"),
        ("home", "Is your copy affected?"),
    ):
        response = page(client, name)
        assert response.status_code == 200
        assert words in text(response)


def test_the_dataset_says_which_version_to_use(setting: Setting, published: Release, client: Client) -> None:
    shown = text(page(client, "dataset_detail", setting.dataset.slug))
    assert "Use 2025-01-01-r1. 1 earlier version is affected." in shown
    assert "2025-01-01-r1" in text(page(client, "dataset_list"))


def test_who_may_register_it_again_is_told_that_no_column_of_urls_was_recognised(
    setting: Setting, client: Client
) -> None:
    version = make_version(setting.dataset, columns={"text": "caption"})
    address = ("version_detail", version.dataset.slug, version.name)
    client.force_login(make_member(version.dataset.organisation, Role.MAINTAINER))
    assert "Column of url None was recognised" in text(page(client, *address))
    client.force_login(make_member(make_organisation(), Role.MAINTAINER))
    assert "None was recognised" not in text(page(client, *address))


def test_an_affected_version_says_what_to_use_and_how_to_check(
    setting: Setting, published: Release, client: Client
) -> None:
    shown = text(page(client, "version_detail", setting.dataset.slug, "2025-01-01"))
    assert "Use 2025-01-01-r1. 2 rows of this version must go, by 1 advisory." in shown
    # Two datasets may have versions of one name, so what is fetched is named after the dataset and the publisher too.
    folder, key = f"{setting.dataset.slug}-2025-01-01-r1", f"{setting.dataset.organisation.slug}-minisign.pub"
    assert f"expunge check PATH --release {folder} --minisign-pub {key}" in shown


def test_a_clean_release_says_so_everywhere(setting: Setting, published: Release, client: Client) -> None:
    args = (setting.dataset.slug, "2025-01-01-r1")
    assert "Not affected." in text(page(client, "version_detail", *args))
    shown = text(page(client, "release_detail", *args))
    assert "Use this release. It leaves out 2 rows of 2025-01-01." in shown
    assert f"minisign -V -m SHA256SUMS -P {published.public_keys['minisign']}" in shown.replace("&amp;", "&")


def test_the_advisory_names_the_release_to_use(setting: Setting, published: Release, client: Client) -> None:
    setting.removal.refresh_from_db()
    shown = text(page(client, "advisory_detail", setting.removal.advisory_id or ""))
    assert "2 rows must go from 1 imported version." in shown
    assert "2025-01-01-r1" in shown
    assert str(setting.removal.advisory_id) in text(page(client, "advisory_list"))


def test_a_stranger_sees_no_unpublished_removal(setting: Setting, verified: Release, client: Client) -> None:
    dataset = text(page(client, "dataset_detail", setting.dataset.slug))
    assert "2025-01-01-r1" not in dataset
    assert "No published advisory names a row of any version." in dataset
    version = text(page(client, "version_detail", setting.dataset.slug, "2025-01-01"))
    assert "Not affected." in version
    assert "Clean release" not in version
    assert text(page(client, "advisory_list")).count("EXP-") == 0


def test_a_stranger_gets_404_for_drafts_and_what_is_not_there(
    setting: Setting, verified: Release, client: Client
) -> None:
    slug = setting.dataset.slug
    hidden = make_dataset(setting.team.organisation)
    make_version(hidden, "draft", status=VersionStatus.DRAFT)
    for user in (None, make_member(make_organisation(), Role.APPROVER)):
        if user:
            client.force_login(user)
        assert page(client, "version_detail", slug, "2025-01-01-r1").status_code == 404
        assert page(client, "release_detail", slug, "2025-01-01-r1").status_code == 404
        assert page(client, "dataset_detail", hidden.slug).status_code == 404
        assert page(client, "dataset_detail", "absent").status_code == 404
        assert page(client, "advisory_detail", "EXP-2026-0001").status_code == 404
        assert page(client, "advisory_detail", str(setting.removal.pk)).status_code == 404
        assert hidden.name not in text(page(client, "dataset_list"))


def test_a_maintainer_builds_and_publishes_from_the_pages(setting: Setting, client: Client) -> None:
    slug = setting.dataset.slug
    client.force_login(setting.team.maintainer)
    assert "Leaves out at most 2 rows of 20" in text(page(client, "version_detail", slug, "2025-01-01"))
    answer = client.post(reverse("release_create", args=[slug, "2025-01-01"]), {"form": "compact"})
    assert answer["Location"] == reverse("release_detail", args=[slug, "2025-01-01-r1"])
    assert "It is being built." in text(client.get(answer["Location"]))
    run_jobs()
    shown = client.get(answer["Location"])
    assert "Makes 18 rows public and leaves out 2. 1 removal becomes an advisory" in text(shown)
    root = Release.objects.get().root
    client.post(reverse("release_publish", args=[slug, "2025-01-01-r1"]), {"root": root})
    run_jobs()
    assert "Use this release." in text(client.get(answer["Location"]))


def test_staff_see_no_button_and_may_not_press_it(
    setting: Setting, verified: Release, client: Client
) -> None:
    slug = setting.dataset.slug
    client.force_login(setting.team.staff)
    shown = text(page(client, "release_detail", slug, "2025-01-01-r1"))
    assert "Publish the release" not in shown
    assert client.post(reverse("release_publish", args=[slug, "2025-01-01-r1"])).status_code == 403
    assert (
        client.post(reverse("release_create", args=[slug, "2025-01-01"]), {"form": "compact"}).status_code
        == 403
    )


def test_strangers_are_sent_to_sign_in_or_find_nothing(
    setting: Setting, verified: Release, client: Client
) -> None:
    publish = reverse("release_publish", args=[setting.dataset.slug, "2025-01-01-r1"])
    assert client.post(publish).status_code == 302
    client.force_login(make_member(make_organisation(), Role.APPROVER))
    assert client.post(publish).status_code == 404
    verified.refresh_from_db()
    assert verified.state == "verified"


def test_why_publishing_is_refused_is_said_on_the_page(
    setting: Setting, verified: Release, client: Client
) -> None:
    make_removal(setting.team, setting.dataset, ["https://other.example.com/3.jpg"])
    client.force_login(setting.team.maintainer)
    publish = reverse("release_publish", args=[setting.dataset.slug, "2025-01-01-r1"])
    assert "removals in force changed" in text(client.post(publish, {"root": verified.root}, follow=True))


def test_no_value_of_an_item_is_on_any_public_page(
    setting: Setting, published: Release, client: Client
) -> None:
    setting.removal.refresh_from_db()
    slug = setting.dataset.slug
    for response in (
        page(client, "dataset_detail", slug),
        page(client, "version_detail", slug, "2025-01-01"),
        page(client, "release_detail", slug, "2025-01-01-r1"),
        page(client, "advisory_detail", setting.removal.advisory_id or ""),
        page(client, "transparency"),
    ):
        assert b"img.example.com" not in response.content


def test_consecutive_versions_show_what_changed(client: Client, db: None) -> None:
    old = make_version(make_dataset(), "a", dated=date(2023, 1, 1))
    new = make_version(old.dataset, "b", dated=date(2025, 1, 1), shards={"0.csv": make_rows(12)})
    VersionDiff.objects.create(old=old, new=new, added=1234, removed=56, common=9)
    assert "1,234 added, 56 removed, 9 common" in text(page(client, "version_detail", old.dataset.slug, "b"))
    assert "1,234" in text(page(client, "dataset_detail", old.dataset.slug))


def test_lineage_is_shown_both_ways_with_a_drawing(client: Client, db: None) -> None:
    parent, child = make_version(), make_version()
    make_edge(parent, child)
    for version in (parent, child):
        response = page(client, "version_detail", version.dataset.slug, version.name)
        assert str(parent) in text(response)
        assert str(child) in text(response)
        assert '<svg class="lineage"' in response.content.decode()


def test_lineage_to_a_draft_is_hidden_from_strangers(client: Client, db: None) -> None:
    parent = make_version()
    child = make_version(status=VersionStatus.DRAFT)
    make_edge(parent, child)
    assert child.name not in text(page(client, "version_detail", parent.dataset.slug, parent.name))


def test_an_affected_version_without_a_release_says_so(
    setting: Setting, published: Release, client: Client
) -> None:
    make_version(setting.dataset, "2024-01-01", dated=date(2024, 1, 1), status=VersionStatus.DEPRECATED)
    other = setting.dataset.versions.get(name="2024-01-01")
    setting.removal.affected.create(version=other, rows=3)
    shown = text(page(client, "version_detail", setting.dataset.slug, "2024-01-01"))
    assert "Affected, and no clean release yet. 3 rows of this version must go, by 1 advisory." in shown


def test_a_release_that_later_advisories_name_is_affected_itself(
    setting: Setting, published: Release, client: Client
) -> None:
    make_removal(setting.team, setting.dataset, ["https://other.example.com/3.jpg"])
    second = services.release_build(actor=setting.team.maintainer, base=setting.base)
    run_jobs()
    services.release_publish(actor=setting.team.maintainer, release=second)
    shown = text(page(client, "release_detail", setting.dataset.slug, "2025-01-01-r1"))
    assert "Use 2025-01-01-r2." in shown
    dataset = text(page(client, "dataset_detail", setting.dataset.slug))
    assert "Use 2025-01-01-r2. 2 earlier versions are affected." in dataset


def test_shards_are_paged_and_found_by_digest(client: Client, db: None) -> None:
    version = make_version(shards={f"{i:03}.csv": make_rows(1, start=i) for i in range(60)})
    args = (version.dataset.slug, version.name)
    shown = text(page(client, "version_detail", *args))
    assert ("049.csv" in shown, "050.csv" in shown) == (True, False)
    digest = version.version_shards.get(path="059.csv").shard_id
    found = text(client.get(reverse("version_detail", args=args), {"shard": digest}))
    assert ("059.csv" in found, "000.csv" in found) == (True, False)


def cells(response: Any, shard: str) -> list[str]:
    """The figures of a shard's row: rows before, removed, rows now."""
    row = re.search(rf"<tr>(?:(?!</tr>).)*>{shard}</a>.*?</tr>", response.content.decode(), re.DOTALL)
    assert row, shard
    return re.findall(r'class="number"[^>]*>([^<]*)<', row[0])[:3]


@pytest.mark.parametrize(("form", "left"), [("compact", "8"), ("aligned", "10")])
def test_the_release_says_what_each_shard_lost(
    setting: Setting, client: Client, form: str, left: str
) -> None:
    release = services.release_build(actor=setting.team.maintainer, base=setting.base, form=form)
    run_jobs()
    release.refresh_from_db()
    services.release_publish(actor=setting.team.maintainer, release=release)
    shown = page(client, "release_detail", setting.dataset.slug, "2025-01-01-r1")
    assert cells(shown, "a/0.parquet") == ["10", "2", left]
    assert cells(shown, "a/1.csv") == ["10", "0", "10"]


def test_a_release_whose_manifest_cannot_be_read_still_has_its_page(
    setting: Setting, published: Release, client: Client
) -> None:
    (release_folder(published) / "release.json").unlink()
    shown = page(client, "release_detail", setting.dataset.slug, "2025-01-01-r1")
    assert cells(shown, "a/0.parquet") == ["\N{EN DASH}", "\N{EN DASH}", "8"]


@pytest.mark.parametrize("versions", [1, 6])
def test_the_list_takes_the_same_queries_for_any_number(
    client: Client, django_assert_max_num_queries: Any, versions: int, db: None
) -> None:
    for _ in range(versions):
        make_version(make_dataset())
    with django_assert_max_num_queries(8):
        page(client, "dataset_list")


def test_a_dataset_page_takes_a_bounded_number_of_queries(
    setting: Setting, published: Release, client: Client, django_assert_max_num_queries: Any
) -> None:
    for year in range(2010, 2020):
        make_version(setting.dataset, f"{year}", dated=date(year, 1, 1))
    with django_assert_max_num_queries(14):
        page(client, "dataset_detail", setting.dataset.slug)


def test_a_dataset_of_many_versions_is_paged(setting: Setting, client: Client) -> None:
    Version.objects.bulk_create(
        Version(
            dataset=setting.dataset,
            name=f"day-{number}",
            dated=date(2020, 1, 1) + timedelta(days=number),
            status="deprecated",
            root="0" * 64,
        )
        for number in range(60)
    )
    first = text(page(client, "dataset_detail", setting.dataset.slug))
    assert "day-59" in first
    assert "day-0 " not in first
    second = text(client.get(reverse("dataset_detail", args=[setting.dataset.slug]), {"versions": 2}))
    assert "day-0 " in second
