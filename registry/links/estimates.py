"""What a panel says of the whole version: shares with an interval, and bounds for what could not be told.

The panel is a random sample of the version's distinct links, in which rare kinds of domain may be denser (`strata.py`):
each link then counts for as many as it stands for, and a share is the weighted one (Hajek's). Links of one host live and
die together, so they count for less than as many independent ones: the variance is taken between hosts (linearised),
and the interval is Wilson's for the sample size that would have this variance, which holds near 0 and 1 too, with
Student's t for few hosts. How many links of each kind there are is estimated too, so hosts are held against the share of
all and not against that of their kind.

Nothing is made of what is not known. What cannot be told, fails for now or was not checked yet may be dead or not, so
the dead are between those that are and those that are not known to be alive.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

Z = 1.959964  # 95 %


@dataclass(frozen=True, slots=True)
class Share:
    """A share of the version's links, from 0 to 1, with the ends of its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """Shares of alive, dead and not known, which add up to 1, from `n` links on `hosts` hosts.

    The true share of the dead lies, with the same confidence, within `dead_at_least` and `dead_at_most`.
    """

    n: int
    hosts: int
    alive: Share
    dead: Share
    unknown: Share
    dead_at_least: float
    dead_at_most: float


def estimate(
    alive: npt.NDArray[np.bool_],
    dead: npt.NDArray[np.bool_],
    hosts: npt.NDArray[np.int64],
    weights: npt.NDArray[np.float64] | None = None,
    *,
    whole: bool = False,
) -> Estimate | None:
    """Estimate from the links of a panel: whether each is known to be alive, to be dead, and its host; None of none.

    All are parallel; `weights` say how much each link counts for, the same where they are left out. `whole` tells that
    the panel is no sample but every link of the version: then there is nothing to estimate.
    """
    if not len(alive):
        return None
    clusters = _clusters(hosts)

    def of(holds: npt.NDArray[np.bool_]) -> Share:
        return _share(holds, clusters, weights, whole=whole)

    is_dead = of(dead)
    return Estimate(
        n=len(alive),
        hosts=int(clusters.max()) + 1,
        alive=of(alive),
        dead=is_dead,
        unknown=of(~alive & ~dead),
        dead_at_least=is_dead.low,
        dead_at_most=of(~alive).high,
    )


def share(
    holds: npt.NDArray[np.bool_],
    hosts: npt.NDArray[np.int64],
    weights: npt.NDArray[np.float64] | None = None,
    *,
    whole: bool = False,
) -> Share:
    """The share of links for which something holds, with its interval; `hosts` says which belong together.

    `weights` and `whole` are those of `estimate`.
    """
    return _share(holds, _clusters(hosts), weights, whole=whole)


def _clusters(hosts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The hosts numbered from 0 without a gap."""
    return np.unique(hosts, return_inverse=True)[1]


def _share(
    holds: npt.NDArray[np.bool_],
    cluster: npt.NDArray[np.int64],
    weights: npt.NDArray[np.float64] | None,
    *,
    whole: bool,
) -> Share:
    """As `share`, of hosts that are numbered already: to number them takes longer than all the rest."""
    weights = np.ones(len(holds)) if weights is None else weights
    value = mean(holds, weights)
    if whole:
        return Share(value, value, value)
    count = int(cluster.max()) + 1
    if count < 2:
        return Share(value, 0.0, 1.0)
    total = float(weights.sum())
    n = total**2 / float(weights @ weights)  # links that all count the same and tell as much; n where they do
    off = np.bincount(cluster, weights=weights * (holds - value))
    between = float(off @ off) / total**2 * count / (count - 1)
    simple = value * (1 - value) / n
    if between:
        effective = n * min(1.0, simple / between)
    else:  # where all are alike there is nothing to take a variance from: as if each host were all of a piece
        effective = total**2 / float((np.bincount(cluster, weights=weights) ** 2).sum())
    low, high = _wilson(value, effective, student(count - 1))
    return Share(value, min(low, value), max(high, value))


def mean(holds: npt.NDArray[np.bool_], weights: npt.NDArray[np.float64]) -> float:
    """The weighted share of links for which something holds; parallel, one link at least.

    Exactly 0 or 1 where all are alike. Sums of fractions are not: what is left over by rounding would be taken for a
    variance, and for next to none.
    """
    if holds.all() or not holds.any():
        return float(holds[0])
    return float(weights @ holds) / float(weights.sum())


def _wilson(value: float, n: float, z: float) -> tuple[float, float]:
    middle = (value + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * sqrt(value * (1 - value) / n + z * z / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)


def student(freedom: int) -> float:
    """The 97.5 % point of Student's t, by its expansion around the normal one, which is good from four on."""
    z3, z5 = Z**3, Z**5
    near = Z + (z3 + Z) / (4 * freedom) + (5 * z5 + 16 * z3 + 3 * Z) / (96 * freedom**2)
    return {1: 12.706, 2: 4.303, 3: 3.182}.get(freedom, near)
