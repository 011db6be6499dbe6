"""Every list is paged: one size for the pages and one, with a cap, for the API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from django.core.paginator import Paginator
from rest_framework.pagination import PageNumberPagination

if TYPE_CHECKING:
    from django.core.paginator import Page
    from django.db.models import Model, QuerySet
    from django.http import HttpRequest

PAGE_SIZE = 50
MAX_PAGE_SIZE = 500

M = TypeVar("M", bound="Model")


class Pages(PageNumberPagination):
    """`?page=2&page_size=100`, with `count`, `next` and `previous` in the answer."""

    page_size = PAGE_SIZE
    page_size_query_param = "page_size"
    max_page_size = MAX_PAGE_SIZE


def page_of(request: HttpRequest, rows: QuerySet[M, Any], size: int = PAGE_SIZE) -> Page[M]:
    """The page of `rows` that `?page=` asks for; the first or last one where the number makes no sense."""
    return Paginator(rows, size).get_page(request.GET.get("page"))
