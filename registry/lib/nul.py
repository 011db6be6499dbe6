"""Refusing NUL characters in paths.

PostgreSQL stores none, so a query with one fails: without this every page that looks a name up would answer 500.
Forms, filters and serializers refuse them in what is sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.http import Http404

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest, HttpResponse


class RefuseNul:
    """Middleware: 404 for a path that holds a NUL, for nothing is called so."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer, or raise Http404."""
        if "\0" in request.path_info:
            raise Http404
        return self.get_response(request)
