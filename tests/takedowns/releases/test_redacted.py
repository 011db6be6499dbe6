"""Redactions from the report to a cleaned copy: built, verified, published, followed downstream, guarded."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from django.urls import reverse

from expunge.apply import apply
from expunge.check import check
from expunge.copies import find_copy
from expunge.verify import verify_release
from registry.datasets.models import VersionStatus
from registry.lib.errors import Refused
from takedowns.cases.models import Case
from takedowns.releases import services
from takedowns.releases.files import release_folder
from takedowns.releases.selectors import bases_due
from takedowns.removals.selectors import removal_redactions
from takedowns.removals.services import rows_by_removal, version_objections
from tests.factories import make_dataset, make_edge, make_rows, make_version, run_jobs
from tests.factories_takedowns import make_removal, make_team
from tests.takedowns.released import Setting

if TYPE_CHECKING:
    from pathlib import Path

    from django.conf import LazySettings
    from django.test import Client

    from expunge.signing import KeyFiles
    from registry.datasets.models import Version
    from takedowns.releases.models import Release

URL = "https://img.example.com/{}.jpg"
LINES = [
    URL.format(1),
    f"cell:text {URL.format(2)}",
    f"cell:md5 {URL.format(2)}",
    f"cell:text {URL.format(3)}",
]


@pytest.fixture
def setting(db: None, settings: LazySettings, tmp_path: Path, keys: KeyFiles) -> Setting:
    """A dataset of two shards of ten rows each; one row must go, and three cells of two others."""
    settings.STORE = tmp_path / "store"
    team = make_team()
    dataset = make_dataset(team.organisation)
    shards = {"a/0.parquet": make_rows(), "a/1.csv": make_rows(host="other.example.com")}
    base = make_version(dataset, "2025-01-01", shards)
    return Setting(team, dataset, base, make_removal(team, dataset, LINES))


def build(setting: Setting, base: Version | None = None) -> Release:
    release = services.release_build(actor=setting.team.maintainer, base=base or setting.base)
    run_jobs()
    release.refresh_from_db()
    assert release.state == "verified", release.failure
    return release


def publish(setting: Setting, release: Release) -> Release:
    return services.release_publish(actor=setting.team.maintainer, release=release)


def test_the_release_has_the_rows_with_their_cells_null(setting: Setting) -> None:
    release = build(setting)
    assert (release.rows_removed, release.rows_after, release.cells_redacted) == (1, 19, 3)
    table = pq.read_table(release_folder(release) / "data/a/0.parquet")
    assert table["url"].to_pylist() == [URL.format(n) for n in range(10) if n != 1]
    assert table["text"].to_pylist()[1:4] == [None, None, "caption om/4.jpg"]
    assert table["md5"].null_count == 1
    verified = verify_release(release_folder(release), integrity_only=True)
    assert [one.column for one in verified.release.redacted] == ["md5", "text"]
    assert (release_folder(release) / "diff/redacted.parquet").is_file()
    assert setting.removal in release.removals.all()


def test_the_page_and_the_api_show_redacted_cells_apart_from_removed_rows(
    setting: Setting, client: Client
) -> None:
    release = publish(setting, build(setting))
    names = [setting.dataset.slug, release.version.name]
    page = client.get(reverse("release_detail", args=names)).content.decode()
    assert "<dt>Cells redacted</dt><dd>3, in rows that stay</dd>" in page
    assert '<td class="number" data-label="Cells redacted">3</td>' in page
    assert '<td class="number" data-label="Removed">1</td>' in page
    found = client.get(reverse("api-release-detail", args=names)).json()
    assert (found["rows_removed"], found["cells_redacted"]) == (1, 3)


def test_the_advisory_says_how_many_rows_lose_cells_and_nothing_of_them(
    setting: Setting, client: Client
) -> None:
    publish(setting, build(setting))
    setting.removal.refresh_from_db()
    assert setting.removal.advisory_id is not None
    answer = client.get(reverse("api-advisory-detail", args=[setting.removal.advisory_id]))
    record = answer.json()
    assert record["database_specific"] == {"category": "opt_out", "rows": 1, "redacted_rows": 2}
    assert record["summary"].startswith(f"1 row of {setting.dataset.name} must go, and cells of 2 rows more")
    assert "img.example.com" not in answer.content.decode()
    page = client.get(reverse("advisory_detail", args=[setting.removal.advisory_id])).content.decode()
    assert "cells of 2 rows" in page


def test_a_published_release_ends_the_case(setting: Setting) -> None:
    assert list(bases_due()) == [setting.base]
    publish(setting, build(setting))
    assert Case.objects.get().state == "closed"
    assert not bases_due()


def test_a_copy_is_found_affected_and_brought_to_the_release(setting: Setting, tmp_path: Path) -> None:
    folder = release_folder(publish(setting, build(setting)))
    mine = tmp_path / "mine"
    mine.mkdir()
    rows = make_rows()[::-1]
    pq.write_table(pa.Table.from_pylist(rows), mine / "subset.parquet")
    checked = check(find_copy([mine]), folder)
    assert (checked.affected, checked.cells) == (1, 3)
    apply(folder, find_copy([mine]), tmp_path / "clean")
    clean = pq.read_table(tmp_path / "clean/subset.parquet")
    assert clean.num_rows == 9
    assert clean["text"].null_count == 2
    again = check(find_copy([tmp_path / "clean"]), folder)
    assert (again.affected, again.cells) == (0, 0)


def test_a_version_that_brings_a_redacted_value_back_cannot_become_active(setting: Setting) -> None:
    rows = [row for row in make_rows() if row["url"] != URL.format(1)]
    back = make_version(setting.dataset, shards={"0.csv": rows}, status=VersionStatus.DRAFT)
    assert version_objections(back) == [
        "It brings back values in 2 rows that a removal not yet published redacted."
    ]
    other = [{**row, "text": None, "md5": None} for row in rows]
    clean = make_version(setting.dataset, shards={"0.parquet": other}, status=VersionStatus.DRAFT)
    assert version_objections(clean) == []
    elsewhere = [{"link": URL.format(3), "caption": "A new caption"}]
    columns = {"url": "link", "text": "caption"}
    renamed = make_version(
        setting.dataset, shards={"0.csv": elsewhere}, status=VersionStatus.DRAFT, columns=columns
    )
    assert version_objections(renamed) == [
        "It brings back values in 1 row that a removal not yet published redacted."
    ]


def test_a_version_registered_later_is_added_to_what_is_affected(setting: Setting) -> None:
    old = make_version(
        setting.dataset,
        shards={"0.csv": [*make_rows(3), {"url": URL.format(3), "text": "c", "md5": ""}]},
        status=VersionStatus.DRAFT,
        final_status=VersionStatus.DEPRECATED,
    )
    assert version_objections(old) == []
    affected = setting.removal.affected.get(version=old)
    assert (affected.rows, affected.redacted_rows) == (1, 2)


def test_a_release_cannot_be_published_once_more_is_to_be_redacted(setting: Setting) -> None:
    release = build(setting)
    make_removal(setting.team, setting.dataset, [f"cell:text {URL.format(5)}"])
    with pytest.raises(Refused, match="changed since"):
        publish(setting, release)
    release = build(setting)
    assert (release.cells_redacted, release.removals.count()) == (4, 2)
    publish(setting, release)


def test_a_redaction_of_a_row_that_another_removal_takes_out_is_carried_out_all_the_same(
    setting: Setting,
) -> None:
    second = make_removal(setting.team, setting.dataset, [URL.format(2), URL.format(3)])
    release = publish(setting, build(setting))
    assert (release.rows_removed, release.cells_redacted) == (3, 0)
    assert set(release.removals.all()) == {setting.removal, second}
    assert not bases_due()


def test_a_base_without_the_column_is_built_without_that_redaction(setting: Setting) -> None:
    bare = [{"url": row["url"]} for row in make_rows()]
    derived = make_version(
        make_dataset(setting.team.organisation), shards={"0.csv": bare}, columns={"url": "url"}
    )
    make_edge(setting.base, derived)
    lines = [f"cell:text {URL.format(5)}", URL.format(6)]
    removal = make_removal(setting.team, setting.dataset, lines)
    assert removal_redactions([removal], derived) == {}
    release = build(setting, derived)
    assert (release.rows_removed, release.cells_redacted) == (1, 0)
    assert rows_by_removal(release.version) == {}


def test_rows_that_two_advisories_redact_are_at_most_that_many(setting: Setting, client: Client) -> None:
    make_removal(setting.team, setting.dataset, [f"cell:md5 {URL.format(3)}"])
    publish(setting, build(setting))
    page = client.get(reverse("version_detail", args=[setting.dataset.slug, setting.base.name]))
    # The release tells how many rows went; two advisories name cells of row 3.
    assert "1 row of this version must go, and cells of at most 3 rows more, by 2 advisories." in (
        page.content.decode()
    )


def test_one_element_of_a_list_leaves_it(setting: Setting, tmp_path: Path) -> None:
    lists = [{"url": [URL.format(n), URL.format(n + 20)], "text": "t", "md5": f"{n:032x}"} for n in range(4)]
    dataset = make_dataset(setting.team.organisation)
    base = make_version(dataset, shards={"0.parquet": lists})
    base.shards.update(schema=[{"name": "url", "type": "list<element: string>", "required": False}])
    removal = make_removal(setting.team, dataset, [f"element:{URL.format(2)}"])
    assert removal.affected.get().redacted_rows == 1
    release = build(setting, base)
    assert (release.rows_removed, release.cells_redacted) == (0, 1)
    urls = pq.read_table(release_folder(release) / "data/0.parquet")["url"].to_pylist()
    assert urls[2] == [URL.format(22)]
    assert urls[1] == [URL.format(1), URL.format(21)]
    shutil.copytree(release_folder(release), tmp_path / "copy")
    publish(setting, release)
    assert version_objections(release.version) == []
