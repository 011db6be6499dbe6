"""Sorted arrays in files: searched as in memory, and never believed when damaged."""

from __future__ import annotations

import random
import tracemalloc
from bisect import bisect_left
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from expunge.index.arrays import BLOCK, ArrayWriter, BadIndex, SortedArray
from expunge.index.runs import Runs, merge_runs, sorted_pairs

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

TOP = 2**64 - 1
FEW = st.sampled_from([0, 1, 2, 3, TOP - 1, TOP])  # so that prefixes repeat
PREFIXES = st.lists(st.one_of(FEW, st.integers(0, TOP)), max_size=60)


def u64(values: list[int]) -> NDArray[np.uint64]:
    return np.array(values, np.uint64)


def write(path: Path, prefixes: list[int], place_bytes: int = 4, step: int = 1000) -> Path:
    """Write the sorted prefixes, the place of each being its index."""
    with path.open("wb") as sink:
        writer = ArrayWriter(sink, place_bytes)
        for first in range(0, len(prefixes), step):
            part = prefixes[first : first + step]
            writer.append(u64(part), np.arange(first, first + len(part), dtype=np.uint64))
        writer.finish({"kind": "url.raw.sha256", "rows": len(prefixes)})
    return path


def find(path: Path, wanted: list[int]) -> list[int]:
    with SortedArray(path) as array:
        return sorted(array.find(u64(sorted(set(wanted)))).tolist())


def brute(prefixes: list[int], wanted: list[int]) -> list[int]:
    return [place for place, prefix in enumerate(prefixes) if prefix in set(wanted)]


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    st.lists(FEW, max_size=6), st.lists(st.integers(0, TOP), max_size=5), PREFIXES, st.sampled_from([4, 8])
)
def test_what_is_found_is_what_is_there(
    tmp_path: Path, repeated: list[int], single: list[int], wanted: list[int], place_bytes: int
) -> None:
    prefixes = sorted(repeated * 400 + single)  # runs of one prefix over several blocks
    path = write(tmp_path / "a.idx", prefixes, place_bytes)
    assert find(path, wanted + single) == brute(prefixes, wanted + single)
    with SortedArray(path) as array:
        assert array.count == len(prefixes)
        assert [p for chunk, _ in array.chunks(700) for p in chunk.tolist()] == prefixes
        array.prove()


@pytest.mark.parametrize("count", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK])
def test_every_pair_is_found_at_the_edges_of_blocks(tmp_path: Path, count: int) -> None:
    prefixes = list(range(10, 10 + 3 * count, 3))
    path = write(tmp_path / "a.idx", prefixes, step=333)
    assert find(path, list(range(10 + 3 * count))) == list(range(count))
    assert find(path, [0, 11, TOP]) == []


def test_places_beyond_32_bits_are_kept(tmp_path: Path) -> None:
    with (tmp_path / "a.idx").open("wb") as sink:
        writer = ArrayWriter(sink, 8)
        writer.append(u64([5]), u64([2**40 + 7]))
        writer.finish({})
    assert find(tmp_path / "a.idx", [5]) == [2**40 + 7]


def test_no_changed_byte_changes_an_answer(tmp_path: Path) -> None:
    prefixes = sorted(random.Random(n).getrandbits(64) for n in range(3 * BLOCK + 100))
    path = write(tmp_path / "a.idx", prefixes)
    whole = path.read_bytes()
    wanted = prefixes[::9]
    expected = brute(prefixes, wanted)
    blocks = 4 * BLOCK * 12
    chance = random.Random(11)
    places = [*range(blocks, len(whole)), *chance.sample(range(blocks), 400)]
    refused = 0
    for place in places:
        broken = bytearray(whole)
        broken[place] ^= 1 << chance.randrange(8)
        path.write_bytes(broken)
        try:
            assert find(path, wanted) == expected
        except BadIndex as error:
            refused += 1
            assert "Build it again with expunge index" in str(error)  # noqa: PT017  either outcome is right
    assert refused > len(places) * 0.9  # of what a search reads all, and it reads nearly all here
    path.write_bytes(whole)
    assert find(path, wanted) == expected


@pytest.mark.parametrize("kept", [0, 1, 50, 55, 56, 57, 3000, -57, -56, -8, -1])
def test_a_file_that_was_cut_off_is_refused(tmp_path: Path, kept: int) -> None:
    path = write(tmp_path / "a.idx", list(range(1000)))
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(BadIndex, match=r"a\.idx is "):
        SortedArray(path)


def test_a_file_with_bytes_cut_out_of_it_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.idx", list(range(1000)))
    data = path.read_bytes()
    path.write_bytes(data[BLOCK * 12 :])
    with pytest.raises(BadIndex, match="cut off"):
        SortedArray(path)


def test_another_format_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "a.idx").open("wb") as sink:
        writer = ArrayWriter(sink, 4)
        writer.finish({})
    later = (tmp_path / "a.idx").read_bytes().replace(b"expunge-index/1", b"expunge-index/2")
    (tmp_path / "a.idx").write_bytes(later)
    with pytest.raises(BadIndex):
        SortedArray(tmp_path / "a.idx")


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    st.lists(FEW, max_size=6),
    st.lists(st.integers(0, TOP), max_size=30),
    st.lists(st.one_of(FEW, st.integers(0, TOP)), max_size=4),
    st.integers(1, 700),
)
def test_parts_make_the_same_file_wherever_the_cuts_are(
    tmp_path: Path, repeated: list[int], single: list[int], cuts: list[int], step: int
) -> None:
    prefixes = sorted(repeated * 300 + single * 40)
    whole = write(tmp_path / "whole.idx", prefixes, 8)
    parted = tmp_path / "parted.idx"
    parted.write_bytes(b"")
    bounds = [0, *sorted(set(cuts) - {0}), None]
    parts = []
    with SortedArray(whole) as array:
        ranks = [array.count if bound is None else array.rank(bound) for bound in bounds]
        assert ranks[:-1] == [bisect_left(prefixes, bound or 0) for bound in bounds[:-1]]
        ranges = list(pairwise(ranks))
        for begin, end in reversed(ranges):  # in any order
            with parted.open("r+b") as sink:
                parts.append(ArrayWriter.write_part(sink, 8, begin, array.chunks(step, begin, end)))
    with parted.open("r+b") as sink:
        writer = ArrayWriter(sink, 8)
        for part in reversed(parts):
            writer.adopt(part)
        writer.finish({"kind": "url.raw.sha256", "rows": len(prefixes)})
    assert parted.read_bytes() == whole.read_bytes()


@settings(deadline=None, max_examples=200)
@given(st.lists(st.one_of(FEW, st.integers(0, 40), st.integers(TOP - 40, TOP), st.integers(0, TOP))))
def test_prefixes_are_sorted_that_differ_in_any_bit(prefixes: list[int]) -> None:
    ordered, places = sorted_pairs(u64(prefixes), np.arange(len(prefixes), dtype=np.uint64))
    expected = sorted((prefix, place) for place, prefix in enumerate(prefixes))
    assert list(zip(ordered.tolist(), places.tolist(), strict=True)) == expected


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=80)
@given(PREFIXES, st.integers(1, 30), st.integers(1, 20))
def test_runs_come_out_sorted_however_small_they_are(
    tmp_path: Path, prefixes: list[int], limit: int, step: int
) -> None:
    with Runs(tmp_path, limit) as runs:
        for first in range(0, len(prefixes), step):
            part = prefixes[first : first + step]
            runs.add(u64(part), np.arange(first, first + len(part), dtype=np.uint64))
        merged = [
            pair
            for found, places in runs.merged()
            for pair in zip(found.tolist(), places.tolist(), strict=True)
        ]
    assert merged == sorted((prefix, place) for place, prefix in enumerate(prefixes))
    assert not list(tmp_path.glob("*run*"))


@settings(deadline=None, max_examples=80)
@given(st.lists(PREFIXES, max_size=6), st.integers(1, 7))
def test_merged_runs_are_in_order_and_earlier_runs_come_first(runs: list[list[int]], step: int) -> None:
    places = iter(range(10_000))
    sorted_runs = [[(prefix, next(places)) for prefix in sorted(run)] for run in runs]
    parts = [
        iter(
            [
                (u64([p for p, _ in run[at : at + step]]), u64([n for _, n in run[at : at + step]]))
                for at in range(0, len(run), step)
            ]
        )
        for run in sorted_runs
    ]
    merged = [
        pair for found, at in merge_runs(parts) for pair in zip(found.tolist(), at.tolist(), strict=True)
    ]
    assert merged == sorted(pair for run in sorted_runs for pair in run)


def test_pairs_with_one_prefix_stay_in_the_order_given() -> None:
    chance = np.random.default_rng(1)
    prefixes = chance.integers(0, 50, 20_000, dtype=np.uint64)
    ordered, places = sorted_pairs(prefixes, np.arange(20_000, dtype=np.uint64))
    order = np.argsort(prefixes, kind="stable")
    assert (ordered == prefixes[order]).all()
    assert (places == order).all()


@pytest.mark.parametrize("distinct", [1, 7, 2**63])
def test_sorting_takes_the_memory_of_one_run_however_much_there_is(tmp_path: Path, distinct: int) -> None:
    """A million pairs of 16 bytes in runs of 20,000, also when they share one prefix."""
    chance = np.random.default_rng(1)
    tracemalloc.start()
    try:
        with Runs(tmp_path, 20_000) as runs:
            for first in range(0, 1_000_000, 10_000):
                places = np.arange(first, first + 10_000, dtype=np.uint64)
                runs.add(chance.integers(0, distinct, 10_000, dtype=np.uint64), places)
            count, last = 0, np.uint64(0)
            for prefixes, _ in runs.merged():
                if len(prefixes):
                    assert last <= prefixes[0]
                    last = prefixes[-1]
                count += len(prefixes)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count == 1_000_000
    assert peak < 5_000_000


def test_merging_reads_no_more_than_it_must(tmp_path: Path) -> None:
    """A prefix that fills whole runs is passed on piece by piece."""
    runs = [iter([(u64([7] * 100), u64([n] * 100)) for _ in range(5)]) for n in range(3)]
    sizes = [len(found) for found, _ in merge_runs(runs)]
    assert sum(sizes) == 1500
    assert max(sizes) <= 200
