"""A part that was small knows no limits, and takes those of the part that was large."""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa
import pytest

from registry.links.sample import BottomK
from registry.links.strata import NO_LIMIT

SECRET = bytes(range(16))


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
