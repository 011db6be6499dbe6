"""API: what exists. Reading is public as far as `visible_to` goes; writing takes a role in the organisation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.http import Http404
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.exceptions import ValidationError
from rest_framework.generics import GenericAPIView, ListAPIView
from rest_framework.permissions import IsAuthenticated
from rest_framework.response import Response
from rest_framework.status import HTTP_201_CREATED, HTTP_202_ACCEPTED

from registry.accounts.requests import signed_in
from registry.accounts.selectors import organisation_list
from registry.datasets import services
from registry.datasets.filters import DatasetFilter, LineageFilter, VersionFilter
from registry.datasets.models import Dataset, LineageEdge, Shard, Version, VersionShard
from registry.datasets.selectors import (
    dataset_list,
    lineage_list,
    shard_versions,
    version_by_reference,
    version_list,
)
from registry.datasets.serializers import (
    DatasetIn,
    DatasetOut,
    LineageIn,
    LineageOut,
    OriginIn,
    ShardOut,
    VersionIn,
    VersionOut,
    VersionShardOut,
    VersionStarted,
    datasets_out,
    versions_out,
)
from registry.jobs.models import Job
from registry.lib.uploads import check_upload

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from rest_framework.request import Request

    from registry.datasets.models import DatasetQuerySet, LineageEdgeQuerySet, VersionQuerySet

PLACES = 100


class DatasetList(ListAPIView[Dataset]):
    """Datasets by name."""

    serializer_class = DatasetOut
    filterset_class = DatasetFilter
    queryset = Dataset.objects.none()

    def get_queryset(self) -> DatasetQuerySet:
        """Return those the reader may see."""
        return dataset_list(self.request.user)

    @extend_schema(operation_id="dataset_list", summary="Datasets by name")
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:  # noqa: ARG002  the signature of a view
        """List datasets."""
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset())) or []
        return self.get_paginated_response(datasets_out(page))

    @extend_schema(
        operation_id="dataset_create",
        summary="Create a dataset (maintainer)",
        request=DatasetIn,
        responses={201: DatasetOut},
    )
    def post(self, request: Request) -> Response:
        """Create a dataset in one of the user's organisations."""
        given = _checked(DatasetIn, request)
        organisation = organisation_list(request.user).filter(slug=given.pop("organisation")).first()
        if organisation is None:
            raise ValidationError({"organisation": "You are a member of no organisation of this short name."})
        dataset = services.dataset_create(actor=signed_in(request), organisation=organisation, **given)
        [created] = datasets_out([dataset_list(request.user).get(pk=dataset.pk)])
        return Response(created, status=HTTP_201_CREATED)


class DatasetDetail(GenericAPIView[Dataset]):
    """One dataset."""

    serializer_class = DatasetOut

    @extend_schema(operation_id="dataset_detail", summary="One dataset, and which version of it to use")
    def get(self, request: Request, slug: str) -> Response:
        """Return the dataset, or 404 when the reader may not see it."""
        [shown] = datasets_out([get_object_or_404(dataset_list(request.user), slug=slug)])
        return Response(shown)


class VersionList(ListAPIView[Version]):
    """The versions of a dataset, newest first."""

    serializer_class = VersionOut
    filterset_class = VersionFilter
    queryset = Version.objects.none()

    def get_queryset(self) -> VersionQuerySet:
        """Return those the reader may see; 404 when that goes for the dataset already."""
        if getattr(self, "swagger_fake_view", False):
            return Version.objects.all()
        return version_list(self.request.user).filter(dataset=_dataset(self.request, self.kwargs["slug"]))

    @extend_schema(operation_id="version_list", summary="Versions of a dataset, newest first")
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:  # noqa: ARG002  the signature of a view
        """List versions."""
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset())) or []
        return self.get_paginated_response(versions_out(page))

    @extend_schema(
        operation_id="version_register",
        summary="Register a version and start its ingest (maintainer)",
        request=VersionIn,
        responses={202: VersionStarted},
    )
    def post(self, request: Request, slug: str) -> Response:
        """Register a version from a path under an import folder (JSON) or from files (multipart)."""
        given = _checked(VersionIn, request)
        version = services.version_register(
            actor=signed_in(request),
            dataset=_dataset(request, slug),
            uploads=given.pop("files"),
            **given,
        )
        return _started(request, version)


class VersionDetail(GenericAPIView[Version]):
    """One version."""

    serializer_class = VersionOut

    @extend_schema(
        operation_id="version_detail", summary="One version: what it holds, what changed, and how it stands"
    )
    def get(self, request: Request, slug: str, name: str) -> Response:
        """Return the version, or 404 when the reader may not see it."""
        version = get_object_or_404(version_list(request.user), dataset__slug=slug, name=name)
        [shown] = versions_out([version])
        return Response(shown)


class VersionIngest(GenericAPIView[Version]):
    """Ingest a draft again."""

    permission_classes = [IsAuthenticated]
    serializer_class = OriginIn

    @extend_schema(
        operation_id="version_ingest_retry",
        summary="Ingest a draft again (maintainer)",
        request=OriginIn,
        responses={202: VersionStarted},
    )
    def post(self, request: Request, slug: str, name: str) -> Response:
        """Ingest a draft again; with an empty body from where it was read before."""
        given = _checked(OriginIn, request)
        version = get_object_or_404(version_list(request.user), dataset__slug=slug, name=name)
        services.version_ingest_retry(
            actor=signed_in(request),
            version=version,
            # Files take the place of a path that was given before.
            source="" if given["files"] and not given["source"] else given["source"] or None,
            uploads=given["files"],
            columns=given.get("columns"),
        )
        return _started(request, version)


@extend_schema_view(
    get=extend_schema(operation_id="version_shards", summary="The shards of a version, in order")
)
class VersionShards(ListAPIView[VersionShard]):
    """The shards of a version."""

    serializer_class = VersionShardOut
    filter_backends = []
    queryset = VersionShard.objects.none()

    def get_queryset(self) -> QuerySet[VersionShard]:
        """Return them with their sizes; 404 when the reader may not see the version."""
        if getattr(self, "swagger_fake_view", False):
            return VersionShard.objects.none()
        version = get_object_or_404(
            Version.objects.visible_to(self.request.user),
            dataset__slug=self.kwargs["slug"],
            name=self.kwargs["name"],
        )
        return version.version_shards.select_related("shard").order_by("position")


class ShardDetail(GenericAPIView[Shard]):
    """A shard by its digest."""

    serializer_class = ShardOut

    @extend_schema(
        operation_id="shard_detail",
        summary="A shard by its SHA-256, and the versions that hold it",
        responses=ShardOut,
    )
    def get(self, request: Request, digest: str) -> Response:
        """Return the shard, or 404 when no version that the reader may see holds it."""
        shard = get_object_or_404(Shard, digest=digest.lower())
        places = list(shard_versions(shard, request.user)[:PLACES])
        if not places:
            raise Http404
        return Response(ShardOut(shard, context={"places": places}).data)


class LineageList(ListAPIView[LineageEdge]):
    """Lineage edges."""

    serializer_class = LineageOut
    filterset_class = LineageFilter
    queryset = LineageEdge.objects.none()

    def get_queryset(self) -> LineageEdgeQuerySet:
        """Return those whose both ends the reader may see."""
        return lineage_list(self.request.user)

    @extend_schema(operation_id="lineage_list", summary="Lineage edges")
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """List edges."""
        return super().get(request, *args, **kwargs)

    @extend_schema(
        operation_id="lineage_create",
        summary="Record what a version was made of (maintainer of the child)",
        request=LineageIn,
        responses={201: LineageOut},
    )
    def post(self, request: Request) -> Response:
        """Record an edge between two versions, or from a version to an artifact."""
        given = _checked(LineageIn, request)
        edge = services.lineage_create(
            actor=signed_in(request),
            parent=_version(request, "parent", given["parent"]),
            kind=given["kind"],
            child=_version(request, "child", given["child"]) if given["child"] else None,
            artifact=given["artifact"],
        )
        return Response(LineageOut(edge).data, status=HTTP_201_CREATED)


def _checked(serializer: type[Any], request: Request) -> dict[str, Any]:
    """The body, checked. Raises ValidationError (400) for a wrong shape, Refused for files over the limit."""
    given = serializer(data=request.data)
    check_upload(request)
    given.is_valid(raise_exception=True)
    return dict(given.validated_data)


def _dataset(request: Request, slug: str) -> Dataset:
    return get_object_or_404(
        Dataset.objects.visible_to(request.user).select_related("organisation"), slug=slug
    )


def _version(request: Request, field: str, reference: str) -> Version:
    version = version_by_reference(request.user, reference)
    if version is None:
        raise ValidationError({field: "There is no such version. Write dataset@version."})
    return version


def _started(request: Request, version: Version) -> Response:
    job = (
        Job.objects.filter(kind=services.INGEST, subject_id=version.pk)
        .order_by("-created_at")
        .values_list("pk", flat=True)
        .first()
    )
    [shown] = versions_out([version_list(request.user).get(pk=version.pk)])
    return Response({"version": shown, "job": job}, status=HTTP_202_ACCEPTED)
