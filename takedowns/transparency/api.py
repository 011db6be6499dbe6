"""The transparency page's figures at the API. Datasets, versions, releases and advisories are in their packages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from drf_spectacular.utils import extend_schema
from rest_framework.permissions import AllowAny
from rest_framework.response import Response
from rest_framework.views import APIView

from takedowns.transparency.serializers import StatisticsOut
from takedowns.transparency.statistics import statistics

if TYPE_CHECKING:
    from rest_framework.request import Request


class Statistics(APIView):
    """Statistics."""

    permission_classes = [AllowAny]

    @extend_schema(
        operation_id="statistics",
        summary="What came in, what was decided, how long it took",
        responses=StatisticsOut,
    )
    def get(self, request: Request) -> Response:  # noqa: ARG002  -- the signature of a view
        """Return all figures as of now."""
        return Response(StatisticsOut(statistics()).data)
