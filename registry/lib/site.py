"""What every template may ask about this site."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings

if TYPE_CHECKING:
    from django.http import HttpRequest


def site(_request: HttpRequest) -> dict[str, str]:
    """Template context: `site_name` and `site_url` (no slash at its end)."""
    return {"site_name": settings.SITE_NAME, "site_url": settings.SITE_URL}
