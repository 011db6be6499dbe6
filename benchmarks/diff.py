"""How long comparing two versions takes, beside DuckDB's best query for the same answer in the same run.

    python benchmarks/diff.py              4 shards of 500,000 rows 41 rows apart, and two unrelated orders of 1M rows
    python benchmarks/diff.py --full       100M rows 41 rows apart (goal: 5 s), and 10M rows (goal: 1.5 x DuckDB's best)

`linked` is a version whose untouched shards are the base's own files, as `expunge clean` leaves them on one file system;
`copied` holds the same bytes in files of its own. The answer is that of multisets: rows added, removed and common. DuckDB
may take all memory and is given both queries that answer it, by grouping and by joining counts; the one that only asks
which URLs the other side has is shown beside them, for it is right only where no URL is there twice. A run with our own
limit on memory shows what the limit costs.
"""

from __future__ import annotations

import os
import shutil
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.parquet as pq
from data import make_shards, rows_of, shard_name, size_of, write_shard
from measure import JUDGED, SECONDS, Goal, Job, finish, parse_options, run, take_turns

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from pathlib import Path

REMOVED = 41
OUR_LIMIT = "700MB"

OURS = """
import json, sys
from pathlib import Path
from expunge.diff import diff_versions
from expunge.shards import find_shards
from measure import timed

if __name__ == "__main__":
    old, new = (find_shards([Path(path)]).shards for path in sys.argv[1:])
    with timed() as figures:
        diff = diff_versions(old, new)
    print(json.dumps({**figures, "answer": [diff.added, diff.removed]}))
"""

DUCKDB = """
import json, sys, tempfile
import duckdb
from measure import timed

old, new, query, memory = sys.argv[1:]
with tempfile.TemporaryDirectory() as folder, duckdb.connect() as database:
    database.execute(f"SET temp_directory = '{folder}'")
    database.execute("SET preserve_insertion_order = false")
    database.execute("SET enable_progress_bar = false")
    if memory:
        database.execute(f"SET memory_limit = '{memory}'")
    sides = [f"read_parquet('{path}/*.parquet')" for path in (old, new)]
    with timed() as figures:
        (found,) = database.execute(query.format(old=sides[0], new=sides[1])).fetchall()
    print(json.dumps({**figures, "answer": [int(count) for count in found]}))
"""

QUERIES = {
    "group": """
        SELECT sum(greatest(-sign, 0)), sum(greatest(sign, 0)) FROM (
            SELECT sum(sign) AS sign FROM (SELECT url, 1 AS sign FROM {old} UNION ALL SELECT url, -1 FROM {new})
            GROUP BY url)""",
    "join counts": """
        SELECT sum(greatest(coalesce(b, 0) - coalesce(a, 0), 0)), sum(greatest(coalesce(a, 0) - coalesce(b, 0), 0))
        FROM (SELECT url, count(*) AS a FROM {old} GROUP BY url)
        FULL JOIN (SELECT url, count(*) AS b FROM {new} GROUP BY url) USING (url)""",
}
DISTINCT_ONLY = """
    SELECT (SELECT count(*) FROM {new}) - common, (SELECT count(*) FROM {old}) - common
    FROM (SELECT count(*) AS common FROM {old} WHERE url IN (SELECT url FROM {new}))"""


def write_version(place: int, rows: int, gone: list[int], base: Path, folder: Path) -> None:
    """Write a shard's clean form where it loses a row, else link the base's; and copy that."""
    name = shard_name(place)
    for version in ("linked", "copied"):
        (folder / version).mkdir(exist_ok=True)
    if gone:
        write_shard(folder / "linked" / name, rows_of(place * rows, rows), gone)
    else:
        os.link(base / name, folder / "linked" / name)
    shutil.copyfile(folder / "linked" / name, folder / "copied" / name)


def make_versions(data: Path, shards: int, rows: int) -> tuple[Path, Path]:
    """Write the base and both clean versions of it once; returns the base and the folder of the two."""
    base, folder = make_shards(data, shards, rows), data / f"diff-{shards}x{rows}"
    if (folder / "made").exists():
        return base, folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    gone: dict[int, list[int]] = defaultdict(list)
    for place in np.random.default_rng(2026).choice(shards * rows, REMOVED, replace=False).tolist():
        gone[place // rows].append(place % rows)
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for job in [
            pool.submit(write_version, n, rows, sorted(gone[n]), base, folder) for n in range(shards)
        ]:
            job.result()
    (folder / "made").touch()
    return base, folder


def make_orders(data: Path, rows: int) -> Path:
    """Write two versions in unrelated orders, each without every thousandth row of its own; returns their folder."""
    folder = data / f"orders-{rows}"
    if (folder / "made").exists():
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    table = rows_of(0, rows).select(["sample_id", "url", "width", "md5"])
    rng = np.random.default_rng(2026)
    for side, name in enumerate(("old", "new")):
        order = rng.permutation(np.flatnonzero(np.arange(rows) % 1000 != side))
        for place, part in enumerate(np.array_split(order, 8)):
            write_shard(folder / name / shard_name(place), table.take(part))
    (folder / "made").touch()
    return folder


def compare(
    name: str,
    old: Path,
    new: Path,
    expected: list[int],
    *,
    rounds: int,
    peers: bool,
    limited: bool,
    goal: str,
) -> Job:
    """Alternate our run and those of DuckDB, all of which must answer `expected`. `goal` is `seconds`, `ratio` or none.

    With `limited` DuckDB is also run in our own memory.
    """
    jobs = {"expunge": partial(run, OURS, old, new)}
    if peers:
        jobs |= {
            f"DuckDB, {title}": partial(run, DUCKDB, old, new, query, "") for title, query in QUERIES.items()
        }
        if limited:
            jobs["DuckDB, group, our memory"] = partial(run, DUCKDB, old, new, QUERIES["group"], OUR_LIMIT)
        jobs["DuckDB, distinct URLs only"] = partial(run, DUCKDB, old, new, DISTINCT_ONLY, "")
    found = take_turns(jobs, rounds)
    for title, cost in found.items():
        assert cost.pop("answer") == expected, title
    ours = found.pop("expunge")
    goals = [Goal("peak memory, GB", ours["peak"] / 1e9, 1)]
    if goal == "seconds":
        goals.insert(0, Goal("seconds", ours["wall"], 5))
    if goal == "ratio":
        best = min(found[f"DuckDB, {title}"][JUDGED] for title in QUERIES)
        goals.insert(0, Goal(f"{SECONDS}, times those of DuckDB's best", ours[JUDGED] / best, 1.5))
    rows = sum(pq.read_metadata(path).num_rows for path in old.glob("*.parquet"))
    return Job(name, {"rows": rows, "bytes": size_of(old), "rows apart": sum(expected)}, ours, found, goals)


def _ordered(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--ordered", type=int, help="rows in two unrelated orders: 1,000,000, --full 10,000,000"
    )


def main() -> None:
    """Make the data and run the jobs."""
    options = parse_options(__doc__, rows=500_000, full=1_000_000, add=_ordered)
    shards = 100 if options.full else 4
    ordered = options.ordered or (10_000_000 if options.full else 1_000_000)
    base, versions = make_versions(options.data, shards, options.rows)
    orders, apart = make_orders(options.data, ordered), -(-ordered // 1000)
    jobs = [
        compare(
            f"diff of a version and its clean form, {version}",
            base,
            versions / version,
            [0, REMOVED],
            rounds=options.rounds,
            peers=version == "linked",
            limited=not options.full,  # 200M rows through 700 MB would fill the disk, if it ended at all
            goal="seconds",
        )
        for version in ("linked", "copied")
    ]
    jobs.append(
        compare(
            "diff of two unrelated orders",
            orders / "old",
            orders / "new",
            [apart, apart],
            rounds=options.rounds,
            peers=True,
            limited=True,
            goal="ratio",
        )
    )
    finish("diff", options, jobs)


if __name__ == "__main__":
    main()
