"""Reading jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.utils import timezone

from registry.jobs.models import Job, JobState

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser

    from registry.accounts.models import User
    from registry.jobs.models import JobQuerySet


def job_list(user: User | AnonymousUser | None) -> JobQuerySet:
    """The jobs that the user may see, newest first, each with its organisation and who started it."""
    return Job.objects.visible_to(user).select_related("organisation", "created_by")


def seconds_left(job: Job) -> float | None:
    """How long the present stage still takes at its speed so far; None while that is not known."""
    if job.state != JobState.RUNNING or not job.stage_started_at or not 0 < job.rows_done <= job.rows_total:
        return None
    spent = (timezone.now() - job.stage_started_at).total_seconds()
    return spent * (job.rows_total - job.rows_done) / job.rows_done
