"""Clean releases: a base minus the removals in force, verified, signed, published."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from django.db import models
from django.utils import timezone

from registry.accounts.permissions import organisations_of
from registry.lib.ids import uuid7
from takedowns.removals.models import Removal

if TYPE_CHECKING:
    from registry.datasets.models import Viewer


class ReleaseState(models.TextChoices):
    """How far a release has come."""

    BUILDING = "building", "Building"
    VERIFIED = "verified", "Built and verified, not yet published"
    PUBLISHED = "published", "Published"
    FAILED = "failed", "Failed"


class Form(models.TextChoices):
    """What becomes of a removed row."""

    COMPACT = "compact", "Compact: the row is gone"
    ALIGNED = "aligned", "Aligned: the row stays, its key and text columns are empty"


class ReleaseQuerySet(models.QuerySet["Release"]):
    """Releases, and who may see them."""

    def published(self) -> ReleaseQuerySet:
        """Those that anybody may download."""
        return self.filter(state=ReleaseState.PUBLISHED)

    def visible_to(self, user: Viewer) -> ReleaseQuerySet:
        """Published ones for everybody, and a member's organisations' own."""
        mine = models.Q(dataset__organisation__in=organisations_of(user))
        return self.filter(models.Q(state=ReleaseState.PUBLISHED) | mine)


class Release(models.Model):
    """A clean version of one base. Its `version` exists as a draft while it is built, `active` once published."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    dataset = models.ForeignKey("registry.Dataset", on_delete=models.PROTECT, related_name="releases")
    base = models.ForeignKey("registry.Version", on_delete=models.PROTECT, related_name="releases")
    version = models.OneToOneField("registry.Version", on_delete=models.PROTECT, related_name="release")
    serial = models.PositiveIntegerField(help_text="Counts the dataset's releases, from 1")
    form = models.CharField(max_length=10, choices=Form, default=Form.COMPACT)
    state = models.CharField(max_length=10, choices=ReleaseState, default=ReleaseState.BUILDING)
    failure = models.TextField(blank=True)
    removals = models.ManyToManyField(Removal, related_name="releases")
    rows_before = models.BigIntegerField(default=0)
    rows_removed = models.BigIntegerField(default=0)
    rows_after = models.BigIntegerField(default=0)
    cells_redacted = models.BigIntegerField(
        default=0, db_default=0, help_text="Cells made null and elements dropped, in rows that stay"
    )
    root = models.CharField(max_length=64, blank=True, help_text="SHA-256 of SHA256SUMS")
    files = models.JSONField(default=list, help_text="[{path, bytes, sha256}] of every file but data/")
    public_keys = models.JSONField(
        default=dict, help_text="What it was signed with: {minisign: one line, oms: PEM}, each only if used"
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    verified_at = models.DateTimeField(null=True)
    published_at = models.DateTimeField(null=True)

    objects = ReleaseQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(fields=["dataset", "serial"], name="release_serial_once"),
            models.CheckConstraint(
                condition=models.Q(state__in=ReleaseState.values), name="release_state_known"
            ),
            # Nothing unverified is ever published.
            models.CheckConstraint(
                condition=~models.Q(state="published")
                | models.Q(
                    verified_at__isnull=False, published_at__isnull=False, root__regex=r"^[0-9a-f]{64}$"
                ),
                name="release_published_is_verified",
            ),
            # One build at a time for a base; what is not published yet is built again, not added to.
            models.UniqueConstraint(
                fields=["base"],
                condition=~models.Q(state="published"),
                name="release_one_unpublished_per_base",
            ),
        ]

    def __str__(self) -> str:
        return str(self.version)
