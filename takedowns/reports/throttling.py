"""How often one address may report: the same rate, `reports`, for the page and the API."""

from __future__ import annotations

from typing import TYPE_CHECKING

from registry.lib.throttling import page_wait

if TYPE_CHECKING:
    from django.http import HttpRequest

SCOPE = "reports"


def report_wait(request: HttpRequest) -> int | None:
    """Count this report; return None where it may go on, else the seconds to wait."""
    return page_wait(request, SCOPE)
