from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.links.sample import DENSER, BottomK, Drawn, siphash
from registry.links.strata import NO_LIMIT, STRATA, Stratum, link_host, strata_of, stratum_of
from tests.registry.links.plain_sample import plain_limits, plainly_drawn

SECRET = bytes(range(16))
MASK = 2**64 - 1


def plain_siphash(secret: bytes, data: bytes) -> int:
    """SipHash-2-4 as its paper has it, a word at a time."""
    k0, k1 = int.from_bytes(secret[:8], "little"), int.from_bytes(secret[8:], "little")
    v = [k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D, k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573]

    def rotated(x: int, bits: int) -> int:
        return ((x << bits) | (x >> (64 - bits))) & MASK

    def rounds(count: int) -> None:
        for _ in range(count):
            v[0] = (v[0] + v[1]) & MASK
            v[1] = rotated(v[1], 13) ^ v[0]
            v[0] = rotated(v[0], 32)
            v[2] = (v[2] + v[3]) & MASK
            v[3] = rotated(v[3], 16) ^ v[2]
            v[0] = (v[0] + v[3]) & MASK
            v[3] = rotated(v[3], 21) ^ v[0]
            v[2] = (v[2] + v[1]) & MASK
            v[1] = rotated(v[1], 17) ^ v[2]
            v[2] = rotated(v[2], 32)

    padded = data + bytes(-(len(data) + 1) % 8) + bytes([len(data) & 255])
    for start in range(0, len(padded), 8):
        word = int.from_bytes(padded[start : start + 8], "little")
        v[3] ^= word
        rounds(2)
        v[0] ^= word
    v[2] ^= 0xFF
    rounds(4)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def test_the_plain_one_gives_the_number_of_the_paper() -> None:
    assert plain_siphash(SECRET, bytes(range(15))) == 0xA129CA6149BE45E5


@given(st.binary(min_size=16, max_size=16), st.lists(st.binary(min_size=32, max_size=32), max_size=20))
def test_a_column_at_a_time_gives_the_same(secret: bytes, keys: list[bytes]) -> None:
    column = np.frombuffer(b"".join(keys), np.uint8).reshape(-1, 32)
    assert siphash(secret, column).tolist() == [plain_siphash(secret, key) for key in keys]


def offer(sample: BottomK, shard: int, urls: list[bytes], first: int = 0) -> None:
    keys = pa.array([hashlib.sha256(u).digest() for u in urls], pa.binary(32))
    sample.offer(shard, np.arange(first, first + len(urls)), keys, pa.array(urls, pa.large_binary()))


def urls(first: int, last: int) -> list[bytes]:
    return [b"https://a.example/%d" % number for number in range(first, last)]


def sample_of(*shards: list[bytes], size: int = 50, secret: bytes = SECRET) -> BottomK:
    sample = BottomK(size, secret)
    for place, shard in enumerate(shards):
        for first in range(0, len(shard), 700):
            offer(sample, place, shard[first : first + 700], first)
    return sample


def test_it_keeps_the_smallest_numbers_with_their_rows() -> None:
    everything = urls(0, 5000)
    expected = sorted((plain_siphash(SECRET, hashlib.sha256(u).digest()), u) for u in everything)[:50]
    drawn = sample_of(everything).drawn()
    assert [(one.number, one.url) for one in drawn] == expected
    assert all(everything[one.row] == one.url for one in drawn)


@pytest.mark.parametrize("cut", [1, 700, 2500, 4999])
def test_samples_of_parts_merge_to_the_sample_of_the_whole(cut: int) -> None:
    everything = urls(0, 5000)
    whole = sample_of(everything[:cut], everything[cut:])
    left, right = BottomK(50, SECRET), BottomK(50, SECRET)
    offer(left, 0, everything[:cut])
    offer(right, 1, everything[cut:])
    right.merge(left)
    assert right.drawn() == whole.drawn()


def test_the_same_rows_stay_in_the_next_version() -> None:
    before = {one.url for one in sample_of(urls(0, 5000)).drawn()}
    after = {one.url for one in sample_of(urls(250, 5250)).drawn()}  # 5 % went, 5 % came
    assert len(before & after) >= 40


def test_another_secret_draws_other_rows() -> None:
    mine = {one.url for one in sample_of(urls(0, 5000)).drawn()}
    assert len(mine & {one.url for one in sample_of(urls(0, 5000), secret=bytes(16)).drawn()}) < 10


def test_a_url_is_drawn_once_at_its_first_row() -> None:
    sample = sample_of(urls(0, 20), urls(0, 20), size=50)
    assert sorted(one.url for one in sample.drawn()) == sorted(urls(0, 20))
    assert {one.shard for one in sample.drawn()} == {0}
    late = BottomK(50, SECRET)
    offer(late, 1, urls(0, 20))
    offer(late, 0, urls(0, 20))
    assert late.drawn() == sample.drawn()


def mixed(count: int, *, rare: int = 50) -> list[bytes]:
    """URLs on .com, of which one in `rare` is on .de and one in ten times as many on an address."""
    return [
        b"https://%s/%d"
        % (b"127.0.0.1" if n % (10 * rare) == 0 else b"a.de" if n % rare == 0 else b"a.com", n)
        for n in range(count)
    ]


def test_memory_stays_with_the_size_of_the_sample() -> None:
    sample = BottomK(400, SECRET)
    everything, most = mixed(40_000), 0
    for first in range(0, 40_000, 500):
        offer(sample, 0, everything[first : first + 500], first)
        most = max(most, len(sample._kept) + sum(map(len, sample._waiting)))
    assert most <= 6 * 400 + 4_096 + 500
    assert isinstance(sample.drawn()[0], Drawn)


def kinds_of(drawn: list[Drawn]) -> dict[Stratum, int]:
    kinds = [stratum_of(link_host(one.url)) for one in drawn]
    return {stratum: kinds.count(stratum) for stratum in STRATA}


@pytest.mark.parametrize(
    ("size", "rows"), [(400, 20_000), (400, 3_000), (40, 20_000), (1, 50), (5_000, 4_000)]
)
def test_it_is_what_its_definition_says(size: int, rows: int) -> None:
    everything = mixed(rows)
    sample = sample_of(everything, size=size)
    numbers = np.array([plain_siphash(SECRET, hashlib.sha256(u).digest()) for u in everything], np.uint64)
    strata = strata_of(pa.array(everything, pa.large_binary()))
    limits = plain_limits(numbers, strata, size, sample.floor)
    drawn = plainly_drawn(numbers, strata, limits)
    assert sample.limits() == limits
    assert sorted(one.row for one in sample.drawn()) == np.flatnonzero(drawn).tolist()
    # The panel that there would be without strata is in it whole.
    assert set(np.argsort(numbers)[:size].tolist()) <= {one.row for one in sample.drawn()}


def test_rare_kinds_are_drawn_up_to_their_floor_and_no_denser_than_said() -> None:
    sample = sample_of(mixed(40_000), size=1_000)
    found, limits = kinds_of(sample.drawn()), sample.limits()
    assert sample.floor == 100
    assert found[Stratum.COUNTRY] == 100  # of 720, of which 18 are among the smallest of all
    assert found[Stratum.NONE] < 80  # there are only 80, and they are drawn eight times as densely as others
    assert limits[Stratum.NONE] == DENSER * limits[Stratum.COM]
    assert limits[Stratum.COM] < limits[Stratum.COUNTRY] < limits[Stratum.NONE]


def test_a_version_that_is_not_larger_than_its_sample_has_no_limit() -> None:
    assert set(sample_of(urls(0, 50), size=50).limits().values()) == {NO_LIMIT}
    assert sample_of(urls(0, 51), size=50).limits()[Stratum.GENERIC] < NO_LIMIT


@given(st.lists(st.integers(0, 3), min_size=4_000, max_size=4_000))
@settings(max_examples=10, deadline=None)
def test_samples_with_rare_kinds_merge_to_the_sample_of_the_whole(parts: list[int]) -> None:
    everything = mixed(4_000)
    whole = sample_of(everything, size=100)
    samples = [BottomK(100, SECRET) for _ in range(4)]
    for part, sample in enumerate(samples):
        rows = np.flatnonzero(np.array(parts) == part)
        some = [everything[row] for row in rows]
        keys = pa.array([hashlib.sha256(u).digest() for u in some], pa.binary(32))
        sample.offer(0, rows, keys, pa.array(some, pa.large_binary()))
    for other in samples[1:]:
        samples[0].merge(other)
    assert samples[0].drawn() == whole.drawn()
    assert samples[0].limits() == whole.limits()


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.large_string(), pa.binary(), pa.dictionary(pa.int32(), pa.string())]
)
def test_urls_come_in_any_layout(kind: pa.DataType) -> None:
    some = urls(0, 300)
    keys = pa.array([hashlib.sha256(u).digest() for u in some], pa.binary(32))
    sample = BottomK(50, SECRET)
    # From the middle of larger arrays, as batches are.
    text = pa.array([u.decode() for u in some])
    column = text.dictionary_encode() if pa.types.is_dictionary(kind) else text.cast(kind)
    sample.offer(0, np.arange(100, 300), keys.slice(100), column.slice(100))
    expected = BottomK(50, SECRET)
    offer(expected, 0, some[100:], 100)
    assert sample.drawn() == expected.drawn()


def drawn_from(shard: int, count: int) -> BottomK:
    sample = BottomK(200, SECRET)
    urls = [f"https://h{number}.example.com/{shard}".encode() for number in range(count)]
    keys = pa.array([hashlib.sha256(url).digest() for url in urls], pa.binary(32))
    sample.offer(shard, np.arange(count), keys, pa.array(urls, pa.large_binary()))
    return sample


@pytest.mark.parametrize("small", [0, 1])
@pytest.mark.parametrize("large_first", [True, False])
def test_merging_does_not_make_a_sample_look_whole(small: int, *, large_first: bool) -> None:
    whole, few, many = drawn_from(0, 3_000), drawn_from(1, small), drawn_from(0, 3_000)
    limits = whole.limits()
    many.drawn()  # so that only what it kept goes along
    one, other = (many, few) if large_first else (few, many)
    one.merge(other)
    assert min(limits.values()) < NO_LIMIT
    assert all(one.limits()[kind] <= limit for kind, limit in limits.items())
    if not small:
        assert one.limits() == limits
        assert one.drawn() == whole.drawn()
