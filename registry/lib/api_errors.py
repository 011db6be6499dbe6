"""How the API words a refusal: `{"detail": …}`, 409 for Refused and 403 for NotAllowed."""

from __future__ import annotations

from typing import Any

from django.http import Http404
from rest_framework import status
from rest_framework.exceptions import NotFound
from rest_framework.response import Response
from rest_framework.views import exception_handler

from registry.lib.errors import NotAllowed, Refused


def answer(error: Exception, context: dict[str, Any]) -> Response | None:
    """REST_FRAMEWORK["EXCEPTION_HANDLER"]: refusals by services, then what REST framework knows."""
    if isinstance(error, NotAllowed):
        return Response({"detail": str(error)}, status=status.HTTP_403_FORBIDDEN)
    if isinstance(error, Refused):
        return Response({"detail": str(error)}, status=status.HTTP_409_CONFLICT)
    if isinstance(error, Http404):
        # Its text names the table that was searched, and so would tell what is hidden from what does not exist.
        error = NotFound()
    return exception_handler(error, context)
