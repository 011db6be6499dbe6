from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.links.estimates import Share, estimate, share, student
from registry.links.sample import siphash

FLAGS = st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(0, 9)), min_size=1, max_size=60)


def test_the_interval_covers_the_truth_of_500_simulated_versions() -> None:
    """Versions of 4,000 links on 300 hosts as uneven as real ones; a quarter of the hosts is dead as a whole."""
    random = np.random.default_rng(20261123)
    weights = 1 / np.arange(1, 301)
    covered = between = 0
    for number in range(500):
        hosts = random.choice(300, 4_000, p=weights / weights.sum())
        rate = np.where(random.random(300) < 0.25, 1.0, random.beta(1, 12, 300))
        fate = random.random(4_000)
        dead = fate < rate[hosts]
        hidden = random.random(300) < 0.1  # hosts that refuse us: neither dead nor alive to us
        known = ~hidden[hosts]
        numbers = siphash(number.to_bytes(16), random.integers(0, 256, (4_000, 32), np.uint8))
        drawn = np.argsort(numbers)[:400]
        seen = share(dead[drawn], hosts[drawn].astype(np.int64))
        covered += seen.low <= dead.mean() <= seen.high
        told = estimate((~dead & known)[drawn], (dead & known)[drawn], hosts[drawn].astype(np.int64))
        assert told is not None
        between += told.dead_at_least <= dead.mean() <= told.dead_at_most
    assert covered >= 0.94 * 500
    assert between >= 0.94 * 500


def test_hosts_that_die_together_widen_the_interval() -> None:
    dead = np.repeat([True, False, True, False], 100)
    alone, together = np.arange(400), np.repeat(np.arange(4), 100)
    assert share(dead, alone).high - share(dead, alone).low < 0.1
    assert share(dead, together).high - share(dead, together).low > 0.5


@pytest.mark.parametrize(("n", "most"), [(10, 0.34), (100, 0.04), (10_000, 0.0004)])
def test_none_in_n_is_not_none_at_all(n: int, most: float) -> None:
    found = share(np.zeros(n, np.bool_), np.arange(n))
    assert (found.value, found.low) == (0.0, 0.0)
    assert 0 < found.high <= most


def test_none_on_few_hosts_says_less_than_none_on_many() -> None:
    none = np.zeros(1_000, np.bool_)
    assert share(none, np.arange(1_000) % 10).high > 0.2
    assert share(none, np.arange(1_000)).high < 0.005


def test_one_host_says_nothing_of_others() -> None:
    found = share(np.ones(50, np.bool_), np.zeros(50, np.int64))
    assert (found.value, found.low, found.high) == (1.0, 0.0, 1.0)


def test_a_panel_of_every_link_leaves_nothing_to_estimate() -> None:
    alive, dead = np.array([True, False, False, False]), np.array([False, True, False, False])
    found = estimate(alive, dead, np.zeros(4, np.int64), whole=True)
    assert found is not None
    assert (found.alive, found.dead_at_least, found.dead_at_most) == (Share(0.25, 0.25, 0.25), 0.25, 0.75)


def test_an_empty_panel_has_no_estimate() -> None:
    empty = np.zeros(0, np.bool_)
    assert estimate(empty, empty, np.zeros(0, np.int64)) is None


@pytest.mark.parametrize(
    ("freedom", "expected"), [(1, 12.706), (2, 4.303), (3, 3.182), (10, 2.228), (100, 1.984)]
)
def teststudents_t_is_near_its_table(freedom: int, expected: float) -> None:
    assert student(freedom) == pytest.approx(expected, rel=0.02)


@given(FLAGS)
def test_shares_lie_in_their_intervals_and_add_up(flags: list[tuple[bool, bool, int]]) -> None:
    alive = np.array([a for a, _, _ in flags])
    dead = np.array([d and not a for a, d, _ in flags])
    found = estimate(alive, dead, np.array([h for _, _, h in flags]))
    assert found is not None
    for one in (found.alive, found.dead, found.unknown):
        assert 0 <= one.low <= one.value <= one.high <= 1
    assert found.alive.value + found.dead.value + found.unknown.value == pytest.approx(1)
    assert (
        found.dead_at_least <= found.dead.value <= 1 - found.alive.value + 1e-9 <= found.dead_at_most + 2e-9
    )
