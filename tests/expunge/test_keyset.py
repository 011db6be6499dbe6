"""Looking up keys by whole columns."""

from __future__ import annotations

from hashlib import sha256

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expunge.keyset import KeySet, key_prefixes

# Few leading bytes, so that keys share their first 8.
DIGESTS = [
    prefix + tail * 8
    for prefix in (b"\0" * 8, b"\0" * 7 + b"\1", b"\xff" * 8)
    for tail in (b"a", b"b", b"\0")
]


def brute(keys: list[bytes], column: list[bytes | None]) -> set[tuple[int, int]]:
    return {
        (row, keys.index(value)) for row, value in enumerate(column) if value is not None and value in keys
    }


@settings(deadline=None)
@given(
    st.lists(st.sampled_from(DIGESTS), unique=True),
    st.lists(st.one_of(st.none(), st.sampled_from(DIGESTS)), max_size=30),
    st.integers(0, 3),
)
def test_digests_are_found_where_they_are(keys: list[bytes], column: list[bytes | None], cut: int) -> None:
    rows, places = KeySet(keys, 16).match(pa.array(column, pa.binary()).slice(cut))
    assert set(zip(rows.tolist(), places.tolist(), strict=True)) == brute(keys, column[cut:])
    assert (np.diff(rows) >= 0).all()


@settings(deadline=None)
@given(
    st.lists(st.binary(min_size=1, max_size=9), unique=True),
    st.lists(st.one_of(st.none(), st.binary(max_size=9))),
)
def test_keys_of_any_length_are_found_where_they_are(keys: list[bytes], column: list[bytes | None]) -> None:
    column += [*keys]
    rows, places = KeySet(keys).match(pa.array(column, pa.binary()))
    assert set(zip(rows.tolist(), places.tolist(), strict=True)) == brute(keys, column)


def test_many_digests_in_a_long_column() -> None:
    keys = [sha256(b"%d" % n).digest() for n in range(5000)]
    column = [sha256(b"%d" % n).digest() for n in range(4000, 9000)]
    rows, places = KeySet(keys, 32).match(pa.array(column, pa.binary()))
    assert rows.tolist() == list(range(1000))
    assert places.tolist() == list(range(4000, 5000))


def test_nothing_is_found_in_nothing() -> None:
    for keys, size in (([], 0), ([], 32), ([b"x" * 32], 32)):
        rows, places = KeySet(keys, size).match(pa.nulls(3, pa.binary()))
        assert (len(rows), len(places)) == (0, 0)
    rows, _ = KeySet([], 32).match(pa.array([b"x" * 32]))
    assert len(rows) == 0


def test_keys_of_another_length_are_no_match_but_a_fault() -> None:
    with pytest.raises(ValueError, match="cannot be compared"):
        KeySet([b"x" * 32], 32).match(pa.array([b"x" * 16]))


def test_the_first_bytes_of_keys_are_numbers_that_sort_as_they_do() -> None:
    keys = [sha256(b"%d" % n).digest() for n in range(500)]
    column = pa.array([None, *keys, None], pa.binary())
    assert key_prefixes(column).tolist() == [int.from_bytes(key[:8], "big") for key in keys]
    assert key_prefixes(column.slice(3, 2)).tolist() == [int.from_bytes(key[:8], "big") for key in keys[2:4]]
    assert sorted(keys) == [keys[place] for place in np.argsort(key_prefixes(column))]


def test_nulls_have_no_first_bytes_and_mixed_lengths_are_a_fault() -> None:
    assert len(key_prefixes(pa.nulls(2, pa.binary()))) == 0
    with pytest.raises(ValueError, match="not all of one length"):
        key_prefixes(pa.array([b"x" * 16, b"x" * 20]))
