from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.links.sample import BottomK, Drawn, siphash

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
    keys = np.frombuffer(b"".join(hashlib.sha256(u).digest() for u in urls), np.uint8).reshape(-1, 32)
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


def test_memory_stays_with_the_size_of_the_sample() -> None:
    sample = BottomK(10, SECRET)
    offer(sample, 0, urls(0, 20_000))
    assert len(sample._kept) <= 2 * 10 + 1024
    assert isinstance(sample.drawn()[0], Drawn)
