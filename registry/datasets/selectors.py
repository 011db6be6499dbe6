"""Reading what exists: lists with their counts, the shards of a version, lineage up and down."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db.models import Count, OuterRef, Q, Subquery
from django.db.models.functions import Coalesce

from expunge.shards import ShardFile
from registry.datasets.models import (
    Dataset,
    LineageEdge,
    Shard,
    Version,
    VersionDiff,
    VersionShard,
    VersionStatus,
)
from registry.datasets.store import object_path

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from django.db.models import QuerySet

    from registry.datasets.models import DatasetQuerySet, LineageEdgeQuerySet, VersionQuerySet, Viewer

# What a reader can still use, or does use: these are searched when a report arrives.
STATUSES_IN_USE = (VersionStatus.ACTIVE, VersionStatus.DEPRECATED, VersionStatus.QUARANTINED)


@dataclass(frozen=True, slots=True)
class LineageStep:
    """One edge on the way from a version, `depth` edges away; `other` is its far end, None for an artifact."""

    edge: LineageEdge
    other: Version | None
    depth: int


def dataset_list(user: Viewer) -> DatasetQuerySet:
    """The datasets that the user may see, each with `version_count` and `newest` (the newest version's name)."""
    seen = Version.objects.visible_to(user).filter(dataset=OuterRef("pk"))
    return (
        Dataset.objects.visible_to(user)
        .select_related("organisation")
        .annotate(
            version_count=Coalesce(
                Subquery(seen.order_by().values("dataset").annotate(n=Count("pk")).values("n")), 0
            ),
            newest=Subquery(
                seen.exclude(status=VersionStatus.DRAFT).order_by("-dated", "-created_at").values("name")[:1]
            ),
        )
    )


def version_list(user: Viewer) -> VersionQuerySet:
    """The versions that the user may see, newest first, each with its dataset, base and `shard_count`."""
    counted = VersionShard.objects.filter(version=OuterRef("pk")).order_by().values("version")
    return (
        Version.objects.visible_to(user)
        .select_related("dataset__organisation", "base")
        .annotate(shard_count=Coalesce(Subquery(counted.annotate(n=Count("pk")).values("n")), 0))
    )


def version_shards(version: Version) -> list[ShardFile]:
    """The version's shards in its order, as the engine reads them: bytes in the store, name in the version."""
    pairs = version.version_shards.order_by("position").values_list("shard_id", "path")
    return [ShardFile(path=object_path(digest), name=path, sha256=digest) for digest, path in pairs]


def shard_versions(shard: Shard, user: Viewer) -> QuerySet[VersionShard]:
    """Where the user may see this shard: its path in each version, newest version first."""
    return (
        VersionShard.objects.filter(shard=shard, version__in=Version.objects.visible_to(user))
        .select_related("version__dataset")
        .order_by("-version__dated", "path")
    )


def diffs_by_version(versions: Iterable[Version]) -> dict[UUID, VersionDiff]:
    """For each version the figures against the nearest earlier public one that it was compared with."""
    rows = (
        VersionDiff.objects.filter(new__in=versions)
        .exclude(old__status=VersionStatus.DRAFT)
        .select_related("old")
        # The nearest one comes last and stays.
        .order_by("old__dated", "old__created_at")
    )
    return {row.new_id: row for row in rows}


def version_by_reference(user: Viewer, reference: str) -> Version | None:
    """The version that `dataset@version` names, as far as the user may see."""
    slug, _, name = reference.partition("@")
    return version_list(user).filter(dataset__slug=slug, name=name).first()


def lineage_list(user: Viewer) -> LineageEdgeQuerySet:
    """The edges that the user may see, oldest first, with both ends."""
    return LineageEdge.objects.visible_to(user).select_related("parent__dataset", "child__dataset")


def lineage_up(version: Version, user: Viewer) -> list[LineageStep]:
    """What the version was made of, nearest first, as far as the user may see."""
    return _walk(version, user, down=False)


def lineage_down(version: Version, user: Viewer) -> list[LineageStep]:
    """What was made of the version, nearest first, as far as the user may see; artifacts have no other end."""
    return _walk(version, user, down=True)


def versions_in_reach(dataset: Dataset) -> list[Version]:
    """The imported versions in use that a report on the dataset concerns, and releases made of them.

    All of the dataset's own, and those of its lineage descendants in the same organisation; drafts, archived
    and withdrawn versions are left out. Ordered by dataset, newest first.
    """
    reached = lineage_descendants(dataset.versions.values_list("pk", flat=True))
    return list(
        Version.objects.filter(Q(dataset=dataset) | Q(pk__in=reached), status__in=STATUSES_IN_USE)
        .filter(dataset__organisation=dataset.organisation_id)
        .select_related("dataset")
        .order_by("dataset__slug", "-dated", "-created_at")
    )


def lineage_descendants(versions: Iterable[UUID]) -> set[UUID]:
    """Ids of every version that was made, in any number of steps, of the given ones; two queries a step.

    By lineage edges, and a release of its base.
    """
    found: set[UUID] = set()
    step = set(versions)
    while step:
        edges = LineageEdge.objects.filter(parent__in=step, child__isnull=False)
        children = {child for child in edges.values_list("child_id", flat=True) if child}
        releases = Version.objects.filter(base__in=step).values_list("pk", flat=True)
        step = (children | set(releases)) - found
        found |= step
    return found


def _walk(version: Version, user: Viewer, *, down: bool) -> list[LineageStep]:
    steps: list[LineageStep] = []
    seen = {version.pk}
    step, depth = {version.pk}, 0
    edges = lineage_list(user)
    while step:
        depth += 1
        found = edges.filter(parent__in=step) if down else edges.filter(child__in=step)
        step = set()
        for edge in found:
            other = edge.child if down else edge.parent
            steps.append(LineageStep(edge, other, depth))
            if other and other.pk not in seen:
                step.add(other.pk)
                seen.add(other.pk)
    return steps
