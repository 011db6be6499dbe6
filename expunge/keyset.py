"""A set of keys of one kind, made to be looked up by whole columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa
    from numpy.typing import NDArray

_PREFIX_BYTES = 8
_MAX_TABLE_BITS = 24


class KeySet:
    """Distinct keys of one kind, in the order given.

    Keys of a kind that is a digest of `size` bytes are found by their first 8 bytes and then compared in full: a table
    of the leading bits lets through about one row in sixteen, a binary search the true ones. Kinds of no fixed length
    (hosts, ids; `size` 0) are looked up in a dictionary.
    """

    def __init__(self, keys: Sequence[bytes], size: int = 0) -> None:
        self._size = size if keys else 0
        if not self._size:
            self._places = {key: place for place, key in enumerate(keys)}
            return
        matrix = np.frombuffer(b"".join(keys), np.uint8).reshape(-1, self._size)
        prefixes = _prefixes(matrix)
        self._order = np.argsort(prefixes, kind="stable")
        self._sorted = prefixes[self._order]
        self._keys = matrix
        self._repeated = bool((self._sorted[1:] == self._sorted[:-1]).any())
        self._shift = 64 - min(_MAX_TABLE_BITS, len(keys).bit_length() + 4)
        self._table = np.zeros(1 << (64 - self._shift), dtype=bool)
        self._table[(prefixes >> np.uint64(self._shift)).astype(np.int64)] = True

    def match(self, keys: pa.Array) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Find the members in a column of keys (pa.binary(), nulls allowed).

        Returns the indexes in the column, ascending, and the place of each one's key in the set.
        """
        if len(keys) == keys.null_count:
            return _NONE, _NONE
        if not self._size:
            return self._match_by_value(keys)
        valid = None
        if keys.null_count:
            valid = np.flatnonzero(keys.is_valid().to_numpy(zero_copy_only=False))
        matrix = _matrix(keys)
        if matrix.shape[1] != self._size:
            raise ValueError(f"keys of {self._size} bytes cannot be compared with keys of another length")
        rows, places = self._match_by_prefix(matrix)
        return (rows if valid is None else valid[rows]), places

    def _match_by_prefix(self, matrix: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        prefixes = _prefixes(matrix)
        rows = np.flatnonzero(self._table[(prefixes >> np.uint64(self._shift)).astype(np.int64)])
        at = np.searchsorted(self._sorted, prefixes[rows])
        near = np.minimum(at, len(self._sorted) - 1)
        hit = self._sorted[near] == prefixes[rows]
        rows, near = rows[hit], near[hit]
        if self._repeated:
            return self._confirm_each(matrix, rows, near)
        places = self._order[near]
        same = (self._keys[places] == matrix[rows]).all(axis=1)
        return rows[same], places[same]

    def _confirm_each(
        self, matrix: NDArray[np.uint8], rows: NDArray[np.int64], near: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Confirm hits one by one where several keys of the set share their first 8 bytes."""
        found: list[tuple[int, int]] = []
        for row, start in zip(rows.tolist(), near.tolist(), strict=True):
            at = start
            while at < len(self._sorted) and self._sorted[at] == self._sorted[start]:
                place = int(self._order[at])
                if (self._keys[place] == matrix[row]).all():
                    found.append((row, place))
                at += 1
        pairs = np.array(found, dtype=np.int64).reshape(-1, 2)
        return pairs[:, 0], pairs[:, 1]

    def _match_by_value(self, keys: pa.Array) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        places = self._places
        found = [(row, places[key]) for row, key in enumerate(keys.to_pylist()) if key in places]
        pairs = np.array(found, dtype=np.int64).reshape(-1, 2)
        return pairs[:, 0], pairs[:, 1]


_NONE = np.zeros(0, dtype=np.int64)


def key_prefixes(keys: pa.Array) -> NDArray[np.uint64]:
    """The first 8 bytes of each key (pa.binary(), all of one length) as a big-endian number; nulls are left out."""
    return _prefixes(_matrix(keys)) if keys.null_count < len(keys) else np.zeros(0, np.uint64)


def _matrix(keys: pa.Array) -> NDArray[np.uint8]:
    """The bytes of the keys that are not null, one in each row; there must be some, all of one length."""
    if keys.null_count:
        keys = keys.drop_null()
    offsets = np.frombuffer(keys.buffers()[1], np.int32, len(keys) + 1, keys.offset * 4)
    begin, end = int(offsets[0]), int(offsets[-1])
    size = int(offsets[1]) - begin
    if end - begin != len(keys) * size:
        raise ValueError("these keys are not all of one length")
    return np.frombuffer(keys.buffers()[2], np.uint8, end - begin, begin).reshape(-1, size)


def _prefixes(matrix: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """The first 8 bytes of each row as a big-endian number, so that numbers sort as keys do."""
    return np.ascontiguousarray(matrix[:, :_PREFIX_BYTES]).view(">u8").ravel().astype(np.uint64)
