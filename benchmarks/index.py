"""The key index beside DuckDB, in the same run: building it, and asking it for one key and for 2,236.

    python benchmarks/index.py                    8 shards of 500,000 rows
    python benchmarks/index.py --full             100 shards of 1,000,000 rows

DuckDB sorts the same prefixes into one Parquet file, which is then asked by key; it also scans the shards without any
index. What an index names are candidates: reading the rows to confirm them is timed apart.
"""

from __future__ import annotations

import random
import shutil
import statistics
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from data import make_shards, size_of
from measure import BUSY, Goal, Job, finish, parse_options, run, take_turns

from expunge.index import KeyIndex, locate_versions, read_versions
from expunge.keys import KeyKind
from expunge.lists import Entry, parse_entry

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Callable
    from pathlib import Path

    from measure import Figures

BATCH_KEYS = 2_236
"""As many as the known release of this size removed."""
ASKED = 2_000

BUILD = """
import json, sys
from pathlib import Path
from expunge.index import build_index
from expunge.keys import KeyKind
from expunge.shards import find_shards
from measure import timed

if __name__ == "__main__":
    data, folder, kind, workers = sys.argv[1:]
    with timed() as figures:
        built = build_index(
            find_shards([Path(data)]).shards, Path(folder), kinds=[KeyKind(kind)], name="bench", workers=int(workers)
        )
    print(json.dumps({**figures, "bytes per row": built.archive_bytes / built.archive_rows}))
"""

DUCKDB = """
import json, os, sys
import duckdb
from measure import timed

data, target, threads = sys.argv[1:]
connection = duckdb.connect()
connection.execute(f"set threads = {threads}")
connection.execute("set enable_progress_bar = false")
connection.execute("set temp_directory = '" + target + ".tmp'")
with timed() as figures:
    rows = connection.execute(f\"\"\"
        copy (
            select ('0x' || sha256(url)[1:16])::ubigint as prefix, file_index as shard, file_row_number as row
            from read_parquet('{data}/*.parquet', file_row_number = true) order by prefix
        ) to '{target}' (parquet_version v2, compression zstd, row_group_size 122880)
    \"\"\").fetchone()[0]
print(json.dumps({**figures, "bytes per row": os.path.getsize(target) / rows}))
"""


def sample_urls(folder: Path, count: int) -> list[str]:
    """URLs of rows all over the version."""
    chance = random.Random(7)
    paths = sorted(folder.glob("*.parquet"))
    found: list[str] = []
    for number, path in enumerate(paths):
        column = pq.ParquetFile(path).read_row_group(0, columns=["url"]).column(0)
        share = count // len(paths) + (number < count % len(paths))
        found += [column[chance.randrange(len(column))].as_py() for _ in range(share)]
    return found


def milliseconds(job: Callable[[Any], object], questions: list[Any]) -> dict[str, float]:
    """The time of each question asked once: its median and 99th percentile."""
    times = []
    for question in questions:
        began = time.perf_counter()
        job(question)
        times.append((time.perf_counter() - began) * 1e3)
    times.sort()
    return {"p50": statistics.median(times), "p99": times[int(len(times) * 0.99)]}


def raw_entries(urls: list[str]) -> list[Entry]:
    """Entries by raw key, which DuckDB can compute too."""
    keys = duckdb.connect().from_arrow(pa.table({"url": urls})).select("sha256(url)").fetchall()
    return [parse_entry(f"url.raw.sha256:{key}") for (key,) in keys]


def ask_ours(folder: Path, urls: list[str]) -> dict[str, Any]:
    """Ask our index for keys that are there, one by one and all at once, and confirm these."""
    entries = raw_entries(urls)
    absent = raw_entries([f"{url}#" for url in urls])
    versions = read_versions(folder)
    shards = versions[0].shards
    with KeyIndex(folder) as index:
        began = time.perf_counter()
        index.candidates(entries[:1], shards)
        opened = (time.perf_counter() - began) * 1e3
        one = milliseconds(lambda entry: index.candidates([entry], shards), (entries + absent)[:ASKED])
        batch = milliseconds(lambda asked: index.candidates(asked, shards), [entries] * 5)
        found = sum(map(len, index.candidates(entries, shards).rows.values()))
        began = time.perf_counter()
        (confirmed,) = locate_versions(index, entries, versions)
        confirming = time.perf_counter() - began
    located = sum(map(len, confirmed.located.positions.values()))
    assert located == len(set(urls)) <= found, (located, found)
    return {
        "open_ms": opened,
        "one_key": one,
        "batch_ms": batch["p50"],
        "confirmed_s": confirming,
        "candidates": found,
    }


def ask_duckdb(data: Path, index: Path, urls: list[str], threads: int) -> dict[str, Any]:
    """Ask DuckDB's sorted file, and the shards themselves."""
    connection = duckdb.connect()
    connection.execute(f"set threads = {threads}")
    keys = [int(key.key[:8].hex(), 16) for key in raw_entries(urls)]
    connection.register("wanted", pa.table({"prefix": pa.array(keys, pa.uint64()), "url": urls}))
    sorted_file, shards = f"read_parquet('{index}')", f"read_parquet('{data}/*.parquet')"
    by_key = f"select shard, row from {sorted_file} where prefix = ?"
    semi = f"select count(*) from {sorted_file} semi join wanted using (prefix)"
    scan = f"select count(*) from {shards} where url = ?"
    scans = f"select count(*) from {shards} semi join wanted using (url)"
    batch = [
        milliseconds(lambda query: connection.execute(query).fetchall(), [query] * 3)["p50"]
        for query in (semi, scans)
    ]
    return {
        "one_key": milliseconds(lambda key: connection.execute(by_key, [key]).fetchall(), keys[:200]),
        "batch_ms": batch[0],
        "scan_one_key_ms": milliseconds(lambda url: connection.execute(scan, [url]).fetchall(), urls[:3])[
            "p50"
        ],
        "scan_batch_ms": batch[1],
    }


def build_jobs(data: Path, ours: Path, theirs: Path, total: int, *, rounds: int, workers: int) -> list[Job]:
    """Build by either key kind, and have DuckDB sort, in turns; the raw index and DuckDB's file stay."""

    def fresh(kind: KeyKind) -> Figures:
        shutil.rmtree(ours, ignore_errors=True)
        return run(BUILD, data, ours, kind, workers)

    def duckdb_sort() -> Figures:
        theirs.unlink(missing_ok=True)
        return run(DUCKDB, data, theirs, workers)

    kinds = (KeyKind.URL_C1, KeyKind.URL_RAW)
    found = take_turns(
        {"DuckDB sort": duckdb_sort} | {kind.value: partial(fresh, kind) for kind in kinds}, rounds
    )
    peers = {"DuckDB sort": found["DuckDB sort"]}
    of_cores = f" of CPU on {workers} cores" if BUSY else ""

    def seconds(cost: Figures) -> float:
        """Wall seconds or, where other work keeps the cores busy, the CPU seconds of each."""
        return cost["cpu"] / workers if BUSY else cost["wall"]

    sizes = {"rows": total, "bytes": size_of(data)}
    return [
        Job(
            f"build the index, {kind}",
            sizes,
            found[kind],
            peers if kind is KeyKind.URL_RAW else {},
            [
                Goal(
                    "million rows per second" + of_cores, total / seconds(found[kind]) / 1e6, 2, at_least=True
                ),
                Goal("archived bytes per row", found[kind]["bytes per row"], 10),
                Goal("peak memory, GB", found[kind]["peak"] / 1e9, 2),
            ],
        )
        for kind in kinds
    ]


def ask_jobs(data: Path, ours: Path, theirs: Path, total: int, *, keys: int, workers: int) -> list[Job]:
    """Ask for one key, many times, and for many at once."""
    urls = sample_urls(data, keys)
    mine, peer = ask_ours(ours, urls), ask_duckdb(data, theirs, urls, workers)

    def wall(milliseconds_taken: float) -> Figures:
        return {"wall": milliseconds_taken / 1e3}

    one = Job(
        "locate one key by index",
        {"rows": total},
        wall(mine["one_key"]["p50"]),
        {
            "DuckDB, sorted file": wall(peer["one_key"]["p50"]),
            "DuckDB, scan": wall(peer["scan_one_key_ms"]),
        },
        [Goal("99th percentile, ms", mine["one_key"]["p99"], 1)],
        {"the first, with opening": wall(mine["open_ms"])},
    )
    many = Job(
        f"locate {keys:,} keys by index",
        {"rows": total, "keys": len(urls)},
        wall(mine["batch_ms"]),
        {"DuckDB, sorted file": wall(peer["batch_ms"]), "DuckDB, scan": wall(peer["scan_batch_ms"])},
        [Goal("ms", mine["batch_ms"], 100)],
        {"confirming by reading the rows": {"wall": mine["confirmed_s"]}},
    )
    return [one, many]


def _keys(parser: ArgumentParser) -> None:
    parser.add_argument("--keys", type=int, default=BATCH_KEYS, help="keys that are asked for at once")


def main() -> None:
    """Build and ask."""
    options = parse_options(__doc__, rows=500_000, full=1_000_000, add=_keys)
    shards, workers = 100 if options.full else 8, options.workers
    data, total = make_shards(options.data, shards, options.rows), shards * options.rows
    ours, theirs = options.data / "index-ours", options.data / "index-theirs.parquet"
    try:
        jobs = build_jobs(data, ours, theirs, total, rounds=options.rounds, workers=workers)
        jobs += ask_jobs(data, ours, theirs, total, keys=options.keys, workers=workers)
    finally:  # at 100M rows ours takes 3.7 GB, and theirs 0.9 GB
        shutil.rmtree(ours, ignore_errors=True)
        theirs.unlink(missing_ok=True)
    finish("index", options, jobs)


if __name__ == "__main__":
    main()
