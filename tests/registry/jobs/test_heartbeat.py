"""The heartbeat's thread has a connection of its own, so these tests commit."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING

import pytest

from registry.celery import app
from registry.jobs import handlers, services
from registry.jobs.models import Job, JobState
from tests.factories import make_organisation

if TYPE_CHECKING:
    from pytest_django import Settings

    from registry.jobs.handlers import JobRun


@pytest.mark.django_db(transaction=True)
def test_one_long_step_does_not_look_like_a_dead_worker(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def one_long_step(run: JobRun) -> None:
        first = Job.objects.get(pk=run.job.pk).heartbeat_at
        deadline = time.monotonic() + 10
        while Job.objects.get(pk=run.job.pk).heartbeat_at == first:
            assert time.monotonic() < deadline, "the heart did not beat"
            time.sleep(0.05)

    settings.JOB_STALE_SECONDS = 1
    monkeypatch.setattr(app, "send_task", lambda *_args, **_given: None)
    monkeypatch.setattr(handlers, "_handlers", {})
    handlers.register("test", one_long_step)
    job = services.job_start(
        actor=None, kind="test", subject_id=uuid.uuid4(), organisation=make_organisation()
    )
    services.job_run(job.pk)
    job.refresh_from_db()
    assert (job.state, job.error) == (JobState.SUCCEEDED, "")
