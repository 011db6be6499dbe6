"""Reading JSON bodies with a limit.

Django holds forms to DATA_UPLOAD_MAX_MEMORY_SIZE; REST framework's JSON parser holds a body to nothing, and a value
that is nested too deeply breaks it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rest_framework import status
from rest_framework.exceptions import APIException, ParseError
from rest_framework.parsers import JSONParser

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import IO

# 100,000 ids of items, the longest list that any body but a report's holds, are two thirds of this.
JSON_MAX_BYTES = 2 * 1024**2


class TooLarge(APIException):
    """A body that is not even read: HTTP 413."""

    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_detail = "The body of the request is too large. Nothing of it was read."


class LimitedJSONParser(JSONParser):
    """JSON of at most JSON_MAX_BYTES, or of the view's own `json_max_bytes`."""

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        """Return the value. Raises TooLarge, and ParseError for what is no JSON or too deep."""
        context = parser_context or {}
        # A number, or there would be no body to parse.
        length = int(context["request"].META.get("CONTENT_LENGTH") or 0)
        if length > getattr(context["view"], "json_max_bytes", JSON_MAX_BYTES):
            raise TooLarge
        try:
            return super().parse(stream, media_type, parser_context)
        except RecursionError:
            raise ParseError("The JSON is nested too deeply.") from None
