"""Search, and the question whether something is affected, at the API."""

from __future__ import annotations

from typing import TYPE_CHECKING

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.permissions import AllowAny
from rest_framework.response import Response
from rest_framework.views import APIView

from takedowns.lookup.query import Question, query_answer
from takedowns.lookup.search import search
from takedowns.lookup.serializers import QueryIn, QueryOut, SearchOut

if TYPE_CHECKING:
    from rest_framework.request import Request

    from takedowns.lookup.search import Match


class Search(APIView):
    """Search."""

    permission_classes = [AllowAny]

    @extend_schema(
        operation_id="search",
        summary="Find a dataset, version, advisory or shard",
        parameters=[
            OpenApiParameter(
                "q", OpenApiTypes.STR, description="A name, an advisory id, or a digest's beginning"
            )
        ],
        responses=SearchOut,
    )
    def get(self, request: Request) -> Response:
        """Find what the query names, at most 20 of each kind."""
        found = search(request.query_params.get("q", ""), request.user)

        def shown(match: Match) -> dict[str, str]:
            return {
                "kind": match.kind,
                "name": match.name,
                "about": match.about,
                "url": request.build_absolute_uri(match.url),
            }

        return Response(
            {
                "query": found.query,
                "exact": shown(found.exact) if found.exact else None,
                "matches": [shown(match) for match in found.matches],
            }
        )


class Query(APIView):
    """Query."""

    permission_classes = [AllowAny]
    authentication_classes = []  # a question, asked by POST as at OSV: it changes nothing and needs no one's session

    @extend_schema(
        operation_id="query",
        summary="Is this version, shard or release affected?",
        request=QueryIn,
        responses={200: QueryOut},
    )
    def post(self, request: Request) -> Response:
        """Answer with advisories, counts and the release to use. No URL of an item is ever needed."""
        body = QueryIn(data=request.data)
        body.is_valid(raise_exception=True)
        return Response(query_answer(Question(**body.validated_data)))
