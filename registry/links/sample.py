"""The rows with the smallest keyed hash: a random sample that stays the same while the rows do.

A row's number is SipHash-2-4, keyed, of its raw key. Nobody without the secret can make a URL that is in the sample or
out of it, and a row that is in the sample of one version is in that of the next, unless many with smaller numbers came.
Memory is a small multiple of the sample's size, however many rows are offered, and samples of parts can be merged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt
    import pyarrow as pa

    Words = npt.NDArray[np.uint64]


class Drawn(NamedTuple):
    """One row of a sample: its number, its raw key (32 bytes), the place of its shard, its row index, and its URL."""

    number: int
    key: bytes
    shard: int
    row: int
    url: bytes


class BottomK:
    """The `size` distinct URLs with the smallest numbers among all rows offered, each at its first row."""

    def __init__(self, size: int, secret: bytes) -> None:
        """`secret` is 16 bytes."""
        self.size = size
        self._secret = secret
        self._kept: dict[int, Drawn] = {}
        self._limit = 2**64  # exclusive: what is not below it cannot be in the sample any more

    def offer(
        self, shard: int, rows: npt.NDArray[np.int64], keys: npt.NDArray[np.uint8], urls: pa.Array
    ) -> None:
        """Offer rows of one shard: row indexes (n), raw keys (n, 32) and URLs as pa.large_binary() (n)."""
        numbers = siphash(self._secret, keys)
        low = np.flatnonzero(numbers < np.uint64(min(self._limit, 2**64 - 1)))
        _, first = np.unique(numbers[low], return_index=True)  # by number; of equal ones the first row
        for place in low[first[: self.size]].tolist():
            self._keep(
                Drawn(
                    int(numbers[place]), keys[place].tobytes(), shard, int(rows[place]), urls[place].as_py()
                )
            )

    def merge(self, other: BottomK) -> None:
        """Take over what another sample of the same size and secret has kept."""
        for drawn in other._kept.values():
            self._keep(drawn)

    def drawn(self) -> list[Drawn]:
        """The sample, by number."""
        return sorted(self._kept.values())[: self.size]

    def _keep(self, drawn: Drawn) -> None:
        if drawn.number >= self._limit:
            return
        known = self._kept.get(drawn.number)
        if known is None or (drawn.shard, drawn.row) < (known.shard, known.row):
            self._kept[drawn.number] = drawn
        if len(self._kept) >= 2 * self.size + 1024:
            self._kept = {one.number: one for one in self.drawn()}
            self._limit = max(self._kept) + 1


def siphash(secret: bytes, keys: npt.NDArray[np.uint8]) -> Words:
    """Return SipHash-2-4 of each row of `keys` (n, 32) under `secret` (16 bytes), as (n) uint64."""
    first, second = np.frombuffer(secret, "<u8")
    words = np.ascontiguousarray(keys).view("<u8").astype(np.uint64)
    v = [
        np.full(len(words), start ^ half, np.uint64)
        for start, half in zip(_START, (first, second, first, second), strict=True)
    ]
    length = np.full(len(words), keys.shape[1] << 56, np.uint64)  # the last word holds the length alone
    for word in (*words.T, length):
        v[3] ^= word
        _round(v)
        _round(v)
        v[0] ^= word
    v[2] ^= np.uint64(0xFF)
    for _ in range(4):
        _round(v)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


_START = tuple(
    np.uint64(int.from_bytes(part)) for part in (b"somepseu", b"dorandom", b"lygenera", b"tedbytes")
)


def _round(v: list[Words]) -> None:
    v[0] += v[1]
    v[2] += v[3]
    v[1] = _rotated(v[1], 13) ^ v[0]
    v[3] = _rotated(v[3], 16) ^ v[2]
    v[0] = _rotated(v[0], 32) + v[3]
    v[2] += v[1]
    v[3] = _rotated(v[3], 21) ^ v[0]
    v[1] = _rotated(v[1], 17) ^ v[2]
    v[2] = _rotated(v[2], 32)


def _rotated(words: Words, bits: int) -> Words:
    return (words << np.uint64(bits)) | (words >> np.uint64(64 - bits))
