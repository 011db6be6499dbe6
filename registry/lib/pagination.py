"""Every list is paged: one size for the pages and one, with a cap, for the API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, overload

from django.core.paginator import Paginator
from rest_framework.pagination import PageNumberPagination

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.core.paginator import Page
    from django.db.models import Model, QuerySet
    from django.http import HttpRequest

PAGE_SIZE = 50
MAX_PAGE_SIZE = 500

M = TypeVar("M", bound="Model")
T = TypeVar("T")


class Pages(PageNumberPagination):
    """`?page=2&page_size=100`, with `count`, `next` and `previous` in the answer."""

    page_size = PAGE_SIZE
    page_size_query_param = "page_size"
    max_page_size = MAX_PAGE_SIZE


@overload
def page_of(
    request: HttpRequest, rows: QuerySet[M, T], size: int = ..., *, param: str = ..., count: int | None = ...
) -> Page[T]: ...
@overload
def page_of(
    request: HttpRequest, rows: Sequence[T], size: int = ..., *, param: str = ..., count: int | None = ...
) -> Page[T]: ...
def page_of(
    request: HttpRequest, rows: Any, size: int = PAGE_SIZE, *, param: str = "page", count: int | None = None
) -> Page[Any]:
    """The page of `rows` that `?page=` asks for; the first or last one where the number makes no sense.

    A page with several lists names the `param` of each, as its `pager` tag does. Who knows how many rows there are says so
    by `count`, and they are not counted.
    """
    pages = Paginator(rows, size)
    if count is not None:
        pages.count = count  # a cached property, which may be set
    return pages.get_page(request.GET.get(param))
