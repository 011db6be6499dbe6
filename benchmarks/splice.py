"""How long it takes to cut known rows out of Parquet shards, beside the same by PyArrow, Polars and DuckDB in the same run.

    python benchmarks/splice.py                       8 shards of 1,000,000 rows
    python benchmarks/splice.py --full                the same, then 41 rows of 100 shards
    python benchmarks/splice.py --jobs pages          one job alone

| job | what goes |
|---|---|
| few | 3 rows of 3 row groups of 3 shards |
| many | 2,000 rows spread over every row group |
| pages | 3 rows of each of 4 shards that are one row group of a million rows, compressed with Snappy |
| linked | with `--full`: 41 rows of 100 shards of which the others are linked |

But for `pages`, row groups have 122,880 rows and are compressed with Zstandard. All know the rows that go and read the same
cached files. Ours writes the shards that lose a row, puts them on disk and hashes them; it hashes their bases too, unless
their digests are known, as in `linked`, where a manifest tells those of all 100 shards. `copy` is the least that can be: the
same shards copied by one thread that hashes them on the way. Peers are run on the shards that lose a row and, where there
are others, on all; where ours links the others, peers copy them. What peers write is neither hashed nor put on disk; what
both would take is in lines of their own. Nobody's imports are counted, and so not the start of the server that our
processes come from: in a release the stage before has started it. Verifying (every byte compared or decoded, and bases of
known digests hashed) is timed apart, and the rows of every output are checked.
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
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from measure import Figures

JOBS = {
    "few": "splice, sparse",
    "many": "splice, every row group",
    "pages": "splice, wide row groups",
    "linked": "splice, other shards linked",
}
WIDE_SHARDS = 4

START = """
import hashlib, json, os, shutil, sys
from dataclasses import replace
from pathlib import Path
import numpy as np
from measure import timed

def nothing(shared, item, advance):
    pass

if __name__ == "__main__":
    base, places, output = map(Path, sys.argv[1:4])
    gone = dict(np.load(places))
    every = sorted(path.name for path in base.glob("*.parquet"))
    names = every if sys.argv[4] in ("all", "linked") else sorted(gone)
    codec, group_rows = ("snappy", 1_000_000) if "wide" in base.name else ("zstd", 122_880)
"""

OURS = (
    START
    + """
    from expunge.hashing import hash_files
    from expunge.pool import map_shards
    from expunge.progress import quiet
    from expunge.rewrite import Piece, verify_shards, write_shards
    from expunge.shards import NO_ROWS, Cut, ShardFile, open_shard
    files = [ShardFile(base / name, name) for name in names]
    if "known" in sys.argv[6:]:
        files = [replace(file, sha256=one.sha256) for file, one in zip(files, hash_files(files, workers=2))]
    pieces = []
    for file in files:
        name, shard = file.name, open_shard(file)
        cut = Cut(drop=gone.get(name, NO_ROWS))
        pieces.append(Piece(shard.file, output / name, shard.rows, cut, shard.fingerprint))
    job = {"link": sys.argv[4] == "linked", "workers": int(sys.argv[5]), "progress": quiet}
    map_shards(nothing, None, [0, 1], workers=job["workers"], stage="", total=0, progress=quiet)
    with timed() as figures:
        made = write_shards(pieces, **job)
    assert {one.method for one in made if one.sha256 != one.base_sha256} == {"spliced"}
    if "verify" in sys.argv[6:]:
        with timed() as figures:
            verify_shards(pieces, made, [], workers=job["workers"], progress=quiet)
    print(json.dumps(figures))
"""
)

WHOLE_GROUPS = "import expunge.splice.paging as paging; paging.LARGEST_SHARE = 0" + OURS

COPY = (
    START
    + """
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

# What peers leave out: their files on disk, and a digest of each.
HASH = """
    with timed() as hashing:
        for name in names:
            with (output / name).open("rb") as made:
                os.fsync(made.fileno())
                hashlib.file_digest(made, "sha256")
    print(json.dumps({**figures, "hashing wall": hashing["wall"], "hashing cpu": hashing["cpu"]}))
"""

PYARROW = (
    START
    + """
    import pyarrow as pa, pyarrow.parquet as pq
    with timed() as figures:
        for name in names:
            with pq.ParquetFile(base / name) as source:
                with pq.ParquetWriter(output / name, source.schema_arrow, compression=codec) as writer:
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
"""
    + HASH
)

POLARS = (
    START
    + """
    import polars as pl
    with timed() as figures:
        for name in names:
            frame = pl.scan_parquet(base / name, row_index_name="row")
            kept = frame.filter(~pl.col("row").is_in(gone.get(name, np.zeros(0, int)).tolist())).drop("row")
            kept.sink_parquet(output / name, compression=codec, row_group_size=group_rows, maintain_order=True)
"""
    + HASH
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
                f"(FORMAT parquet, COMPRESSION {codec}, ROW_GROUP_SIZE {group_rows})"
            )
"""
    + HASH
)

PEERS = {"PyArrow": PYARROW, "Polars": POLARS, "DuckDB": DUCKDB}


def wide_shards(data: Path, base: Path, rows: int) -> Path:
    """The first shards of `base` as Spark would write them: one row group each, compressed with Snappy."""
    folder = data / f"wide-{WIDE_SHARDS}-of-{rows}"
    folder.mkdir(exist_ok=True)
    for name in map(shard_name, range(WIDE_SHARDS)):
        if not (folder / name).exists():
            partial_file = folder / f"{name}.partial"
            pq.write_table(
                pq.read_table(base / name), partial_file, row_group_size=rows, compression="snappy"
            )
            partial_file.rename(folder / name)
    return folder


def removals(folder: Path, rows: int, shards: int) -> dict[str, Path]:
    """The rows that go in each job, by shard, as files."""
    found = {
        "few": {shard_name(place): np.array([rows // 2]) for place in range(3)},
        "many": {shard_name(place): np.unique(spread(rows, 2_000 // 8)) for place in range(8)},
        "pages": {shard_name(place): spread(rows, 3) for place in range(WIDE_SHARDS)},
    }
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
    output = options.data / "splice-output"
    which, known = ("linked", ("known",)) if job == "linked" else ("touched", ())
    contender = partial(fresh, output, set())

    def ours(script: str, workers: int, *flags: str) -> Callable[[], Figures]:
        return partial(contender, script, base, places, which, workers, *known, *flags)

    more = {
        "in one process": ours(OURS, 1),
        "verifying": ours(OURS, options.workers, "verify"),
    }
    if job == "pages":
        more["by row groups alone"] = ours(WHOLE_GROUPS, options.workers)
    elif not known:
        more["digests known"] = ours(OURS, options.workers, "known")
    peers = {"copy + sha256": partial(contender, COPY, base, places, "touched")}
    if job == "linked":
        peers["DuckDB, others copied"] = partial(contender, DUCKDB, base, places, "linked")
    else:
        peers |= {name: partial(contender, script, base, places, "touched") for name, script in PEERS.items()}
    if job == "few":
        peers |= {
            f"{name}, all shards": partial(contender, script, base, places, "all")
            for name, script in PEERS.items()
        }
    found = take_turns({"expunge": ours(OURS, options.workers), **more, **peers}, options.rounds)
    shutil.rmtree(output)
    mine, apart = found["expunge"], {name: found[name] for name in more}
    goals = [*goals_of(job, found), Goal("peak memory, GB", mine["peak"] / 1e9, 1)]
    gone = np.load(places)
    sizes = {
        "rows": sum(pq.read_metadata(path).num_rows for path in base.glob("*.parquet")),
        "bytes": size_of(base),
        "removals": sum(map(len, gone.values())),
        "shards touched": len(gone.files),
    }
    theirs = {name: cost for peer in peers for name, cost in with_hashing(peer, found[peer]).items()}
    return Job(JOBS[job], sizes, mine, theirs, goals, apart)


def goals_of(job: str, found: Mapping[str, Figures]) -> list[Goal]:
    """What the job should cost, beside what it does."""
    times = {name: cost[JUDGED] for name, cost in found.items()}
    mine = times["expunge"]
    least = Goal(f"{SECONDS}, times those of copy + sha256", mine / times["copy + sha256"], 3.5)
    if job == "linked":
        return [least, _times_as_fast("DuckDB", times["DuckDB, others copied"] / mine, 7)]
    fastest = min(times[name] for name in PEERS)
    if job == "many":
        return [Goal(f"{SECONDS}, times those of the fastest peer", mine / fastest, 1.1)]
    if job == "pages":
        return [_times_as_fast("by row groups alone", times["by row groups alone"] / mine, 2)]
    rewriting = min(times[f"{name}, all shards"] for name in PEERS)
    return [
        least,
        _times_as_fast("the fastest that skips untouched shards", fastest / mine, 3),
        _times_as_fast("the fastest that rewrites all", rewriting / mine, 7),
    ]


def _times_as_fast(other: str, ratio: float, least: float) -> Goal:
    return Goal(f"times as fast as {other}, by {SECONDS}", ratio, least, at_least=True)


def with_hashing(name: str, cost: Figures) -> dict[str, Figures]:
    """What a peer took, and what it would have taken to put its files on disk and hash them."""
    hashing = {what: cost.pop(f"hashing {what}", 0.0) for what in ("wall", "cpu")}
    if not hashing["cpu"]:
        return {name: cost}
    both = {what: cost[what] + more for what, more in hashing.items()}
    return {name: cost, f"{name} + fsync + sha256": {**both, "peak": cost["peak"]}}


def _jobs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--jobs", nargs="+", choices=JOBS, default=JOBS, help="linked only with --full")


def main() -> None:
    """Run the jobs."""
    options = parse_options(__doc__, rows=1_000_000, full=1_000_000, rounds=2, add=_jobs)
    places = removals(options.data, options.rows, 100 if options.full else 8)
    jobs: list[Job] = []
    for job in [job for job in places if job in options.jobs]:
        base = make_shards(options.data, 100 if job == "linked" else 8, options.rows)
        if job == "pages":
            base = wide_shards(options.data, base, options.rows)
        jobs.append(compare(job, base, places[job], options))
    finish("splice", options, jobs)


if __name__ == "__main__":
    main()
