"""What exists: datasets, their versions, the shards that versions hold, and lineage."""

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

    Viewer = User | AnonymousUser | None


class VersionStatus(models.TextChoices):
    """Status of a version, in the words of the public pages."""

    DRAFT = "draft", "Draft"
    ACTIVE = "active", "Active"
    DEPRECATED = "deprecated", "Deprecated"
    QUARANTINED = "quarantined", "Quarantined"
    ARCHIVED = "archived", "Archived"
    WITHDRAWN = "withdrawn", "Withdrawn"


class LineageKind(models.TextChoices):
    """How a child came from its parent."""

    DERIVED_FROM = "derived_from", "Derived from"
    SUBSET_OF = "subset_of", "Subset of"
    TRAINED_ON = "trained_on", "Trained on"
    MIRROR_OF = "mirror_of", "Mirror of"


class DatasetQuerySet(models.QuerySet["Dataset"]):
    """Datasets, and who may see them."""

    def visible_to(self, user: Viewer) -> DatasetQuerySet:
        """Those with a version that is no draft, and all of the user's own organisations."""
        shown = Version.objects.filter(dataset=models.OuterRef("pk")).exclude(status=VersionStatus.DRAFT)
        return self.filter(models.Exists(shown) | models.Q(organisation__in=organisations_of(user)))


class VersionQuerySet(models.QuerySet["Version"]):
    """Versions, and who may see them."""

    def visible_to(self, user: Viewer) -> VersionQuerySet:
        """Those that are no draft, and all of the user's own organisations."""
        mine = models.Q(dataset__organisation__in=organisations_of(user))
        return self.filter(~models.Q(status=VersionStatus.DRAFT) | mine)


class LineageEdgeQuerySet(models.QuerySet["LineageEdge"]):
    """Lineage edges, and who may see them."""

    def visible_to(self, user: Viewer) -> LineageEdgeQuerySet:
        """Those whose both ends the user may see."""
        seen = Version.objects.visible_to(user).values("pk")
        return self.filter(models.Q(child__isnull=True) | models.Q(child__in=seen), parent__in=seen)


class Dataset(models.Model):
    """A named collection, kept by one organisation."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organisation = models.ForeignKey(
        "registry.Organisation", on_delete=models.PROTECT, related_name="datasets"
    )
    slug = models.SlugField(unique=True)
    name = models.CharField(max_length=200)
    description = models.TextField(blank=True)
    licence = models.CharField(max_length=100, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = DatasetQuerySet.as_manager()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Shard(models.Model):
    """One file's content, known by its SHA-256 and kept once in the store however many versions hold it."""

    digest = models.CharField(primary_key=True, max_length=64, help_text="SHA-256, lower-case hex")
    bytes = models.BigIntegerField()
    rows = models.BigIntegerField()
    format = models.CharField(max_length=20, help_text="parquet, csv, jsonl.gz …")
    row_groups = models.IntegerField(default=0)
    schema = models.JSONField(default=list, help_text="[{name, type, required}] in order")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(digest__regex=r"^[0-9a-f]{64}$"), name="shard_digest_hex"
            ),
            models.CheckConstraint(
                condition=models.Q(rows__gte=0, bytes__gte=0), name="shard_counts_positive"
            ),
        ]

    def __str__(self) -> str:
        return self.digest


class Version(models.Model):
    """One immutable state of a dataset: a base that was imported, or a release made of a base."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    dataset = models.ForeignKey(Dataset, on_delete=models.PROTECT, related_name="versions")
    name = models.CharField(max_length=100)
    base = models.ForeignKey(
        "self", on_delete=models.PROTECT, null=True, related_name="releases_of", help_text="Set on a release"
    )
    status = models.CharField(max_length=12, choices=VersionStatus, default=VersionStatus.DRAFT)
    status_reason = models.TextField(blank=True, help_text="Why it stays a draft, or was deprecated …")
    dated = models.DateField(help_text="The day this state was published, also when registered later")
    final_status = models.CharField(
        max_length=12,
        choices=VersionStatus,
        default=VersionStatus.ACTIVE,
        help_text="What it becomes once ingested: active, or deprecated when registered after the fact",
    )
    source = models.CharField(max_length=500, blank=True, help_text="Where under IMPORT_ROOTS it was read")
    columns = models.JSONField(
        default=dict, help_text="Role -> column name: url, text, md5, sha1, sha256, id"
    )
    rows = models.BigIntegerField(default=0)
    bytes = models.BigIntegerField(default=0)
    root = models.CharField(max_length=64, blank=True, help_text="SHA-256 over its list of shard digests")
    shards = models.ManyToManyField(Shard, through="VersionShard", related_name="versions")
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = VersionQuerySet.as_manager()

    class Meta:
        ordering = ["-dated", "-created_at"]
        constraints = [
            models.UniqueConstraint(fields=["dataset", "name"], name="version_name_once"),
            models.CheckConstraint(
                condition=models.Q(status__in=VersionStatus.values), name="version_status_known"
            ),
            models.CheckConstraint(
                condition=models.Q(status="draft") | models.Q(root__regex=r"^[0-9a-f]{64}$"),
                name="version_beyond_draft_has_root",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.dataset.slug}@{self.name}"


class VersionShard(models.Model):
    """A shard at its path inside a version."""

    version = models.ForeignKey(Version, on_delete=models.CASCADE, related_name="version_shards")
    shard = models.ForeignKey(Shard, on_delete=models.PROTECT, related_name="version_shards")
    path = models.CharField(max_length=500)
    position = models.IntegerField(help_text="Place in the version's order of shards, from 0")

    class Meta:
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(fields=["version", "path"], name="versionshard_path_once"),
        ]

    def __str__(self) -> str:
        return self.path


class LineageEdge(models.Model):
    """A typed edge from a version to what was made of it: another version, or a named artifact such as a model."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    parent = models.ForeignKey(Version, on_delete=models.PROTECT, related_name="child_edges")
    child = models.ForeignKey(Version, on_delete=models.PROTECT, null=True, related_name="parent_edges")
    artifact = models.CharField(max_length=200, blank=True, help_text="A model or other artifact, by name")
    kind = models.CharField(max_length=20, choices=LineageKind)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = LineageEdgeQuerySet.as_manager()

    class Meta:
        ordering = ["created_at"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(child__isnull=False, artifact="")
                | models.Q(child__isnull=True) & ~models.Q(artifact=""),
                name="lineageedge_child_or_artifact",
            ),
            models.CheckConstraint(
                condition=~models.Q(parent=models.F("child")), name="lineageedge_not_to_itself"
            ),
            models.UniqueConstraint(
                fields=["parent", "child", "artifact", "kind"], nulls_distinct=False, name="lineageedge_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.parent} {self.kind} {self.child or self.artifact}"


class VersionDiff(models.Model):
    """How many rows came and went between two versions that follow each other by date.

    Rows are (shard path, raw URL) pairs, counted as often as they occur.
    """

    old = models.ForeignKey(Version, on_delete=models.CASCADE, related_name="diffs_to_newer")
    new = models.ForeignKey(Version, on_delete=models.CASCADE, related_name="diffs_to_older")
    added = models.BigIntegerField()
    removed = models.BigIntegerField()
    common = models.BigIntegerField()
    compared_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["old", "new"], name="versiondiff_once"),
            models.CheckConstraint(condition=~models.Q(old=models.F("new")), name="versiondiff_two_versions"),
        ]

    def __str__(self) -> str:
        return f"{self.old} to {self.new}: +{self.added} -{self.removed}"
