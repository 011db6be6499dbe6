"""Long work with progress. The row is the truth; the broker's message only wakes a worker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from django.db import models
from django.utils import timezone

from registry.accounts.permissions import organisations_of
from registry.lib.ids import uuid7

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser

    from registry.accounts.models import User


class JobState(models.TextChoices):
    """Where a job stands."""

    QUEUED = "queued", "Waiting for a worker"
    RUNNING = "running", "Running"
    SUCCEEDED = "succeeded", "Done"
    FAILED = "failed", "Failed"


class JobQuerySet(models.QuerySet["Job"]):
    """Jobs, and who may see them."""

    def visible_to(self, user: User | AnonymousUser | None) -> JobQuerySet:
        """Those of the organisations that the user is a member of; the public sees none."""
        return self.filter(organisation__in=organisations_of(user))


class Job(models.Model):
    """One piece of long work on one subject.

    A worker claims it by writing a lease; while it works it moves the heartbeat. A lease whose heartbeat is
    old belongs to a worker that died, and the job is claimed again (`attempt` counts how often).
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organisation = models.ForeignKey("registry.Organisation", on_delete=models.PROTECT, related_name="jobs")
    kind = models.CharField(max_length=40, help_text="noun_verb of the service that does the work")
    subject_id = models.UUIDField(help_text="The version, case or release that the work is on")
    title = models.CharField(max_length=300, help_text="What is done to what, for its page")
    page = models.CharField(max_length=300, blank=True, help_text="Path of the subject's page")
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+"
    )
    state = models.CharField(max_length=12, choices=JobState, default=JobState.QUEUED)
    stage = models.CharField(max_length=100, blank=True, help_text="What is being done now, in words")
    stage_started_at = models.DateTimeField(null=True)
    rows_done = models.BigIntegerField(default=0)
    rows_total = models.BigIntegerField(default=0)
    error = models.TextField(blank=True, help_text="Why it failed, fit to show")
    attempt = models.PositiveSmallIntegerField(default=0)
    lease = models.UUIDField(null=True, help_text="The claim of the worker that runs it")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    started_at = models.DateTimeField(null=True)
    heartbeat_at = models.DateTimeField(
        null=True, help_text="While it waits: when a worker was last woken again"
    )
    finished_at = models.DateTimeField(null=True)

    objects = JobQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.CheckConstraint(condition=models.Q(state__in=JobState.values), name="job_state_known"),
            # Two jobs of one kind on one subject would do the same work twice.
            models.UniqueConstraint(
                fields=["kind", "subject_id"],
                condition=models.Q(state__in=["queued", "running"]),
                name="job_one_alive_per_subject",
            ),
        ]
        indexes = [
            # Beat looks for queued jobs and stale leases.
            models.Index(
                fields=["state", "heartbeat_at"],
                condition=models.Q(state__in=["queued", "running"]),
                name="job_alive",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.subject_id}: {self.state}"
