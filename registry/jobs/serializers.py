"""Jobs as JSON."""

from __future__ import annotations

from rest_framework import serializers

from registry.jobs.models import Job
from registry.jobs.selectors import seconds_left


class JobOut(serializers.ModelSerializer[Job]):
    """A job with its progress. `rows_total` is 0 while it is not known."""

    organisation = serializers.CharField(source="organisation.slug", read_only=True, help_text="Short name")
    seconds_left = serializers.SerializerMethodField()

    class Meta:
        model = Job
        fields = [
            "id",
            "organisation",
            "kind",
            "subject_id",
            "title",
            "page",
            "state",
            "stage",
            "rows_done",
            "rows_total",
            "seconds_left",
            "error",
            "attempt",
            "created_at",
            "started_at",
            "finished_at",
        ]

    def get_seconds_left(self, job: Job) -> float | None:
        """Return the seconds left in the present stage."""
        return seconds_left(job)
