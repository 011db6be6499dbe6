"""Work on many shards."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

import pytest

from expunge.errors import BadShard, Interrupted
from expunge.pool import Advance, map_shards, map_threads
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


@pytest.mark.parametrize("workers", [1, 2])
def test_threads_give_the_results_in_the_order_of_the_items(workers: int) -> None:
    told: list[tuple[str, int, int]] = []
    found = map_threads(
        double, 10, [3, 1, 2], workers=workers, stage="s", total=6, progress=lambda *now: told.append(now)
    )
    assert found == [30, 10, 20]
    assert (told[0], told[-1]) == (("s", 0, 6), ("s", 6, 6))


def test_an_error_in_one_thread_stops_the_others_where_they_tell_of_progress() -> None:
    begun = threading.Event()

    def work(_shared: None, item: int, advance: Advance) -> None:
        if item:
            begun.wait(10)
            raise BadShard("b.csv: is empty.", "/data/b.csv")
        begun.set()
        for _ in range(1000):  # ten seconds, if nothing stops it
            advance(1)
            time.sleep(0.01)

    started = time.monotonic()
    with pytest.raises(BadShard, match=r"^b\.csv: is empty\.$"):
        map_threads(work, None, [0, 1, 2], workers=2, stage="s", total=1, progress=quiet)
    assert time.monotonic() - started < 5


def test_pandas_is_left_out_of_a_process_of_ours() -> None:
    """PyArrow imports it, where it is installed, as soon as an array is made."""
    script = (
        "from expunge.pool import leave_pandas_out; leave_pandas_out(); import pyarrow, sys; "
        "assert pyarrow.array([1, 2]).to_pylist() == [1, 2]; print('pandas' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
