"""The compact protocol: what is decoded is encoded to the same bytes, and what is broken is refused, quickly."""

from __future__ import annotations

import time
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expunge.splice.thrift import (
    Items,
    Kind,
    Pairs,
    ThriftError,
    decode,
    encode,
    encode_spans,
    encode_value,
    spans,
)
from tests.expunge.parquet_files import WRITERS

if TYPE_CHECKING:
    from pathlib import Path


def integers(bits: int) -> st.SearchStrategy[int]:
    return st.integers(-(1 << bits - 1), (1 << bits - 1) - 1)


SIMPLE: dict[int, st.SearchStrategy[Any]] = {
    Kind.TRUE: st.booleans(),
    Kind.I8: integers(8),
    Kind.I16: integers(16),
    Kind.I32: integers(32),
    Kind.I64: integers(64),
    Kind.DOUBLE: st.binary(min_size=8, max_size=8),
    Kind.BINARY: st.binary(max_size=300),
    Kind.UUID: st.binary(min_size=16, max_size=16),
}


def typed(kinds: dict[int, st.SearchStrategy[Any]]) -> st.SearchStrategy[tuple[int, Any]]:
    return st.sampled_from(sorted(kinds)).flatmap(lambda kind: st.tuples(st.just(kind), kinds[kind]))


def lists(kinds: dict[int, st.SearchStrategy[Any]]) -> st.SearchStrategy[Items]:
    return st.sampled_from(sorted(kinds)).flatmap(
        lambda kind: st.lists(kinds[kind], max_size=20).map(lambda values: Items(kind, values))
    )


def maps(kinds: dict[int, st.SearchStrategy[Any]]) -> st.SearchStrategy[Pairs]:
    return st.tuples(st.sampled_from(sorted(kinds)), st.sampled_from(sorted(kinds))).flatmap(
        lambda both: st.lists(st.tuples(kinds[both[0]], kinds[both[1]]), max_size=5).map(
            lambda pairs: Pairs(*(both if pairs else (0, 0)), pairs)
        )
    )


def values(depth: int) -> dict[int, st.SearchStrategy[Any]]:
    if not depth:
        return SIMPLE
    inner = values(depth - 1)
    return {
        **SIMPLE,
        Kind.LIST: lists(inner),
        Kind.SET: lists(inner),
        Kind.MAP: maps(inner),
        Kind.STRUCT: structs(depth - 1),
    }


def as_written(fields: dict[int, tuple[int, Any]]) -> dict[int, tuple[int, Any]]:
    """A truth value's kind is its value."""
    return {
        number: ((Kind.TRUE if value else Kind.FALSE) if kind == Kind.TRUE else kind, value)
        for number, (kind, value) in fields.items()
    }


def structs(depth: int) -> st.SearchStrategy[dict[int, tuple[int, Any]]]:
    return st.dictionaries(st.integers(-(1 << 15), (1 << 15) - 1), typed(values(depth)), max_size=8).map(
        as_written
    )


@given(structs(3))
@settings(deadline=None)
def test_every_struct_comes_back_as_it_was(struct: dict[int, tuple[int, Any]]) -> None:
    data = encode(struct)
    assert decode(data) == (struct, len(data))
    assert list(decode(data)[0]) == list(struct)  # in its order
    assert encode(decode(data)[0]) == data


@given(structs(2), st.binary(max_size=5))
@settings(deadline=None)
def test_what_follows_a_struct_is_left_alone(struct: dict[int, tuple[int, Any]], after: bytes) -> None:
    data = encode(struct)
    assert decode(b"before" + data + after, 6) == (struct, 6 + len(data))
    assert decode(memoryview(data + after)) == (struct, len(data))


@given(structs(2))
@settings(deadline=None)
def test_the_bytes_of_fields_make_the_same_struct(struct: dict[int, tuple[int, Any]]) -> None:
    data = encode(struct)
    fields, places = spans(data)
    assert fields == struct
    parts = {number: data[begin:end] for number, (begin, end) in places.items()}
    assert encode_spans({number: (struct[number][0], part) for number, part in parts.items()}) == data
    assert parts == {number: encode_value(kind, value) for number, (kind, value) in struct.items()}


@given(structs(2))
@settings(deadline=None, max_examples=50)
def test_no_part_of_a_struct_is_taken_for_it(struct: dict[int, tuple[int, Any]]) -> None:
    data = encode(struct)
    for length in range(len(data)):
        with pytest.raises(ThriftError):
            decode(data[:length])


@given(st.binary(max_size=200))
def test_any_bytes_are_a_struct_or_refused(data: bytes) -> None:
    try:
        struct, end = decode(data)
    except ThriftError:
        return
    assert decode(encode(struct)) == (struct, len(encode(struct)))
    assert end <= len(data)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "end inside"),
        (b"\x18\xff\xff\xff\xff\x0f", "end inside"),  # a text of 4 GB
        (b"\x19\xfc\xff\xff\xff\xff\x0f", "longer than all the bytes"),  # a list of 4 billion structs
        (b"\x1b\xff\xff\xff\xff\x0f\x55", "longer than all the bytes"),  # a map of as many pairs
        (b"\x16" + b"\xff" * 20, "longer than 64 bits"),
        (b"\x15\xff\xff\xff\xff\xff\x0f\x00", "longer than 32 bits"),
        (b"\x1e\x00", "no type 14"),
        (b"\x19\x10\x00", "no type 0"),
        (b"\x11\x01\x02\x00", "there twice"),
        (b"\x19\x11\x07\x00", "no truth value"),
        (b"\x1c" * 100_000, "nested too deeply"),
        (b"\x19" * 100_000, "nested too deeply"),
        (b"\x1b\x01\xbb" + b"\x01\xbb" * 50_000, "nested too deeply"),
        (b"\x05\xfe\xff\x03\x02\x15\x02\x00", "no field"),
    ],
    ids=[
        "nothing",
        "text",
        "list",
        "map",
        "64 bits",
        "32 bits",
        "type 14",
        "type 0",
        "field twice",
        "truth",
        "structs in structs",
        "lists in lists",
        "maps in maps",
        "field",
    ],
)
def test_broken_bytes_are_refused_at_once(data: bytes, why: str) -> None:
    began = time.monotonic()
    for read in (decode, spans):
        with pytest.raises(ThriftError, match=why):
            read(data)
    assert time.monotonic() - began < 1


@pytest.mark.parametrize(
    "field",
    [
        (Kind.I8, 128),
        (Kind.I16, -32769),
        (Kind.I32, 1 << 31),
        (Kind.I64, 1 << 63),
        (Kind.UUID, b"short"),
        (Kind.DOUBLE, b"too long for it"),
        (14, 0),
    ],
    ids=["8 bits", "16 bits", "32 bits", "64 bits", "uuid", "double", "type 14"],
)
def test_what_a_kind_cannot_hold_is_not_written(field: tuple[int, Any]) -> None:
    with pytest.raises(ThriftError):
        encode({1: field})


def test_it_is_written_as_others_write_it() -> None:
    struct = {
        1: (Kind.I32, -1),
        2: (Kind.TRUE, True),
        17: (Kind.BINARY, b"hi"),
        40: (Kind.LIST, Items(Kind.FALSE, [True, False])),
    }
    assert encode(struct) == bytes.fromhex("15 01 11 f8 02 68 69 09 50 22 01 02 00")


@pytest.mark.parametrize("writer", WRITERS)
def test_footers_of_every_writer_are_encoded_to_their_own_bytes(tmp_path: Path, writer: str) -> None:
    for seed in range(5):
        path = tmp_path / f"{seed}.parquet"
        WRITERS[writer](path, 50, Random(seed))
        data = path.read_bytes()
        footer = data[-8 - int.from_bytes(data[-8:-4], "little") : -8]
        struct, end = decode(footer)
        assert end == len(footer)
        assert encode(struct) == footer
