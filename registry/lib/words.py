"""Numbers in sentences."""

from __future__ import annotations


def counted(number: int, one: str, many: str = "") -> str:
    """A number with its noun: "1 row", "1,204 rows"; `many` is the plural that is not `one` with an s."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
