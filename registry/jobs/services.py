"""The life of a job.

1. `job_start` writes the row and, once that is committed, wakes a worker with the row's id.
2. `job_run` (in the worker) claims the row by compare-and-swap, runs the handler of its kind while a thread
   moves the heartbeat, and writes the end.
3. `jobs_resume` (beat) wakes workers again for jobs whose message was lost or whose worker or database died,
   and ends those that this happened to too often.

The service that starts a job writes the audit entry; a job's own row is the record of its run.
"""

from __future__ import annotations

import errno
import threading
import traceback
import uuid
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog
from celery import current_app
from django.conf import settings
from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import F, Q
from django.db.models.functions import Coalesce
from django.utils import timezone

from expunge.errors import ExpungeError
from registry.jobs.handlers import JobRun, LeaseLost, handler_of
from registry.jobs.models import Job, JobState
from registry.lib.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from registry.accounts.models import Organisation, User

MAX_ATTEMPTS = 3
MESSAGE_LOST_AFTER = timedelta(seconds=10)
_DATABASE_GONE = (OperationalError, InterfaceError)
ALIVE = [JobState.QUEUED, JobState.RUNNING]

log = structlog.get_logger(__name__)


def job_start(
    *,
    actor: User | None,
    kind: str,
    subject_id: uuid.UUID,
    organisation: Organisation,
    title: str = "",
    page: str = "",
) -> Job:
    """Register work on a subject and wake a worker after the commit.

    `title` says on the job's page what is done to what, `page` is the path of the subject's page. Returns the job
    that is already alive when there is one of this kind on this subject.
    """
    with transaction.atomic():
        job, new = Job.objects.get_or_create(
            kind=kind,
            subject_id=subject_id,
            state__in=ALIVE,
            defaults={
                "organisation": organisation,
                "created_by": actor,
                "state": JobState.QUEUED,
                "title": title or kind.replace("_", " ").capitalize(),
                "page": page,
            },
        )
        if new:
            # Robust: without a broker the row stands, and `jobs_resume` sends the message later.
            transaction.on_commit(lambda: _wake(job.pk), robust=True)
    return job


def job_claim(job_id: uuid.UUID | str) -> JobRun | None:
    """Claim a job that waits or whose worker died; None when there is nothing to claim."""
    lease, now = uuid.uuid4(), timezone.now()
    claimed = (
        Job.objects.filter(Q(state=JobState.QUEUED) | _stale(now), pk=job_id, attempt__lt=MAX_ATTEMPTS)
        # Compare and swap: of two workers with the same message, one touches the row.
        .update(
            state=JobState.RUNNING,
            lease=lease,
            attempt=F("attempt") + 1,
            started_at=Coalesce("started_at", now),
            heartbeat_at=now,
            stage="Starting",
            stage_started_at=now,
            rows_done=0,
            rows_total=0,
        )
    )
    return JobRun(Job.objects.get(pk=job_id), lease) if claimed else None


def job_run(job_id: uuid.UUID | str) -> None:
    """Do one job to its end, or nothing when another worker has it or it ended."""
    run = job_claim(job_id)
    if run is None:
        return
    try:
        with _heartbeat(run):
            handler_of(run.job.kind).run(run)
    except LeaseLost:
        log.warning("job_lease_lost", job=str(job_id), kind=run.job.kind)
    except _DATABASE_GONE as error:
        # As if the worker had died: the heart stops, and `jobs_resume` wakes somebody once the database is back.
        log.warning("job_database_gone", job=str(job_id), kind=run.job.kind, error=type(error).__name__)
    except (ExpungeError, Refused) as error:
        _end(run, JobState.FAILED, str(error))
    except Exception as error:  # noqa: BLE001  -- whatever it was, the job ends and the person is told
        # Frames without the message: an exception's text may quote a row.
        frames = [f"{f.filename}:{f.lineno} {f.name}" for f in traceback.extract_tb(error.__traceback__)]
        log.error("job_failed", job=str(job_id), error=type(error).__name__, frames=frames)  # noqa: TRY400  -- see above
        full = isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}
        _end(
            run,
            JobState.FAILED,
            "The disk of this site is full, and this was not finished. Free some space, then start it anew."
            if full
            else f"Something failed inside Expunge, and this was not finished. Tell the operator this id: {job_id}",
        )
    else:
        _end(run, JobState.SUCCEEDED, "")


def jobs_resume() -> int:
    """Wake workers for lost and orphaned jobs, fail those tried too often; returns how many were woken."""
    now = timezone.now()
    for job in Job.objects.filter(_stale(now), attempt__gte=MAX_ATTEMPTS):
        _end(
            JobRun(job, job.lease or uuid.uuid4()),
            JobState.FAILED,
            f"The worker stopped in the middle of this {MAX_ATTEMPTS} times, so it is not tried again. "
            "Look for memory or disk that ran out, then start it anew.",
        )
    quiet_since = now - timedelta(seconds=settings.JOB_STALE_SECONDS)
    never_claimed = Q(heartbeat_at=None, created_at__lt=now - MESSAGE_LOST_AFTER)
    lost = Q(never_claimed | Q(heartbeat_at__lt=quiet_since), state=JobState.QUEUED)
    waiting = Job.objects.filter(lost | _stale(now)).order_by("created_at").values_list("pk", flat=True)[:100]
    for job_id in waiting:
        _wake(job_id)
    # A queue that is only long is not flooded: what still waits is woken again after a while, not each round.
    Job.objects.filter(pk__in=list(waiting), state=JobState.QUEUED).update(heartbeat_at=now)
    return len(waiting)


def _stale(now: datetime) -> Q:
    """Jobs that run but whose worker's heart stopped."""
    return Q(state=JobState.RUNNING, heartbeat_at__lt=now - timedelta(seconds=settings.JOB_STALE_SECONDS))


def _wake(job_id: uuid.UUID) -> None:
    # By name, because tasks.py imports this module.
    current_app.send_task("registry.jobs.tasks.job_run", args=[str(job_id)])


def _end(run: JobRun, state: JobState, error: str) -> None:
    """Write the end of a run, and its failure on the subject, unless another worker has the job by now."""
    with transaction.atomic():
        ours = Job.objects.filter(pk=run.job.pk, lease=run.lease, state=JobState.RUNNING).update(
            state=state, error=error, finished_at=timezone.now(), stage="", lease=None
        )
        if ours and state == JobState.FAILED:
            failed = handler_of(run.job.kind).failed
            if failed:
                failed(run.job, error)


@contextmanager
def _heartbeat(run: JobRun) -> Iterator[None]:
    """Move the heartbeat from a thread, so that one long step of the engine does not look like a dead worker."""
    done = threading.Event()

    def beat() -> None:
        try:
            while not done.wait(settings.JOB_STALE_SECONDS / 6):
                try:
                    ours = Job.objects.filter(pk=run.job.pk, lease=run.lease).update(
                        heartbeat_at=timezone.now()
                    )
                except _DATABASE_GONE:
                    connection.close()  # the next beat has a new one
                    continue
                if not ours:
                    return
        finally:
            connection.close()  # each thread has a connection of its own

    thread = threading.Thread(target=beat, name=f"heartbeat-{run.job.pk}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
