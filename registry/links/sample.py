"""The rows with the smallest keyed hash: a random sample that stays the same while the rows do.

A row's number is SipHash-2-4, keyed, of its raw key. Nobody without the secret can make a URL that is in the sample or
out of it, and a row that is in the sample of one version is in that of the next, unless many with smaller numbers came.
Memory is a small multiple of the sample's size, however many rows are offered, and samples of parts can be merged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    import numpy.typing as npt

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
        """Offer rows of one shard: row indexes (n), raw keys (n, 32) and URLs, text or binary (n)."""
        numbers = siphash(self._secret, keys)
        low = np.flatnonzero(numbers < np.uint64(min(self._limit, 2**64 - 1)))
        _, first = np.unique(numbers[low], return_index=True)  # by number; of equal ones the first row
        places = low[first[: self.size]]
        written = (
            urls.take(places).cast(pa.large_binary()).to_pylist()
        )  # as bytes: nobody knows whether they are UTF-8
        for place, url in zip(places.tolist(), written, strict=True):
            self._keep(Drawn(int(numbers[place]), keys[place].tobytes(), shard, int(rows[place]), url))
        if len(self._kept) > self.size:
            self._forget_the_rest()

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
            self._forget_the_rest()

    def _forget_the_rest(self) -> None:
        """Keep what is in the sample now: what cannot be in it any more is then not even looked at."""
        self._limit = sorted(self._kept)[self.size - 1] + 1
        self._kept = {number: one for number, one in self._kept.items() if number < self._limit}


def siphash(secret: bytes, keys: npt.NDArray[np.uint8]) -> Words:
    """Return SipHash-2-4 of each row of `keys` (n, 32) under `secret` (16 bytes), as (n) uint64."""
    words = np.ascontiguousarray(keys).view("<u8")
    return np.concatenate(
        [_siphash(secret, words[at : at + _AT_ONCE]) for at in range(0, len(words), _AT_ONCE)]
        or [np.empty(0, np.uint64)]
    )


def _siphash(secret: bytes, words: Words) -> Words:
    """The same of rows of four words, so few that all of it stays in the processor's cache."""
    first, second = np.frombuffer(secret, "<u8")
    v = [
        np.full(len(words), start ^ half, np.uint64)
        for start, half in zip(_START, (first, second, first, second), strict=True)
    ]
    spare = np.empty(len(words), np.uint64)
    length = np.full(len(words), words.shape[1] * 8 << 56, np.uint64)  # the last word holds the length alone
    for word in (*words.T, length):
        v[3] ^= word
        _round(v, spare)
        _round(v, spare)
        v[0] ^= word
    v[2] ^= np.uint64(0xFF)
    for _ in range(4):
        _round(v, spare)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


_AT_ONCE = 8_192
_START = tuple(
    np.uint64(int.from_bytes(part)) for part in (b"somepseu", b"dorandom", b"lygenera", b"tedbytes")
)


def _round(v: list[Words], spare: Words) -> None:
    """One round of the paper's, in place; `spare` is overwritten."""
    v[0] += v[1]
    v[2] += v[3]
    _rotate(v[1], 13, spare)
    _rotate(v[3], 16, spare)
    v[1] ^= v[0]
    v[3] ^= v[2]
    _rotate(v[0], 32, spare)
    v[2] += v[1]
    v[0] += v[3]
    _rotate(v[1], 17, spare)
    _rotate(v[3], 21, spare)
    v[1] ^= v[2]
    v[3] ^= v[0]
    _rotate(v[2], 32, spare)


def _rotate(words: Words, bits: int, spare: Words) -> None:
    np.right_shift(words, np.uint64(64 - bits), out=spare)
    np.left_shift(words, np.uint64(bits), out=words)
    np.bitwise_or(words, spare, out=words)
