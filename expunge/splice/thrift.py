"""The compact protocol of Apache Thrift, in which a Parquet file describes itself.

A struct is decoded without its definition, into its fields by number, so that fields which this code does not know
survive to be encoded again. What was encoded as the protocol asks is encoded to the same bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


class ThriftError(ValueError):
    """Bytes that are not a struct in the compact protocol."""


class Kind:
    """The type of a value as it is written before it. A truth value has no bytes of its own in a struct.

    Plain numbers and no enumeration, because every field of every footer is compared with them.
    """

    STOP = 0
    TRUE = 1
    FALSE = 2
    I8 = 3
    I16 = 4
    I32 = 5
    I64 = 6
    DOUBLE = 7
    BINARY = 8
    LIST = 9
    SET = 10
    MAP = 11
    STRUCT = 12
    UUID = 13


Value = Any
"""What a `Kind` holds: `bool`, `int`, `bytes` (a double as its 8 bytes, a UUID as its 16), `Items`, `Pairs` or `Struct`."""

Struct = dict[int, tuple[int, Value]]
"""Fields by number, each a `Kind` and a value, in the order in which they are written."""


@dataclass(slots=True)
class Items:
    """A list or a set: the kind of its elements, and they."""

    kind: int
    values: list[Value]


@dataclass(slots=True)
class Pairs:
    """A map: the kinds of its keys and of its values, 0 where it is empty, and its pairs in order."""

    keys: int
    values: int
    pairs: list[tuple[Value, Value]]


# Deeper than anything in Parquet, and far from the depth at which Python gives up.
_DEEPEST = 64
_BITS = {Kind.I16: 16, Kind.I32: 32, Kind.I64: 64}
_TRUTH = {Kind.TRUE, Kind.FALSE}
_LISTS = {Kind.LIST, Kind.SET}
_FIXED = {Kind.DOUBLE: 8, Kind.UUID: 16}


def decode(data: bytes | memoryview, start: int = 0) -> tuple[Struct, int]:
    """The struct that begins at `start`, and where it ends. Raises `ThriftError`.

    Takes time and memory in proportion to the bytes of the struct, whatever they are.
    """
    decoder = _Decoder(data, start)
    try:
        struct = decoder.struct(0)
    except IndexError as error:
        raise ThriftError("The bytes end inside a struct.") from error
    return struct, decoder.place


def spans(data: bytes | memoryview) -> tuple[Struct, dict[int, tuple[int, int]]]:
    """The struct at the start of the bytes, and where each of its fields begins and ends, by number.

    The bytes of a field begin after its header, so that they can be given to `encode_spans` as they are.
    Raises `ThriftError`.
    """
    decoder = _Decoder(data, 0)
    fields: Struct = {}
    places: dict[int, tuple[int, int]] = {}
    number = 0
    try:
        while (header := decoder.header(number)) is not None:
            kind, number = header
            if number in fields:
                raise ThriftError(f"Field {number} is there twice.")
            begin = decoder.place
            fields[number] = kind, decoder.value(kind, 1)
            places[number] = begin, decoder.place
    except IndexError as error:
        raise ThriftError("The bytes end inside a struct.") from error
    return fields, places


def encode(struct: Struct) -> bytes:
    """The bytes of a struct. Raises `ThriftError` for a number that its kind cannot hold."""
    out = bytearray()
    _put_struct(out, struct)
    return bytes(out)


def encode_value(kind: int, value: Value) -> bytes:
    """The bytes of one value, without the header of a field."""
    out = bytearray()
    _put(out, kind, value)
    return bytes(out)


def encode_spans(fields: dict[int, tuple[int, bytes | memoryview]]) -> bytes:
    """The bytes of a struct of which each field's kind and bytes are given, by number."""
    out = bytearray()
    last = 0
    for number, (kind, data) in fields.items():
        _put_header(out, kind, number, last)
        out += data
        last = number
    out.append(Kind.STOP)
    return bytes(out)


class _Decoder:
    """Reads from `data` at `place`; runs into an `IndexError` where the bytes end."""

    __slots__ = ("data", "place")

    def __init__(self, data: bytes | memoryview, place: int) -> None:
        self.data = data
        self.place = place

    def struct(self, depth: int) -> Struct:
        if depth > _DEEPEST:
            raise ThriftError("The structs are nested too deeply.")
        fields: Struct = {}
        number = 0
        while (header := self.header(number)) is not None:
            kind, number = header
            if number in fields:
                raise ThriftError(f"Field {number} is there twice.")
            fields[number] = kind, self.value(kind, depth + 1)
        return fields

    def header(self, last: int) -> tuple[int, int] | None:
        """The kind and number of the next field, or None at the end of the struct."""
        byte = self.byte()
        if byte == Kind.STOP:
            return None
        step = byte >> 4
        number = last + step if step else self.integer(16)
        if number > 0x7FFF:
            raise ThriftError(f"There is no field {number}.")
        return byte & 15, number

    def value(self, kind: int, depth: int) -> Value:
        if kind in _BITS:  # the most common first
            return self.integer(_BITS[kind])
        if kind == Kind.BINARY:
            return self.take(self.varint(32))
        if kind == Kind.STRUCT:
            return self.struct(depth)
        if kind in _LISTS:
            return self.items(depth)
        if kind in _TRUTH:
            return kind == Kind.TRUE
        if kind == Kind.I8:
            byte = self.byte()
            return byte - 256 if byte > 127 else byte
        if kind in _FIXED:
            return self.take(_FIXED[kind])
        if kind == Kind.MAP:
            return self.pairs(depth)
        raise ThriftError(f"There is no type {kind}.")

    def items(self, depth: int) -> Items:
        if depth > _DEEPEST:
            raise ThriftError("The lists are nested too deeply.")
        byte = self.byte()
        kind, length = byte & 15, byte >> 4
        if length == 15:
            length = self.varint(32)
        self.check_length(length)
        return Items(kind, [self.element(kind, depth + 1) for _ in range(length)])

    def pairs(self, depth: int) -> Pairs:
        if depth > _DEEPEST:
            raise ThriftError("The maps are nested too deeply.")
        length = self.varint(32)
        if not length:
            return Pairs(0, 0, [])
        self.check_length(length)
        byte = self.byte()
        keys, values = byte >> 4, byte & 15
        pairs = [(self.element(keys, depth + 1), self.element(values, depth + 1)) for _ in range(length)]
        return Pairs(keys, values, pairs)

    def element(self, kind: int, depth: int) -> Value:
        """A value in a list, set or map, where a truth value takes a byte."""
        if kind in _TRUTH:
            byte = self.byte()
            if byte > 2:
                raise ThriftError(f"{byte} is no truth value.")
            return byte == Kind.TRUE
        return self.value(kind, depth)

    def check_length(self, length: int) -> None:
        """Refuse to make room for more elements than there are bytes: each takes one at least."""
        if length > len(self.data) - self.place:
            raise ThriftError("A list says that it is longer than all the bytes there are.")

    def byte(self) -> int:
        byte = self.data[self.place]
        self.place += 1
        return byte

    def take(self, length: int) -> bytes:
        end = self.place + length
        if end > len(self.data):
            raise IndexError
        taken = bytes(self.data[self.place : end])
        self.place = end
        return taken

    def varint(self, bits: int) -> int:
        """A number of at most so many bits, none of them a sign."""
        byte = self.data[self.place]
        self.place += 1
        if byte < 128:
            return byte
        number = byte & 127
        shift = 7
        while byte >= 128:
            byte = self.data[self.place]
            self.place += 1
            number |= (byte & 127) << shift
            shift += 7
            if shift > 70:
                break
        if number >> bits:
            raise ThriftError(f"A number is longer than {bits} bits.")
        return number

    def integer(self, bits: int) -> int:
        """A whole number of so many bits, the sign the lowest of them."""
        number = self.varint(bits)
        return (number >> 1) ^ -(number & 1)


def _put_struct(out: bytearray, struct: Struct) -> None:
    last = 0
    for number, (declared, value) in struct.items():
        kind = declared
        if kind in _TRUTH:
            kind = Kind.TRUE if value else Kind.FALSE
        _put_header(out, kind, number, last)
        _put(out, kind, value)
        last = number
    out.append(Kind.STOP)


def _put_header(out: bytearray, kind: int, number: int, last: int) -> None:
    if 0 < number - last < 16:
        out.append((number - last) << 4 | kind)
    else:
        out.append(kind)
        _put_integer(out, number, 16)


def _put(out: bytearray, kind: int, value: Value) -> None:
    if kind in _BITS:
        _put_integer(out, value, _BITS[kind])
    elif kind == Kind.BINARY:
        _put_varint(out, len(value))
        out += value
    elif kind == Kind.STRUCT:
        _put_struct(out, value)
    elif kind in _LISTS:
        length = len(value.values)
        if length < 15:
            out.append(length << 4 | value.kind)
        else:
            out.append(0xF0 | value.kind)
            _put_varint(out, length)
        for element in value.values:
            _put_element(out, value.kind, element)
    elif kind == Kind.I8:
        if not -128 <= value <= 127:
            raise ThriftError(f"{value} does not fit in 8 bits.")
        out.append(value & 255)
    elif kind in _FIXED:
        if len(value) != _FIXED[kind]:
            raise ThriftError(f"A value of {_FIXED[kind]} bytes cannot be {len(value)} long.")
        out += value
    elif kind == Kind.MAP:
        _put_varint(out, len(value.pairs))
        if value.pairs:
            out.append(value.keys << 4 | value.values)
        for key, held in value.pairs:
            _put_element(out, value.keys, key)
            _put_element(out, value.values, held)
    elif kind not in _TRUTH:
        raise ThriftError(f"There is no type {kind}.")


def _put_element(out: bytearray, kind: int, value: Value) -> None:
    if kind in _TRUTH:
        out.append(Kind.TRUE if value else Kind.FALSE)
    else:
        _put(out, kind, value)


def _put_integer(out: bytearray, number: int, bits: int) -> None:
    if not -1 << bits - 1 <= number < 1 << bits - 1:
        raise ThriftError(f"{number} does not fit in {bits} bits.")
    _put_varint(out, (number << 1) ^ (number >> 63))


def _put_varint(out: bytearray, number: int) -> None:
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
