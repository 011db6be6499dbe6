"""Values as they are stored, looked for in every page, bound and index of a spliced file, whatever their type is.

`parquet_leaks` looks for texts, and at bounds of chunks. Here each chunk of a flat column is held against its own rows: what
a cut took out of it must be in none of its pages, and no bound of the chunk or of a page may come from it.
"""

from __future__ import annotations

import struct
from os.path import commonprefix
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from expunge.shards import Cut
from expunge.splice.bare import BareFile
from expunge.splice.indexes import read_beside
from expunge.splice.pages import DATA_V2, DICTIONARY, pages
from expunge.splice.source import Source
from expunge.splice.thrift import decode
from tests.expunge.parquet_leaks import inflated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from expunge.splice.footer import ColumnChunk, SchemaElement
    from expunge.splice.pages import Page
    from expunge.splice.views import View

# Patterns of fewer bytes, or of fewer different ones, are in many other bytes by chance.
_LEAST_BYTES = 8
_LEAST_DIFFERENT = 5

_LEAST, _GREATEST = (2, 6), (1, 5)
"""Fields of `Statistics`."""

_NUMBERS = {
    pa.int32(): "<i",
    pa.int64(): "<q",
    pa.uint32(): "<I",
    pa.uint64(): "<Q",
    pa.float16(): "<e",
    pa.float32(): "<f",
    pa.float64(): "<d",
}
_JULIAN_EPOCH = 2_440_588
_NANOSECONDS_A_DAY = 86_400 * 10**9


def stored_leaks(base: Path, made: Path, cut: Cut) -> list[str]:
    """What chunks of the made file tell of values that they had in the base and have no more, as sentences.

    A value that another chunk of the column still has may be in a dictionary that all share, and in bounds made of it.
    """
    told: list[str] = []
    with (
        Source.open(base) as old,
        Source.open(made) as new,
        BareFile(old) as before,
        BareFile(new) as after,
    ):
        groups = _groups_that_stay(old, cut)
        for leaf, column in enumerate(old.footer.leaves):
            encode = _encoder(column.element, before.schema.field(column.top).type)
            if encode is None:
                continue
            had = [_values(before, group, column.top, encode) for group in groups]
            has = [_values(after, group, column.top, encode) for group in range(len(groups))]
            somewhere = {value for values in has for value in values}
            for place, group in enumerate(new.footer.groups):
                gone = set(had[place]) - somewhere - {None}
                if gone:
                    found = _told(new, group.columns[leaf], has[place], gone)
                    told += [f"group {groups[place]}, column {leaf}: {what}" for what in found]
    return told


def _groups_that_stay(source: Source, cut: Cut) -> list[int]:
    """The row groups of a file of which the cut leaves rows."""
    stay: list[int] = []
    first = 0
    for number, group in enumerate(source.footer.groups):
        if len(cut.within(first, group.rows).drop) < group.rows:
            stay.append(number)
        first += group.rows
    return stay


def _values(file: BareFile, group: int, top: int, encode: Callable[[Any], bytes]) -> list[bytes | None]:
    """The values of a column of a row group, as they are stored."""
    column = file.read(group, [top], Cut()).column(0)
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.int64())
    return [None if value is None else encode(value) for value in column.to_pylist()]


def _encoder(element: SchemaElement, kind: pa.DataType) -> Callable[[Any], bytes] | None:
    """How a bare value of a type is stored; None for nested types and truth values."""
    if kind in _NUMBERS:
        return struct.Struct(_NUMBERS[kind]).pack
    if pa.types.is_binary(kind) or pa.types.is_fixed_size_binary(kind):
        return bytes
    if pa.types.is_decimal(kind):
        return lambda value: int(value).to_bytes(element.type_length, "big", signed=True)
    return _instant if pa.types.is_timestamp(kind) else None


def _instant(nanoseconds: int) -> bytes:
    """A time in 96 bits."""
    day, time = divmod(nanoseconds, _NANOSECONDS_A_DAY)
    return struct.pack("<qi", time, day + _JULIAN_EPOCH)


def _told(source: Source, chunk: ColumnChunk, has: list[bytes | None], gone: set[Any]) -> Iterator[str]:
    data = source.read(*chunk.extent)
    held = list(pages(data))
    beside = read_beside(source.read, chunk)
    inside = b"\0".join(
        [beside.column_index, *(inflated(chunk, page, data[page.begin : page.end]) for page in held)]
    )
    headers = b"\0".join(data[page.start : page.begin] for page in held)
    kept = b"\0".join(value for value in has if value is not None)
    kept += b"\0".join(_delta_coded(held, has))
    for value in gone:
        if len(value) >= _LEAST_BYTES and len(set(value)) >= _LEAST_DIFFERENT and value not in kept:
            if value in inside:
                yield f"{value!r} is still in a page or index"
            if value in headers:
                yield f"{value!r} is still in a header"
    for bound, greatest, values in _bounds(
        chunk, [page for page in held if page.header.type != DICTIONARY], beside.column_index, has
    ):
        explained = any(_is_bound(bound, value, greatest=greatest) for value in values if value is not None)
        if bound and not explained and any(_is_bound(bound, value, greatest=greatest) for value in gone):
            yield f"{bound!r} is still a bound"


def _delta_coded(held: list[Page], has: list[bytes | None]) -> Iterator[bytes]:
    """What each page holds of its values where each is told by what it adds to the one before: …/22 and …/2273 as …/2273."""
    place = 0
    for page in held:
        if page.header.type == DICTIONARY:
            continue
        values = [value for value in has[place : place + page.header.values] if value is not None]
        place += page.header.values
        if page.header.encoding == "DELTA_BYTE_ARRAY":
            pairs = zip([b"", *values], values, strict=False)
            yield b"".join(value[len(commonprefix([before, value])) :] for before, value in pairs)  # noqa: RUF071  of values, not paths


def _bounds(
    chunk: ColumnChunk, held: list[Page], column_index: bytes, has: list[bytes | None]
) -> Iterator[tuple[bytes, bool, list[bytes | None]]]:
    """Each bound, whether it is a greatest one, and the values that it is said of."""
    for bound, greatest in _of_statistics(chunk.meta.statistics):
        yield bound, greatest, has
    index = decode(column_index)[0] if column_index else {}
    place = 0
    for number, page in enumerate(held):
        header = page.header
        values = has[place : place + header.values]
        place += header.values
        told = header.data_v2.statistics if header.type == DATA_V2 else header.data.statistics
        for bound, greatest in _of_statistics(told):
            yield bound, greatest, values
        if index and index[1][1].values[number] is False:
            yield index[2][1].values[number], False, values
            yield index[3][1].values[number], True, values


def _of_statistics(statistics: View) -> Iterator[tuple[bytes, bool]]:
    for numbers, greatest in ((_LEAST, False), (_GREATEST, True)):
        for number in numbers:
            if number in statistics.struct:
                yield statistics.struct[number][1], greatest


def _is_bound(bound: bytes, value: bytes, *, greatest: bool) -> bool:
    """Whether a bound is a value, or was cut from it: the greatest one with its last byte one up."""
    if bound == value or (_is_zero(bound) and _is_zero(value)):
        return True
    if not bound or len(bound) >= len(value):
        return False
    if greatest:
        return value.startswith(bound[:-1]) and bound[-1] == value[len(bound) - 1] + 1
    return value.startswith(bound)


def _is_zero(value: bytes) -> bool:
    """Whether a value may be 0.0 or -0.0, which bounds do not tell apart."""
    return not any(value[:-1]) and value[-1:] in {b"\0", b"\x80"}
