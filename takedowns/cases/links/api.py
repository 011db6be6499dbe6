"""API: how the links of a case's items stand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drf_spectacular.utils import extend_schema
from rest_framework import generics, serializers
from rest_framework.exceptions import NotFound
from rest_framework.permissions import IsAuthenticated

from registry.lib.pagination import Pages
from takedowns.cases.filters import ItemFilter
from takedowns.cases.links.selectors import case_links
from takedowns.cases.selectors import case_list, items_with_rows
from takedowns.reports.models import Item

if TYPE_CHECKING:
    from rest_framework.request import Request
    from rest_framework.response import Response


class LinkLineOut(serializers.Serializer[Any]):
    """How one link of an item stands."""

    item = serializers.IntegerField(source="item.pk", help_text="Id of the item")
    masked = serializers.CharField(help_text="The item, shortened")
    state = serializers.CharField(help_text="In words, as on the page of the case")
    checked_at = serializers.DateTimeField(allow_null=True)
    evidence = serializers.CharField(help_text="What the last check saw, or why nothing is asked")


class CaseLinks(generics.GenericAPIView[Item]):
    """Links of a case's items."""

    permission_classes = [IsAuthenticated]
    serializer_class = LinkLineOut
    pagination_class = Pages
    filterset_class = ItemFilter
    queryset = Item.objects.none()

    @extend_schema(
        operation_id="case_links_list",
        summary="Links of a case's items, as far as they are in the sample of a version",
        description="Paged by item: a page holds the links of as many items as `page_size` says.",
        responses=LinkLineOut(many=True),
    )
    def get(self, request: Request, number: str) -> Response:
        """List the links of the items of this page."""
        case = case_list(request.user).filter(number=number).first()
        if case is None:
            raise NotFound
        items = self.paginate_queryset(self.filter_queryset(items_with_rows(case)))
        links = case_links(case, list(items or []))
        return self.get_paginated_response(LinkLineOut(links.lines, many=True).data)
