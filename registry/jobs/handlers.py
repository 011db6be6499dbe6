"""How each kind of job is done, registered by the package that knows; and what a handler is given."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from django.utils import timezone

from registry.jobs.models import Job
from registry.lib.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from uuid import UUID

SECONDS_BETWEEN_UPDATES = 1.0


class LeaseLost(Exception):  # noqa: N818  -- not a fault: another worker has the job, this one stops
    """Another worker claimed the job: this one must stop and write nothing more."""


@dataclass(slots=True)
class JobRun:
    """One worker's claim on one job, handed to the handler.

    `progress` has the shape of `expunge.progress.Progress`, so it goes straight into the engine.
    """

    job: Job
    lease: UUID
    _stage: str = field(default="", init=False)
    _stage_started_at: datetime | None = field(default=None, init=False)
    _written: float = field(default=float("-inf"), init=False)

    @property
    def subject_id(self) -> UUID:
        """The version, case or release that the work is on."""
        return self.job.subject_id

    def progress(self, stage: str, done: int, total: int) -> None:
        """Show the stage and rows done of rows in all; at most one UPDATE a second. Raises LeaseLost."""
        now = time.monotonic()
        if stage == self._stage and now - self._written < SECONDS_BETWEEN_UPDATES:
            return
        if stage != self._stage:
            self._stage, self._stage_started_at = stage, timezone.now()
        self._written = now
        ours = Job.objects.filter(pk=self.job.pk, lease=self.lease).update(
            stage=stage[:100],
            stage_started_at=self._stage_started_at,
            rows_done=done,
            rows_total=total,
            heartbeat_at=timezone.now(),
        )
        if not ours:
            raise LeaseLost

    def confirm(self) -> None:
        """Lock the job row and make sure that it is still ours. Raises LeaseLost.

        Call first in the transaction that writes the result: until it ends, nobody else can claim the job.
        """
        if not Job.objects.select_for_update().filter(pk=self.job.pk, lease=self.lease).exists():
            raise LeaseLost


@dataclass(frozen=True, slots=True)
class Handler:
    """`run` does the work; it may be run again after a kill at any point, so it must be idempotent.

    `failed` writes the reason on the subject, in the transaction that ends the job.
    """

    run: Callable[[JobRun], None]
    failed: Callable[[Job, str], None] | None = None


_handlers: dict[str, Handler] = {}


def register(
    kind: str, run: Callable[[JobRun], None], failed: Callable[[Job, str], None] | None = None
) -> None:
    """Say how jobs of this kind are done; called from each package's tasks.py, which Celery imports."""
    _handlers[kind] = Handler(run, failed)


def handler_of(kind: str) -> Handler:
    """The handler of a kind of job; for a kind that this program does not know, one that fails plainly."""
    return _handlers.get(kind, Handler(_unknown))


def _unknown(run: JobRun) -> None:
    raise Refused(f"This worker does not know work of the kind {run.job.kind}. Update it and start it anew.")
