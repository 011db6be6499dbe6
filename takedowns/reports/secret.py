"""What every page behind a secret link needs: the link must not travel on."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING

from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_variables

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest, HttpResponse


def secret_page(
    view: Callable[[HttpRequest, str], HttpResponse],
) -> Callable[[HttpRequest, str], HttpResponse]:
    """Keep the answer out of caches and search engines, and its address out of the Referer of links followed from it."""

    @wraps(view)
    @never_cache
    @sensitive_variables("token")
    def guarded(request: HttpRequest, token: str) -> HttpResponse:
        response = view(request, token)
        response["Referrer-Policy"] = "no-referrer"
        response["X-Robots-Tag"] = "noindex, nofollow"
        return response

    return guarded
