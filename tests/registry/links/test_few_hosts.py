"""What is told of few hosts is told with Student's t, worked out here by hand."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest

from registry.links.estimates import share

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


def test_a_single_host_tells_nothing_of_the_others() -> None:
    seen = share(np.array([True] * 500), np.zeros(500, np.int64))
    assert (seen.value, seen.low, seen.high) == (1.0, 0.0, 1.0)


def test_links_of_one_host_count_for_less_than_as_many_alone() -> None:
    dead = np.arange(400) < 100
    together, alone = share(dead, np.arange(400) // 20), share(dead, np.arange(400))
    assert together.value == alone.value == 0.25
    assert together.high - together.low > 3 * (alone.high - alone.low)
