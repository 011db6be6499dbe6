"""API: where the versions of a dataset are served, whether they still are, and what its maintainer does about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.generics import GenericAPIView
from rest_framework.response import Response
from rest_framework.status import HTTP_201_CREATED, HTTP_204_NO_CONTENT

from registry.accounts.models import Role
from registry.accounts.requests import signed_in
from registry.datasets.models import Dataset
from registry.links.api.versions import MembersView
from registry.links.distributions.models import Distribution, DistributionKind
from registry.links.distributions.selectors import places, warnings
from registry.links.distributions.services import distribution_add, distribution_remove
from registry.links.states import SHOWN

if TYPE_CHECKING:
    from rest_framework.request import Request


class DistributionOut(serializers.Serializer[Any]):
    """One place that serves a version."""

    id = serializers.IntegerField(source="distribution.pk")
    version = serializers.CharField(source="distribution.version.name")
    version_status = serializers.CharField(source="distribution.version.status")
    url = serializers.CharField(
        allow_null=True,
        help_text="Null for who is no member, of a version out of use and where it cannot be told",
    )
    kind = serializers.ChoiceField(source="distribution.kind", choices=DistributionKind.choices)
    digest = serializers.CharField(
        source="distribution.digest", help_text="SHA-256 of what it should serve, or empty; not compared"
    )
    state = serializers.ChoiceField(
        choices=[(state.value, state.label) for state in SHOWN], help_text="As that of a link"
    )
    is_flagged = serializers.BooleanField(help_text="Still served, though the version is out of use")
    was_served = serializers.BooleanField(
        help_text="For members: it cannot be told, and was still served when it last could"
    )
    checked_at = serializers.DateTimeField(
        allow_null=True, help_text="For who is no member null where it cannot be told"
    )


class DistributionsOut(serializers.Serializer[Any]):
    """Where the versions of a dataset are served."""

    warnings = serializers.ListField(child=serializers.CharField())
    places = DistributionOut(many=True)


class DistributionIn(serializers.Serializer[Any]):
    """One place to be watched."""

    url = serializers.CharField(
        max_length=8_000, help_text="Of a file or page that serves the version, http or https"
    )
    kind = serializers.ChoiceField(choices=DistributionKind.choices, help_text="Who serves it")
    digest = serializers.CharField(
        default="",
        allow_blank=True,
        max_length=64,
        help_text="SHA-256 of what it should serve: a shard, or the version's root",
    )


class DatasetDistributions(GenericAPIView[Distribution]):
    """Where the versions of a dataset are served."""

    serializer_class = DistributionsOut
    filter_backends = []
    pagination_class = None

    @extend_schema(
        operation_id="dataset_distributions",
        summary="Where the versions of a dataset are served, and whether they still are",
        responses=DistributionsOut,
    )
    def get(self, request: Request, slug: str) -> Response:
        """Return every place of the versions that the reader may see."""
        dataset = get_object_or_404(Dataset.objects.visible_to(request.user), slug=slug)
        found = places(request.user, dataset)
        return Response(DistributionsOut({"warnings": warnings(found), "places": found}).data)


class DistributionCreate(MembersView[Distribution]):
    """Watch one more place that serves a version."""

    serializer_class = DistributionIn
    role = Role.MAINTAINER

    @extend_schema(
        operation_id="distribution_create",
        summary="Watch a place that serves a version (maintainer)",
        request=DistributionIn,
        responses={201: DistributionOut},
        examples=[
            OpenApiExample(
                "A mirror",
                value={"url": "https://mirror.example.org/photos/2026-06-01.parquet", "kind": "mirror"},
                request_only=True,
            )
        ],
    )
    def post(self, request: Request, **_address: str) -> Response:
        """Watch it; its first check comes next. Refused (409) where it cannot be, or is watched already."""
        version = self.version()
        given = DistributionIn(data=request.data)
        given.is_valid(raise_exception=True)
        added = distribution_add(
            actor=signed_in(request),
            version=version,
            url=given.validated_data["url"],
            kind=DistributionKind(given.validated_data["kind"]),
            digest=given.validated_data["digest"],
        )
        found = places(request.user, version.dataset, version)
        place = next(one for one in found if one.distribution.pk == added.pk)
        return Response(DistributionOut(place).data, status=HTTP_201_CREATED)


class DistributionRemove(MembersView[Distribution]):
    """One place that serves a version."""

    role = Role.MAINTAINER

    @extend_schema(
        operation_id="distribution_remove",
        summary="Watch a place no longer (maintainer)",
        request=None,
        responses={204: None},
    )
    def delete(self, request: Request, pk: int, **_address: str) -> Response:
        """Watch it no longer; what was seen of it stays with its link. 404 where the version has no such place."""
        distribution = get_object_or_404(self.version().distributions, pk=pk)
        distribution_remove(actor=signed_in(request), distribution=distribution)
        return Response(status=HTTP_204_NO_CONTENT)
