"""API: hosts of a version's links, a host, and two versions compared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.http import Http404
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.generics import GenericAPIView, ListAPIView
from rest_framework.permissions import IsAuthenticated
from rest_framework.response import Response

from registry.accounts.models import Role
from registry.accounts.permissions import require_role
from registry.datasets.selectors import version_list
from registry.links.comparison import panel_before, panels_comparable, versions_compare
from registry.links.filters import HostFilter
from registry.links.hosts import host_facts, version_hosts
from registry.links.models import Host, Panel, PanelRow

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from rest_framework.request import Request


class HostInVersionOut(serializers.Serializer[Any]):
    """One host and how its links in a version's sample stand."""

    host = serializers.CharField()
    links = serializers.IntegerField()
    alive = serializers.IntegerField()
    failing = serializers.IntegerField()
    dead = serializers.IntegerField()


class HostOut(serializers.Serializer[Any]):
    """What is known of a host. Its links are those in samples of versions that the reader may see."""

    host = serializers.CharField(source="host.name")
    links = serializers.IntegerField()
    alive = serializers.IntegerField()
    dead = serializers.IntegerField()
    unknown = serializers.IntegerField()
    answered_at = serializers.DateTimeField(allow_null=True, help_text="When it last answered anything")
    delay_seconds = serializers.FloatField(source="host.delay", help_text="Between two requests")
    robots_at = serializers.DateTimeField(
        source="host.robots_at", allow_null=True, help_text="When robots.txt was read"
    )
    robots_status = serializers.IntegerField(source="host.robots_status", help_text="HTTP status; 0: none")
    opted_out_at = serializers.DateTimeField(source="host.opted_out_at", allow_null=True)


class PartOut(serializers.Serializer[Any]):
    """Some of the compared links."""

    links = serializers.IntegerField()
    alive = serializers.IntegerField()
    dead = serializers.IntegerField()


class ChangeOut(serializers.Serializer[Any]):
    """The new version's share less the old one's, from -1 to 1, with its 95 % interval."""

    value = serializers.FloatField()
    low = serializers.FloatField()
    high = serializers.FloatField()


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


@extend_schema_view(
    get=extend_schema(
        operation_id="version_link_hosts",
        summary="Hosts of a version's links, worst first (staff)",
        parameters=[
            OpenApiParameter("q", str, description="A part of the host's name"),
            OpenApiParameter("with", str, enum=["dead", "failing"], description="Only hosts with such links"),
        ],
    )
)
class VersionLinkHosts(ListAPIView[PanelRow]):
    """Hosts of a version's links."""

    permission_classes = [IsAuthenticated]
    serializer_class = HostInVersionOut
    filter_backends = []
    queryset = PanelRow.objects.none()

    def get_queryset(self) -> QuerySet[PanelRow, Any]:
        """Return them; 404 for a version that the reader may not see, 403 where he is no member."""
        if getattr(self, "swagger_fake_view", False):
            return PanelRow.objects.none()
        user = self.request.user
        version = get_object_or_404(
            version_list(user), dataset__slug=self.kwargs["slug"], name=self.kwargs["name"]
        )
        require_role(user, version.dataset.organisation, Role.STAFF)
        found = HostFilter(self.request.query_params, version_hosts(user, version))
        if not found.is_valid():
            raise serializers.ValidationError(found.errors)
        hosts: QuerySet[PanelRow, Any] = found.qs
        return hosts


class HostDetail(GenericAPIView[Host]):
    """What is known of a host."""

    serializer_class = HostOut
    filter_backends = []

    @extend_schema(
        operation_id="host_detail", summary="How a host is asked and what it answers", responses=HostOut
    )
    def get(self, request: Request, name: str) -> Response:
        """Return the facts; 404 for a host that no sample leads to or that was never asked."""
        facts = host_facts(request.user, name)
        if facts is None:
            raise Http404
        return Response(HostOut(facts).data)


class VersionLinkComparison(GenericAPIView[Panel]):
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
    def get(self, request: Request, slug: str, name: str) -> Response:
        """Compare; 404 where either version has no sample."""
        version = get_object_or_404(version_list(request.user), dataset__slug=slug, name=name)
        against = request.query_params.get("against")
        panels = panels_comparable(request.user, version)
        panel = (
            panels.filter(version__name=against).first() if against else panel_before(request.user, version)
        )
        found = versions_compare(panel.version, version) if panel else None
        if found is None:
            raise Http404
        return Response(ComparisonOut(found).data)
