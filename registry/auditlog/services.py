"""Writing to the log. Every service of the project writes exactly one entry for what it did."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from registry.auditlog.models import AuditEntry

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django.contrib.auth.base_user import AbstractBaseUser
    from django.db.models import Model


def audit_append(
    *,
    actor: AbstractBaseUser | None,
    action: str,
    subject: Model,
    organisation: Model | None,
    data: Mapping[str, Any] | None = None,
) -> AuditEntry:
    """Append one entry inside the caller's transaction.

    `action` is the service's name (`noun_verb`); `actor` is None for the public and for scheduled work;
    `organisation` is the one that the entry belongs to. `data` holds ids, states and counts only, never personal
    or free text: an entry can never be erased.
    """
    return AuditEntry.objects.create(
        actor_id=actor.pk if actor else None,
        organisation_id=organisation.pk if organisation else None,
        action=action,
        subject_type=subject._meta.model_name or "",  # noqa: SLF001  -- _meta is Django's documented API
        subject_id=str(subject.pk),
        data=dict(data or {}),
    )
