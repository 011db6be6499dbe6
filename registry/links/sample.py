"""The rows with the smallest keyed hash: a random sample that stays the same while the rows do.

A row's number is SipHash-2-4, keyed, of its raw key. Nobody without the secret can make a URL that is in the sample or
out of it, and a row that is in the sample of one version is in that of the next, unless many with smaller numbers came.

What is rare among the rows would be rarer still in the sample. So each kind of domain (`strata.py`) that the `size`
smallest numbers hold few of has a limit of its own, below which every row of it is in the sample: the number that lets
in `floor` of them, but at most `DENSER` times that of all. How likely a row was to be drawn is its limit over 2^64.

Memory is a small multiple of the sample's size, however many rows are offered, and samples of parts can be merged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa

from registry.links.strata import NO_LIMIT, STRATA, strata_of

if TYPE_CHECKING:
    import numpy.typing as npt

    from registry.links.strata import Stratum

    Words = npt.NDArray[np.uint64]

DENSER = 8
"""How many times as densely as all others a rare kind is drawn at most: so many times `size` rows are looked at closely."""

_WAITING = 4_096  # rows beyond twice the size that may wait to be sorted in


class Drawn(NamedTuple):
    """One row of a sample: its number, its raw key (32 bytes), the place of its shard, its row index, and its URL."""

    number: int
    key: bytes
    shard: int
    row: int
    url: bytes


class BottomK:
    """The distinct URLs with the smallest numbers among all rows offered, each at its first row.

    That is the `size` smallest of all, and of each rare kind of domain as many as make up `floor`, where there are.
    """

    def __init__(self, size: int, secret: bytes) -> None:
        """`secret` is 16 bytes."""
        self.size = size
        # 100 links tell a share within ten points. Of a small sample less, so that rare kinds do not become most of it.
        self.floor = min(max(100, size // 20), size // 4)
        self._secret = secret
        self._kept = _rows(np.empty(0, np.uint64), 0, np.empty(0, np.int64), _NO_KEYS, _NO_URLS)
        self._waiting: list[pa.Table] = []
        # Exclusive: what is not below them cannot be in the sample any more.
        self._limit = NO_LIMIT
        self._limits = [NO_LIMIT] * len(STRATA)

    def offer(self, shard: int, rows: npt.NDArray[np.int64], keys: pa.Array, urls: pa.Array) -> None:
        """Offer rows of one shard: row indexes (n), raw keys (n, 32 bytes each) and URLs, text or binary (n); no nulls."""
        numbers = siphash(self._secret, _matrix(keys))
        low = np.flatnonzero(numbers < _word(max(self._limits)))
        if not len(low):
            return
        places = pa.array(low)
        self._waiting.append(_rows(numbers[low], shard, rows[low], keys.take(places), urls.take(places)))
        if sum(map(len, self._waiting)) > 2 * self.size + _WAITING:
            self._settle()

    def merge(self, other: BottomK) -> None:
        """Take over what another sample of the same size and secret has kept."""
        self._waiting += [other._kept, *other._waiting]
        self._limit = min(self._limit, other._limit)
        self._limits = [min(pair) for pair in zip(self._limits, other._limits, strict=True)]
        self._settle()

    def drawn(self) -> list[Drawn]:
        """The sample, by number."""
        self._settle()
        kept = (self._kept[name].to_pylist() for name in Drawn._fields)
        return [Drawn(*row) for row in zip(*kept, strict=True)]

    def limits(self) -> dict[Stratum, int]:
        """Below which number every row of a kind is in the sample; `NO_LIMIT` where all are."""
        self._settle()
        return dict(zip(STRATA, self._limits, strict=True))

    def _settle(self) -> None:
        """Sort in what waits, lower the limits, and forget what is not below them."""
        if not self._waiting:
            return
        rows = pa.concat_tables([self._kept, *self._waiting]).combine_chunks()
        self._waiting = []
        numbers, first = _first_of_each(rows)
        if len(numbers) > self.size:
            self._limit = min(self._limit, int(numbers[self.size]))
        reach = min(DENSER * self._limit, NO_LIMIT)
        within = int(np.searchsorted(numbers, _word(reach)))
        numbers, rows = numbers[:within], rows.take(pa.array(first[:within]))
        strata = _strata(rows)
        for code in range(len(STRATA)):
            own = numbers[strata == code]
            enough = int(own[self.floor]) if len(own) > self.floor else NO_LIMIT
            # No number is missed: every row of the kind below its old limit is here, and no new limit is above that.
            self._limits[code] = max(self._limit, min(self._limits[code], enough, reach))
        limits = np.array([_word(limit) for limit in self._limits])
        rows = rows.set_column(rows.schema.get_field_index("stratum"), "stratum", pa.array(strata))
        self._kept = rows.filter(pa.array(numbers < limits[strata])).combine_chunks()


_UNTOLD = 255  # the stratum of a row that nobody looked at closely yet
_NO_KEYS, _NO_URLS = pa.nulls(0, pa.binary(32)), pa.nulls(0, pa.large_binary())


def _rows(
    numbers: Words, shard: int, rows: npt.NDArray[np.int64], keys: pa.Array, urls: pa.Array
) -> pa.Table:
    """Rows of one shard as they are kept, their kind not told yet."""
    if pa.types.is_dictionary(urls.type):
        urls = urls.dictionary_decode()
    count = len(numbers)
    return pa.table(
        {
            "number": pa.array(numbers),
            "key": keys,
            "shard": pa.array(np.full(count, shard, np.int64)),
            "row": pa.array(rows),
            "url": urls.cast(pa.large_binary()),  # as bytes: nobody knows whether they are UTF-8
            "stratum": pa.array(np.full(count, _UNTOLD, np.uint8)),
        }
    )


def _first_of_each(rows: pa.Table) -> tuple[Words, npt.NDArray[np.int64]]:
    """The distinct numbers in order, and the place of the first row that has each."""
    numbers = rows["number"].to_numpy()
    order = np.lexsort((rows["row"].to_numpy(), rows["shard"].to_numpy(), numbers))
    numbers = numbers[order]
    new = np.ones(len(numbers), np.bool_)
    new[1:] = numbers[1:] != numbers[:-1]
    return numbers[new], order[new]


def _strata(rows: pa.Table) -> npt.NDArray[np.uint8]:
    """The kinds of rows, as places in STRATA; looked for where they are not told yet."""
    strata = np.array(rows["stratum"].to_numpy(), np.uint8)  # a copy: Arrow's own cannot be written to
    untold = np.flatnonzero(strata == _UNTOLD)
    strata[untold] = strata_of(rows["url"].combine_chunks().take(pa.array(untold)))
    return strata


def _word(limit: int) -> np.uint64:
    """A limit as it is compared with numbers; the highest number of all is never drawn."""
    return np.uint64(min(limit, NO_LIMIT - 1))


def _matrix(keys: pa.Array) -> npt.NDArray[np.uint8]:
    """The bytes of keys (pa.binary(32), no nulls), one in each row."""
    size = keys.type.byte_width
    flat = np.frombuffer(keys.buffers()[1] or b"", np.uint8)
    return flat[keys.offset * size : (keys.offset + len(keys)) * size].reshape(-1, size)


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
