"""API: how the links of a version stand, and what became of them since another one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.http import Http404
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.response import Response

from registry.links.api.versions import LinksView
from registry.links.comparison import panel_against, versions_compare
from registry.links.models import Panel
from registry.links.selectors import version_health
from registry.links.serializers import HealthOut, ShareOut

if TYPE_CHECKING:
    from rest_framework.request import Request


class PartOut(serializers.Serializer[Any]):
    """Some of the compared links."""

    links = serializers.IntegerField()
    alive = serializers.IntegerField()
    dead = serializers.IntegerField()


class ChangeOut(ShareOut):
    """The new version's share less the old one's, from -1 to 1, with its 95 % interval."""


class ComparisonOut(serializers.Serializer[Any]):
    """Two versions compared by the links that are in the samples of both, or would be if both listed them."""

    old = serializers.CharField(source="old.name")
    new = serializers.CharField(source="new.name")
    is_whole = serializers.BooleanField(help_text="Nothing is estimated: both samples hold every link")
    kept = PartOut(help_text="Links that both versions list")
    lost = PartOut(help_text="Links that only the old version lists")
    gained = PartOut(help_text="Links that only the new version lists")
    alive = ChangeOut()
    dead = ChangeOut()


class VersionLinks(LinksView[Panel]):
    """How the links of a version stand."""

    serializer_class = HealthOut
    filter_backends = []

    @extend_schema(
        operation_id="version_links",
        summary="How the links of a version stand, with what that means for all of them",
        responses=HealthOut,
    )
    def get(self, _request: Request, **_address: str) -> Response:
        """Return the figures; 404 where no panel was drawn."""
        health = version_health(self.version())
        if health is None:
            raise Http404
        return Response(HealthOut(health).data)


class VersionLinkComparison(LinksView[Panel]):
    """A version's links compared with those of another version."""

    serializer_class = ComparisonOut
    filter_backends = []

    @extend_schema(
        operation_id="version_link_comparison",
        summary="What became of the links since another version",
        parameters=[
            OpenApiParameter(
                "against", str, description="Name of the other version; left out: the one before"
            )
        ],
        responses=ComparisonOut,
    )
    def get(self, request: Request, **_address: str) -> Response:
        """Compare; 404 where either has no sample, or the reader may not be told (a release, a version out of use)."""
        version = self.version()
        panel = panel_against(request.user, version, request.query_params.get("against", ""))
        found = versions_compare(panel.version, version) if panel else None
        if found is None:
            raise Http404
        return Response(ComparisonOut(found).data)
