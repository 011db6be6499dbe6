"""How the cost of a clean release grows with rows and with removals, and what that means for 5.5 billion rows.

    python benchmarks/growth.py                   2 to 8 shards of 1,000,000 rows, 2 to 64 removals
    python benchmarks/growth.py --full            10 to 100 shards of 1,000,000 rows, 4 to 256 removals
    python benchmarks/growth.py --plots FOLDER    also draw rows.svg and removals.svg there

Untouched shards are linked, so each row is read to be located and its bytes are hashed twice (to know the base and to read
the release back), and each row group that loses a row is written anew. The cost is therefore taken to be

    seconds = fixed + rows x by row + touched row groups x by group

and the three figures are the least squares of all runs, for wall and CPU seconds apart.
"""

from __future__ import annotations

import math
import shutil
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from clean import make_release, stages_of
from data import GROUP_ROWS, make_shards, size_of, spread, write_list
from measure import Goal, Job, finish, median, parse_options

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from measure import Figures

ROWS_OF_ALL = 5_526_641_167
REMOVALS_OF_ALL = 2_236
"""The largest list of links that was ever cleaned, and what was taken out of it."""
MACHINES = (1, 16)

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 640, 360, 64, 24, 44, 52
# Neither black nor white: legible on a light page and on a dark one.
INK, LINE, DOT = "#7a7f87", "#7a7f8766", "#2f81c7"


@dataclass(frozen=True)
class Slopes:
    """Seconds: what any run costs, and what a row and a touched row group add."""

    fixed: float
    row: float
    group: float

    @classmethod
    def fit(cls, runs: Sequence[Figures], what: str) -> Slopes:
        """The least squares of these runs."""
        facts = [[1, run["rows"], run["groups"]] for run in runs]
        fixed, row, group = np.linalg.lstsq(np.array(facts), np.array([run[what] for run in runs]))[0]
        return cls(float(fixed), float(row), float(group))

    def seconds(self, rows: float, groups: float, machines: int = 1) -> float:
        """The cost of so many; machines share all but what any run costs."""
        return self.fixed + (rows * self.row + groups * self.group) / machines


def touched_groups(rows: int, removals: int) -> float:
    """How many row groups lose a row, on average, where removals fall anywhere."""
    groups = rows / GROUP_ROWS
    return groups * -math.expm1(removals * math.log1p(-1 / groups))


def measure(options: argparse.Namespace, shards: int, removals: int) -> Figures:
    """Make one release as often as there are rounds; returns the medians, with rows and touched row groups."""
    base, total = make_shards(options.data, shards, options.rows), shards * options.rows
    gone = np.unique(spread(total, removals))
    listed, output = options.data / "growth-list.txt", options.data / "growth-output"
    write_list(listed, gone)
    cost = median([make_release(base, listed, output, options.workers) for _ in range(options.rounds)])
    shutil.rmtree(output)
    groups = {(row // options.rows, row % options.rows // GROUP_ROWS) for row in gone.tolist()}
    print(
        f"{total:,} rows, {len(gone):,} removals in {len(groups)} row groups: {cost['wall']:.2f} s",
        flush=True,
    )
    return cost | {"rows": total, "removals": len(gone), "groups": len(groups), "bytes": size_of(base)}


def extrapolate(runs: Sequence[Figures]) -> dict[str, object]:
    """What the largest list would take: the slopes, and seconds by number of machines."""
    slopes = {what: Slopes.fit(runs, what) for what in ("wall", "cpu")}
    groups = touched_groups(ROWS_OF_ALL, REMOVALS_OF_ALL)
    return {
        "rows": ROWS_OF_ALL,
        "removals": REMOVALS_OF_ALL,
        "touched_groups": groups,
        "bytes": ROWS_OF_ALL * runs[-1]["bytes"] / runs[-1]["rows"],
        "slopes": {what: vars(one) for what, one in slopes.items()},
        "seconds": {count: slopes["wall"].seconds(ROWS_OF_ALL, groups, count) for count in MACHINES},
    }


def plot(
    title: str, axis: str, points: Sequence[tuple[float, float]], line: Sequence[tuple[float, float]]
) -> str:
    """An SVG of measured points and the fitted line; both axes begin at zero."""
    most_x, most_y = (_round_up(max(pair[at] for pair in [*points, *line])) for at in (0, 1))

    def place(x: float, y: float) -> tuple[float, float]:
        across = LEFT + x / most_x * (WIDTH - LEFT - RIGHT)
        return round(across, 1), round(HEIGHT - BOTTOM - y / most_y * (HEIGHT - TOP - BOTTOM), 1)

    drawn = []
    for step in range(5):
        x, y = most_x * step / 4, most_y * step / 4
        (across, _), (_, down) = place(x, 0), place(0, y)
        drawn.append(f'<path d="M{LEFT} {down}H{WIDTH - RIGHT}" stroke="{LINE}"/>')
        drawn.append(f'<text x="{LEFT - 8}" y="{down + 4}" text-anchor="end">{y:g}</text>')
        drawn.append(f'<text x="{across}" y="{HEIGHT - BOTTOM + 20}" text-anchor="middle">{x:g}</text>')
    path = " ".join(f"{x},{y}" for x, y in (place(*pair) for pair in line))
    drawn.append(
        f'<polyline points="{path}" fill="none" stroke="{DOT}" stroke-width="1.5" stroke-dasharray="5 4"/>'
    )
    drawn += [
        f'<circle cx="{x}" cy="{y}" r="4.5" fill="{DOT}"/>' for x, y in (place(*pair) for pair in points)
    ]
    told = "; ".join(f"{x:g}: {y:.2f} s" for x, y in points)
    return "\n".join(
        [
            (
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}"'
                f' role="img" font-family="system-ui, sans-serif" font-size="13" fill="{INK}">'
            ),
            f"<title>{escape(title)}</title>",
            f"<desc>{escape(axis)}, and seconds: {told}</desc>",
            f'<text x="{LEFT}" y="22" font-size="15" font-weight="600">{escape(title)}</text>',
            *drawn,
            f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 10}" text-anchor="end">{escape(axis)}</text>',
            "</svg>\n",
        ]
    )


def _round_up(value: float) -> float:
    """The next number whose quarter is short to write."""
    unit = 10 ** math.floor(math.log10(value))
    return next(step * unit for step in (1, 1.2, 1.6, 2, 3, 4, 6, 8, 10) if step * unit >= value)


def draw(folder: Path, by_rows: Sequence[Figures], by_removals: Sequence[Figures]) -> None:
    """Write both plots, with the fitted line."""
    slopes = Slopes.fit([*by_rows, *by_removals], "wall")
    removals, rows = by_rows[0]["removals"], by_removals[0]["rows"]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "rows.svg").write_text(
        plot(
            f"Seconds for a clean release with {removals} removals",
            "million rows",
            [(run["rows"] / 1e6, run["wall"]) for run in by_rows],
            [(0, slopes.fixed + slopes.group * by_rows[0]["groups"])]
            + [(run["rows"] / 1e6, slopes.seconds(run["rows"], run["groups"])) for run in by_rows],
        )
    )
    (folder / "removals.svg").write_text(
        plot(
            f"Seconds for a clean release of {rows / 1e6:g} million rows",
            "row groups that lose a row",
            [(run["groups"], run["wall"]) for run in by_removals],
            [(groups, slopes.seconds(rows, groups)) for groups in (0, by_removals[-1]["groups"])],
        )
    )


def main() -> None:
    """Measure along both axes, fit, draw."""
    options = parse_options(
        __doc__,
        rows=1_000_000,
        full=1_000_000,
        rounds=1,
        add=lambda parser: parser.add_argument("--plots", type=Path, metavar="FOLDER"),
    )
    sizes, counts, few = (
        ((10, 25, 50, 100), (4, 16, 64, 256), 16) if options.full else ((2, 4, 6, 8), (2, 8, 24, 64), 8)
    )
    by_rows = [measure(options, shards, few) for shards in sizes]
    by_removals = [by_rows[-1] if count == few else measure(options, sizes[-1], count) for count in counts]
    runs = [*by_rows, *(run for run in by_removals if run is not by_rows[-1])]
    if options.plots:
        draw(options.plots, by_rows, by_removals)
    jobs = [
        Job(
            "clean release, shards linked",
            {"rows": run["rows"], "removals": run["removals"], "row groups touched": run["groups"]},
            run,
            goals=[Goal("peak memory, GB", run["peak"] / 1e9, 1)],
            more=stages_of(run),
        )
        for run in runs
    ]
    finish("growth", options, jobs, extrapolated=extrapolate(runs))


if __name__ == "__main__":
    main()
