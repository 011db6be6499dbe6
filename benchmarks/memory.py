"""How much memory each job takes, and whether more rows take more.

    python benchmarks/memory.py                   1,000,000 and 4,000,000 rows
    python benchmarks/memory.py --full            1,000,000, 10,000,000 and 100,000,000 rows

Each job runs in a process of its own, with as many more as there are cores; their memory is added up twenty times a second,
pages that they share counted in each.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from check import CHECK
from clean import make_release
from data import make_shards, spread, write_list
from measure import Goal, Job, finish, median, parse_options, run
from verify import VERIFY

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable
    from pathlib import Path

    from measure import Figures

REMOVALS = 41
FLAT = 1.25
"""How much more memory the most rows may take than the fewest: what samplings of the same job differ by, and a little."""

LOCATE = """
import json, sys
from pathlib import Path
from expunge.lists import read_list
from expunge.locate import locate
from expunge.pool import leave_pandas_out
from expunge.shards import find_shards
from measure import timed

if __name__ == "__main__":
    leave_pandas_out()  # as the command does
    base, listed, workers = sys.argv[1:]
    with timed() as figures:
        located = locate(find_shards([Path(base)]).shards, read_list(Path(listed)).entries, workers=int(workers))
    assert not located.unmatched
    print(json.dumps(figures))
"""

APPLY = """
import json, shutil, sys
from pathlib import Path
from expunge.apply import apply
from expunge.copies import find_copy
from expunge.pool import leave_pandas_out
from measure import timed

if __name__ == "__main__":
    leave_pandas_out()  # as the command does
    release, copy, output, workers = sys.argv[1:]
    shutil.rmtree(output, ignore_errors=True)
    with timed() as figures:
        apply(Path(release), find_copy([Path(copy)]), Path(output), workers=int(workers))
    print(json.dumps(figures))
"""

DIFF = """
import json, sys
from pathlib import Path
from expunge.diff import diff_versions
from expunge.pool import leave_pandas_out
from expunge.shards import find_shards
from measure import timed

if __name__ == "__main__":
    leave_pandas_out()  # as the command does
    old, new = (find_shards([Path(path)]).shards for path in sys.argv[1:])
    with timed() as figures:
        diff = diff_versions(old, new)
    assert (diff.added, diff.removed) == (0, 41), diff
    print(json.dumps(figures))
"""


def jobs_on(
    base: Path, total: int, folder: Path, options: argparse.Namespace
) -> dict[str, Callable[[], Figures]]:
    """The jobs on one base, in an order in which each finds what it needs."""
    listed = write_list(folder / "memory-list.txt", spread(total, REMOVALS))
    release, by_key, output = (folder / f"memory-{name}" for name in ("release", "keys", "output"))
    other = make_shards(options.data, 2, options.rows // 4)
    other_list = write_list(folder / "memory-keys.txt", spread(2 * (options.rows // 4), REMOVALS))
    workers = options.workers

    def check_by_key() -> Figures:
        make_release(other, other_list, by_key, workers)
        return run(CHECK, base, by_key, workers)

    return {
        "locate": lambda: run(LOCATE, base, listed, workers),
        "clean": lambda: make_release(base, listed, release, workers),
        "verify": lambda: run(VERIFY, release, workers),
        "check by digest": lambda: run(CHECK, base, release, workers),
        "check by key": check_by_key,
        "apply": lambda: run(APPLY, release, base, output, workers),
        "diff": lambda: run(DIFF, base, release / "data"),
    }


def main() -> None:
    """Run each job on each size."""
    options = parse_options(__doc__, rows=500_000, full=1_000_000, rounds=2)
    # Two shards at least, so that two processes work in each case.
    plan = [(2, options.rows // 2), (10, options.rows), (100, options.rows)] if options.full else []
    plan = plan or [(2, options.rows), (8, options.rows)]
    found: dict[str, dict[int, Figures]] = {}
    for shards, rows in plan:
        base, total = make_shards(options.data, shards, rows), shards * rows
        for name, job in jobs_on(base, total, options.data, options).items():
            cost = median([job() for _ in range(options.rounds)])
            found.setdefault(name, {})[total] = cost
            print(f"{name} of {total:,} rows: {cost['peak'] / 1e6:,.0f} MB", flush=True)
        for folder in options.data.glob("memory-*"):
            shutil.rmtree(folder) if folder.is_dir() else folder.unlink()
    jobs = []
    for name, by_rows in found.items():
        few, many = min(by_rows), max(by_rows)
        goals = [
            Goal("peak memory, GB", max(cost["peak"] for cost in by_rows.values()) / 1e9, 1),
            Goal(
                f"memory of {many:,} rows, times that of {few:,}",
                by_rows[many]["peak"] / by_rows[few]["peak"],
                FLAT,
            ),
        ]
        more = {f"{rows:,} rows": cost for rows, cost in by_rows.items()}
        jobs.append(
            Job(f"memory: {name}", {"rows": many, "removals": REMOVALS}, by_rows[many], {}, goals, more)
        )
    finish("memory", options, jobs)


if __name__ == "__main__":
    main()
