"""Datasets, versions, shards and lineage as JSON: what is sent out, and what may come in."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from django.conf import settings
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from registry.datasets.models import (
    Dataset,
    LineageEdge,
    LineageKind,
    Shard,
    Version,
    VersionDiff,
    VersionShard,
    VersionStatus,
)
from registry.datasets.selectors import diffs_by_version
from registry.datasets.states import AFTER_INGEST
from registry.hooks import DatasetStanding, VersionStanding, hooks

if TYPE_CHECKING:
    from collections.abc import Sequence


class DatasetOut(serializers.ModelSerializer[Dataset]):
    """A dataset with which version of it to use, as its page says. Made by `datasets_out`."""

    organisation = serializers.CharField(source="organisation.slug", read_only=True, help_text="Short name")
    version_count = serializers.IntegerField(read_only=True, help_text="Versions that the reader sees")
    newest = serializers.CharField(
        read_only=True, allow_null=True, help_text="The public version dated last, affected or not"
    )
    use = serializers.SerializerMethodField(
        help_text="The version to use; null where every one is affected or none is current"
    )
    answer = serializers.SerializerMethodField(help_text="Which version to use and why, in words")
    advisories = serializers.SerializerMethodField(
        help_text="Published advisories in force that affect a version"
    )

    class Meta:
        model = Dataset
        fields = [
            "slug",
            "name",
            "organisation",
            "description",
            "licence",
            "version_count",
            "newest",
            "use",
            "answer",
            "advisories",
            "created_at",
        ]

    def get_use(self, dataset: Dataset) -> str | None:
        """Name a version."""
        return self._standing(dataset).use

    def get_answer(self, dataset: Dataset) -> str:
        """Give the answer of its page."""
        return self._standing(dataset).answer

    def get_advisories(self, dataset: Dataset) -> int:
        """Count them."""
        return self._standing(dataset).advisories

    def _standing(self, dataset: Dataset) -> DatasetStanding:
        standing: DatasetStanding = self.context["standings"][dataset.pk]
        return standing


def datasets_out(datasets: Sequence[Dataset]) -> list[dict[str, Any]]:
    """The datasets, as `dataset_list` gives them, as JSON."""
    standings = {key: one for hook in hooks.dataset_standings for key, one in hook(datasets).items()}
    return list(DatasetOut(datasets, many=True, context={"standings": standings}).data)


class DatasetIn(serializers.Serializer[Dataset]):
    """A dataset to create."""

    organisation = serializers.SlugField(help_text="Short name of an organisation of yours")
    slug = serializers.SlugField(help_text="Short name, part of every address")
    name = serializers.CharField(max_length=200)
    description = serializers.CharField(required=False, default="")
    licence = serializers.CharField(required=False, default="", max_length=100)


class AdvisoryRowsOut(serializers.Serializer[Any]):
    """An advisory and the rows of the version that it takes out."""

    id = serializers.CharField()
    rows = serializers.IntegerField()


class AffectedOut(serializers.Serializer[Any]):
    """What published advisories say of a version, and the clean release that was made of it."""

    affected = serializers.BooleanField()
    rows_affected = serializers.IntegerField()
    rows_affected_exact = serializers.BooleanField(
        help_text="False when advisories may name the same row: then it is at most that many"
    )
    advisories = AdvisoryRowsOut(many=True)
    fixed = serializers.CharField(allow_null=True, help_text="The clean release of it")
    fixed_root = serializers.CharField(allow_null=True)


class StandingOut(AffectedOut):
    """How a version stands, as its page says."""

    use = serializers.CharField(
        allow_null=True, help_text="The version to use instead; null where this one may be used, or none can"
    )
    answer = serializers.CharField(help_text="The same in words")


class VersionDiffOut(serializers.ModelSerializer[VersionDiff]):
    """Rows, by shard and exact URL, that came and went since the imported version before."""

    old = serializers.CharField(source="old.name", help_text="The version before")

    class Meta:
        model = VersionDiff
        fields = ["old", "added", "removed", "common"]


class VersionOut(serializers.ModelSerializer[Version]):
    """A version with what its page says of it; `base` is set on a release. Made by `versions_out`."""

    dataset = serializers.CharField(source="dataset.slug", read_only=True, help_text="Short name")
    base = serializers.CharField(source="base.name", read_only=True, allow_null=True, default=None)
    columns = serializers.DictField(child=serializers.CharField(), help_text="Role -> column that carries it")
    shard_count = serializers.IntegerField(read_only=True)
    diff = serializers.SerializerMethodField(help_text="Null on a release, and where nothing was compared")
    standing = serializers.SerializerMethodField()

    class Meta:
        model = Version
        fields = [
            "id",
            "dataset",
            "name",
            "dated",
            "base",
            "status",
            "status_reason",
            "columns",
            "rows",
            "bytes",
            "root",
            "shard_count",
            "diff",
            "standing",
            "created_at",
        ]

    @extend_schema_field(VersionDiffOut(allow_null=True))
    def get_diff(self, version: Version) -> Any:
        """Compare it with the version before."""
        diff = self.context["diffs"].get(version.pk)
        return VersionDiffOut(diff).data if diff else None

    @extend_schema_field(StandingOut)
    def get_standing(self, version: Version) -> Any:
        """Say how it stands."""
        standing: VersionStanding = self.context["standings"][version.pk]
        advisories = [{"id": advisory, "rows": rows} for advisory, rows in standing.advisories]
        return asdict(standing) | {"advisories": advisories}


def versions_out(versions: Sequence[Version]) -> list[dict[str, Any]]:
    """The versions, as `version_list` gives them, as JSON."""
    context = {
        "diffs": diffs_by_version(versions),
        "standings": {key: one for hook in hooks.version_standings for key, one in hook(versions).items()},
    }
    return list(VersionOut(versions, many=True, context=context).data)


class OriginIn(serializers.Serializer[Any]):
    """Where a version's files are: `source`, or `files` in a multipart body, not both."""

    source = serializers.CharField(  # type: ignore[assignment]  # a declared field, which the metaclass takes out
        required=False, default="", max_length=500, help_text="File, folder or glob under an import folder"
    )
    files = serializers.ListField(
        child=serializers.FileField(),
        required=False,
        default=list,
        max_length=settings.DATA_UPLOAD_MAX_NUMBER_FILES,
    )
    columns = serializers.DictField(
        child=serializers.CharField(allow_blank=True, max_length=200),
        required=False,
        help_text='Role -> column; "" for none. In a multipart body: columns.url=URL',
    )


class VersionIn(OriginIn):
    """A version to register."""

    name = serializers.CharField(max_length=100)
    dated = serializers.DateField(help_text="The day this state was published")
    final_status = serializers.ChoiceField(
        choices=[(status.value, status.label) for status in AFTER_INGEST],
        default=VersionStatus.ACTIVE,
        help_text="deprecated or quarantined for an old version registered after the fact",
    )


class VersionStarted(serializers.Serializer[Any]):
    """A version whose ingest was started, and the job to follow."""

    version = VersionOut()
    job = serializers.UUIDField(allow_null=True, help_text="At /api/v1/jobs/<id>/")


class VersionShardOut(serializers.ModelSerializer[VersionShard]):
    """A shard at its path in a version."""

    digest = serializers.CharField(source="shard_id")
    bytes = serializers.IntegerField(source="shard.bytes")
    rows = serializers.IntegerField(source="shard.rows")
    format = serializers.CharField(source="shard.format")

    class Meta:
        model = VersionShard
        fields = ["position", "path", "digest", "bytes", "rows", "format"]


class ColumnOut(serializers.Serializer[Any]):
    """A column of a shard."""

    name = serializers.CharField()
    type = serializers.CharField()
    required = serializers.BooleanField(help_text="Whether it cannot be null")  # type: ignore[assignment]  # the column's own word


class PlaceOut(serializers.ModelSerializer[VersionShard]):
    """A version that holds a shard, and the path there."""

    dataset = serializers.CharField(source="version.dataset.slug")
    version = serializers.CharField(source="version.name")
    status = serializers.CharField(source="version.status")

    class Meta:
        model = VersionShard
        fields = ["dataset", "version", "status", "path"]


class ShardOut(serializers.ModelSerializer[Shard]):
    """A shard by its digest, and where it is, at most a hundred places, newest version first."""

    columns = ColumnOut(source="schema", many=True)
    places = serializers.SerializerMethodField()

    class Meta:
        model = Shard
        fields = ["digest", "bytes", "rows", "format", "row_groups", "columns", "places"]

    @extend_schema_field(PlaceOut(many=True))
    def get_places(self, _shard: Shard) -> Any:
        """Return the places the reader may see."""
        return PlaceOut(self.context["places"], many=True).data


class EndOut(serializers.ModelSerializer[Version]):
    """A version at one end of an edge."""

    dataset = serializers.CharField(source="dataset.slug", read_only=True, help_text="Short name")

    class Meta:
        model = Version
        fields = ["id", "dataset", "name", "status"]


class LineageOut(serializers.ModelSerializer[LineageEdge]):
    """An edge: the child, or the artifact, was made of the parent."""

    parent = EndOut()
    child = EndOut(allow_null=True)

    class Meta:
        model = LineageEdge
        fields = ["id", "parent", "kind", "child", "artifact", "created_at"]


class LineageIn(serializers.Serializer[Any]):
    """An edge to record; versions are named `dataset@version`."""

    parent = serializers.CharField(  # type: ignore[assignment]  # a declared field, which the metaclass takes out
        max_length=151, help_text="dataset@version"
    )
    kind = serializers.ChoiceField(choices=LineageKind.choices)
    child = serializers.CharField(required=False, default="", max_length=151, help_text="dataset@version")
    artifact = serializers.CharField(required=False, default="", max_length=200, help_text="A model, by name")
