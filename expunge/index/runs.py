"""Sorting pairs in bounded memory: runs that fit are sorted, then merged range by range of their prefixes."""

from __future__ import annotations

import os
import tempfile
from typing import TYPE_CHECKING, Self

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from expunge.index.arrays import Pairs

_PAIR_BYTES = 16
_LEAST_READ = 512

PEAK_BYTES = 64
"""Memory that sorting takes for each pair of a run, beside what it is made of."""


def sorted_pairs(prefixes: NDArray[np.uint64], places: NDArray[np.uint64]) -> Pairs:
    """Sort pairs by prefix; those with one prefix stay in the order given.

    Plain numbers sort many times as fast as an order of them is found. So each pair's number takes the lowest bits of its
    prefix, and what sorts are the leading bits with that number behind them, ties included.
    """
    bits = np.uint64(len(prefixes).bit_length())
    numbers = np.uint64((1 << int(bits)) - 1)
    packed = prefixes & ~numbers
    packed |= np.arange(len(prefixes), dtype=np.uint64)
    packed.sort()
    packed &= numbers
    order = packed.view(np.int64)
    ordered = prefixes[order]
    late = ordered[1:] < ordered[:-1]
    if late.any():  # prefixes that differ in the lowest bits alone: a few by chance, or made to
        leading = ordered >> bits
        mixed = np.flatnonzero(np.isin(leading, leading[1:][late]))
        of_mixed = order[mixed]
        order[mixed] = of_mixed[np.lexsort((of_mixed, prefixes[of_mixed]))]
        ordered = prefixes[order]
    return ordered, places[order]


class Runs:
    """Pairs given in the order of their places, that come out sorted by prefix; beyond `limit` pairs they are spilled.

    The spilled runs lie in one file without a name, which is gone with the process, however it ends.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder = folder
        self._limit = limit
        self._parts: list[Pairs] = []
        self._held = 0
        self._spilled = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  closed by close()
        self._lengths: list[int] = []
        self.count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let the spilled runs go."""
        self._spilled.close()

    def add(self, prefixes: NDArray[np.uint64], places: NDArray[np.uint64]) -> None:
        """Take more pairs, whose places are none before an earlier one's."""
        self._parts.append((prefixes, places))
        self._held += len(prefixes)
        self.count += len(prefixes)
        if self._held >= self._limit:
            run = self._take()
            self._lengths.append(len(run[0]))
            for part in run:
                self._spilled.write(part.data)

    def merged(self) -> Iterator[Pairs]:
        """All pairs, sorted by prefix and place, a part at a time."""
        last = self._take()
        if not self._lengths:
            yield last
            return
        self._spilled.flush()
        starts = np.cumsum([0, *self._lengths[:-1]]).tolist()
        step = max(_LEAST_READ, self._limit // len(starts))  # so that all runs together take what one did
        runs = [self._read(start, length, step) for start, length in zip(starts, self._lengths, strict=True)]
        yield from merge_runs([*runs, iter([last])])

    def _take(self) -> Pairs:
        """The pairs that are in memory, sorted; none are afterwards."""
        parts, self._parts, self._held = self._parts, [], 0
        prefixes = np.concatenate([np.zeros(0, np.uint64), *(part for part, _ in parts)])
        places = np.concatenate([np.zeros(0, np.uint64), *(part for _, part in parts)])
        del parts
        return sorted_pairs(prefixes, places)

    def _read(self, start: int, length: int, step: int) -> Iterator[Pairs]:
        """A spilled run, which begins after `start` pairs of earlier ones, `step` pairs at a time."""
        file = self._spilled.fileno()
        at_prefixes, at_places = start * _PAIR_BYTES, start * _PAIR_BYTES + length * 8
        for done in range(0, length, step):
            size = min(step, length - done) * 8
            yield (
                np.frombuffer(os.pread(file, size, at_prefixes + done * 8), np.uint64),
                np.frombuffer(os.pread(file, size, at_places + done * 8), np.uint64),
            )


def merge_runs(runs: Sequence[Iterable[Pairs]]) -> Iterator[Pairs]:
    """Merge sorted runs; of pairs with one prefix those of an earlier run come first.

    Memory is about twice what the runs yield at a time, whatever their lengths and however often a prefix repeats.
    """
    heads = [head for run in runs if (head := _Head(iter(run))).fill()]
    while heads:
        # Up to the bound, the lowest prefix that a run is read to, nothing smaller can come any more.
        bound = min(head.prefixes[-1] for head in heads)
        yield _in_order([head.below(bound) for head in heads])
        for head in heads:
            yield from head.equal(bound)
        heads = [head for head in heads if head.fill()]


def _in_order(parts: Sequence[Pairs]) -> Pairs:
    return sorted_pairs(
        np.concatenate([prefixes for prefixes, _ in parts]), np.concatenate([places for _, places in parts])
    )


class _Head:
    """The part of a run that is in memory."""

    def __init__(self, run: Iterator[Pairs]) -> None:
        self._run = run
        self._enough = 1
        self.prefixes = np.zeros(0, np.uint64)
        self._places = np.zeros(0, np.uint64)

    def fill(self) -> bool:
        """Read on where little is left, so that the next step has much to merge; False at the end of the run."""
        while len(self.prefixes) < self._enough and (pairs := next(self._run, None)) is not None:
            self._enough = max(self._enough, len(pairs[0]) // 2)
            self.prefixes = np.concatenate((self.prefixes, pairs[0]))
            self._places = np.concatenate((self._places, pairs[1]))
        return len(self.prefixes) > 0

    def below(self, bound: np.uint64) -> Pairs:
        """Take the pairs before `bound`."""
        return self._cut(int(self.prefixes.searchsorted(bound)))

    def equal(self, bound: np.uint64) -> Iterator[Pairs]:
        """Take the pairs at `bound`, reading on as long as there may be more."""
        while self.fill() and self.prefixes[0] == bound:
            yield self._cut(int(self.prefixes.searchsorted(bound, "right")))

    def _cut(self, at: int) -> Pairs:
        taken = self.prefixes[:at], self._places[:at]
        self.prefixes, self._places = self.prefixes[at:], self._places[at:]
        return taken
