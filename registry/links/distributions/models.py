"""Places that serve a version, or did: its own downloads, mirrors, copies that nobody was asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from django.db import models
from django.utils import timezone

from registry.datasets.models import Version
from registry.links.models import Link

if TYPE_CHECKING:
    from registry.datasets.models import Viewer


class DistributionKind(models.TextChoices):
    """Who serves it."""

    OFFICIAL = "official", "Official"
    MIRROR = "mirror", "Mirror"
    UNOFFICIAL = "unofficial", "Unofficial"


class DistributionQuerySet(models.QuerySet["Distribution"]):
    """Distribution links, and who may see them."""

    def visible_to(self, user: Viewer) -> DistributionQuerySet:
        """Those of the versions that the user may see."""
        return self.filter(version__in=Version.objects.visible_to(user))


class Distribution(models.Model):
    """One address at which a version, or a shard of it, is served. Whether it still is, its link knows (`models.Link`)."""

    id = models.BigAutoField(primary_key=True)
    version = models.ForeignKey(Version, on_delete=models.CASCADE, related_name="distributions")
    link = models.ForeignKey(Link, on_delete=models.PROTECT, related_name="distributions")
    kind = models.CharField(max_length=10, choices=DistributionKind)
    digest = models.CharField(
        max_length=64, blank=True, help_text="SHA-256 of what it should serve: a shard, or the version's root"
    )
    added_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+"
    )
    added_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = DistributionQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["version", "link"], name="distribution_link_once"),
            models.CheckConstraint(
                condition=models.Q(kind__in=DistributionKind.values), name="distribution_kind_known"
            ),
            models.CheckConstraint(
                condition=models.Q(digest="") | models.Q(digest__regex=r"^[0-9a-f]{64}$"),
                name="distribution_digest_is_sha256",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} of {self.version_id}"
