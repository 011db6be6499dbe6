"""JSON Lines shards: one object a line."""

from __future__ import annotations

import json
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any, cast

import orjson
import pyarrow as pa

from expunge.shards.shard import Column
from expunge.shards.text import Gaps, TextShard

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# Rows looked at to learn the names of the columns: objects need not all have the same ones.
_SAMPLE_ROWS = 1000

# Finds where a value ends; numbers are not converted, so they may have any length.
_VALUES = json.JSONDecoder(parse_int=str, parse_float=str)

_TYPES = {str: "string", int: "int64", float: "double", bool: "bool", list: "list<string>", dict: "struct"}


class JsonLinesShard(TextShard):
    """A JSON Lines file. A key that an object lacks is null; a blank line is no row."""

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """The keys of the first objects in order of appearance, typed by their first value that is not null."""
        types: dict[str, str] = {}
        with self._lines() as (_, lines):
            objects = (row for _, row in self.parse(lines) if row is not None)
            for row in islice(objects, _SAMPLE_ROWS):
                for name, value in cast("dict[str, Any]", row).items():
                    known = _TYPES.get(type(value), "null")
                    if types.get(name, "null") == "null":
                        types[name] = known
        return tuple(Column(name, kind, required=False) for name, kind in types.items())

    def parse(self, lines: Iterator[bytes]) -> Iterator[tuple[bytes, object | None]]:
        """Each line with its object."""
        for number, raw in enumerate(lines, 1):
            if raw.isspace():
                yield raw, None
                continue
            try:
                value = orjson.loads(raw)
            except orjson.JSONDecodeError as error:
                self.decode(raw, number)
                raise self.bad(f"line {number} is not JSON: {error.msg}.") from error
            if not isinstance(value, dict):
                raise self.bad(f"line {number} is not a JSON object.")
            yield raw, value

    def arrays(self, rows: list[object], columns: Sequence[str], first: int) -> dict[str, pa.Array]:
        """Text arrays, or arrays of lists of text where a value is a list; whole numbers count as their digits."""
        objects = cast("list[dict[str, Any]]", rows)
        return {name: self._array([row.get(name) for row in objects], name, first) for name in columns}

    def _array(self, values: list[Any], name: str, first: int) -> pa.Array:
        if any(isinstance(value, list) for value in values):
            lists = [value if isinstance(value, list) or value is None else [value] for value in values]
            texts = [
                None if value is None else [self._text(part, name, first + i) for part in value]
                for i, value in enumerate(lists)
            ]
            return pa.array(texts, pa.list_(pa.large_string()))
        return pa.array(
            [self._text(value, name, first + i) for i, value in enumerate(values)], pa.large_string()
        )

    def _text(self, value: Any, name: str, row: int) -> str | None:
        if value is None or isinstance(value, str):
            return value
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        raise self.bad(f"row {row}: {name!r} holds a {_TYPES.get(type(value), 'value')}, not text.")

    def redacted(self, raw: bytes, row: object, gaps: Gaps) -> bytes:
        """The same line with the values of those keys, each time they occur, null or shorter; every other byte stays."""
        text = raw.decode()
        parts: list[str] = []
        done = 0
        at = _skip(text, text.index("{") + 1)
        while text[at] != "}":
            name, at = _VALUES.raw_decode(text, at)
            at = _skip(text, at)
            _, end = _VALUES.raw_decode(text, at)
            if name in gaps.null:
                parts += [text[done:at], "null"]
                done = end
            elif name in gaps.elements and text[at] == "[":
                parts += [text[done:at], _shortened(text, at, gaps.elements[name])]
                done = end
            at = _skip(text, end)
        return "".join([*parts, text[done:]]).encode()


def _shortened(text: str, at: int, places: set[int]) -> str:
    """The list that begins at `at` without the elements at these places."""
    kept: list[str] = []
    place = 0
    at = _skip(text, at + 1)
    while text[at] != "]":
        _, end = _VALUES.raw_decode(text, at)
        if place not in places:
            kept.append(text[at:end])
        place += 1
        at = _skip(text, end)
    return f"[{', '.join(kept)}]"


def _skip(text: str, at: int) -> int:
    """Where the next key or value begins, or the object ends."""
    while text[at] in " \t,:":
        at += 1
    return at
