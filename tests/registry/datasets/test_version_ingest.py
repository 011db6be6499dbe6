from __future__ import annotations

import gzip
import hashlib
import zlib
from datetime import date
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

import registry.datasets.tasks  # noqa: F401  -- registers the handlers
from registry.auditlog.models import AuditEntry
from registry.datasets import ingest, services, store
from registry.datasets.key_index import index_coverage
from registry.datasets.models import Dataset, Shard, Version, VersionShard
from registry.datasets.selectors import version_shards
from registry.hooks import hooks
from registry.jobs import services as jobs
from registry.jobs.models import Job, JobState
from tests.factories import make_rows, run_jobs, write_shard

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from registry.accounts.models import User

pytestmark = pytest.mark.django_db


@pytest.fixture
def folder(imports: Path, store_folder: Path) -> Path:
    (imports / "a").mkdir()
    return imports / "a"


def register(dataset: Dataset, maintainer: User, **fields: object) -> Version:
    return services.version_register(
        actor=maintainer,
        dataset=dataset,
        **{"name": "1", "dated": date(2025, 1, 1), "source": "a", **fields},  # type: ignore[arg-type]  # as each test says
    )


def ingested(dataset: Dataset, maintainer: User, **fields: object) -> Version:
    version = register(dataset, maintainer, **fields)
    run_jobs()
    version.refresh_from_db()
    return version


def test_it_ends_active_with_shards_totals_columns_and_root(
    dataset: Dataset, maintainer: User, folder: Path
) -> None:
    files = [
        write_shard(folder / "1.parquet", make_rows(20)),
        write_shard(folder / "part" / "0.csv", make_rows(5, start=20)),
    ]
    (folder / "README.md").write_text("not a shard")
    version = ingested(dataset, maintainer)
    sums = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
    assert (version.status, version.status_reason, version.rows) == ("active", "", 25)
    assert version.bytes == sum(file.stat().st_size for file in files)
    assert version.columns == {"url": "url", "text": "text", "md5": "md5"}
    assert (
        version.root == hashlib.sha256(f"{sums[0]}  1.parquet\n{sums[1]}  part/0.csv\n".encode()).hexdigest()
    )
    shards = version_shards(version)
    assert [(shard.name, shard.path) for shard in shards] == [
        ("1.parquet", store.object_path(sums[0])),
        ("part/0.csv", store.object_path(sums[1])),
    ]
    assert [shard.path.read_bytes() for shard in shards] == [file.read_bytes() for file in files]
    shard = Shard.objects.get(digest=sums[0])
    assert (shard.rows, shard.format, shard.row_groups) == (20, "parquet", 2)
    assert shard.schema[0] == {"name": "url", "type": "string", "required": False}
    assert Job.objects.filter(kind="version_ingest").get().state == JobState.SUCCEEDED
    assert AuditEntry.objects.get(action="version_ingest").data["rows"] == 25


def test_an_old_version_ends_deprecated(dataset: Dataset, maintainer: User, folder: Path) -> None:
    write_shard(folder / "0.csv", make_rows())
    assert ingested(dataset, maintainer, final_status="deprecated").status == "deprecated"


def test_a_shard_is_kept_once_however_many_versions_hold_it(
    dataset: Dataset, maintainer: User, folder: Path, store_folder: Path
) -> None:
    write_shard(folder / "0.csv", make_rows())
    first = ingested(dataset, maintainer)
    second = ingested(dataset, maintainer, name="2")
    assert first.root == second.root
    assert Shard.objects.count() == 1
    assert VersionShard.objects.count() == 2
    assert len([path for path in store_folder.glob("sha256/*/*") if path.is_file()]) == 1


def test_two_shards_with_the_same_bytes_both_count(dataset: Dataset, maintainer: User, folder: Path) -> None:
    for name in ("0.csv", "1.csv"):
        write_shard(folder / name, make_rows())
    version = ingested(dataset, maintainer)
    assert (version.rows, version.version_shards.count(), Shard.objects.count()) == (20, 2, 1)


def test_uploads_are_ingested_and_then_no_longer_wait(
    dataset: Dataset, maintainer: User, store_folder: Path
) -> None:
    files = [SimpleUploadedFile(f"{n}.csv", f"url\nhttps://a.example/{n}\n".encode()) for n in range(3)]
    version = ingested(dataset, maintainer, source="", uploads=files)
    assert (version.status, version.rows) == ("active", 3)
    assert not store.uploads_folder(version.pk).exists()


def corrupt_parquet(folder: Path) -> None:
    write_shard(folder / "bad.parquet", make_rows())
    data = (folder / "bad.parquet").read_bytes()
    (folder / "bad.parquet").write_bytes(data[: len(data) - 20])


def cut_gzip(folder: Path) -> None:
    (folder / "bad.csv.gz").write_bytes(gzip.compress(b"url\n" + b"https://a.example/1\n" * 1000)[:-12])


def wrong_extension(folder: Path) -> None:
    write_shard(folder / "0.csv", make_rows())
    (folder / "0.csv").rename(folder / "bad.parquet")


def random_bytes(folder: Path) -> None:
    (folder / "bad.csv").write_bytes(zlib.compress(b"noise" * 1000) + bytes(range(256)))


def empty_file(folder: Path) -> None:
    (folder / "bad.csv").touch()


def ragged_row(folder: Path) -> None:
    (folder / "bad.csv").write_text("url,text\nhttps://a.example/1,x\nhttps://a.example/2\n")


def no_key_column(folder: Path) -> None:
    (folder / "bad.csv").write_text("a,b\n1,2\n")


def another_schema(folder: Path) -> None:
    write_shard(folder / "0.csv", make_rows())
    (folder / "bad.csv").write_text("link\nhttps://a.example/1\n")


def integer_md5(folder: Path) -> None:
    table = pa.table({"url": [r["url"] for r in make_rows()], "md5": pa.array(range(10), pa.int64())})
    pq.write_table(table, folder / "bad.parquet")


def two_formats(folder: Path) -> None:
    for name in ("0.csv", "bad.txt"):
        (folder / name).write_text("url\nhttps://a.example/1\n")


@pytest.mark.parametrize(
    ("spoil", "part"),
    [
        (corrupt_parquet, "bad.parquet"),
        (cut_gzip, "bad.csv.gz"),
        (wrong_extension, "bad.parquet"),
        (random_bytes, "bad.csv"),
        (empty_file, "bad.csv: is empty"),
        (ragged_row, "bad.csv"),
        (no_key_column, "bad.csv: None of the"),
        (another_schema, "bad.csv: There is no column 'url'"),
        (integer_md5, "bad.parquet: column 'md5' (int64) cannot carry md5"),
        (two_formats, "bad.txt holds the same bytes as a shard that is csv"),
        (lambda folder: None, "No shard in"),
        (lambda folder: folder.rmdir(), "does not exist"),
    ],
)
def test_bad_input_leaves_a_draft_with_the_reason_and_nothing_else(
    dataset: Dataset,
    maintainer: User,
    folder: Path,
    spoil: Callable[[Path], None],
    part: str,
) -> None:
    version = register(dataset, maintainer)
    spoil(folder)
    run_jobs()
    version.refresh_from_db()
    job = Job.objects.get()
    assert (version.status, job.state) == ("draft", JobState.FAILED)
    assert part in version.status_reason
    assert version.status_reason == job.error
    assert (version.rows, version.bytes, version.root) == (0, 0, "")
    assert not Shard.objects.exists()
    assert not VersionShard.objects.exists()
    assert not [path for path in store.object_path("0" * 64).parents[2].rglob("*") if path.is_file()]


@pytest.mark.parametrize(("known", "other"), [("0.csv", "0.txt"), ("0.txt", "0.csv")])
def test_the_same_bytes_as_another_format_are_refused(
    dataset: Dataset, maintainer: User, folder: Path, known: str, other: str
) -> None:
    """A row address would mean two rows: the header of one is the first row of the other."""
    (folder / known).write_text("url\n" + "".join(f"https://a.example/{n}\n" for n in range(9)))
    first = ingested(dataset, maintainer)
    (folder / known).rename(folder / other)
    second = ingested(dataset, maintainer, name="2")
    assert (first.status, second.status, second.root) == ("active", "draft", "")
    assert f"{other} holds the same bytes as a shard that is {known[2:]}" in second.status_reason
    assert (Shard.objects.count(), VersionShard.objects.count()) == (1, 1)
    assert index_coverage(first) == (1, 1)
    (folder / other).rename(folder / known)
    assert ingested(dataset, maintainer, name="3").status == "active"


def test_json_lines_go_by_either_extension(dataset: Dataset, maintainer: User, folder: Path) -> None:
    for name in ("0.jsonl", "1.ndjson"):
        (folder / name).write_text('{"url": "https://a.example/1"}\n')
    assert ingested(dataset, maintainer).rows == 2


def test_a_column_named_none_is_left_out_for_good(dataset: Dataset, maintainer: User, folder: Path) -> None:
    integer_md5(folder)
    version = ingested(dataset, maintainer, columns={"md5": ""})
    assert (version.status, version.columns) == ("active", {"url": "url", "md5": ""})


def test_a_column_that_only_later_shards_have_carries_nothing(
    dataset: Dataset, maintainer: User, folder: Path
) -> None:
    (folder / "0.csv").write_text("url\nhttps://a.example/1\n")
    write_shard(folder / "1.csv", make_rows())
    assert ingested(dataset, maintainer).columns == {"url": "url"}


def test_objections_keep_it_a_draft_until_they_are_gone(
    dataset: Dataset, maintainer: User, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_shard(folder / "0.csv", make_rows())
    monkeypatch.setattr(hooks, "version_objections", [lambda _version: ["It holds 2 rows of EXP-2026-0001."]])
    version = ingested(dataset, maintainer)
    assert version.status == "draft"
    assert "EXP-2026-0001" in version.status_reason
    assert (version.rows, version.version_shards.count()) == (10, 1)
    monkeypatch.setattr(hooks, "version_objections", [])
    services.version_ingest_retry(actor=maintainer, version=version)
    run_jobs()
    version.refresh_from_db()
    assert (version.status, version.status_reason) == ("active", "")


@pytest.mark.parametrize("step", ["_read", "_write", "version_objections", "_finish"])
def test_killed_before_any_step_it_ends_the_same_when_run_again(
    dataset: Dataset, maintainer: User, folder: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def killed(*_args: object, **_given: object) -> None:
        raise KeyboardInterrupt

    write_shard(folder / "0.csv", make_rows())
    version = register(dataset, maintainer)
    job = Job.objects.get()
    with monkeypatch.context() as patched:
        patched.setattr(ingest, step, killed)
        with pytest.raises(KeyboardInterrupt):
            jobs.job_run(job.pk)
    Job.objects.update(heartbeat_at=job.created_at.replace(year=2020))
    jobs.job_run(job.pk)
    version.refresh_from_db()
    job.refresh_from_db()
    assert (version.status, version.rows, version.version_shards.count()) == ("active", 10, 1)
    assert (job.state, job.attempt) == (JobState.SUCCEEDED, 2)
    assert AuditEntry.objects.filter(action="version_ingest").count() == 1


def test_killed_after_the_end_was_written_it_does_nothing_more(
    dataset: Dataset, maintainer: User, folder: Path
) -> None:
    write_shard(folder / "0.csv", make_rows())
    version = ingested(dataset, maintainer)
    Job.objects.update(state=JobState.QUEUED)
    run_jobs()
    version.refresh_from_db()
    assert version.status == "active"
    assert AuditEntry.objects.filter(action="version_ingest").count() == 1


def test_a_second_version_is_compared_with_the_first(
    dataset: Dataset, maintainer: User, folder: Path
) -> None:
    write_shard(folder / "0.csv", make_rows())
    ingested(dataset, maintainer)
    ingested(dataset, maintainer, name="2", dated=date(2025, 2, 1))
    assert Job.objects.filter(kind="version_compare").count() == 1
