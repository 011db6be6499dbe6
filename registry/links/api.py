"""API: how the links of a version stand, and for members each of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.http import Http404
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.generics import GenericAPIView, ListAPIView
from rest_framework.permissions import IsAuthenticated
from rest_framework.response import Response

from registry.accounts.models import Role
from registry.accounts.permissions import require_role
from registry.datasets.selectors import version_list
from registry.links.filters import PanelRowFilter
from registry.links.models import Panel, PanelRow
from registry.links.selectors import panel_rows, version_health
from registry.links.serializers import HealthOut, PanelRowOut

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from rest_framework.request import Request


class VersionLinks(GenericAPIView[Panel]):
    """How the links of a version stand."""

    serializer_class = HealthOut
    filter_backends = []

    @extend_schema(
        operation_id="version_links",
        summary="How the links of a version stand, with what that means for all of them",
        responses=HealthOut,
    )
    def get(self, request: Request, slug: str, name: str) -> Response:
        """Return the figures; 404 where no panel was drawn."""
        version = get_object_or_404(version_list(request.user), dataset__slug=slug, name=name)
        health = version_health(version)
        if health is None:
            raise Http404
        return Response(HealthOut(health).data)


@extend_schema_view(
    get=extend_schema(operation_id="version_link_rows", summary="The links of a version's panel (staff)")
)
class VersionLinkRows(ListAPIView[PanelRow]):
    """The links of a version's panel."""

    permission_classes = [IsAuthenticated]
    serializer_class = PanelRowOut
    filterset_class = PanelRowFilter
    queryset = PanelRow.objects.none()

    def get_queryset(self) -> QuerySet[PanelRow]:
        """Return them; 404 for a version that the reader may not see, 403 where he is no member."""
        if getattr(self, "swagger_fake_view", False):
            return PanelRow.objects.none()
        user = self.request.user
        version = get_object_or_404(
            version_list(user), dataset__slug=self.kwargs["slug"], name=self.kwargs["name"]
        )
        require_role(user, version.dataset.organisation, Role.STAFF)
        return panel_rows(user, version)
