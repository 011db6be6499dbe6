"""The removal set: what a decision takes out, by key, and the public advisory of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import models
from django.utils import timezone

from registry.accounts.permissions import organisations_of
from registry.lib.ids import uuid7
from registry.lib.words import counted
from takedowns.reports.models import Category

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser

    from registry.accounts.models import User
    from registry.datasets.models import Dataset


class RemovalQuerySet(models.QuerySet["Removal"]):
    """Removals, and which of them apply."""

    def in_force(self, dataset: Dataset) -> RemovalQuerySet:
        """Removals that bind the dataset: decided on it, or on one whose rows are also in a version of it."""
        affected = AffectedVersion.objects.filter(removal=models.OuterRef("pk"), version__dataset=dataset)
        return self.filter(models.Q(dataset=dataset) | models.Exists(affected), withdrawn_at=None)

    def published(self) -> RemovalQuerySet:
        """Those with a public advisory, also when withdrawn since."""
        return self.filter(published_at__isnull=False)

    def visible_to(self, user: User | AnonymousUser | None) -> RemovalQuerySet:
        """Published ones for everybody, and a member's organisations' own."""
        mine = models.Q(dataset__organisation__in=organisations_of(user))
        return self.filter(models.Q(published_at__isnull=False) | mine)


class Removal(models.Model):
    """The consequence of an approved decision, and its advisory once published.

    `advisory_id` is given at publication, so that gaps in the numbers tell nothing.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    dataset = models.ForeignKey("registry.Dataset", on_delete=models.PROTECT, related_name="removals")
    category = models.ForeignKey(Category, on_delete=models.PROTECT, related_name="removals")
    summary = models.TextField(help_text="Public: what was removed and why, without naming any item")
    # Null, not empty: many have none yet, and each that has one is the only one with it.
    advisory_id = models.CharField(max_length=20, unique=True, null=True, help_text="EXP-2026-0001")  # noqa: DJ001  -- see above
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    modified_at = models.DateTimeField(default=timezone.now)
    published_at = models.DateTimeField(null=True)
    withdrawn_at = models.DateTimeField(null=True, help_text="When the removal was reversed")

    objects = RemovalQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(published_at__isnull=True, advisory_id__isnull=True)
                | models.Q(published_at__isnull=False, advisory_id__isnull=False),
                name="removal_published_has_id",
            ),
        ]

    def __str__(self) -> str:
        return self.advisory_id or str(self.id)


class RemovalKey(models.Model):
    """One key that a removal takes out. Host and domain rules are kept as rules, never expanded."""

    id = models.BigAutoField(primary_key=True)
    removal = models.ForeignKey(Removal, on_delete=models.CASCADE, related_name="keys")
    kind = models.CharField(max_length=20)
    key = models.BinaryField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["removal", "kind", "key"], name="removalkey_once"),
        ]
        indexes = [
            # Lookup: which removals hold this key?
            models.Index(fields=["kind", "key"], name="removalkey_lookup"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {bytes(self.key).hex()}"


class RedactionKey(models.Model):
    """One key of rows that stay, and the column whose cell becomes null in each; empty: what the key matched itself.

    That is the cell of the key's own column or, where this holds lists, the element.
    """

    id = models.BigAutoField(primary_key=True)
    removal = models.ForeignKey(Removal, on_delete=models.CASCADE, related_name="redactions")
    kind = models.CharField(max_length=20)
    key = models.BinaryField()
    column = models.CharField(max_length=200, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["removal", "kind", "key", "column"], name="redactionkey_once"),
        ]

    def __str__(self) -> str:
        return f"{self.column or 'matched cell'} by {self.kind} {bytes(self.key).hex()}"


class AffectedVersion(models.Model):
    """How many rows of one version a removal takes out, and of how many others it redacts cells. An advisory lists these."""

    removal = models.ForeignKey(Removal, on_delete=models.CASCADE, related_name="affected")
    version = models.ForeignKey("registry.Version", on_delete=models.PROTECT, related_name="affected_by")
    rows = models.BigIntegerField()
    redacted_rows = models.BigIntegerField(default=0, db_default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["removal", "version"], name="affectedversion_once"),
            models.CheckConstraint(
                condition=models.Q(rows__gt=0, redacted_rows__gte=0)
                | models.Q(rows__gte=0, redacted_rows__gt=0),
                name="affectedversion_has_rows",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.removal}: {counted(self.rows + self.redacted_rows, 'row')} of {self.version}"
