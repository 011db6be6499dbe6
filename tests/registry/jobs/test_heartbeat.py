"""The heartbeat's thread has a connection of its own, so these tests commit."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING

import pytest
from django.db import connection

from registry.celery import app
from registry.jobs import handlers, services
from registry.jobs.models import Job, JobState
from tests.factories import make_organisation

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_django import Settings

    from registry.jobs.handlers import JobRun

    RunJob = Callable[[Callable[[JobRun], None]], Job]


pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def run_job(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> RunJob:
    """Run a job of this one step here, and give it as it then stands in the database."""
    settings.JOB_STALE_SECONDS = 1
    monkeypatch.setattr(app, "send_task", lambda *_args, **_given: None)
    monkeypatch.setattr(handlers, "_handlers", {})

    def run(step: Callable[[JobRun], None]) -> Job:
        handlers.register("test", step)
        job = services.job_start(
            actor=None, kind="test", subject_id=uuid.uuid4(), organisation=make_organisation()
        )
        services.job_run(job.pk)
        job.refresh_from_db()
        return job

    return run


def wait_for_a_beat(run: JobRun) -> None:
    first = Job.objects.get(pk=run.job.pk).heartbeat_at
    deadline = time.monotonic() + 10
    while Job.objects.get(pk=run.job.pk).heartbeat_at == first:
        assert time.monotonic() < deadline, "the heart did not beat"
        time.sleep(0.05)


def test_one_long_step_does_not_look_like_a_dead_worker(run_job: RunJob) -> None:
    job = run_job(wait_for_a_beat)
    assert (job.state, job.error) == (JobState.SUCCEEDED, "")


def test_the_heart_goes_on_when_its_connection_breaks(run_job: RunJob) -> None:
    def long_step(run: JobRun) -> None:
        for _ in range(2):  # the first beat connects, the second comes over a new connection
            wait_for_a_beat(run)
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )

    job = run_job(long_step)
    assert (job.state, job.error, job.attempt) == (JobState.SUCCEEDED, "", 1)
