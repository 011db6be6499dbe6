from __future__ import annotations

import pytest
from django.db import DatabaseError, transaction

from registry.auditlog.models import AuditEntry
from registry.auditlog.selectors import audit_timeline
from registry.auditlog.services import audit_append
from tests.factories import make_dataset, make_user

pytestmark = pytest.mark.django_db


def test_a_timeline_holds_its_subjects_entries_newest_first() -> None:
    dataset, other, user = make_dataset(), make_dataset(), make_user()
    for action in ("dataset_create", "dataset_rename"):
        audit_append(
            actor=user, action=action, subject=dataset, organisation=dataset.organisation, data={"n": 1}
        )
    audit_append(actor=None, action="dataset_create", subject=other, organisation=other.organisation)
    entries = list(audit_timeline(dataset))
    assert [entry.action for entry in entries] == ["dataset_rename", "dataset_create"]
    assert entries[0].actor == user
    assert entries[0].data == {"n": 1}
    assert len(audit_timeline(dataset, other)) == 3
    assert not audit_timeline()


def test_the_database_refuses_to_change_or_delete_an_entry() -> None:
    dataset = make_dataset()
    entry = audit_append(actor=None, action="dataset_create", subject=dataset, organisation=None)
    with pytest.raises(DatabaseError, match="Cannot update or delete"), transaction.atomic():
        AuditEntry.objects.filter(pk=entry.pk).update(action="nothing")
    with pytest.raises(DatabaseError, match="Cannot update or delete"), transaction.atomic():
        AuditEntry.objects.filter(pk=entry.pk).delete()
    assert AuditEntry.objects.get(pk=entry.pk).action == "dataset_create"
