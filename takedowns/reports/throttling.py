"""How often one address may report: the same rate, `reports`, for the page and the API."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Any

from rest_framework.throttling import ScopedRateThrottle

if TYPE_CHECKING:
    from django.http import HttpRequest

SCOPE = "reports"


class _Page:
    """What the throttle wants to know of an API view."""

    throttle_scope = SCOPE


def report_wait(request: HttpRequest) -> int | None:
    """Count this report; return None where it may go on, else the seconds to wait."""
    throttle = ScopedRateThrottle()
    asked: Any = request  # the throttle reads META and user, which a page's request has too
    page: Any = _Page()
    if throttle.allow_request(asked, page):
        return None
    return ceil(throttle.wait() or 60)
