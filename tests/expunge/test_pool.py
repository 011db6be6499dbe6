"""Work on many shards."""

from __future__ import annotations

import os

import pytest

from expunge.errors import BadShard, Interrupted
from expunge.pool import Advance, map_shards
from expunge.progress import quiet


def double(shared: int, item: int, advance: Advance) -> int:
    advance(item)
    return shared * item


def fail(shared: object, item: int, advance: Advance) -> int:
    if item == 2:
        raise BadShard("b.csv: is empty.", "/data/b.csv")
    return item


def die(shared: object, item: int, advance: Advance) -> None:
    os._exit(9)


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_the_order_of_the_items(workers: int) -> None:
    told: list[tuple[str, int, int]] = []
    items = [3, 1, 2]
    found = map_shards(
        double, 10, items, workers=workers, stage="Doubling", total=6, progress=lambda *now: told.append(now)
    )
    assert found == [30, 10, 20]
    assert told[0] == ("Doubling", 0, 6)
    assert told[-1] == ("Doubling", 6, 6)


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_is_raised_as_it_was(workers: int) -> None:
    with pytest.raises(BadShard, match=r"^b\.csv: is empty\.$") as raised:
        map_shards(fail, None, [1, 2, 3, 4], workers=workers, stage="s", total=1, progress=quiet)
    assert raised.value.path == "/data/b.csv"


def test_a_killed_process_is_told_in_words() -> None:
    with pytest.raises(Interrupted, match="A worker process was killed"):
        map_shards(die, None, [1, 2], workers=2, stage="s", total=1, progress=quiet)
