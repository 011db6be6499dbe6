"""The public API of advisories."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import generics
from rest_framework.exceptions import NotFound
from rest_framework.permissions import AllowAny
from rest_framework.response import Response
from rest_framework.views import APIView

from registry.lib.pagination import Pages
from takedowns.removals.filters import AdvisoryFilter
from takedowns.removals.models import Removal
from takedowns.removals.selectors import advisory_get, advisory_list, advisory_osv, with_affected
from takedowns.removals.serializers import AdvisoryOut

if TYPE_CHECKING:
    from rest_framework.request import Request

    from takedowns.removals.models import RemovalQuerySet


class AdvisoryList(generics.ListAPIView[Removal]):
    """Published advisories."""

    permission_classes = [AllowAny]
    serializer_class = AdvisoryOut
    pagination_class = Pages
    filterset_class = AdvisoryFilter
    queryset = Removal.objects.none()

    def get_queryset(self) -> RemovalQuerySet:
        """Published advisories with all that their records need."""
        return with_affected(advisory_list())

    @extend_schema(operation_id="advisory_list", summary="Advisories, newest first")
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:  # noqa: ARG002  the signature of a view
        """List published advisories in the shape of OSV."""
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset())) or []
        return self.get_paginated_response([advisory_osv(removal) for removal in page])


class AdvisoryDetail(APIView):
    """One advisory."""

    permission_classes = [AllowAny]

    @extend_schema(
        operation_id="advisory_retrieve",
        summary="One advisory",
        responses={200: AdvisoryOut, 404: OpenApiResponse(description="No advisory of this id is published")},
    )
    def get(self, request: Request, advisory_id: str) -> Response:  # noqa: ARG002  the signature of a view
        """Return a published advisory in the shape of OSV."""
        try:
            return Response(advisory_osv(advisory_get(advisory_id)))
        except Removal.DoesNotExist:
            raise NotFound from None
