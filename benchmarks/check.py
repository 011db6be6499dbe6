"""How long it takes to say whether a copy is affected, by the digests of its shards and by the keys of its rows.

    python benchmarks/check.py                    8 shards of 500,000 rows
    python benchmarks/check.py --full             100 shards of 1,000,000 rows

By digest: the copy is the base itself, so each shard has to be read and hashed and no more; beside it, hashing the same
files by as many threads. By key: the release was made of other shards, so no digest says anything, and the keys of each
row are looked up among those of 2,236 removals; beside it, DuckDB does the same for raw keys alone.
"""

from __future__ import annotations

import shutil

import numpy as np
from clean import make_release
from data import make_shards, size_of, spread, write_list
from measure import JUDGED, SECONDS, Goal, Job, finish, parse_options, run, take_turns

FEW, MANY = 41, 2_236

CHECK = """
import json, sys
from pathlib import Path
from expunge.check import check
from expunge.copies import find_copy
from expunge.pool import leave_pandas_out
from measure import timed

if __name__ == "__main__":
    leave_pandas_out()  # as the command does
    copy, release, workers = sys.argv[1:]
    with timed() as figures:
        checked = check(find_copy([Path(copy)]), Path(release), workers=int(workers))
    known = {part.known_as.value for part in checked.parts}
    print(json.dumps({**figures, "affected": checked.affected, "known_as": " ".join(sorted(known))}))
"""

HASH = """
import hashlib, json, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from measure import timed

def digest(path):
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

folder, threads = sys.argv[1:]
with timed() as figures, ThreadPoolExecutor(int(threads)) as pool:
    list(pool.map(digest, sorted(path for path in Path(folder).rglob("*") if path.is_file())))
print(json.dumps(figures))
"""

DUCKDB = """
import json, sys
import duckdb
from measure import timed

copy, release, threads = sys.argv[1:]
duckdb.execute(f"SET threads = {threads}")
with timed() as figures:
    found, = duckdb.execute(
        f"SELECT count(*) FROM '{copy}/*.parquet' WHERE unhex(sha256(url)) IN "
        f"(SELECT key FROM '{release}/diff/keys.parquet' WHERE kind = 'url.raw.sha256')"
    ).fetchone()
print(json.dumps({**figures, "affected": found}))
"""


def main() -> None:
    """Make the releases and alternate the jobs."""
    options = parse_options(__doc__, rows=500_000, full=1_000_000)
    shards, rows, workers = 100 if options.full else 8, options.rows, options.workers
    copy, total = make_shards(options.data, shards, rows), shards * rows
    release = options.data / "check-release"
    listed = options.data / "check-list.txt"
    sizes = {"rows": total, "bytes": size_of(copy)}

    few = min(FEW, total)
    make_release(copy, write_list(listed, spread(total, few)), release, workers)
    found = take_turns(
        {
            "expunge": lambda: run(CHECK, copy, release, workers),
            "reading and hashing": lambda: run(HASH, copy, workers),
        },
        options.rounds,
    )
    ours, peer = found["expunge"], found["reading and hashing"]
    # Shards that lost nothing are the release's too.
    assert (ours["affected"], set(ours["known_as"].split()) - {"release"}) == (few, {"base"}), ours
    goals = [
        # A tenth is left for starting processes and for noise.
        Goal(f"{SECONDS}, times those of reading and hashing", ours[JUDGED] / peer[JUDGED], 1.1),
        Goal("peak memory, GB", ours["peak"] / 1e9, 1),
    ]
    by_digest = Job(
        "check a copy by shard digest", sizes | {"removals": few}, ours, {"reading and hashing": peer}, goals
    )

    # The same rows in shards half as long: other bytes, so only keys can tell.
    many = min(MANY, rows)
    other = make_shards(options.data, 2, rows // 2)
    make_release(other, write_list(listed, np.unique(spread(2 * (rows // 2), many))), release, workers)
    found = take_turns(
        {
            "expunge": lambda: run(CHECK, copy, release, workers),
            "DuckDB": lambda: run(DUCKDB, copy, release, workers),
        },
        options.rounds,
    )
    ours, peer = found["expunge"], found["DuckDB"]
    assert (ours["affected"], ours["known_as"]) == (many, "keys"), ours
    assert peer["affected"] == many, peer
    goals = [
        Goal("million rows per CPU second", total / ours["cpu"] / 1e6, 1, at_least=True),
        Goal("peak memory, GB", ours["peak"] / 1e9, 1),
    ]
    by_key = Job("check a copy by key", sizes | {"removals": many}, ours, {"DuckDB": peer}, goals)
    shutil.rmtree(release)
    finish("check", options, [by_digest, by_key])


if __name__ == "__main__":
    main()
