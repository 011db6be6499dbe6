"""How often one client may send a form: at the rates of the API, `DEFAULT_THROTTLE_RATES`."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Any

from rest_framework.throttling import ScopedRateThrottle

if TYPE_CHECKING:
    from django.http import HttpRequest


class _Page:
    """What the throttle wants to know of an API view."""

    def __init__(self, scope: str) -> None:
        self.throttle_scope = scope


def page_wait(request: HttpRequest, scope: str) -> int | None:
    """Count this request under `scope`; return None where it may go on, else the seconds to wait."""
    throttle = ScopedRateThrottle()
    asked: Any = request  # the throttle reads META and user, which a page's request has too
    page: Any = _Page(scope)
    if throttle.allow_request(asked, page):
        return None
    return ceil(throttle.wait() or 60)
