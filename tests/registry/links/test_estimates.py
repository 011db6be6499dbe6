from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.links.estimates import Share, estimate, share, student
from registry.links.sample import DENSER, siphash
from registry.links.strata import STRATA, Stratum, link_weights
from tests.registry.links.plain_sample import plain_limits, plainly_drawn

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

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


class Town:
    """A version of 20,000 links of four kinds of domain, on 8,000 hosts as uneven as real ones; each kind dies at a rate."""

    MIX = (0.62, 0.27, 0.09, 0.02)  # of the hosts
    RATES = (0.1, 0.25, 0.6, 0.4)  # of them that are wholly dead

    def __init__(
        self, random: np.random.Generator, *, rates: Sequence[float] = RATES, evenly: bool = False
    ) -> None:
        kind = random.choice(4, 8_000, p=self.MIX)
        weights = np.ones(8_000) if evenly else np.arange(1, 8_001) ** -0.6
        self.hosts = random.choice(8_000, 20_000, p=weights / weights.sum())
        rate = np.where(
            random.random(8_000) < np.array(rates)[kind], 1.0, 0.0 if evenly else random.beta(1, 12, 8_000)
        )
        self.dead = random.random(20_000) < rate[self.hosts]
        self.strata = kind[self.hosts].astype(np.uint8)
        self.numbers = random.integers(0, 2**64 - 1, 20_000, np.uint64)

    def draw(
        self, denser: int = DENSER
    ) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float64], dict[Stratum, int]]:
        """A panel of 1,000: which links are in it, what each of those counts for, and the limits."""
        limits = plain_limits(self.numbers, self.strata, 1_000, 100, denser)
        drawn = plainly_drawn(self.numbers, self.strata, limits)
        return drawn, link_weights(self.strata[drawn], limits), limits


def test_with_strata_the_intervals_cover_the_truth_of_500_simulated_versions() -> None:
    """That of all links, and of each kind its own; for the rarest it is far narrower than without strata."""
    random = np.random.default_rng(20261124)
    covered, of_kind = 0, np.zeros(4)
    widths: dict[int, list[float]] = {1: [], DENSER: []}
    wide: dict[int, list[float]] = {1: [], DENSER: []}
    rarest = STRATA.index(Stratum.NONE)
    for _ in range(500):
        town = Town(random)
        for denser in (1, DENSER):
            drawn, weights, _ = town.draw(denser)
            seen = share(town.dead[drawn], town.hosts[drawn], weights)
            rare = drawn & (town.strata == rarest)
            of_rare = share(town.dead[rare], town.hosts[rare])
            widths[denser].append(of_rare.high - of_rare.low)
            wide[denser].append(seen.high - seen.low)
        covered += seen.low <= town.dead.mean() <= seen.high
        for code in range(4):
            of = drawn & (town.strata == code)
            told = share(town.dead[of], town.hosts[of])
            of_kind[code] += told.low <= town.dead[town.strata == code].mean() <= told.high
    assert covered >= 0.94 * 500
    assert of_kind.min() >= 0.94 * 500
    assert np.mean(widths[DENSER]) < 0.65 * np.mean(widths[1])
    assert np.mean(wide[DENSER]) < 1.02 * np.mean(wide[1])  # and of all links it is no wider


def test_how_many_links_of_a_kind_there_are_is_estimated_too() -> None:
    """Where kinds differ and hosts of one do not, what is left to chance is how many of each kind were drawn."""
    random = np.random.default_rng(20261125)
    covered = 0
    for _ in range(500):
        town = Town(random, rates=(0.0, 1.0, 0.0, 1.0), evenly=True)
        drawn, weights, _ = town.draw()
        seen = share(town.dead[drawn], town.hosts[drawn], weights)
        covered += seen.low <= town.dead.mean() <= seen.high
    assert covered >= 0.94 * 500


def test_without_weights_the_rare_kind_would_count_for_too_much() -> None:
    random = np.random.default_rng(20261126)
    towns = [Town(random) for _ in range(100)]
    found = [(town, *town.draw()) for town in towns]
    weighted = [
        share(town.dead[drawn], town.hosts[drawn], weights).value - town.dead.mean()
        for town, drawn, weights, _ in found
    ]
    plain = [share(town.dead[drawn], town.hosts[drawn]).value - town.dead.mean() for town, drawn, *_ in found]
    assert abs(float(np.mean(weighted))) < 0.004
    assert float(np.mean(plain)) > 0.01


@given(FLAGS, st.floats(0.01, 100))
def test_weights_that_are_all_the_same_change_nothing(
    flags: list[tuple[bool, bool, int]], weight: float
) -> None:
    holds, hosts = np.array([a for a, _, _ in flags]), np.array([h for _, _, h in flags])
    plain = share(holds, hosts)
    assert share(holds, hosts, np.ones(len(flags))) == plain
    same = share(holds, hosts, np.full(len(flags), weight))
    assert (same.value, same.low, same.high) == pytest.approx((plain.value, plain.low, plain.high), abs=1e-9)


def test_a_link_that_counts_for_two_is_as_good_as_two_of_its_host() -> None:
    twice = share(np.array([True, True, False, False]), np.array([1, 1, 2, 3]))
    once = share(np.array([True, False, False]), np.array([1, 2, 3]), np.array([2.0, 1.0, 1.0]))
    assert (once.value, twice.value) == (0.5, 0.5)
    assert once.low <= twice.low
    assert once.high >= twice.high


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


@pytest.mark.parametrize("links", [655, 1_420, 1_840, 2_778])
def test_weights_that_are_fractions_make_nobody_surer_where_all_are_alike(links: int) -> None:
    """Their sums are rounded: what that leaves over is no variance."""
    random = np.random.default_rng(links)
    hosts, weights = random.integers(0, 4, links), random.choice([1.0, 0.3, 0.7, 1 / 8], links)
    for holds in (np.ones(links, np.bool_), np.zeros(links, np.bool_)):
        weighted, plain = share(holds, hosts, weights), share(holds, hosts)
        assert weighted.value == plain.value
        assert 0 <= weighted.low <= weighted.value <= weighted.high <= 1
        assert weighted.high - weighted.low > 0.9 * (plain.high - plain.low)
    told = estimate(np.zeros(links, np.bool_), np.zeros(links, np.bool_), hosts, weights)
    assert told is not None
    assert (told.unknown.value, told.dead_at_most) == (1.0, 1.0)


# The 97.5 % points of Student's t, from any table.
POINTS = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 11: 2.228, 31: 2.042}


@pytest.mark.parametrize(("hosts", "point"), POINTS.items())
def test_the_interval_is_wilsons_with_students_point(hosts: int, point: float) -> None:
    """One link a host, some of them dead: then there are as many independent ones, but for the one that the mean takes."""
    dead = np.arange(hosts) < hosts // 2
    value = float(dead.mean())
    effective = hosts - 1  # a variance between hosts is divided by one less
    root = sqrt(value * (1 - value) / effective + point**2 / (4 * effective**2))
    middle = (value + point**2 / (2 * effective)) / (1 + point**2 / effective)
    half = point / (1 + point**2 / effective) * root
    seen = share(dead, np.arange(hosts))
    assert seen.value == value
    assert seen.low == pytest.approx(max(0.0, middle - half), abs=5e-3)
    assert seen.high == pytest.approx(min(1.0, middle + half), abs=5e-3)


def test_links_of_one_host_count_for_less_than_as_many_alone() -> None:
    dead = np.arange(400) < 100
    together, alone = share(dead, np.arange(400) // 20), share(dead, np.arange(400))
    assert together.value == alone.value == 0.25
    assert together.high - together.low > 3 * (alone.high - alone.low)


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
def test_students_t_is_near_its_table(freedom: int, expected: float) -> None:
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
