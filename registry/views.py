"""Pages of the project itself: is it well, and the description of its API."""

from __future__ import annotations

from typing import TYPE_CHECKING

from csp.constants import SELF, UNSAFE_INLINE
from csp.decorators import csp_update
from django.db import Error as DatabaseError
from django.db import connection
from django.http import JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from registry.celery import app as celery

if TYPE_CHECKING:
    from django.http import HttpRequest

PROBE_SECONDS = 2


def database_answers() -> bool:
    """Tell whether the database takes a query now."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return False
    return True


def broker_answers() -> bool:
    """Tell whether the broker takes a connection now."""
    try:
        with celery.connection_for_write(connect_timeout=PROBE_SECONDS) as broker:
            broker.ensure_connection(max_retries=0, timeout=PROBE_SECONDS)
            _ = broker.default_channel  # opening a channel pings
    except (KombuError, RedisError, OSError):
        return False
    return True


@require_safe
@never_cache
def healthz(_request: HttpRequest) -> JsonResponse:
    """200 when database and broker answer, else 503. Says which, never why."""
    answers = {"database": database_answers(), "broker": broker_answers()}
    return JsonResponse(answers, status=200 if all(answers.values()) else 503)


api_schema = SpectacularAPIView.as_view()
# Swagger UI sets style attributes; its script comes from this same address (`?script`), not from inside the page.
api_docs = csp_update({"style-src": [SELF, UNSAFE_INLINE]})(
    SpectacularSwaggerSplitView.as_view(url_name="api-schema"),
)
