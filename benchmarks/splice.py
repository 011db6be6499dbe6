"""How long it takes to cut known rows out of Parquet shards, beside the same by PyArrow, Polars and DuckDB in the same run.

    python benchmarks/splice.py                       8 shards of 1,000,000 rows
    python benchmarks/splice.py --full                the same, then 41 rows of 100 shards

Jobs: 3 rows of 3 row groups of 3 shards; 2,000 rows spread over every row group; and, with `--full`, 41 rows of 100 shards of
which the others are linked. Row groups have 122,880 rows and are compressed with Zstandard. All know the rows that go and
read the same cached files. Ours writes the shards that lose a row, puts them on disk, and hashes them and their bases; what
others write is neither hashed nor put on disk. `copy` is the least that can be: the same shards copied by one thread that
hashes them on the way. Peers are run on the shards that lose a row and, where there are others, on all; where ours links
the others, which it has to hash for that, peers copy them. Verifying (every byte compared or decoded) is timed apart, and
the rows of every output are checked.
"""

from __future__ import annotations

import shutil
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from data import make_shards, shard_name, size_of, spread
from measure import JUDGED, SECONDS, Goal, Job, finish, parse_options, run, take_turns

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from measure import Figures

JOBS = {
    "few": "splice, sparse",
    "many": "splice, every row group",
    "linked": "splice, other shards linked",
}

START = """
import json, shutil, sys
from pathlib import Path
import numpy as np
from measure import timed

if __name__ == "__main__":
    base, places, output = map(Path, sys.argv[1:4])
    gone = dict(np.load(places))
    every = sorted(path.name for path in base.glob("*.parquet"))
    names = every if sys.argv[4] in ("all", "linked") else sorted(gone)
"""

OURS = (
    START
    + """
    from expunge.progress import quiet
    from expunge.rewrite import Piece, verify_shards, write_shards
    from expunge.shards import NO_ROWS, Cut, ShardFile, open_shard
    pieces = []
    for name in names:
        shard = open_shard(ShardFile(base / name, name))
        cut = Cut(drop=gone.get(name, NO_ROWS))
        pieces.append(Piece(shard.file, output / name, shard.rows, cut, shard.fingerprint))
    job = {"link": sys.argv[4] == "linked", "workers": int(sys.argv[5]), "progress": quiet}
    with timed() as figures:
        made = write_shards(pieces, **job)
    assert {one.method for one in made if one.sha256 != one.base_sha256} == {"spliced"}
    if sys.argv[6:] == ["verify"]:
        with timed() as figures:
            verify_shards(pieces, made, [], workers=job["workers"], progress=quiet)
    print(json.dumps(figures))
"""
)

COPY = (
    START
    + """
    import hashlib
    with timed() as figures:
        for name in sorted(gone):
            digest = hashlib.sha256()
            with (base / name).open("rb") as source, (output / name).open("xb") as target:
                while block := source.read(1 << 18):
                    digest.update(block)
                    target.write(block)
    print(json.dumps(figures))
"""
)

PYARROW = (
    START
    + """
    import pyarrow as pa, pyarrow.parquet as pq
    with timed() as figures:
        for name in names:
            with pq.ParquetFile(base / name) as source:
                with pq.ParquetWriter(output / name, source.schema_arrow, compression="zstd") as writer:
                    first = 0
                    for group in range(source.num_row_groups):
                        table = source.read_row_group(group)
                        rows = gone.get(name, np.zeros(0, int))
                        here = rows[(first <= rows) & (rows < first + len(table))] - first
                        first += len(table)
                        if len(here):
                            kept = np.ones(len(table), bool)
                            kept[here] = False
                            table = table.filter(pa.array(kept))
                        writer.write_table(table, row_group_size=len(table))
    print(json.dumps(figures))
"""
)

POLARS = (
    START
    + """
    import polars as pl
    with timed() as figures:
        for name in names:
            frame = pl.scan_parquet(base / name, row_index_name="row")
            kept = frame.filter(~pl.col("row").is_in(gone.get(name, np.zeros(0, int)).tolist())).drop("row")
            kept.sink_parquet(output / name, compression="zstd", row_group_size=122_880, maintain_order=True)
    print(json.dumps(figures))
"""
)

# A join or NOT IN would be faster and lose the order of rows.
DUCKDB = (
    START
    + """
    import duckdb
    with timed() as figures:
        for name in names:
            if sys.argv[4] == "linked" and name not in gone:
                shutil.copyfile(base / name, output / name)
                continue
            rows = gone.get(name, np.zeros(0, int)).tolist()
            duckdb.execute(
                f"COPY (SELECT * EXCLUDE (file_row_number) FROM read_parquet('{base / name}', file_row_number = true) "
                f"WHERE NOT list_contains({rows}::BIGINT[], file_row_number)) TO '{output / name}' "
                "(FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 122880)"
            )
    print(json.dumps(figures))
"""
)


def removals(folder: Path, rows: int, shards: int) -> dict[str, Path]:
    """The rows that go in each job, by shard, as files."""
    few = {shard_name(place): np.array([rows // 2]) for place in range(3)}
    many = {shard_name(place): np.unique(spread(rows, 2_000 // 8)) for place in range(8)}
    found = {"few": few, "many": many}
    if shards > 8:
        chosen = np.sort(np.random.default_rng(2026).choice(shards * rows, 41, replace=False))
        found["linked"] = {
            shard_name(place): chosen[chosen // rows == place] % rows for place in np.unique(chosen // rows)
        }
    for job, gone in found.items():
        arrays: dict[str, Any] = dict(gone)
        np.savez(folder / f"splice-{job}.npz", **arrays)
    return {job: folder / f"splice-{job}.npz" for job in found}


def fresh(output: Path, checked: set[tuple[object, ...]], script: str, *arguments: object) -> Figures:
    """Run one contender into an empty folder. The rows that it leaves are held against the base the first time."""
    base, places, which, *more = arguments
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir()
    found = run(script, base, places, output, which, *more)
    if script != COPY and (script, which) not in checked:
        check(base, places, output)  # type: ignore[arg-type]  # both are paths
        checked.add((script, which))
    return found


def check(base: Path, places: Path, output: Path) -> None:
    """Assert that an output holds what it should, in order: the ids, the URLs and the MD5s."""
    for name, gone in np.load(places).items():
        kept = np.ones(pq.read_metadata(base / name).num_rows, dtype=bool)
        kept[gone] = False
        for column in ("sample_id", "url", "md5"):
            expected = pq.read_table(base / name, columns=[column]).filter(pa.array(kept)).column(column)
            found = pq.read_table(output / name, columns=[column]).column(column)
            assert len(expected) == len(found), f"{name}: {column}"
            assert pc.all(pc.equal(expected, found)).as_py(), f"{name}: {column}"


def compare(job: str, base: Path, places: Path, options: argparse.Namespace) -> Job:
    """Alternate all contenders in one job."""
    output, workers = options.data / "splice-output", options.workers
    which = "linked" if job == "linked" else "touched"
    contender = partial(fresh, output, set())
    ours = (base, places, which, workers)
    contenders = {
        "copy + sha256": partial(contender, COPY, base, places, "touched"),
        "expunge": partial(contender, OURS, *ours),
        "in one process": partial(contender, OURS, base, places, which, 1),
        "verifying": partial(contender, OURS, *ours, "verify"),
    }
    touched = {"PyArrow": PYARROW, "Polars": POLARS, "DuckDB": DUCKDB}
    if job == "linked":
        contenders["DuckDB, others copied"] = partial(contender, DUCKDB, base, places, "linked")
    else:
        contenders |= {
            name: partial(contender, script, base, places, "touched") for name, script in touched.items()
        }
    if job == "few":
        contenders |= {
            f"{name}, all shards": partial(contender, script, base, places, "all")
            for name, script in touched.items()
        }
    found = take_turns(contenders, options.rounds)
    shutil.rmtree(output)
    mine, more = found.pop("expunge"), {name: found.pop(name) for name in ("in one process", "verifying")}
    times = {name: cost[JUDGED] for name, cost in found.items()}
    least = Goal(f"{SECONDS}, times those of copy + sha256", mine[JUDGED] / times["copy + sha256"], 3.5)
    if job == "few":
        fastest = min(times[name] for name in touched)
        rewriting = min(times[f"{name}, all shards"] for name in touched)
        goals = [
            least,
            Goal(
                f"times as fast as the fastest that skips untouched shards, by {SECONDS}",
                fastest / mine[JUDGED],
                3,
                at_least=True,
            ),
            Goal(
                f"times as fast as the fastest that rewrites all, by {SECONDS}",
                rewriting / mine[JUDGED],
                7,
                at_least=True,
            ),
        ]
    elif job == "many":
        fastest = min(times[name] for name in touched)
        goals = [Goal(f"{SECONDS}, times those of the fastest peer", mine[JUDGED] / fastest, 1.1)]
    else:
        slower = times["DuckDB, others copied"] / mine[JUDGED]
        goals = [least, Goal(f"times as fast as DuckDB, by {SECONDS}", slower, 7, at_least=True)]
    goals.append(Goal("peak memory, GB", mine["peak"] / 1e9, 1))
    gone = np.load(places)
    sizes = {
        "rows": sum(pq.read_metadata(path).num_rows for path in base.glob("*.parquet")),
        "bytes": size_of(base),
        "removals": sum(map(len, gone.values())),
        "shards touched": len(gone.files),
    }
    return Job(JOBS[job], sizes, mine, found, goals, more)


def _jobs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--jobs", nargs="+", choices=JOBS, default=JOBS, help="linked only with --full")


def main() -> None:
    """Run the jobs."""
    options = parse_options(__doc__, rows=1_000_000, full=1_000_000, rounds=2, add=_jobs)
    small = make_shards(options.data, 8, options.rows)
    large = make_shards(options.data, 100, options.rows) if options.full else small
    places = removals(options.data, options.rows, 100 if options.full else 8)
    jobs = [
        compare(job, large if job == "linked" else small, file, options)
        for job, file in places.items()
        if job in options.jobs
    ]
    finish("splice", options, jobs)


if __name__ == "__main__":
    main()
