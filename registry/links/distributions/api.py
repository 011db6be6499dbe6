"""API: where the versions of a dataset are served, and whether they still are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.generics import GenericAPIView
from rest_framework.response import Response

from registry.datasets.models import Dataset
from registry.links.distributions.models import Distribution, DistributionKind
from registry.links.distributions.selectors import places, warnings
from registry.links.states import SHOWN

if TYPE_CHECKING:
    from rest_framework.request import Request


class DistributionOut(serializers.Serializer[Any]):
    """One place that serves a version."""

    version = serializers.CharField(source="distribution.version.name")
    version_status = serializers.CharField(source="distribution.version.status")
    url = serializers.CharField(
        allow_null=True, help_text="Null for who is no member, of a version out of use"
    )
    kind = serializers.ChoiceField(source="distribution.kind", choices=DistributionKind.choices)
    digest = serializers.CharField(
        source="distribution.digest", help_text="SHA-256 of what it should serve, or empty; not compared"
    )
    state = serializers.ChoiceField(
        choices=[(state.value, state.label) for state in SHOWN], help_text="As that of a link"
    )
    is_flagged = serializers.BooleanField(help_text="Still served, though the version is out of use")
    checked_at = serializers.DateTimeField(source="distribution.link.checked_at", allow_null=True)


class DistributionsOut(serializers.Serializer[Any]):
    """Where the versions of a dataset are served."""

    warnings = serializers.ListField(child=serializers.CharField())
    places = DistributionOut(many=True)


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
