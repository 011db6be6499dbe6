"""What the broker's messages call: one generic task for every job, and beat's round."""

from __future__ import annotations

from celery import shared_task

from registry.jobs import services


@shared_task(acks_late=True, ignore_result=True)
def job_run(job_id: str) -> None:
    """Do one job. The message may come twice or never: the row decides."""
    services.job_run(job_id)


@shared_task(ignore_result=True)
def jobs_resume() -> None:
    """Beat: wake workers for jobs whose message was lost or whose worker died."""
    services.jobs_resume()
