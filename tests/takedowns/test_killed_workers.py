"""A worker that dies at any step leaves nothing half done, and the next one ends as if nothing had happened.

`Killed` stands for the kill: nothing of ours catches it, the transaction it falls into is gone, and the job still looks
as if it were running. (`releases/test_kill.py` kills a real worker.)
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.utils import timezone

from registry.jobs.handlers import JobRun, LeaseLost
from registry.jobs.models import Job, JobState
from registry.jobs.services import job_claim, job_run
from takedowns.cases.models import Case
from takedowns.releases import services
from takedowns.releases.models import Release, ReleaseState
from takedowns.releases.services.publish import release_publish_run
from takedowns.removals.models import Removal
from tests.factories import run_jobs
from tests.factories_takedowns import make_report
from tests.takedowns.released import keys, setting, verified

if TYPE_CHECKING:
    from tests.takedowns.released import Setting

__all__ = ["keys", "setting", "verified"]  # fixtures

BUILD = "takedowns.releases.services.build"
PUBLISH = "takedowns.releases.services.publish"
LOCATE = "takedowns.cases.services.location"


class Killed(BaseException):
    """The worker is no more."""


def kill_in(monkeypatch: pytest.MonkeyPatch, step: str, job: Job) -> None:
    """Do the job, and die where it calls `step`; then let its heartbeat grow old."""

    def die(*_args: Any, **_kwargs: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(step, die)
        with pytest.raises(Killed):
            job_run(job.pk)
    job.refresh_from_db()
    assert job.state == JobState.RUNNING
    go_stale(job)


def go_stale(job: Job) -> None:
    Job.objects.filter(pk=job.pk).update(heartbeat_at=timezone.now() - timedelta(hours=1))


@pytest.mark.parametrize(
    "step",
    [
        f"{BUILD}.signer_load",
        f"{BUILD}.clean",
        f"{BUILD}._shards_keep",
        f"{BUILD}.store.link",
        f"{BUILD}.inspect_shard",
        f"{BUILD}._version_fill",
        f"{BUILD}.list_small_files",
        f"{BUILD}._removals_hit",
        f"{BUILD}.audit_append",
    ],
)
def test_a_build_killed_at_any_step_is_done_anew(
    setting: Setting, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    release = services.release_build(actor=setting.team.maintainer, base=setting.base)
    kill_in(monkeypatch, step, Job.objects.get(kind="release_build"))
    release.refresh_from_db()
    assert (release.state, release.root, release.files) == (ReleaseState.BUILDING, "", [])
    assert not release.version.version_shards.exists()
    job_run(Job.objects.get(kind="release_build").pk)
    release.refresh_from_db()
    assert (release.state, release.rows_removed) == (ReleaseState.VERIFIED, 2)
    assert release.version.version_shards.count() == 2


@pytest.mark.parametrize(
    "step",
    [
        f"{PUBLISH}._verify_again",
        f"{PUBLISH}.version_objections",
        f"{PUBLISH}._supersede",
        f"{PUBLISH}.removal_publish",
        f"{PUBLISH}.case_executed",
        f"{PUBLISH}.audit_append",
    ],
)
def test_a_publication_killed_at_any_step_has_published_nothing(
    setting: Setting, verified: Release, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    job = services.release_publish_start(actor=setting.team.maintainer, release=verified)
    kill_in(monkeypatch, step, job)
    verified.refresh_from_db()
    setting.base.refresh_from_db()
    assert (verified.state, verified.published_at) == (ReleaseState.VERIFIED, None)
    assert verified.version.status == "draft"
    assert setting.base.status == "active"
    assert not Removal.objects.published().exists()
    job_run(job.pk)
    verified.refresh_from_db()
    assert verified.state == ReleaseState.PUBLISHED
    assert Removal.objects.get().advisory_id
    assert Case.objects.get().state == "closed"


@pytest.mark.parametrize(
    "step", [f"{LOCATE}.rows_named", f"{LOCATE}.copy_rows", f"{LOCATE}.consequence_write", f"{LOCATE}._gaps"]
)
def test_a_search_killed_at_any_step_has_written_nothing(
    setting: Setting, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    report, _ = make_report(setting.dataset, ["https://img.example.com/3.jpg"])
    case = report.cases.get()
    kill_in(monkeypatch, step, Job.objects.get(subject_id=case.pk))
    case.refresh_from_db()
    assert (case.located_at, case.scope, case.locations.count()) == (None, [], 0)
    run_jobs()
    job_run(Job.objects.get(subject_id=case.pk).pk)
    case.refresh_from_db()
    assert case.located_at
    assert case.locations.count() == 1


def claim(job: Job) -> JobRun:
    run = job_claim(job.pk)
    assert run is not None
    return run


def test_a_worker_that_lost_its_lease_publishes_nothing(
    setting: Setting, verified: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = services.release_publish_start(actor=setting.team.maintainer, release=verified)
    slow = claim(job)
    # It hangs without a word, past its last step before the end; another worker takes over meanwhile.
    monkeypatch.setattr(JobRun, "progress", lambda *_args: None)
    go_stale(job)
    other = claim(job)
    with pytest.raises(LeaseLost):
        release_publish_run(slow)
    verified.refresh_from_db()
    assert verified.state == ReleaseState.VERIFIED
    release_publish_run(other)
    verified.refresh_from_db()
    assert verified.state == ReleaseState.PUBLISHED


def test_of_two_workers_with_one_message_one_works(setting: Setting) -> None:
    services.release_build(actor=setting.team.maintainer, base=setting.base)
    job = Job.objects.get(kind="release_build")
    assert job_claim(job.pk) is not None
    assert job_claim(job.pk) is None
    job_run(job.pk)  # finds nothing to claim, and ends
    job.refresh_from_db()
    assert (job.state, job.attempt) == (JobState.RUNNING, 1)


def test_a_full_disk_is_called_so(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_args: Any, **_kwargs: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(f"{BUILD}.store.link", full)
    release = services.release_build(actor=setting.team.maintainer, base=setting.base)
    run_jobs()
    release.refresh_from_db()
    assert release.state == ReleaseState.FAILED
    assert "disk of this site is full" in release.failure
