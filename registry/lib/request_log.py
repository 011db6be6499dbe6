"""One log line a request, which says nothing that must stay secret.

A path may be a secret link and a query string may hold a URL of an item, so the line names the route instead
(`GET reports/status/<str:secret>/`). Client addresses are not logged.
"""

from __future__ import annotations

import re
import sys
import traceback
from typing import TYPE_CHECKING, Any

import structlog
from django_structlog.middlewares import RequestMiddleware

if TYPE_CHECKING:
    from django.http import HttpRequest
    from structlog.typing import EventDict, WrappedLogger


class RequestLog(RequestMiddleware):
    """django-structlog's middleware, with the route in place of the path, and without a line for every probe."""

    def __call__(self, request: HttpRequest) -> Any:
        """Log the request and its answer."""
        return self.get_response(request) if request.path_info == "/healthz" else super().__call__(request)

    @staticmethod
    def format_request(request: HttpRequest) -> str:
        """Return the method and the route of the URL pattern, never the path itself."""
        match = request.resolver_match
        return f"{request.method} {match.route if match else '(no route)'}"


def withhold_texts(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Format an exception and its causes as their types and places, without their texts, which may quote a value.

    PostgreSQL, for one, repeats the statement with what was to be stored; whoever needs the text repeats the request.
    """
    given = event.pop("exc_info", None)
    error = given[1] if isinstance(given, tuple) else sys.exc_info()[1] if given is True else given
    told: list[str] = []
    while isinstance(error, BaseException):
        frames = traceback.extract_tb(error.__traceback__)
        places = "".join(f"\n  {frame.filename}:{frame.lineno} {frame.name}" for frame in frames)
        told.insert(0, f"{type(error).__module__}.{type(error).__qualname__}{places}")
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if told:
        event["exception"] = "\n".join(told)
    return event


# PostgreSQL repeats the offending values in these lines of an error.
_VALUES = re.compile(r"^(?P<label>\s*(?:DETAIL|CONTEXT|LINE \d+):).*$", re.MULTILINE)


def withhold_values(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Drop the values that PostgreSQL puts into its error texts."""
    for name in ("event", "error"):
        text = event.get(name)
        if isinstance(text, str):
            event[name] = _VALUES.sub(r"\g<label> (withheld)", text)
    return event


_SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.StackInfoRenderer(),
]


def _formatter(*last: Any) -> dict[str, Any]:
    return {
        "()": structlog.stdlib.ProcessorFormatter,
        "foreign_pre_chain": _SHARED,
        "processors": [
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            withhold_texts,
            withhold_values,
            *last,
        ],
    }


# Formatters for LOGGING: JSON lines for machines, plain text for people.
LOG_PROCESSORS: dict[str, dict[str, Any]] = {
    "json": _formatter(structlog.processors.JSONRenderer()),
    "text": _formatter(structlog.dev.ConsoleRenderer(colors=False)),
}


def configure_structlog() -> None:
    """Send structlog's events through the standard library's handlers."""
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_SHARED,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
