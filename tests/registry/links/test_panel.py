from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from registry.accounts.models import Role, User
from registry.auditlog.models import AuditEntry
from registry.datasets.models import Dataset, VersionStatus
from registry.lib.errors import NotAllowed, Refused
from registry.links.models import Host, Link, Panel, PanelRow
from registry.links.panel import MAX_SIZE, panel_draw
from tests.factories import make_member, make_organisation, make_rows, make_version, run_jobs

if TYPE_CHECKING:
    from registry.datasets.models import Version

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store_folder")]


def draw(maintainer: User, version: Version, size: int = 10) -> Panel:
    panel_draw(actor=maintainer, version=version, size=size)
    [job] = run_jobs()
    assert job.state == "succeeded", job.error
    return Panel.objects.get(version=version)


def links(panel: Panel) -> set[str]:
    return set(panel.panel_rows.values_list("link__url", flat=True))


def test_it_draws_links_from_every_shard_with_their_rows(dataset: Dataset, maintainer: User) -> None:
    shards = {"0.csv": make_rows(40), "1.parquet": make_rows(40, "b.example.org")}
    version = make_version(dataset, shards=shards)
    panel = draw(maintainer, version, 30)
    assert (panel.panel_rows.count(), panel.rows_read, panel.urls_unusable) == (30, 80, 0)
    assert set(Host.objects.values_list("name", flat=True)) == {"img.example.com", "b.example.org"}
    assert not Host.objects.filter(due_at=None).exists()
    for row in panel.panel_rows.select_related("link__host"):
        assert row.link.url == f"https://{row.link.host.name}/{row.row}.jpg"
        assert version.version_shards.get(shard=row.shard_id).path == (
            "0.csv" if row.link.host.name.startswith("img") else "1.parquet"
        )


def test_a_small_version_is_drawn_whole_and_each_url_once(dataset: Dataset, maintainer: User) -> None:
    rows = make_rows(5)
    panel = draw(maintainer, make_version(dataset, shards={"0.csv": rows, "1.csv": rows}), 100)
    assert sorted(panel.panel_rows.values_list("row", flat=True)) == [0, 1, 2, 3, 4]


def test_the_next_version_draws_the_same_links_and_they_keep_their_state(
    dataset: Dataset, maintainer: User
) -> None:
    first = draw(maintainer, make_version(dataset, shards={"0.csv": make_rows(200)}), 20)
    Link.objects.update(state="alive", outcome="ok", due_at=None)
    second = draw(maintainer, make_version(dataset, shards={"0.csv": make_rows(200, start=10)}), 20)
    assert len(links(first) & links(second)) >= 15
    assert Link.objects.filter(state="alive").count() == 20
    assert Link.objects.filter(state="unchecked").count() == len(links(second) - links(first))


def test_drawing_again_replaces_the_panel(dataset: Dataset, maintainer: User) -> None:
    version = make_version(dataset, shards={"0.csv": make_rows(50)})
    ten = links(draw(maintainer, version, 10))
    assert ten < links(draw(maintainer, version, 20))
    assert links(draw(maintainer, version, 10)) == ten
    assert PanelRow.objects.count() == 10


def test_what_leads_to_no_host_is_counted_and_not_asked(dataset: Dataset, maintainer: User) -> None:
    rows = [{"url": url} for url in ["https://a.example.com/1", "not a url", "data:,x", "", None]]
    version = make_version(dataset, shards={"0.parquet": rows}, columns={"url": "url"})
    panel = draw(maintainer, version)
    assert links(panel) == {"https://a.example.com/1"}
    assert panel.urls_unusable == 3


def test_a_column_of_lists_names_the_row_of_each_element(dataset: Dataset, maintainer: User) -> None:
    rows: list[dict[str, Any]] = [
        {"url": ["https://a.example/1", "https://a.example/2"]},
        {"url": []},
        {"url": ["https://a.example/3"]},
    ]
    version = make_version(dataset, shards={"0.parquet": rows}, columns={"url": "url"})
    panel = draw(maintainer, version)
    assert set(panel.panel_rows.values_list("link__url", "row")) == {
        ("https://a.example/1", 0),
        ("https://a.example/2", 0),
        ("https://a.example/3", 2),
    }


def test_it_is_logged_once(dataset: Dataset, maintainer: User) -> None:
    version = make_version(dataset)
    draw(maintainer, version)
    entry = AuditEntry.objects.get(action="panel_draw")
    assert (entry.subject_id, entry.data["size"]) == (str(version.pk), 10)


@pytest.mark.parametrize("size", [0, -1, MAX_SIZE + 1])
def test_a_size_that_makes_no_sense_is_refused(dataset: Dataset, maintainer: User, size: int) -> None:
    with pytest.raises(Refused, match="between 1 and 100,000"):
        panel_draw(actor=maintainer, version=make_version(dataset), size=size)


def test_versions_without_urls_or_out_of_use_are_refused(dataset: Dataset, maintainer: User) -> None:
    with pytest.raises(Refused, match="carries URLs"):
        panel_draw(actor=maintainer, version=make_version(dataset, columns={"text": "text"}), size=5)
    with pytest.raises(Refused, match="withdrawn"):
        panel_draw(actor=maintainer, version=make_version(dataset, status=VersionStatus.WITHDRAWN), size=5)


def test_staff_and_strangers_may_not(dataset: Dataset) -> None:
    version = make_version(dataset)
    for actor in (
        make_member(dataset.organisation, Role.STAFF),
        make_member(make_organisation(), Role.APPROVER),
    ):
        with pytest.raises(NotAllowed):
            panel_draw(actor=actor, version=version, size=5)
    assert not Panel.objects.exists()
