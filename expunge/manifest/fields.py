"""JSON from anybody, its fields read with their types checked."""

from __future__ import annotations

import re
from typing import Any, cast


class WrongFieldError(Exception):
    """A field that is not what it must be; says which."""


class Fields:
    """An object of a JSON file. Each method raises `WrongFieldError`, naming the field by its path in the file."""

    def __init__(self, data: object, where: str = "") -> None:
        if not isinstance(data, dict):
            raise WrongFieldError(f"{where or 'the file'} is not an object.")
        self._data = cast("dict[str, Any]", data)
        self._where = f"{where}." if where else ""

    def text(self, name: str, pattern: str = r"(?s).+") -> str:
        """Text that fits a pattern."""
        value = self._get(name, str)
        if not re.fullmatch(pattern, value):
            raise WrongFieldError(f"{self._where}{name} is not well-formed.")
        return cast("str", value)

    def optional(self, name: str, pattern: str = r"(?s).+") -> str | None:
        """Text that fits a pattern, or None where the field is null or missing."""
        return None if self._data.get(name) is None else self.text(name, pattern)

    def count(self, name: str) -> int:
        """A whole number, not below 0."""
        value = self._get(name, int)
        if value < 0 or isinstance(value, bool):
            raise WrongFieldError(f"{self._where}{name} is not a count.")
        return cast("int", value)

    def digest(self, name: str) -> str:
        """A SHA-256 in lower-case hex."""
        return self.text(name, r"[0-9a-f]{64}")

    def child(self, name: str) -> Fields:
        """An object."""
        return Fields(self._data.get(name), f"{self._where}{name}")

    def objects(self, name: str) -> list[Fields]:
        """A list of objects."""
        return [Fields(value, f"{self._where}{name}[{i}]") for i, value in enumerate(self._get(name, list))]

    def texts(self, name: str) -> list[str]:
        """A list of texts."""
        values = self._get(name, list)
        if not all(isinstance(value, str) for value in values):
            raise WrongFieldError(f"{self._where}{name} is not a list of text.")
        return cast("list[str]", values)

    def names(self) -> list[str]:
        """The names of all fields."""
        return list(self._data)

    def _get(self, name: str, kind: type) -> Any:
        value = self._data.get(name)
        if not isinstance(value, kind):
            raise WrongFieldError(f"{self._where}{name} is missing or not of type {kind.__name__}.")
        return value
