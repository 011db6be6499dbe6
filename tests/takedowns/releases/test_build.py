from __future__ import annotations

import errno
import hashlib
import subprocess
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest
from django.db import IntegrityError, transaction
from django.db.models import ProtectedError

from expunge import clean
from expunge.files import partial_folder
from expunge.verify import verify_release
from registry.accounts.models import Role
from registry.auditlog.models import AuditEntry
from registry.datasets.key_index import index_coverage, index_is_missing
from registry.datasets.models import Version
from registry.datasets.store import object_path
from registry.jobs.models import Job
from registry.lib.errors import NotAllowed, Refused
from takedowns.releases import services
from takedowns.releases.files import release_files, release_folder
from takedowns.releases.models import Release
from takedowns.releases.signatures import public_file
from tests.factories import make_member, make_organisation, run_jobs

if TYPE_CHECKING:
    from pathlib import Path

    from django.conf import LazySettings
    from pytest_django import DjangoCaptureOnCommitCallbacks

    from expunge.signing import KeyFiles
    from tests.takedowns.released import Setting


def build(setting: Setting, **fields: object) -> Release:
    release = services.release_build(actor=setting.team.maintainer, base=setting.base, **fields)  # type: ignore[arg-type]
    run_jobs()
    release.refresh_from_db()
    return release


def test_it_leaves_out_the_rows_that_must_go_and_nothing_else(setting: Setting) -> None:
    release = build(setting)
    assert (release.state, release.rows_before, release.rows_removed, release.rows_after) == (
        "verified",
        20,
        2,
        18,
    )
    folder = release_folder(release) / "data"
    urls = pq.read_table(folder / "a/0.parquet")["url"].to_pylist()
    assert urls == [f"https://img.example.com/{row}.jpg" for row in range(10) if row not in (1, 7)]
    untouched = object_path(setting.base.version_shards.get(path="a/1.csv").shard_id)
    assert (folder / "a/1.csv").read_bytes() == untouched.read_bytes()


def test_its_version_is_a_draft_with_shards_in_the_store(setting: Setting) -> None:
    version = build(setting).version
    assert (version.status, version.name, version.base, version.rows) == (
        "draft",
        "2025-01-01-r1",
        setting.base,
        18,
    )
    assert version.bytes == sum(shard.bytes for shard in version.shards.all())
    for row in version.version_shards.all():
        assert hashlib.sha256(object_path(row.shard_id).read_bytes()).hexdigest() == row.shard_id
    assert [row.path for row in version.version_shards.all()] == ["a/0.parquet", "a/1.csv"]


def test_a_shard_without_a_removed_row_is_the_bases_own_object(setting: Setting) -> None:
    release = build(setting)
    untouched = setting.base.version_shards.get(path="a/1.csv").shard_id
    assert release.version.version_shards.get(path="a/1.csv").shard_id == untouched
    served = release_folder(release) / "data/a/1.csv"
    assert served.stat().st_ino == object_path(untouched).stat().st_ino


def test_it_lists_every_file_with_its_digest(setting: Setting) -> None:
    release = build(setting)
    files = release_files(release)
    assert [file.path for file in files] == [
        "SHA256SUMS", "SHA256SUMS.minisig", "dataset.sig", "diff/keys.parquet", "diff/removed.parquet", "release.json",
        "data/a/0.parquet", "data/a/1.csv",
    ]  # fmt: skip
    for file in files:
        content = file.location.read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (file.bytes, file.sha256)
    assert release.root == files[0].sha256


def test_its_signatures_are_verified_by_minisign_itself(setting: Setting, tmp_path: Path) -> None:
    release = build(setting)
    folder = release_folder(release)
    public = tmp_path / "minisign.pub"
    public.write_text(public_file(release, "minisign.pub") or "")
    run = subprocess.run(
        ["minisign", "-V", "-p", public, "-m", folder / "SHA256SUMS"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert f"{release.version} serial 1" in run.stdout
    sums = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=folder, capture_output=True, check=False)
    assert sums.returncode == 0


def test_its_signatures_are_verified_by_the_engine(setting: Setting, keys: KeyFiles) -> None:
    release = build(setting)
    verified = verify_release(release_folder(release), minisign_pub=keys.minisign_pub, oms_pub=keys.oms_pub)
    assert verified.root == release.root


def test_the_aligned_form_keeps_every_row(setting: Setting) -> None:
    release = build(setting, form="aligned")
    assert (release.state, release.rows_removed, release.rows_after) == ("verified", 2, 20)


def test_it_records_which_removals_it_carries_out(setting: Setting) -> None:
    release = build(setting)
    assert list(release.removals.all()) == [setting.removal]


def test_it_writes_who_built_it_into_the_log(setting: Setting) -> None:
    release = build(setting)
    entries = AuditEntry.objects.filter(subject_id=str(release.pk))
    assert {entry.action for entry in entries} == {"release_build", "release_verified"}
    assert all(entry.actor == setting.team.maintainer for entry in entries)


def test_it_is_built_anew_until_it_is_published(setting: Setting) -> None:
    first = build(setting)
    again = build(setting)
    assert (again.pk, again.serial, again.version.name) == (first.pk, 1, "2025-01-01-r1")
    assert again.state == "verified"
    assert Version.objects.filter(base=setting.base).count() == 1


def test_it_refuses_while_it_is_being_built(setting: Setting) -> None:
    services.release_build(actor=setting.team.maintainer, base=setting.base)
    with pytest.raises(Refused, match="being built"):
        services.release_build(actor=setting.team.maintainer, base=setting.base)


def test_the_database_refuses_a_second_unpublished_release_of_a_base(setting: Setting) -> None:
    release = build(setting)
    version = Version.objects.create(dataset=setting.dataset, name="x", base=setting.base, dated="2026-01-01")
    with pytest.raises(IntegrityError, match="release_one_unpublished_per_base"), transaction.atomic():
        Release.objects.create(
            dataset=setting.dataset, base=setting.base, version=version, serial=release.serial + 1
        )


def test_it_refuses_staff(setting: Setting) -> None:
    with pytest.raises(NotAllowed):
        services.release_build(actor=setting.team.staff, base=setting.base)


def test_it_refuses_a_stranger(setting: Setting) -> None:
    stranger = make_member(make_organisation(), Role.APPROVER)
    with pytest.raises(NotAllowed):
        services.release_build(actor=stranger, base=setting.base)
    assert not Release.objects.exists()


def test_it_refuses_a_base_from_which_nothing_must_go(setting: Setting) -> None:
    setting.removal.affected.all().delete()
    with pytest.raises(Refused, match="No removal in force"):
        services.release_build(actor=setting.team.maintainer, base=setting.base)
    assert not Version.objects.filter(base=setting.base).exists()


def test_it_refuses_a_release_as_base(setting: Setting, published: Release) -> None:
    with pytest.raises(Refused, match="is itself a release"):
        services.release_build(actor=setting.team.maintainer, base=published.version)


def test_it_refuses_an_unknown_form(setting: Setting) -> None:
    with pytest.raises(Refused, match="compact, aligned"):
        services.release_build(actor=setting.team.maintainer, base=setting.base, form="round")


def test_without_a_key_it_fails_plainly(setting: Setting, settings: LazySettings, tmp_path: Path) -> None:
    settings.MINISIGN_KEY = settings.OMS_KEY = tmp_path / "absent"
    release = build(setting)
    assert release.state == "failed"
    assert "make_signing_keys" in release.failure
    assert not release_folder(release).exists()


def test_one_kind_of_key_is_enough(setting: Setting, settings: LazySettings, tmp_path: Path) -> None:
    settings.OMS_KEY = tmp_path / "absent"
    release = build(setting)
    assert (release.state, list(release.public_keys)) == ("verified", ["minisign"])


def test_a_damaged_base_fails_the_build_and_leaves_nothing(setting: Setting) -> None:
    digest = setting.base.version_shards.get(path="a/0.parquet").shard_id
    damaged = object_path(digest)
    damaged.chmod(0o644)
    damaged.write_bytes(damaged.read_bytes()[:-5])
    release = build(setting)
    assert release.state == "failed"
    assert "0.parquet" in release.failure
    assert not [
        path for path in release_folder(release).parent.glob("*") if path.is_dir() and any(path.iterdir())
    ]
    assert Job.objects.get(kind="release_build").state == "failed"


def test_what_a_killed_build_left_is_removed_and_built_anew(setting: Setting) -> None:
    release = services.release_build(actor=setting.team.maintainer, base=setting.base)
    # The worker died after the engine had finished, before anything was recorded, and another died in mid-build.
    folder = release_folder(release)
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "half").write_text("half")
    partial = folder.with_name(f".{folder.name}.partial")
    partial.mkdir()
    (partial / "release.json").write_text("{")
    run_jobs()
    release.refresh_from_db()
    assert release.state == "verified"
    assert not (folder / "data" / "half").exists()
    assert not partial.exists()


def test_a_build_that_failed_on_a_full_disk_leaves_nothing(
    setting: Setting,
    monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    release = services.release_build(actor=setting.team.maintainer, base=setting.base)
    left = partial_folder(release_folder(release))
    finished = []

    def full(folder: Path, *_: object) -> None:
        finished.append(sorted(path.name for path in left.rglob("*") if path.is_file()))
        raise OSError(errno.ENOSPC, "No space left on device", str(folder))

    monkeypatch.setattr(clean, "write_file", full)
    with django_capture_on_commit_callbacks(execute=True):
        run_jobs()
    release.refresh_from_db()
    assert (release.state, "disk is full" in release.failure) == ("failed", True)
    assert "0.parquet" in finished[0]
    assert not release_folder(release).exists()
    assert not left.exists()


def test_the_shards_that_it_wrote_are_indexed(setting: Setting) -> None:
    release = build(setting)
    (job,) = Job.objects.filter(kind="index_build", subject_id=release.version.pk)
    assert job.state == "succeeded"
    assert not index_is_missing(release.version)
    assert index_coverage(release.version) == (2, 2)


def test_a_finished_build_is_not_done_twice(setting: Setting) -> None:
    release = build(setting)
    verified_at = release.verified_at
    Job.objects.filter(kind="release_build").update(state="queued", attempt=1)
    run_jobs()
    release.refresh_from_db()
    assert (release.state, release.verified_at) == ("verified", verified_at)


def test_a_base_with_a_release_cannot_be_deleted(setting: Setting) -> None:
    build(setting)
    with pytest.raises(ProtectedError):
        setting.base.delete()
