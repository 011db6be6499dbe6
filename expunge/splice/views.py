"""Named access to the fields of a Thrift struct: a view reads and changes the struct in place and leaves the rest alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar, cast

from expunge.splice.thrift import Items, Kind, Struct, ThriftError

if TYPE_CHECKING:
    from collections.abc import Sequence

Held = TypeVar("Held", bound="View")


class View:
    """A struct with names for some of its fields. Reading one that holds another kind raises `ThriftError`."""

    __slots__ = ("struct",)

    def __init__(self, struct: Struct) -> None:
        self.struct = struct

    def get(self, number: int, kind: int) -> object:
        """The value of a field, or None where it is missing."""
        field = self.struct.get(number)
        if field is None:
            return None
        if field[0] != kind:
            raise ThriftError(f"Field {number} of {type(self).__name__} has the wrong type.")
        return field[1]

    def put(self, number: int, kind: int, value: object) -> None:
        """Change a field, or add it where it belongs in the order of the numbers."""
        known = number in self.struct
        self.struct[number] = kind, value
        if not known:
            ordered = sorted(self.struct.items())
            self.struct.clear()
            self.struct.update(ordered)

    def drop(self, *numbers: int) -> None:
        """Remove these fields where they are there."""
        for number in numbers:
            self.struct.pop(number, None)


class Number:
    """A field that holds a whole number; 0 where it is missing."""

    def __init__(self, number: int, kind: int = Kind.I64) -> None:
        self.number = number
        self.kind = kind

    def __get__(self, view: View, _owner: type[View]) -> int:
        return cast("int", view.get(self.number, self.kind) or 0)

    def __set__(self, view: View, value: int) -> None:
        view.put(self.number, self.kind, value)


class Numbers:
    """A field that holds a list of whole numbers."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __get__(self, view: View, _owner: type[View]) -> list[int]:
        found = view.get(self.number, Kind.LIST)
        return [value for value in found.values if isinstance(value, int)] if isinstance(found, Items) else []


class Text:
    """A field that holds bytes, most often UTF-8; empty where it is missing."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __get__(self, view: View, _owner: type[View]) -> bytes:
        return cast("bytes", view.get(self.number, Kind.BINARY) or b"")

    def __set__(self, view: View, value: bytes) -> None:
        view.put(self.number, Kind.BINARY, value)


class Nested(Generic[Held]):
    """A field that holds a struct; an empty one, not a part of the whole, where it is missing."""

    def __init__(self, number: int, view: type[Held]) -> None:
        self.number = number
        self.view = view

    def __get__(self, view: View, _owner: type[View]) -> Held:
        return self.view(cast("Struct", view.get(self.number, Kind.STRUCT) or {}))


class Several(Generic[Held]):
    """A field that holds a list of structs."""

    def __init__(self, number: int, view: type[Held]) -> None:
        self.number = number
        self.view = view

    def __get__(self, view: View, _owner: type[View]) -> list[Held]:
        found = view.get(self.number, Kind.LIST)
        return structs(found, self.view) if isinstance(found, Items) else []

    def __set__(self, view: View, values: Sequence[Held]) -> None:
        view.put(self.number, Kind.LIST, Items(Kind.STRUCT, [value.struct for value in values]))


def structs(items: Items, view: type[Held]) -> list[Held]:
    """The structs of a list. Raises `ThriftError` where they are none."""
    if items.values and items.kind != Kind.STRUCT:
        raise ThriftError(f"A list of {view.__name__} holds something else.")
    return [view(value) for value in items.values]
