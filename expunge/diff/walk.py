"""Take the rows off two row groups that still stand in the same order.

A cleaned row group is its older self without a few rows. Walking both in step finds those few without a table: equal
runs are skipped by comparing bytes, and after a difference the walk looks a few rows ahead for where both go on alike.
Where they do not, the rest stays for the comparison by key. Nothing but equal rows is ever taken off.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

_AHEAD = 16
"""How many rows may have gone or come at one place."""

_AGREE = 4
"""How many rows must be alike for the walk to go on there; fewer may be alike by chance."""

# The nearest places first, and of those as near a removal first: that is what releases are made of.
_STEPS = sorted(
    ((i, j) for i in range(_AHEAD + 1) for j in range(_AHEAD + 1) if i or j),
    key=lambda step: (sum(step), -step[0]),
)


def walk(old: pa.Array, new: pa.Array) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The places of `old` and of `new` that were not found on the other side, ascending.

    Both arrays have one type. What is left out on both sides is equal, value by value and null by null.
    """
    left: tuple[list[range], list[range]] = ([], [])
    i = j = 0
    while i < len(old) and j < len(new):
        alike = _run(old, new, i, j)
        i, j = i + alike, j + alike
        if i == len(old) or j == len(new):
            break
        step = next((step for step in _STEPS if _goes_on(old, new, i + step[0], j + step[1])), None)
        if step is None:
            break
        left[0].append(range(i, i + step[0]))
        left[1].append(range(j, j + step[1]))
        i, j = i + step[0], j + step[1]
    # From the end the last rows may agree, whatever is between.
    tail = 0
    while tail < min(len(old) - i, len(new) - j) and (
        size := _run_back(old, new, len(old) - tail, len(new) - tail, min(len(old) - i, len(new) - j) - tail)
    ):
        tail += size
    left[0].append(range(i, len(old) - tail))
    left[1].append(range(j, len(new) - tail))
    return _places(left[0]), _places(left[1])


def _run(old: pa.Array, new: pa.Array, i: int, j: int) -> int:
    """How many values from `i` and `j` on are equal."""
    most = min(len(old) - i, len(new) - j)
    done, step = 0, _AGREE
    while done < most and step:
        size = min(step, most - done)
        if old.slice(i + done, size).equals(new.slice(j + done, size)):
            done += size
            step *= 2
        else:
            step = size // 2
            most = min(most, done + size)
    return done


def _run_back(old: pa.Array, new: pa.Array, i: int, j: int, most: int) -> int:
    """How many values that end before `i` and `j` are equal, as the largest power of two that is."""
    size = 1
    if not old.slice(i - 1, 1).equals(new.slice(j - 1, 1)):
        return 0
    while 2 * size <= most and old.slice(i - 2 * size, 2 * size).equals(new.slice(j - 2 * size, 2 * size)):
        size *= 2
    return size


def _goes_on(old: pa.Array, new: pa.Array, i: int, j: int) -> bool:
    """Whether the next rows are alike there, or both end there."""
    if i > len(old) or j > len(new):
        return False
    one, other = old.slice(i, _AGREE), new.slice(j, _AGREE)
    return bool(one.equals(other))


def _places(ranges: list[range]) -> NDArray[np.int64]:
    return np.concatenate([np.arange(part.start, part.stop, dtype=np.int64) for part in ranges])
