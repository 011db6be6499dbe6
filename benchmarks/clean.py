"""How long a clean release of a LAION-like dataset takes, beside the same rows filtered by Polars in the same run.

    python benchmarks/clean.py                    8 shards of 500,000 rows, 2,000 removals
    python benchmarks/clean.py --full             8 shards of 1,000,000 rows

Both read the same Parquet files and write them again, in order, without the rows whose URL is on the list. Ours also finds
the rows by key, keeps metadata and row groups, hashes what it reads and writes, puts it on disk, makes the diff, and reads
everything back; the stages are timed apart. The removals touch every row group, which is the worst that can be asked.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from data import make_shards, size_of, spread, write_list
from measure import Goal, Job, finish, parse_options, run, take_turns

if TYPE_CHECKING:
    from pathlib import Path

    from measure import Figures

SHARDS = 8
REMOVALS = 2_000

CLEAN = """
import json, sys, time
from pathlib import Path
from expunge.clean import clean
from expunge.lists import read_list
from expunge.shards import find_shards
from measure import timed

if __name__ == "__main__":
    base, listed, output, workers, link = sys.argv[1:]
    began = []

    def progress(stage, done, total):
        if not began or began[-1][0] != stage:
            began.append((stage, time.perf_counter()))

    with timed() as figures:
        result = clean(
            find_shards([Path(base)]).shards, read_list(Path(listed)).entries, Path(output),
            dataset="bench", version="1", workers=int(workers), link=link == "link", progress=progress,
        )
    began.append(("", time.perf_counter()))
    for (stage, first), (_, after) in zip(began, began[1:]):
        figures["stage " + stage] = figures.get("stage " + stage, 0) + after - first
    print(json.dumps({**figures, "removed": result.rows_removed}))
"""

POLARS = """
import json, sys
from pathlib import Path
import polars as pl
from measure import timed

base, listed, output = sys.argv[1:]
with timed() as figures:
    gone = pl.read_csv(listed, has_header=False, new_columns=["url"])["url"].implode()
    Path(output).mkdir()
    for path in sorted(Path(base).glob("*.parquet")):
        pl.scan_parquet(path).filter(~pl.col("url").is_in(gone)).sink_parquet(
            Path(output, path.name), compression="zstd", row_group_size=122_880, maintain_order=True
        )
rows = lambda folder: pl.scan_parquet(folder + "/*.parquet").select(pl.len()).collect().item()
print(json.dumps({**figures, "removed": rows(base) - rows(output)}))
"""


def make_release(base: Path, listed: Path, output: Path, workers: int, *, link: bool = True) -> Figures:
    """Make the clean release of `base` without what the list names, replacing what is at `output`."""
    shutil.rmtree(output, ignore_errors=True)
    return run(CLEAN, base, listed, output, workers, "link" if link else "copy")


def stages_of(cost: Figures) -> dict[str, Figures]:
    """What `CLEAN` tells of its stages, by their names."""
    return {what[6:]: {"wall": value} for what, value in cost.items() if what.startswith("stage ")}


def main() -> None:
    """Alternate the two jobs."""
    options = parse_options(__doc__, rows=500_000, full=1_000_000)
    base = make_shards(options.data, SHARDS, options.rows)
    total = SHARDS * options.rows
    listed = write_list(options.data / "clean-list.txt", spread(total, min(REMOVALS, total)))
    output = options.data / "clean-output"

    def polars() -> Figures:
        shutil.rmtree(output, ignore_errors=True)
        return run(POLARS, base, listed, output)

    found = take_turns(
        {
            "expunge": lambda: make_release(base, listed, output, options.workers, link=False),
            "Polars": polars,
        },
        options.rounds,
    )
    shutil.rmtree(output)
    ours, theirs = found["expunge"], found["Polars"]
    assert ours["removed"] == theirs["removed"] == min(REMOVALS, total), found
    sizes = {"rows": total, "removals": ours["removed"], "bytes": size_of(base)}
    goals = [Goal("peak memory, GB", ours["peak"] / 1e9, 1)]
    job = Job(
        "whole release, every row group touched", sizes, ours, {"Polars": theirs}, goals, stages_of(ours)
    )
    finish("clean", options, [job])


if __name__ == "__main__":
    main()
