"""JSON Lines shards: one object a line."""

from __future__ import annotations

import re
from functools import cached_property, reduce
from itertools import islice
from typing import TYPE_CHECKING, Any, cast

import orjson
import pyarrow as pa

from expunge.shards.scan import Rows, line_breaks, not_blank
from expunge.shards.shard import Batch, Column
from expunge.shards.text import Block, Gaps, TextShard

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from expunge.shards.streams import Window

# Rows looked at to learn the names of the columns: objects need not all have the same ones.
_SAMPLE_ROWS = 1000

_TYPES = {
    str: "string",
    int: "int64",
    float: "double",
    bool: "bool",
    list: "list",
    dict: "struct",
    type(None): "null",
}


class JsonLinesShard(TextShard):
    """A JSON Lines file. A key that an object lacks is null; a blank line is no row."""

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """The keys of the first objects in order of appearance, with the type that holds their values."""
        types: dict[str, str] = {}
        with self._window() as window:
            window.take_mark()
            objects = (row for _, row in self.parse(window, 0) if row is not None)
            for row in islice(objects, _SAMPLE_ROWS):
                for name, value in cast("dict[str, Any]", row).items():
                    types[name] = _wider(types.get(name, "null"), _type(value))
        return tuple(Column(name, kind, required=False) for name, kind in types.items())

    @cached_property
    def _numbers(self) -> frozenset[str]:
        """The columns in which whole numbers are values like any other."""
        return frozenset(column.name for column in self.columns if _item(column.type) == "int64")

    def scan(self, data: bytes) -> Rows | None:
        """The lines, for no string of JSON holds a line break; a blank one is no row."""
        breaks = line_breaks(data)
        if not len(breaks):
            return None
        rows = Rows.between(breaks)
        return rows.where(not_blank(data, rows))

    def parse(self, window: Window, first: int) -> Iterator[tuple[bytes, object | None]]:
        """Each line with its object."""
        for raw in self.take_lines(window):
            if raw.isspace():
                yield raw, None
                continue
            try:
                value = orjson.loads(raw)
            except orjson.JSONDecodeError as error:
                self.decode(raw, window.line)
                raise self.bad(f"line {window.line} is not JSON: {error.msg}.") from error
            if not isinstance(value, dict):
                raise self.bad(f"line {window.line} is not a JSON object.")
            yield raw, value

    def read(self, block: Block, columns: Sequence[str]) -> dict[str, pa.Array] | None:
        """As `arrays`, of the objects; None where a line is none."""
        spans = zip(block.starts.tolist(), block.ends.tolist(), strict=True)
        try:
            objects = [orjson.loads(block.data[begin:end]) for begin, end in spans]
        except orjson.JSONDecodeError:
            return None
        if not all(type(value) is dict for value in objects):
            return None
        return self.arrays(objects, columns, block.first)

    def arrays(self, rows: list[object], columns: Sequence[str], first: int) -> dict[str, pa.Array]:
        """Text arrays, or arrays of lists of text where a value is a list.

        In a column of numbers, which can carry ids and nothing else, whole numbers count as their digits.
        """
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
        if type(value) is int and name in self._numbers:
            return str(value)
        kind = "number" if type(value) is int else _TYPES[type(value)]
        raise self.bad(f"row {row}: {name!r} holds a {kind}, not text.")

    def presence(self, columns: Sequence[str]) -> Iterator[Batch]:
        """As elsewhere, but also of values that are no text, and of keys that the first objects do not have."""
        for block in self._blocks():
            rows = block.rows if block.rows is not None else self._parsed_again(block)
            objects = cast("list[dict[str, Any]]", rows)
            there = {
                name: pa.array([row.get(name) is not None for row in objects], pa.bool_()) for name in columns
            }
            yield Batch(block.first, len(block), there)

    def redacted(self, raw: bytes, row: int, gaps: Gaps) -> bytes:
        """The same line with the values of those keys, each time they occur, null or shorter; every other byte stays."""
        try:
            values = orjson.loads(raw)
        except orjson.JSONDecodeError as error:
            raise self.bad(f"row {row} is not JSON: {error.msg}.") from error
        if not isinstance(values, dict):
            raise self.bad(f"row {row} is not a JSON object.")
        spans = _children(raw)
        members = [
            (orjson.loads(raw[begin:end]), value)
            for (begin, end), value in zip(spans[::2], spans[1::2], strict=True)
        ]
        # Of a key that occurs twice the last one counts; the others become what it becomes, or they would show what went.
        new: dict[str, bytes] = {}
        for name, (begin, end) in members:
            if name in gaps.null:
                new[name] = b"null"
            elif name in gaps.elements:
                new[name] = raw[begin:end]
        for name in gaps.elements.keys() & new.keys() - gaps.null:
            new[name] = _shortened(new[name], gaps.elements[name])
        parts: list[bytes] = []
        done = 0
        for name, (begin, end) in members:
            if name in new:
                parts += [raw[done:begin], new[name]]
                done = end
        return b"".join([*parts, raw[done:]])


def _type(value: Any) -> str:
    if isinstance(value, list):
        return f"list<{reduce(_wider, (_TYPES[type(part)] for part in value), 'null')}>"
    return _TYPES[type(value)]


def _wider(one: str, other: str) -> str:
    """The type of a column that holds values of both: a list of one is a value, and a number among text makes ids of them."""
    if "null" in {one, other}:
        return other if one == "null" else one
    if one.startswith("list<") or other.startswith("list<"):
        return f"list<{_wider(_item(one), _item(other))}>"
    return "int64" if {one, other} == {"string", "int64"} else one


def _item(kind: str) -> str:
    return kind.removeprefix("list<").removesuffix(">")


# A string, a bracket, comma or colon, or else a number or a word; what is between them is white space.
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*+"|[\[\]{},:]|[^\s\[\]{},:"]++')


def _children(value: bytes) -> list[tuple[int, int]]:
    """Where each element of a list, or each key and value of an object, begins and ends. `value` is well-formed JSON."""
    spans: list[tuple[int, int]] = []
    depth = begin = 0
    for token in _TOKEN.finditer(value):
        match value[token.start()]:
            case 0x5B | 0x7B:  # [ and {
                depth += 1
                if depth == 2:
                    begin = token.start()
            case 0x5D | 0x7D:  # ] and }
                depth -= 1
                if depth == 1:
                    spans.append((begin, token.end()))
            case 0x2C | 0x3A:  # a comma or colon
                pass
            case _ if depth == 1:
                spans.append(token.span())
    return spans


def _shortened(value: bytes, places: set[int]) -> bytes:
    """A list without the elements at these places; a value that is no list is its own only element.

    Raises `ValueError` for a place where there is none.
    """
    is_list = value.startswith(b"[")
    spans = _children(value) if is_list else [(0, len(value))]
    if max(places) >= len(spans) or value == b"null":
        raise ValueError("a list has no element at this place")
    kept = [place for place in range(len(spans)) if place not in places]
    if not kept:
        return b"[]" if is_list else b"null"
    parts = [value[: spans[0][0]]]
    for number, place in enumerate(kept):
        begin, end = spans[place]
        if number:  # what stood before it, back to the element before
            parts.append(value[spans[place - 1][1] : begin])
        parts.append(value[begin:end])
    return b"".join([*parts, value[spans[-1][1] :]])
