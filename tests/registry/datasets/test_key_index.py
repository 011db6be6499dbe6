"""The key index of the store: fed by the ingest, built by a job where that failed, closed to others, gone with its shard."""

from __future__ import annotations

import errno
import hashlib
import logging
import os
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import call_command
from django.urls import reverse
from django.utils import timezone

import registry.datasets.tasks  # noqa: F401  -- registers the handlers
from expunge.index import ShardIndexer
from expunge.index.builder import index_files
from expunge.keys import KeyKind
from expunge.lists import parse_entry
from registry.accounts.models import Role, User
from registry.datasets import ingest, key_index, store
from registry.datasets.locating import rows_named
from registry.datasets.models import Dataset, Shard, Version
from registry.datasets.services import version_register
from registry.jobs.models import Job, JobState
from registry.jobs.services import job_run
from tests.factories import (
    make_dataset,
    make_member,
    make_organisation,
    make_rows,
    make_version,
    run_jobs,
    write_shard,
)

if TYPE_CHECKING:
    from pathlib import Path

    from django.test import Client

pytestmark = pytest.mark.django_db

URL_KINDS = {KeyKind.URL_RAW, KeyKind.URL_C1, KeyKind.HOST, KeyKind.DOMAIN}


@pytest.fixture
def dataset(store_folder: Path) -> Dataset:
    return make_dataset(slug="links")


@pytest.fixture
def folder(imports: Path) -> Path:
    (imports / "a").mkdir()
    return imports / "a"


def register(dataset: Dataset, maintainer: User, name: str = "1") -> Version:
    return version_register(actor=maintainer, dataset=dataset, name=name, dated=date(2025, 1, 1), source="a")


def ingested(dataset: Dataset, maintainer: User, name: str = "1") -> Version:
    version = register(dataset, maintainer, name)
    run_jobs()
    version.refresh_from_db()
    return version


def arrays_of(digest: str) -> dict[KeyKind, Path]:
    """The index's files to search, by kind."""
    found = {kind: index_files(key_index.index_folder(), digest, kind)[0] for kind in KeyKind}
    return {kind: path for kind, path in found.items() if path.exists()}


def files_of_the_index() -> dict[Path, int]:
    """Every file of the index with its inode."""
    return {path: path.stat().st_ino for path in key_index.index_folder().rglob("*") if path.is_file()}


def break_indexer(monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    def fail(*_args: object) -> None:
        raise OSError(errno.ENOSPC, "https://img.example.com/7.jpg did not fit")

    monkeypatch.setattr(ShardIndexer, method, fail)


# Fed by the ingest


def test_an_ingest_leaves_the_index_of_every_kind_that_its_columns_carry(
    dataset: Dataset, maintainer: User, folder: Path
) -> None:
    write_shard(folder / "0.parquet", make_rows(20))
    (folder / "1.csv").write_text("url,text,md5\nhttps://a.example/1,x,\n")
    version = ingested(dataset, maintainer)
    for shard in version.shards.all():
        assert set(arrays_of(shard.digest)) == URL_KINDS | {KeyKind.TEXT, KeyKind.MD5}
    assert key_index.index_coverage(version) == (2, 2)
    assert not Job.objects.filter(kind="index_build").exists()


def test_what_a_killed_ingest_left_of_another_format_is_not_believed(
    dataset: Dataset, maintainer: User, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of its rows is one further down, and would be looked for where it is not."""

    class KilledError(BaseException):
        pass

    def kill(*_: object) -> None:
        raise KilledError

    text = "url\n" + "".join(f"https://img.example.com/{n}.jpg\n" for n in range(9))
    (folder / "0.txt").write_text(text)
    register(dataset, maintainer)
    (job,) = Job.objects.all()
    with monkeypatch.context() as patch:
        patch.setattr(ingest, "_check_formats", kill)
        with pytest.raises(KilledError):
            job_run(job.pk)
    digest = hashlib.sha256(text.encode()).hexdigest()
    assert arrays_of(digest)
    (folder / "0.txt").rename(folder / "0.csv")
    version = register(dataset, maintainer, "2")
    job_run(Job.objects.get(subject_id=version.pk).pk)
    entry = parse_entry("https://img.example.com/7.jpg")
    version.refresh_from_db()
    assert rows_named([version], [entry])[digest].rows.tolist() == [7]


def test_many_shards_are_merged(dataset: Dataset, maintainer: User, folder: Path) -> None:
    for number in range(9):
        write_shard(folder / f"{number}.csv", make_rows(3, start=number * 3))
    ingested(dataset, maintainer)
    merged = {path.parent.name for path in key_index.index_folder().glob("merged/*/*.idx")}
    assert merged == URL_KINDS | {KeyKind.TEXT, KeyKind.MD5}


def test_it_is_closed_to_everybody_but_its_owner(dataset: Dataset, maintainer: User, folder: Path) -> None:
    write_shard(folder / "0.csv", make_rows())
    ingested(dataset, maintainer)
    assert key_index.index_folder().stat().st_mode & 0o777 == 0o700


def test_a_shard_of_a_second_version_is_not_indexed_again(
    dataset: Dataset, maintainer: User, folder: Path
) -> None:
    write_shard(folder / "0.csv", make_rows())
    ingested(dataset, maintainer)
    before = files_of_the_index()
    (folder / "0.csv").rename(folder / "renamed.csv")
    second = ingested(dataset, maintainer, "2")
    assert files_of_the_index() == before
    assert key_index.index_coverage(second) == (1, 1)


@pytest.mark.parametrize("method", ["__init__", "add", "finish"])
def test_where_it_cannot_be_written_the_version_is_ingested_all_the_same_and_a_job_builds_it_later(
    dataset: Dataset,
    maintainer: User,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
) -> None:
    write_shard(folder / "0.csv", make_rows())
    version = register(dataset, maintainer)
    with monkeypatch.context() as patch:
        break_indexer(patch, method)
        job_run(Job.objects.get().pk)
    version.refresh_from_db()
    assert (version.status, version.rows) == ("active", 10)
    assert key_index.index_coverage(version) == (0, 1)
    (job,) = run_jobs()
    assert (job.kind, job.state, job.title) == (
        "index_build",
        JobState.SUCCEEDED,
        "Indexing the keys of links@1",
    )
    assert key_index.index_coverage(version) == (1, 1)


def test_what_is_logged_of_a_failure_quotes_no_row(
    dataset: Dataset, maintainer: User, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_shard(folder / "0.csv", make_rows())
    register(dataset, maintainer)
    # The log's formatter withholds the texts of exceptions, so what counts is what the handlers would write.
    written: list[str] = []

    def emit(handler: logging.StreamHandler[Any], record: logging.LogRecord) -> None:
        if type(handler) is logging.StreamHandler:  # not the ones by which pytest listens
            written.append(handler.format(record))

    monkeypatch.setattr(logging.StreamHandler, "emit", emit)
    break_indexer(monkeypatch, "add")
    job_run(Job.objects.get().pk)
    told = [line for line in written if "index_failed" in line]
    assert told
    assert all("OSError" in line and "errno=28" in line for line in told)
    assert "img.example.com" not in "".join(written)


@pytest.mark.parametrize("step", ["put", "_write"])
def test_of_an_ingest_that_fails_later_nothing_stays_either(
    dataset: Dataset, maintainer: User, folder: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def fail(*_args: object, **_options: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    write_shard(folder / "0.csv", make_rows())
    with monkeypatch.context() as patch:
        patch.setattr(store if step == "put" else ingest, step, fail)
        assert ingested(dataset, maintainer).status == "draft"
    assert not files_of_the_index()


def test_of_an_ingest_that_fails_nothing_stays_but_what_was_there(
    dataset: Dataset, maintainer: User, folder: Path
) -> None:
    write_shard(folder / "0.csv", make_rows())
    ingested(dataset, maintainer)
    before = files_of_the_index()
    write_shard(folder / "1.csv", make_rows(5))
    (folder / "2.csv").write_text("url,text,md5\nhttps://a.example/1,x\n")
    assert ingested(dataset, maintainer, "2").status == "draft"
    assert files_of_the_index() == before


def test_what_a_killed_ingest_left_is_swept_a_day_later(
    dataset: Dataset, maintainer: User, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_shard(folder / "0.csv", make_rows(5))
    register(dataset, maintainer)

    def die(*_args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("registry.datasets.ingest._write", die)
        with pytest.raises(KeyboardInterrupt):
            job_run(Job.objects.get().pk)
    (home,) = key_index.index_folder().glob("??/*")
    assert not Shard.objects.exists()
    key_index.index_sweep()
    assert home.exists()
    os.utime(home, (0, 0))
    key_index.index_sweep()
    assert not home.exists()


def test_sweeping_keeps_what_the_store_holds(dataset: Dataset, maintainer: User, folder: Path) -> None:
    write_shard(folder / "0.csv", make_rows())
    ingested(dataset, maintainer)
    before = files_of_the_index()
    key_index.index_sweep(older_than_seconds=-60)
    assert files_of_the_index() == before != {}


# Built by a job


def test_the_command_starts_a_job_for_each_version_that_lacks_it(
    dataset: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    first = make_version(dataset, "1", {"a.csv": make_rows(5), "b.parquet": make_rows(6)})
    make_version(dataset, "2", {"a.csv": make_rows(5)})
    call_command("index_versions")
    told = capsys.readouterr().out
    assert "links@1: 0 of 2 shards indexed" in told
    assert "links@2: 0 of 1 shard indexed" in told
    assert "Started 2 jobs." in told
    assert {job.state for job in run_jobs()} == {JobState.SUCCEEDED}
    assert key_index.index_coverage(first) == (2, 2)
    call_command("index_versions")
    assert capsys.readouterr().out == "Every version is indexed.\n"
    assert not run_jobs()


def test_the_command_proves_every_byte_when_asked_to(
    dataset: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    version = make_version(dataset, "1", {"a.csv": make_rows(500)})
    key_index.index_start(version)
    run_jobs()
    array = arrays_of(version.shards.get().digest)[KeyKind.URL_C1]
    content = bytearray(array.read_bytes())
    content[40] ^= 1
    array.write_bytes(content)
    call_command("index_versions")
    assert capsys.readouterr().out == "Every version is indexed.\n"
    call_command("index_versions", "--prove")
    assert "Started 1 job." in capsys.readouterr().out
    run_jobs()
    content[40] ^= 1
    assert array.read_bytes() == content


@pytest.mark.parametrize("step", ["add", "finish"])
def test_a_job_killed_anywhere_ends_the_same_when_run_again_and_keeps_the_shards_it_had_done(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    version = make_version(dataset, "1", {"a.csv": make_rows(5), "b.csv": make_rows(6)})
    job = key_index.index_start(version)
    real, calls = getattr(ShardIndexer, step), []

    def die_at_the_second(*args: object) -> None:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        real(*args)

    with monkeypatch.context() as patch:
        patch.setattr(ShardIndexer, step, die_at_the_second)
        with pytest.raises(KeyboardInterrupt):
            job_run(job.pk)
    assert key_index.index_coverage(version) == (1, 2)
    kept = files_of_the_index()
    Job.objects.update(heartbeat_at=timezone.now() - timedelta(hours=1))
    job_run(job.pk)
    job.refresh_from_db()
    assert (job.state, job.attempt) == (JobState.SUCCEEDED, 2)
    assert key_index.index_coverage(version) == (2, 2)
    assert kept.items() <= files_of_the_index().items()


def test_an_object_that_is_not_what_its_digest_says_is_not_indexed(dataset: Dataset) -> None:
    version = make_version(dataset, "1", {"a.csv": make_rows(5)})
    path = store.object_path(version.shards.get().digest)
    path.chmod(0o600)
    path.write_bytes(path.read_bytes().replace(b"/3.jpg", b"/4.jpg"))
    key_index.index_start(version)
    (job,) = run_jobs()
    assert job.state == JobState.FAILED
    assert "is not what its digest says" in job.error
    assert key_index.index_coverage(version) == (0, 1)


def test_a_job_that_is_alive_is_not_started_twice(dataset: Dataset) -> None:
    version = make_version(dataset, "1")
    assert key_index.index_start(version) == key_index.index_start(version)


def test_rowless_shards_need_no_index(dataset: Dataset) -> None:
    version = make_version(dataset, "1", {"a.csv": make_rows(5)})
    Shard.objects.update(rows=0)
    assert key_index.index_coverage(version) == (0, 0)


# Forgotten


def test_a_forgotten_shard_is_in_no_file_of_it(dataset: Dataset, maintainer: User, folder: Path) -> None:
    for number in range(9):
        write_shard(folder / f"{number}.csv", make_rows(3, start=number * 3))
    version = ingested(dataset, maintainer)
    digest, *others = version.shards.values_list("digest", flat=True)
    key_index.index_forget([digest])
    assert not arrays_of(digest)
    assert not any(digest.encode() in path.read_bytes() for path in files_of_the_index())
    assert all(arrays_of(other) for other in others)


# Shown


def test_maintainers_see_on_the_page_whether_it_is_whole_and_nobody_else_does(
    dataset: Dataset, maintainer: User, client: Client
) -> None:
    version = make_version(dataset, "1", {"a.csv": make_rows(5), "b.csv": make_rows(6)})
    page = reverse("version_detail", args=["links", "1"])
    client.force_login(maintainer)
    assert "0 of 2 shards" in client.get(page).content.decode()
    key_index.index_start(version)
    run_jobs()
    assert "<dt>Key index</dt><dd>Whole" in client.get(page).content.decode()
    for stranger in (
        make_member(dataset.organisation),
        make_member(make_organisation(), Role.MAINTAINER),
    ):
        client.force_login(stranger)
        assert "Key index" not in client.get(page).content.decode()
    client.logout()
    assert "Key index" not in client.get(page).content.decode()
