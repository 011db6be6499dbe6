"""How long verifying a release takes, beside reading and hashing it once.

    python benchmarks/verify.py                   8 shards of 500,000 rows, 3 removals in 3 of them
    python benchmarks/verify.py --full            100 shards of 1,000,000 rows, 41 removals

A release is verified twice. Before it can be published it is read back beside its base: every byte that was copied is
compared, every row group that was written anew is decoded and compared, and removed keys are looked for in it; beside that,
hashing all files and decoding those row groups with PyArrow. Whoever downloads it has no base: `expunge verify` hashes
every file and looks for the keys of the diff in the rows that were written anew; beside that, hashing all files. With
`--rows` it looks for them in all rows.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from check import HASH
from clean import make_release
from data import make_shards, size_of, spread, write_list
from measure import JUDGED, SECONDS, Goal, Job, finish, parse_options, run, take_turns

if TYPE_CHECKING:
    from measure import Figures

UNTIL = """
import time

before = {}

def until(awaited):
    # A progress function that notes what was spent when a stage begins. No process may have been started by then.
    wall, cpu = time.perf_counter(), time.process_time()

    def progress(stage, done, total):
        if stage == awaited and not before:
            before["before wall"] = time.perf_counter() - wall
            before["before cpu"] = time.process_time() - cpu

    return progress
"""

READ_BACK = f"""
{UNTIL}
import json, shutil, sys
from pathlib import Path
from expunge.lists import read_list
from expunge.locate import locate
from expunge.pool import leave_pandas_out
from expunge.progress import quiet
from expunge.rewrite import Piece, verify_shards, write_shards
from expunge.shards import Cut, find_shards
from measure import timed

if __name__ == "__main__":
    leave_pandas_out()  # as the command does
    base, listed, output, workers = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
    shutil.rmtree(output, ignore_errors=True)
    shards, entries = find_shards([base]).shards, read_list(listed).entries
    hits = locate(shards, entries, workers=workers).shards
    pieces = [
        Piece(shard, output / shard.name, one.total, Cut(drop=one.positions), one.fingerprint)
        for shard, one in zip(shards, hits)
    ]
    made = write_shards(pieces, link=True, workers=workers, progress=quiet)
    with timed() as figures:
        verify_shards(pieces, made, entries, workers=workers, progress=until("Looking again"))
    print(json.dumps({{**figures, **before}}))
"""

HASH_AND_DECODE = """
import hashlib, json, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
import numpy as np
import pyarrow.parquet as pq
from measure import timed

def read(path):
    with path.open("rb") as file:
        hashlib.file_digest(file, "sha256")
    mine = base / path.name
    if path.samefile(mine):
        return 0
    with pq.ParquetFile(mine) as old, pq.ParquetFile(path) as new:
        sizes = [[one.metadata.row_group(g).num_rows for g in range(one.num_row_groups)] for one in (old, new)]
        touched = [g for g, (before, after) in enumerate(zip(*sizes)) if before != after]
        for group in touched:
            old.read_row_group(group, use_threads=False)
            new.read_row_group(group, use_threads=False)
    return len(touched)

base, release, threads = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
with timed() as figures, ThreadPoolExecutor(threads) as pool:
    groups = sum(pool.map(read, sorted(release.glob("*.parquet"))))
print(json.dumps({**figures, "groups": groups}))
"""

VERIFY = f"""
{UNTIL}
import json, sys
from pathlib import Path
from expunge.pool import leave_pandas_out
from expunge.verify import verify_release
from measure import timed

if __name__ == "__main__":
    leave_pandas_out()  # as the command does
    folder, workers = sys.argv[1:3]
    thorough = sys.argv[3:] == ["rows"]
    with timed() as figures:
        verify_release(
            Path(folder),
            integrity_only=True,
            thorough=thorough,
            workers=int(workers),
            progress=until("Reading rows"),
        )
    print(json.dumps({{**figures, **before}}))
"""


def halves(cost: Figures) -> tuple[Figures, Figures]:
    """What was spent before the stage that `UNTIL` waited for, and from there on."""
    first = {what: cost.pop(f"before {what}") for what in ("wall", "cpu")}
    return first, {what: cost[what] - spent for what, spent in first.items()}


def main() -> None:
    """Make the release and alternate the jobs."""
    options = parse_options(__doc__, rows=500_000, full=1_000_000)
    shards, removals = (100, 41) if options.full else (8, 3)
    base, total, workers = (
        make_shards(options.data, shards, options.rows),
        shards * options.rows,
        options.workers,
    )
    listed = write_list(options.data / "verify-list.txt", spread(total, removals))
    output, release = options.data / "verify-output", options.data / "verify-release"
    sizes = {"rows": total, "bytes": size_of(base), "removals": removals}
    make_release(base, listed, release, workers)
    beside, hashing = "hashing, and decoding what was written anew", "reading and hashing"
    # What is read first would otherwise fill the cache for the others, and all three copies do not fit in it at once.
    run(HASH, release, workers)
    found = take_turns(
        {
            "after": lambda: run(VERIFY, release, workers),
            "rows": lambda: run(VERIFY, release, workers, "rows"),
            hashing: lambda: run(HASH, release, workers),
        },
        options.rounds,
    )
    shutil.rmtree(release)
    run(HASH, base, workers)
    found |= take_turns(
        {
            "before": lambda: run(READ_BACK, base, listed, output, workers),
            beside: lambda: run(HASH_AND_DECODE, base, output, workers),
        },
        options.rounds,
    )
    shutil.rmtree(output)
    before, after, rows = found["before"], found["after"], found["rows"]
    # Looking for keys is timed apart: in what was written anew, and with `--rows` in all rows.
    (compared, again), (hashed, anew), (_, all_rows) = map(halves, (before, after, rows))

    def memory(cost: Figures) -> Goal:
        return Goal("peak memory, GB", cost["peak"] / 1e9, 1)

    def times(what: str, cost: Figures, peer: str) -> Goal:
        # A tenth is left for noise.
        return Goal(f"{what}{SECONDS}, times those of {peer}", cost[JUDGED] / found[peer][JUDGED], 1.1)

    jobs = [
        Job(
            "verify a release beside its base",
            sizes,
            before,
            {beside: found[beside]},
            [times("without looking for keys, ", compared, beside), memory(before)],
            {"digests, bytes and rows": compared, "keys of rows written anew": again},
        ),
        Job(
            "verify a published release",
            sizes,
            after,
            {hashing: found[hashing], beside: found[beside]},
            [times("without the rows written anew, ", hashed, hashing), memory(after)],
            {"digests, counts and diff": hashed, "keys of rows written anew": anew},
        ),
        Job(
            "verify a published release, every row",
            sizes,
            rows,
            {hashing: found[hashing]},
            [
                Goal("million rows per CPU second", total / all_rows["cpu"] / 1e6, 1, at_least=True),
                memory(rows),
            ],
            {"keys of all rows": all_rows},
        ),
    ]
    finish("verify", options, jobs)


if __name__ == "__main__":
    main()
