from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from expunge import keyed
from expunge.errors import UsageError
from expunge.keyed import KeyedBatch
from expunge.keys import KeyKind
from expunge.locate import keys_by_kind
from expunge.shards import Batch

if TYPE_CHECKING:
    from collections.abc import Sequence

URLS = ["https://a.example.com/1", None, "https://b.example.com/2"]
RAW, C1, HOST = KeyKind.URL_RAW, KeyKind.URL_C1, KeyKind.HOST


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[list[KeyKind]]:
    """The kinds that were computed, each time that some were."""
    computed: list[list[KeyKind]] = []

    def watched(kinds: Sequence[KeyKind], values: pa.Array) -> object:
        computed.append(list(kinds))
        return keys_by_kind(kinds, values)

    monkeypatch.setattr(keyed, "keys_by_kind", watched)
    return computed


def test_each_kind_is_computed_once_and_only_if_it_is_asked_for(asked: list[list[KeyKind]]) -> None:
    rows = KeyedBatch(Batch(0, 3, {"url": pa.array(URLS), "other": pa.array(URLS[::-1])}))
    assert asked == []
    both, parents = rows.keys("url", [RAW, HOST])
    assert parents is None
    raw, _ = rows.keys("url", [RAW])
    assert raw[RAW] is both[RAW]
    rows.keys("url", [C1, RAW])
    rows.keys("other", [RAW])
    assert asked == [[RAW, HOST], [C1], [RAW]]


def test_they_are_those_of_the_column(asked: list[list[KeyKind]]) -> None:
    rows = KeyedBatch(Batch(7, 3, {"url": pa.array(URLS)}))
    for _ in range(2):
        found, _ = rows.keys("url", [RAW, C1, HOST])
        assert found == keys_by_kind([RAW, C1, HOST], pa.array(URLS))[0]
    assert len(asked) == 1


def test_a_column_of_lists_gives_the_row_of_each_element_every_time() -> None:
    rows = KeyedBatch(Batch(0, 3, {"url": pa.array([["a:/1", "a:/2"], [], ["a:/3"]])}))
    for _ in range(2):
        found, parents = rows.keys("url", [RAW])
        assert len(found[RAW]) == 3
        assert parents is not None
        assert parents.tolist() == [0, 0, 2]


def test_a_column_that_cannot_carry_the_kind_is_refused_every_time() -> None:
    rows = KeyedBatch(Batch(0, 1, {"url": pa.array([1.5])}))
    for _ in range(2):
        with pytest.raises(UsageError, match="cannot carry"):
            rows.keys("url", [RAW])
