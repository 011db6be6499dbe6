"""Ingest in a real worker process, and what a kill -9 in the middle of it leaves."""

from __future__ import annotations

import gzip
import hashlib
from datetime import date, timedelta
from typing import TYPE_CHECKING

import pytest
from django.utils import timezone

from expunge.keys import KeyKind
from expunge.lists import Entry
from registry.accounts.models import Role
from registry.datasets import key_index, services
from registry.datasets.locating import rows_named
from registry.datasets.models import Version
from registry.jobs.models import Job, JobState
from registry.jobs.services import jobs_resume
from tests.factories import make_dataset, make_member, make_rows, make_version, write_shard
from tests.processes import Worker

if TYPE_CHECKING:
    from pathlib import Path

    from registry.embedded import Servers

SHARDS = 6
ROWS = 150_000


def register(source: str) -> Job:
    dataset = make_dataset(slug="links")
    version = services.version_register(
        actor=make_member(dataset.organisation, Role.MAINTAINER),
        dataset=dataset,
        name="1",
        dated=date(2025, 1, 1),
        source=source,
    )
    return Job.objects.get(subject_id=version.pk)


def has_ended(job: Job) -> bool:
    job.refresh_from_db()
    return job.state in {JobState.SUCCEEDED, JobState.FAILED}


def test_a_worker_ingests_a_registered_version(imports: Path, store_folder: Path, worker: Worker) -> None:
    write_shard(imports / "a" / "0.parquet", make_rows(1000))
    job = register("a")
    worker.wait_for(lambda: has_ended(job))
    version = Version.objects.get()
    assert (job.state, job.error) == (JobState.SUCCEEDED, "")
    assert (version.status, version.rows) == ("active", 1000)


@pytest.mark.usefixtures("transactional_db")
def test_a_job_whose_worker_was_killed_is_done_by_another(
    imports: Path, store_folder: Path, servers: Servers
) -> None:
    (imports / "a").mkdir()
    for number in range(SHARDS):
        lines = "".join(f"https://a.example/{number}/{row}\n" for row in range(ROWS))
        (imports / "a" / f"{number}.csv.gz").write_bytes(gzip.compress(b"url\n" + lines.encode(), 1))
    with Worker(servers) as worker:
        job = register("a")
        worker.wait_for(lambda: Job.objects.filter(pk=job.pk, rows_done__gt=0, state="running").exists())
        worker.kill()
    version = Version.objects.get()
    job.refresh_from_db()
    assert job.state == JobState.RUNNING, "it ended before it could be killed: make the input larger"
    assert (version.status, version.rows, version.version_shards.count()) == ("draft", 0, 0)
    assert not [path for path in store_folder.glob("sha256/*/*") if path.stat().st_size == 0]

    Job.objects.update(heartbeat_at=timezone.now() - timedelta(hours=1))
    with Worker(servers) as worker:
        assert jobs_resume() == 1
        worker.wait_for(lambda: has_ended(job), 60)
    version.refresh_from_db()
    assert (job.state, job.error, job.attempt) == (JobState.SUCCEEDED, "", 2)
    assert (version.status, version.rows, version.version_shards.count()) == ("active", SHARDS * ROWS, SHARDS)
    assert key_index.index_coverage(version) == (SHARDS, SHARDS)


@pytest.mark.usefixtures("transactional_db", "store_folder")
def test_an_index_whose_worker_was_killed_is_built_to_its_end_by_another(servers: Servers) -> None:
    version = make_version(shards={f"{n}.parquet": make_rows(60_000, start=n * 60_000) for n in range(4)})
    with Worker(servers) as worker:
        job = key_index.index_start(version)
        worker.wait_for(lambda: Job.objects.filter(pk=job.pk, rows_done__gt=0, state="running").exists())
        worker.kill()
    job.refresh_from_db()
    assert job.state == JobState.RUNNING, "it ended before it could be killed: make the input larger"
    whole, shards = key_index.index_coverage(version)
    assert whole < shards
    entries = [Entry(KeyKind.MD5, hashlib.md5(b"https://img.example.com/200000.jpg").digest(), "", 0)]
    ((digest, hits),) = rows_named([version], entries).items()
    assert (digest, hits.rows.tolist()) == (version.version_shards.get(path="3.parquet").shard_id, [20_000])

    Job.objects.update(heartbeat_at=timezone.now() - timedelta(hours=1))
    with Worker(servers) as worker:
        assert jobs_resume() == 1
        worker.wait_for(lambda: has_ended(job), 60)
    assert (job.state, job.error, job.attempt) == (JobState.SUCCEEDED, "", 2)
    assert key_index.index_coverage(version) == (4, 4)
    assert rows_named([version], entries)[digest].rows.tolist() == [20_000]
