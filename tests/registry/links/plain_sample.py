"""What a sample is, said plainly of rows that are all there: to hold `registry.links.sample` to, and to simulate with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from registry.links.sample import DENSER
from registry.links.strata import NO_LIMIT, STRATA, Stratum

if TYPE_CHECKING:
    import numpy.typing as npt


def plain_limits(
    numbers: npt.NDArray[np.uint64],
    strata: npt.NDArray[np.uint8],
    size: int,
    floor: int,
    denser: int = DENSER,
) -> dict[Stratum, int]:
    """The limit of each kind, from the distinct numbers of all rows and their kinds (places in STRATA), parallel."""

    def after(count: int, some: npt.NDArray[np.uint64]) -> int:
        """The number that `count` of them are below, or none where there are not more."""
        return int(np.partition(some, count)[count]) if len(some) > count else NO_LIMIT

    limit = after(size, numbers)
    most = min(denser * limit, NO_LIMIT)
    return {
        stratum: max(limit, min(after(floor, numbers[strata == code]), most))
        for code, stratum in enumerate(STRATA)
    }


def plainly_drawn(
    numbers: npt.NDArray[np.uint64], strata: npt.NDArray[np.uint8], limits: dict[Stratum, int]
) -> npt.NDArray[np.bool_]:
    """Which rows are in the sample."""
    words = np.array([min(limits[stratum], NO_LIMIT - 1) for stratum in STRATA], np.uint64)
    drawn: npt.NDArray[np.bool_] = numbers < words[strata]
    return drawn
