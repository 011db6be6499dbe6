"""What a log line must not say."""

from __future__ import annotations

import logging
import sys

import pytest

from registry.lib.request_log import LOG_PROCESSORS

SECRET = "https://secret.example/item"


def written(form: str, message: str, *, error: BaseException | None = None) -> str:
    settings = dict(LOG_PROCESSORS[form])
    formatter: logging.Formatter = settings.pop("()")(**settings)
    info = (type(error), error, error.__traceback__) if error else None
    return formatter.format(logging.LogRecord("a", logging.ERROR, __file__, 1, message, None, info))


def fail() -> BaseException:
    try:
        try:
            _ = dict[str, str]()[SECRET]
        except KeyError as error:
            raise ValueError(f"cannot store {SECRET}") from error
    except ValueError:
        raised = sys.exc_info()[1]
    assert raised
    return raised


@pytest.mark.parametrize("form", ["json", "text"])
def test_an_exception_is_named_with_its_causes_and_places_but_not_quoted(form: str) -> None:
    line = written(form, "request_failed", error=fail())
    assert SECRET not in line
    assert line.index("builtins.KeyError") < line.index("builtins.ValueError")
    assert "test_request_log.py" in line


@pytest.mark.parametrize("label", ["DETAIL", "CONTEXT", "LINE 1"])
def test_what_postgresql_repeats_is_withheld(label: str) -> None:
    line = written("text", f"the pool says: broken\n{label}: {SECRET}")
    assert SECRET not in line
    assert f"{label}: (withheld)" in line
