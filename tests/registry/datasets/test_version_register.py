from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone

from registry.accounts.models import Role, User
from registry.auditlog.models import AuditEntry
from registry.datasets import services, store
from registry.datasets.models import Dataset, Version, VersionStatus
from registry.hooks import hooks
from registry.jobs.models import Job, JobState
from registry.lib.errors import NotAllowed, Refused
from tests.factories import (
    make_member,
    make_organisation,
    make_rows,
    make_version,
    run_jobs,
    write_shard,
)

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_django import DjangoCaptureOnCommitCallbacks

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store_folder")]


@pytest.fixture
def source(imports: Path) -> str:
    write_shard(imports / "a" / "0.csv", make_rows())
    return "a"


def register(dataset: Dataset, maintainer: User, **fields: Any) -> Version:
    return services.version_register(
        actor=maintainer, dataset=dataset, **{"name": "1", "dated": date(2025, 1, 1), **fields}
    )


def test_it_makes_a_draft_and_a_job(dataset: Dataset, maintainer: User, source: str) -> None:
    version = register(dataset, maintainer, source=source, columns={"url": "url"})
    job = Job.objects.get()
    assert (version.status, version.created_by, version.columns) == ("draft", maintainer, {"url": "url"})
    assert (job.kind, job.subject_id, job.state) == ("version_ingest", version.pk, JobState.QUEUED)
    assert (job.title, job.page) == ("Reading links@1 into the store", "/datasets/links/versions/1/")
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.data) == ("version_register", {"job": str(job.pk)})


@pytest.mark.parametrize(
    ("fields", "part"),
    [
        ({"name": ""}, "A version's name"),
        ({"name": "new"}, "A version's name"),
        ({"name": "a/b"}, "A version's name"),
        ({"name": "x" * 101}, "A version's name"),
        ({"name": "1\n"}, "A version's name"),
        ({"dated": timezone.now().date() + timedelta(days=2)}, "lies in the future"),
        ({"final_status": "withdrawn"}, "can become active, deprecated, quarantined"),
        ({"columns": {"pdq": "hash"}}, "no kind of column 'pdq'"),
        ({"source": ""}, "Say where the files are"),
        ({"source": "../a"}, "not inside an import folder"),
        ({"source": "nowhere"}, "does not exist"),
        ({"uploads": [SimpleUploadedFile("0.csv", b"url\n")]}, "not both"),
        ({"source": "", "uploads": [SimpleUploadedFile("run.exe", b"url\n")]}, "run.exe is no shard"),
    ],
)
def test_bad_input_is_refused_and_nothing_is_kept(
    dataset: Dataset, maintainer: User, source: str, fields: dict[str, Any], part: str
) -> None:
    with pytest.raises(Refused, match=part):
        register(dataset, maintainer, **{"source": source, **fields})
    assert not Version.objects.exists()
    assert not Job.objects.exists()
    assert not list(store.uploads_folder(dataset.pk).parent.glob("*"))


def test_a_name_that_is_taken_is_refused(dataset: Dataset, maintainer: User, source: str) -> None:
    register(dataset, maintainer, source=source)
    with pytest.raises(Refused, match="has a version 1 already"):
        register(dataset, maintainer, source=source)


def test_only_a_maintainer_of_the_organisation_registers(dataset: Dataset, source: str) -> None:
    for actor in (make_member(dataset.organisation), make_member(make_organisation(), Role.APPROVER)):
        with pytest.raises(NotAllowed):
            register(dataset, actor, source=source)


def test_retrying_takes_corrected_columns_and_another_place(
    dataset: Dataset, maintainer: User, source: str, imports: Path
) -> None:
    version = register(dataset, maintainer, source=source, columns={"md5": "nothing"})
    run_jobs()
    version.refresh_from_db()
    assert "'nothing'" in version.status_reason
    services.version_ingest_retry(actor=maintainer, version=version, columns={"md5": "md5"})
    run_jobs()
    version.refresh_from_db()
    assert (version.status, version.status_reason, version.rows) == ("active", "", 10)
    with pytest.raises(Refused, match="only a draft"):
        services.version_ingest_retry(actor=maintainer, version=version)


def test_retrying_while_it_is_read_is_refused(dataset: Dataset, maintainer: User, source: str) -> None:
    version = register(dataset, maintainer, source=source)
    with pytest.raises(Refused, match="being ingested now"):
        services.version_ingest_retry(actor=maintainer, version=version)
    with pytest.raises(NotAllowed):
        services.version_ingest_retry(actor=make_member(dataset.organisation), version=version)


def test_retrying_an_upload_takes_the_files_again(
    dataset: Dataset,
    maintainer: User,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    version = register(dataset, maintainer, uploads=[SimpleUploadedFile("0.csv", b"a,b\n1,2\n")])
    with django_capture_on_commit_callbacks(execute=True):
        run_jobs()
    assert not store.uploads_folder(version.pk).exists()
    with pytest.raises(Refused, match="Say where the files are"):
        services.version_ingest_retry(actor=maintainer, version=version)
    again = SimpleUploadedFile("0.csv", b"url\nhttps://a.example/\n")
    services.version_ingest_retry(actor=maintainer, version=version, uploads=[again])
    run_jobs()
    version.refresh_from_db()
    assert (version.status, version.rows) == ("active", 1)


def test_the_status_moves_along_the_table_with_a_reason() -> None:
    version = make_version()
    maintainer = make_member(version.dataset.organisation, Role.MAINTAINER)
    services.version_status_change(actor=maintainer, version=version, status="deprecated", reason="Use 2")
    version.refresh_from_db()
    assert (version.status, version.status_reason) == ("deprecated", "Use 2")
    assert AuditEntry.objects.get().data == {"from": "active", "to": "deprecated"}
    services.version_status_change(actor=None, version=version, status="withdrawn", reason="Gone")
    for status in ("active", "nonsense", "draft"):
        with pytest.raises(Refused, match="cannot become"):
            services.version_status_change(actor=None, version=version, status=status, reason="")


def test_only_a_maintainer_moves_the_status() -> None:
    version = make_version()
    with pytest.raises(NotAllowed):
        services.version_status_change(
            actor=make_member(version.dataset.organisation), version=version, status="archived", reason=""
        )


def test_of_two_who_move_the_status_at_once_one_is_told_to_look_again() -> None:
    version = make_version()
    Version.objects.update(status=VersionStatus.ARCHIVED)
    with pytest.raises(Refused, match="somebody else"):
        services.version_status_change(actor=None, version=version, status="deprecated", reason="")


def test_a_version_with_objections_does_not_become_active_again(monkeypatch: pytest.MonkeyPatch) -> None:
    version = make_version(status=VersionStatus.DEPRECATED)
    monkeypatch.setattr(hooks, "version_objections", [lambda _version: ["It holds 2 rows of EXP-2026-0001."]])
    with pytest.raises(Refused, match="EXP-2026-0001"):
        services.version_status_change(actor=None, version=version, status="active", reason="")
    version.refresh_from_db()
    assert version.status == "deprecated"
