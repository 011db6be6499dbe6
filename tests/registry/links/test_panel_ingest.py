"""A version of a dataset whose links are checked gets its panel from the reading of its ingest."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import pytest
from django.utils import timezone

from expunge.keys import KeyKind, url_keys
from expunge.shards import open_shard
from registry.accounts.models import Role, User
from registry.auditlog.models import AuditEntry
from registry.datasets import ingest, services
from registry.hooks import hooks
from registry.jobs import services as jobs
from registry.jobs.models import Job
from registry.links.models import LinkPolicy, Panel
from registry.links.panel import panel_draw
from tests.factories import make_dataset, make_member, make_rows, run_jobs, write_shard

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    import pyarrow as pa

    from expunge.shards import Shard, ShardFile
    from registry.datasets.models import Dataset, Version

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store_folder")]

ROWS = 300


def register(dataset: Dataset, maintainer: User, imports: Path, name: str, rows: int = ROWS) -> Version:
    write_shard(imports / name / "0.parquet", make_rows(rows // 2))
    write_shard(imports / name / "1.csv", make_rows(rows // 2, start=rows // 2))
    return services.version_register(
        actor=maintainer, dataset=dataset, name=name, dated=date(2025, 1, 1), source=name
    )


@pytest.fixture
def first(dataset: Dataset, maintainer: User, imports: Path) -> Version:
    """A version with a panel of 40 links, drawn when somebody asked for it."""
    version = register(dataset, maintainer, imports, "1")
    run_jobs()
    version.refresh_from_db()
    assert not Panel.objects.exists()
    panel_draw(actor=maintainer, version=version, size=40)
    run_jobs()
    return version


def rows_of(panel: Panel) -> list[tuple[str, int, str]]:
    return sorted(panel.panel_rows.values_list("shard", "row", "link__url"))


def test_the_next_version_has_its_panel_when_its_ingest_ends(
    dataset: Dataset, maintainer: User, imports: Path, first: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []

    def watched(file: ShardFile) -> Shard:
        read.append(file.name)
        return open_shard(file)

    monkeypatch.setattr("registry.datasets.ingest.open_shard", watched)
    version = register(dataset, maintainer, imports, "2")
    done = run_jobs()
    assert "panel_draw" not in {job.kind for job in done}
    assert read == ["0.parquet", "1.csv"]  # each once
    drawn = Panel.objects.get(version=version)
    assert (drawn.size, drawn.rows_read, drawn.urls_unusable, drawn.drawn_by) == (40, ROWS, 0, maintainer)
    assert drawn.drawn_at is not None
    # The same rows as of the version before, which holds the same URLs, and as a job would draw.
    assert rows_of(drawn) == rows_of(Panel.objects.get(version=first))
    assert AuditEntry.objects.filter(action="panel_draw", subject_id=str(version.pk)).count() == 1


@pytest.mark.usefixtures("first")
@pytest.mark.parametrize("rows", [ROWS, ROWS + 20], ids=["indexed before", "indexed meanwhile"])
def test_the_key_of_a_url_is_computed_once_for_index_and_panel_together(
    dataset: Dataset, maintainer: User, imports: Path, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    keyed: list[int] = []

    def watched(kinds: Collection[KeyKind], values: pa.Array) -> dict[KeyKind, pa.Array]:
        if KeyKind.URL_RAW in kinds:
            keyed.append(len(values))
        return url_keys(kinds, values)

    version = register(dataset, maintainer, imports, "2", rows)
    monkeypatch.setattr("expunge.locate.url_keys", watched)
    job = Job.objects.get(subject_id=version.pk)
    jobs.job_run(job.pk)
    assert Panel.objects.get(version=version).panel_rows.count() == 40
    version.refresh_from_db()
    assert sum(keyed) == version.rows


def test_a_shard_that_is_indexed_already_is_sampled_all_the_same(
    dataset: Dataset, maintainer: User, imports: Path, first: Version
) -> None:
    version = register(dataset, maintainer, imports, "again", ROWS)  # the bytes of the first
    run_jobs()
    assert Panel.objects.get(version=version).panel_rows.count() == 40


@pytest.mark.parametrize("why", ["paused", "no panel"])
def test_where_links_are_not_checked_none_is_drawn(
    dataset: Dataset, maintainer: User, imports: Path, first: Version, why: str
) -> None:
    if why == "paused":
        LinkPolicy.objects.update(paused_at=timezone.now())
    else:
        Panel.objects.all().delete()
    version = register(dataset, maintainer, imports, "2")
    assert "panel_draw" not in {job.kind for job in run_jobs()}
    version.refresh_from_db()
    assert version.status == "active"
    assert not Panel.objects.filter(version=version).exists()


def test_another_datasets_policy_says_nothing(imports: Path, first: Version) -> None:
    other = make_dataset(slug="other")
    version = register(other, make_member(other.organisation, Role.MAINTAINER), imports, "2")
    run_jobs()
    assert not Panel.objects.filter(version=version).exists()


def test_a_version_that_stays_a_draft_has_none(
    dataset: Dataset, maintainer: User, imports: Path, first: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hooks, "version_objections", [lambda _version: ["It brings a removed row back."]])
    version = register(dataset, maintainer, imports, "2")
    run_jobs()
    version.refresh_from_db()
    assert version.status == "draft"
    assert not Panel.objects.filter(version=version).exists()


def test_an_ingest_that_goes_on_after_a_kill_has_it_drawn_by_a_job(
    dataset: Dataset, maintainer: User, imports: Path, first: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = register(dataset, maintainer, imports, "2")
    job = Job.objects.get(subject_id=version.pk)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ingest, "_finish", killed)
        with pytest.raises(KeyboardInterrupt):
            jobs.job_run(job.pk)
    Job.objects.filter(pk=job.pk).update(state="queued", lease=None)
    assert not Panel.objects.filter(version=version).exists()
    done = run_jobs()
    assert "panel_draw" in {one.kind for one in done}
    version.refresh_from_db()
    assert version.status == "active"
    assert rows_of(Panel.objects.get(version=version)) == rows_of(Panel.objects.get(version=first))
