"""API: the hosts of a version's links, and what is known of a host."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.http import Http404
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.generics import GenericAPIView, ListAPIView
from rest_framework.response import Response

from registry.links.api.versions import MembersView
from registry.links.filters import HostFilter
from registry.links.hosts import host_facts, version_hosts
from registry.links.models import Host, PanelRow

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


class RobotsOut(serializers.Serializer[Any]):
    """What came when an origin of a host was asked for its robots.txt."""

    origin = serializers.CharField(help_text="Scheme, host and port, as a URL begins")
    asked_at = serializers.DateTimeField()
    status = serializers.IntegerField(help_text="HTTP status")


class HostOut(serializers.Serializer[Any]):
    """What is known of a host. Its links are those in samples of versions that the reader may see."""

    host = serializers.CharField(source="host.name")
    links = serializers.IntegerField()
    alive = serializers.IntegerField()
    dead = serializers.IntegerField()
    unknown = serializers.IntegerField()
    answered_at = serializers.DateTimeField(
        allow_null=True, help_text="By its robots.txt, and links known to be alive, dead or failing"
    )
    delay_seconds = serializers.FloatField(source="host.delay", help_text="Between two requests")
    robots = RobotsOut(many=True, help_text="Of each origin that was asked for it")
    opted_out_at = serializers.DateTimeField(source="host.opted_out_at", allow_null=True)


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
class VersionLinkHosts(MembersView[PanelRow], ListAPIView[PanelRow]):
    """Hosts of a version's links."""

    serializer_class = HostInVersionOut
    filter_backends = []
    queryset = PanelRow.objects.none()

    def get_queryset(self) -> QuerySet[PanelRow, Any]:
        """Return them."""
        if getattr(self, "swagger_fake_view", False):
            return PanelRow.objects.none()
        found = HostFilter(self.request.query_params, version_hosts(self.request.user, self.version()))
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
