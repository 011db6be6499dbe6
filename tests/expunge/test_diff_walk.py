"""Walking two row groups in step."""

from __future__ import annotations

from collections import Counter

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from expunge.diff.walk import walk


def left(old: list[str | None], new: list[str | None]) -> tuple[list[int], list[int]]:
    one, other = walk(pa.array(old, pa.large_string()), pa.array(new, pa.large_string()))
    return one.tolist(), other.tolist()


ROWS: list[str | None] = [f"u{n}" for n in range(1000)]


def test_equal_rows_leave_nothing() -> None:
    assert left(ROWS, ROWS) == ([], [])
    assert left([], []) == ([], [])


def test_scattered_removals_are_all_that_is_left() -> None:
    gone = [0, 1, 2, 17, 18, 500, 998, 999]
    assert left(ROWS, [row for place, row in enumerate(ROWS) if place not in gone]) == (gone, [])


def test_added_and_blanked_rows_are_all_that_is_left() -> None:
    new = [None if place in {3, 700} else row for place, row in enumerate(ROWS)]
    assert left(ROWS, [*new[:10], "x", *new[10:]]) == ([3, 700], [3, 10, 701])


def test_rows_in_another_order_stay() -> None:
    one, other = left(ROWS, ROWS[::-1])
    assert len(one) == len(other) >= len(ROWS) - 1


texts = st.lists(st.sampled_from(["a", "b", "c", None]), max_size=40)


@given(texts, texts, texts)
def test_what_is_taken_off_is_equal_on_both_sides(
    head: list[str | None], tail: list[str | None], other: list[str | None]
) -> None:
    old, new = [*head, *tail], [*head, *other, *tail[3:]]
    one, two = left(old, new)
    assert one == sorted(set(one))
    assert two == sorted(set(two))
    off_old = Counter(value for place, value in enumerate(old) if place not in set(one))
    off_new = Counter(value for place, value in enumerate(new) if place not in set(two))
    assert off_old == off_new
