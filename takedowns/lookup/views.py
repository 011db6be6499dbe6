"""The home page and its search."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe

from takedowns.lookup.search import search

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """One search box, and the three ways in."""
    return render(request, "takedowns/lookup/home.html")


@require_safe
def search_page(request: HttpRequest) -> HttpResponse:
    """Go to the one thing that the query names, or show what matches, by kind."""
    found = search(request.GET.get("q", ""), request.user)
    if found.exact:
        return redirect(found.exact.url)
    return render(
        request,
        "takedowns/lookup/search.html",
        {"found": found, "groups": list(found.groups()), "query": found.query},
    )
