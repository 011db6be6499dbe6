from __future__ import annotations

import logging
import uuid
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.db import InterfaceError, OperationalError
from django.utils import timezone

from expunge.errors import UsageError
from registry.celery import app
from registry.jobs import handlers, services, tasks
from registry.jobs.handlers import JobRun, LeaseLost
from registry.jobs.models import Job, JobState
from registry.jobs.selectors import seconds_left
from registry.lib.errors import Refused
from tests.factories import make_organisation, make_user

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_django import DjangoCaptureOnCommitCallbacks, Settings

pytestmark = pytest.mark.django_db


@pytest.fixture
def woken(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids that a worker was woken for, instead of waking one."""
    ids: list[str] = []
    monkeypatch.setattr(app, "send_task", lambda _name, args: ids.extend(args))
    return ids


@pytest.fixture
def handle(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[JobRun], None]], list[str]]:
    """Say how jobs of the kind `test` are done; returns the list that failures are written to."""
    monkeypatch.setattr(handlers, "_handlers", {})

    def register(run: Callable[[JobRun], None]) -> list[str]:
        failures: list[str] = []
        handlers.register("test", run, lambda _job, reason: failures.append(reason))
        return failures

    return register


def make_job(**fields: object) -> Job:
    job = services.job_start(
        actor=make_user(), kind="test", subject_id=uuid.uuid4(), organisation=make_organisation()
    )
    Job.objects.filter(pk=job.pk).update(**fields)
    return Job.objects.get(pk=job.pk)


def test_starting_wakes_a_worker_once_the_row_is_committed(
    woken: list[str], django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        job = make_job()
        assert woken == []
    assert woken == [str(job.pk)]


def test_a_second_job_on_a_subject_is_the_first_one_while_that_lives(woken: list[str]) -> None:
    job = make_job()

    def start() -> Job:
        return services.job_start(
            actor=None, kind="test", subject_id=job.subject_id, organisation=job.organisation
        )

    assert start() == job
    Job.objects.update(state=JobState.FAILED)
    assert start() != job


def test_a_broker_that_is_down_does_not_lose_the_job(
    monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def down(_name: str, args: list[str]) -> None:
        raise ConnectionError

    monkeypatch.setattr(app, "send_task", down)
    with caplog.at_level(logging.CRITICAL), django_capture_on_commit_callbacks(execute=True):
        job = make_job()
    assert Job.objects.get(pk=job.pk).state == JobState.QUEUED


def test_a_job_runs_to_its_end(handle: Callable[..., list[str]]) -> None:
    seen: list[Job] = []

    def run(job_run: JobRun) -> None:
        job_run.progress("Counting", 3, 10)
        seen.append(Job.objects.get(pk=job_run.job.pk))
        assert job_run.subject_id == job_run.job.subject_id

    handle(run)
    job = make_job()
    tasks.job_run(str(job.pk))
    job.refresh_from_db()
    assert (seen[0].state, seen[0].stage, seen[0].rows_done, seen[0].rows_total) == (
        "running",
        "Counting",
        3,
        10,
    )
    assert (job.state, job.error, job.lease, job.attempt) == ("succeeded", "", None, 1)
    assert job.finished_at is not None


def test_a_job_that_ended_is_not_run_again(handle: Callable[..., list[str]]) -> None:
    runs: list[int] = []
    handle(lambda _run: runs.append(1))
    job = make_job()
    services.job_run(job.pk)
    services.job_run(job.pk)
    services.job_run(uuid.uuid4())
    assert runs == [1]


def test_of_two_workers_with_the_same_message_one_gets_the_job() -> None:
    job = make_job()
    assert services.job_claim(job.pk) is not None
    assert services.job_claim(job.pk) is None


@pytest.mark.parametrize("error", [UsageError("0.csv: no such column."), Refused("It changed.")])
def test_what_the_engine_or_a_service_says_is_shown(
    handle: Callable[..., list[str]], error: Exception
) -> None:
    def run(_run: JobRun) -> None:
        raise error

    failures = handle(run)
    job = make_job()
    services.job_run(job.pk)
    job.refresh_from_db()
    assert (job.state, job.error) == ("failed", str(error))
    assert failures == [str(error)]


def test_an_unknown_error_is_named_by_the_jobs_id_and_its_text_is_in_no_log(
    handle: Callable[..., list[str]], capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    def run(_run: JobRun) -> None:
        raise ZeroDivisionError("https://secret.example/row")

    failures = handle(run)
    job = make_job()
    services.job_run(job.pk)
    job.refresh_from_db()
    assert str(job.pk) in job.error
    assert failures == [job.error]
    logged = caplog.text + "".join(capsys.readouterr())
    assert "secret.example" not in job.error + logged
    assert "ZeroDivisionError" in logged


@pytest.mark.parametrize("error", [OperationalError("the connection is lost"), InterfaceError("closed")])
def test_a_job_under_which_the_database_went_away_is_taken_up_again(
    woken: list[str], handle: Callable[..., list[str]], settings: Settings, error: Exception
) -> None:
    errors = [error]

    def run(_run: JobRun) -> None:
        if errors:
            raise errors.pop()

    failures = handle(run)
    job = make_job()
    services.job_run(job.pk)
    job.refresh_from_db()
    assert (job.state, job.error, failures) == (JobState.RUNNING, "", [])
    old = timezone.now() - timedelta(seconds=settings.JOB_STALE_SECONDS + 5)
    Job.objects.update(heartbeat_at=old)  # its heart stands still
    services.jobs_resume()
    assert woken == [str(job.pk)]
    services.job_run(job.pk)
    job.refresh_from_db()
    assert (job.state, job.attempt) == (JobState.SUCCEEDED, 2)


def test_a_kind_that_nobody_knows_fails_plainly(handle: Callable[..., list[str]]) -> None:
    job = make_job(kind="unheard_of")
    services.job_run(job.pk)
    job.refresh_from_db()
    assert "unheard_of" in job.error


def test_who_lost_the_lease_writes_nothing_more(handle: Callable[..., list[str]]) -> None:
    def run(job_run: JobRun) -> None:
        Job.objects.update(lease=uuid.uuid4(), stage="Theirs")
        with pytest.raises(LeaseLost):
            job_run.confirm()
        job_run.progress("Mine", 1, 1)

    failures = handle(run)
    job = make_job()
    services.job_run(job.pk)
    job.refresh_from_db()
    assert (job.state, job.stage, failures) == ("running", "Theirs", [])


def test_progress_is_written_at_most_once_a_second(
    handle: Callable[..., list[str]], django_assert_num_queries: Callable[..., object]
) -> None:
    job = make_job()
    run = services.job_claim(job.pk)
    assert run
    with django_assert_num_queries(2):  # type: ignore[attr-defined]  # a context manager
        for row in range(1000):
            run.progress("Reading", row, 1000)
        run.progress("Writing", 0, 1000)


def test_resuming_wakes_for_lost_messages_and_dead_workers_only(woken: list[str], settings: Settings) -> None:
    old, now = timezone.now() - timedelta(seconds=settings.JOB_STALE_SECONDS + 5), timezone.now()
    lost = make_job(created_at=old)
    orphan = make_job(state=JobState.RUNNING, attempt=1, heartbeat_at=old)
    make_job()  # its message is on the way
    make_job(state=JobState.RUNNING, attempt=1, heartbeat_at=now)
    make_job(state=JobState.SUCCEEDED, heartbeat_at=old, created_at=old)
    tasks.jobs_resume()
    assert sorted(woken) == sorted([str(lost.pk), str(orphan.pk)])
    tasks.jobs_resume()
    assert woken.count(str(lost.pk)) == 1, "a long queue is flooded with messages"
    assert services.job_claim(orphan.pk) is not None


def test_a_job_that_kills_its_worker_three_times_fails_plainly(
    woken: list[str], handle: Callable[..., list[str]], settings: Settings
) -> None:
    failures = handle(lambda _run: None)
    old = timezone.now() - timedelta(seconds=settings.JOB_STALE_SECONDS + 5)
    job = make_job(state=JobState.RUNNING, attempt=3, heartbeat_at=old, lease=uuid.uuid4())
    services.jobs_resume()
    job.refresh_from_db()
    assert job.state == JobState.FAILED
    assert "3 times" in job.error
    assert failures == [job.error]
    assert woken == []


def test_time_left_follows_the_stage() -> None:
    now = timezone.now()
    job = make_job(
        state=JobState.RUNNING, rows_done=25, rows_total=100, stage_started_at=now - timedelta(seconds=10)
    )
    assert seconds_left(job) == pytest.approx(30, abs=1)
    job.rows_total = 0
    assert seconds_left(job) is None
