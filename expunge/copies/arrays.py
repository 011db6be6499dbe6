"""Embeddings: an `.npy` whose rows stand beside those of a manifest, as clip-retrieval writes them."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from expunge.copies.part import Change, Follower
from expunge.errors import VerificationFailed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from expunge.copies.part import Going
    from expunge.copies.targets import Target

_COPY_BYTES = 8 << 20


@dataclass(frozen=True)
class ArrayRows(Follower):
    """An array of which row n belongs to row n of the manifest; streamed, whatever its length."""

    def expect(self, rows: int, manifest: str) -> None:
        """Refuse an array that has not as many rows as the manifest."""
        found = len(self._open(self.path))
        if found != rows:
            raise self.bad(
                f"has {found:,} rows, but {manifest} has {rows:,}: it does not belong to it, or one of them was cut before."
            )

    def changes(self, going: Going) -> list[Change]:
        """The vectors that would be cut out, or become zeros."""
        positions = self._positions(going)
        if not positions:
            return []
        return [Change(self.name, "vectors", self.path.stat().st_size, positions=positions)]

    def write(self, going: Going, target: Target) -> None:
        """Cut the rows out or, in the aligned form, set them to zero."""
        self.expect(going.rows, "the manifest")
        positions = self._positions(going)
        if not positions:
            target.keep(self.path, self.name)
            return
        new = target.new(self.path, self.name)
        if going.aligned:
            self._zero(new, positions)
        else:
            self._cut(new, positions)
        with new.open("rb") as written:
            os.fsync(written.fileno())
        self._compare(new, positions, aligned=going.aligned)

    def _positions(self, going: Going) -> list[int]:
        """The rows to change; of the aligned form those that are not zero yet."""
        if not going.aligned or not len(going.positions):
            return list(map(int, going.positions))
        array = self._open(self.path)
        return [row for row in map(int, going.positions) if array[row].tobytes().strip(b"\0")]

    def _zero(self, new: Path, positions: list[int]) -> None:
        shutil.copyfile(self.path, new)
        array = np.load(new, mmap_mode="r+", allow_pickle=False)
        for row in positions:
            array[row] = np.zeros((), array.dtype)
        array.flush()

    def _cut(self, new: Path, positions: list[int]) -> None:
        array = self._open(self.path)
        shape = (len(array) - len(positions), *array.shape[1:])
        fortran = bool(array.flags.f_contiguous and not array.flags.c_contiguous)
        written = np.lib.format.open_memmap(new, "w+", array.dtype, shape, fortran_order=fortran)
        with new.open(
            "rb+"
        ) as file:  # a page of the map that finds no room on the disk would end the process
            os.posix_fallocate(file.fileno(), 0, new.stat().st_size)
        for begin, end, to in _kept(array, positions):
            written[to : to + end - begin] = array[begin:end]
        written.flush()

    def _compare(self, new: Path, positions: list[int], *, aligned: bool) -> None:
        """Read the array back: every row that stays is what it was, to the bit."""
        array, written = self._open(self.path), self._open(new)
        rows = len(array) if aligned else len(array) - len(positions)
        if (len(written), written.shape[1:], written.dtype) != (rows, array.shape[1:], array.dtype):
            raise VerificationFailed(f"{self.name}: the array was not written with the shape it should have.")
        for begin, end, to in _kept(array, positions):
            at = begin if aligned else to
            if array[begin:end].tobytes() != written[at : at + end - begin].tobytes():
                raise VerificationFailed(f"{self.name}: rows {begin} to {end - 1} are not what they were.")
        if aligned and any(written[row].tobytes().strip(b"\0") for row in positions):
            raise VerificationFailed(f"{self.name}: a row was not set to zero.")

    def _open(self, path: Path) -> NDArray[Any]:
        try:
            array = np.load(path, mmap_mode="r", allow_pickle=False)
        except (ValueError, EOFError, OSError) as error:
            reason = str(error).splitlines()[0][:200].rstrip(".") if str(error) else "it ends too early"
            raise self.bad(f"cannot be read as an array ({reason}). Fetch it again.") from error
        if not isinstance(array, np.ndarray) or array.ndim == 0:
            raise self.bad("is no array of rows.")
        return array


def _kept(array: NDArray[Any], positions: list[int]) -> Iterator[tuple[int, int, int]]:
    """The runs of rows that stay, in pieces that fit in memory: from, to, and where they begin when the others are cut."""
    step = max(1, _COPY_BYTES // max(1, array.nbytes // max(1, len(array))))
    to = 0
    for before, after in pairwise([-1, *positions, len(array)]):
        for begin in range(before + 1, after, step):
            end = min(begin + step, after)
            yield begin, end, to
            to += end - begin
