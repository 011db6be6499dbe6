"""Datasets, versions, shards and lineage as JSON: what is sent out, and what may come in."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from registry.datasets.models import (
    Dataset,
    LineageEdge,
    LineageKind,
    Shard,
    Version,
    VersionShard,
    VersionStatus,
)
from registry.datasets.states import AFTER_INGEST


class DatasetOut(serializers.ModelSerializer[Dataset]):
    """A dataset with how many versions of it the reader sees, and its newest published one."""

    organisation = serializers.CharField(source="organisation.slug", read_only=True, help_text="Short name")
    version_count = serializers.IntegerField(read_only=True)
    newest = serializers.CharField(read_only=True, allow_null=True)

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
            "created_at",
        ]


class DatasetIn(serializers.Serializer[Dataset]):
    """A dataset to create."""

    organisation = serializers.SlugField(help_text="Short name of an organisation of yours")
    slug = serializers.SlugField(help_text="Short name, part of every address")
    name = serializers.CharField(max_length=200)
    description = serializers.CharField(required=False, default="")
    licence = serializers.CharField(required=False, default="", max_length=100)


class VersionOut(serializers.ModelSerializer[Version]):
    """A version; `base` is set on a release."""

    dataset = serializers.CharField(source="dataset.slug", read_only=True, help_text="Short name")
    base = serializers.CharField(source="base.name", read_only=True, allow_null=True, default=None)
    columns = serializers.DictField(child=serializers.CharField(), help_text="Role -> column that carries it")
    shard_count = serializers.IntegerField(read_only=True)

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
            "created_at",
        ]


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
