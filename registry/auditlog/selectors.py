"""Reading the log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from registry.auditlog.models import AuditEntry

if TYPE_CHECKING:
    from django.db.models import Model, QuerySet


def audit_timeline(*subjects: Model) -> QuerySet[AuditEntry]:
    """What was done to any of the subjects (of one model), newest first, each entry with its actor.

    Who may see a subject may see its timeline: ask `visible_to` before, the log does not.
    """
    if not subjects:
        return AuditEntry.objects.none()
    return AuditEntry.objects.filter(
        subject_type=subjects[0]._meta.model_name,  # noqa: SLF001  -- _meta is Django's documented API
        subject_id__in=[str(subject.pk) for subject in subjects],
    ).select_related("actor")
