"""How long a clean release of a LAION-like dataset takes, beside the same rows filtered by Polars in the same run.

    python benchmarks/clean.py                    8 shards of 1,000,000 rows, 2,000 removals
    python benchmarks/clean.py --rows 100000      smaller shards

Both read the same Parquet files and write them again, in order, without the rows whose URL is on the list. Ours also
copies key-value metadata and row-group boundaries, hashes what it reads and writes, puts it on disk, makes the diff, and
reads everything back; the stages are timed apart. Memory is the highest sum over the process and its children.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq

BENCH = Path(__file__).parents[1] / "var/bench"
SHARDS = 8
REMOVALS = 2_000
GROUP_ROWS = 122_880
ROUNDS = 3
LIMIT_BYTES = 1_000_000_000

OURS = """
import json, sys, time
from pathlib import Path
from expunge.clean import clean
from expunge.lists import read_list
from expunge.shards import find_shards

if __name__ == "__main__":
    base, listed, output, workers = sys.argv[1:]
    began, stages, last = time.monotonic(), {}, [""]

    def progress(stage, done, total):
        now = time.monotonic()
        if stage != last[0]:
            stages[stage] = [now, now]
            last[0] = stage
        stages[stage][1] = now

    result = clean(
        find_shards([Path(base)]).shards, read_list(Path(listed)).entries, Path(output),
        dataset="bench", version="1", workers=int(workers), progress=progress,
    )
    print(json.dumps({"removed": result.rows_removed, "stages": {n: b - a for n, (a, b) in stages.items()}}))
"""

THEIRS = """
import json, sys
from pathlib import Path
import polars as pl

base, listed, output = sys.argv[1:]
gone = pl.read_csv(listed, has_header=False, new_columns=["url"])["url"].implode()
Path(output).mkdir()
removed = 0
for path in sorted(Path(base).glob("*.parquet")):
    target = Path(output, path.name)
    pl.scan_parquet(path).filter(~pl.col("url").is_in(gone)).sink_parquet(
        target, compression="zstd", row_group_size=122_880, maintain_order=True
    )
    removed += pl.scan_parquet(path).select(pl.len()).collect().item() - pl.scan_parquet(target).select(pl.len()).collect().item()
print(json.dumps({"removed": removed}))
"""


def generate(rows: int) -> tuple[Path, Path]:
    """Write the shards and the list once, from a seed; returns the folder and the list."""
    folder = BENCH / f"base-{rows}"
    listed = BENCH / f"list-{rows}.txt"
    if listed.exists():
        return folder, listed
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    rng = np.random.default_rng(2026)
    words = np.array(
        ["photo", "of", "a", "red", "house", "by", "the", "sea", "with", "two", "cats", "in", "winter"]
    )
    with listed.open("w") as sink:
        for shard in range(SHARDS):
            ids = np.arange(shard * rows, (shard + 1) * rows)
            digests = rng.bytes(16 * rows).hex()
            hosts = rng.integers(0, 20_000, rows)
            urls = [
                f"https://img{host}.example.com/{digests[32 * n : 32 * n + 12]}/{row}.jpg"
                for n, (host, row) in enumerate(zip(hosts, ids, strict=True))
            ]
            texts = [" ".join(part) for part in words[rng.integers(0, len(words), (rows, 8))]]
            table = pa.table(
                {
                    "sample_id": ids,
                    "url": urls,
                    "text": texts,
                    "width": rng.integers(100, 4000, rows, dtype=np.int32),
                    "height": rng.integers(100, 4000, rows, dtype=np.int32),
                    "similarity": rng.random(rows),
                    "punsafe": rng.random(rows),
                    "md5": [digests[32 * n : 32 * n + 32] for n in range(rows)],
                }
            )
            pq.write_table(
                table, folder / f"part-{shard:05}.parquet", compression="zstd", row_group_size=GROUP_ROWS
            )
            for place in np.linspace(0, rows - 1, REMOVALS // SHARDS, dtype=int):
                sink.write(urls[place] + "\n")
    return folder, listed


def measure(script: str, *arguments: object) -> dict[str, object]:
    """Run a script in a process of its own: its answer, with wall and CPU seconds and peak bytes of its whole tree."""
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, script, *map(str, arguments)], stdout=subprocess.PIPE, text=True
    )
    root = psutil.Process(process.pid)
    peak, spent = 0, {}
    while process.poll() is None:
        memory = 0
        for one in (root, *_children(root)):
            try:
                times = one.cpu_times()
                spent[one.pid] = times.user + times.system
                memory += one.memory_info().rss
            except psutil.NoSuchProcess:
                continue
        peak = max(peak, memory)
        time.sleep(0.02)
    wall = time.monotonic() - began
    assert process.stdout is not None
    if process.returncode:
        sys.exit(f"the job failed with {process.returncode}")
    answer: dict[str, object] = json.loads(process.stdout.read())
    return {**answer, "wall": wall, "cpu": sum(spent.values()), "peak": peak}


def _children(root: psutil.Process) -> list[psutil.Process]:
    try:
        return list(root.children(recursive=True))
    except psutil.NoSuchProcess:
        return []


def main() -> None:
    """Alternate the two jobs and print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows in each of the 8 shards")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--workers", type=int, default=psutil.cpu_count() or 1)
    options = parser.parse_args()
    base, listed = generate(options.rows)
    size = sum(path.stat().st_size for path in base.iterdir())
    print(
        f"{SHARDS} x {options.rows:,} rows, {size / 1e6:,.0f} MB, {REMOVALS:,} removals, {options.workers} workers"
    )
    ours, theirs = BENCH / "ours.py", BENCH / "theirs.py"
    ours.write_text(OURS)
    theirs.write_text(THEIRS)
    runs: dict[str, list[dict[str, object]]] = {"expunge": [], "polars": []}
    for number in range(options.rounds):
        for name, script, more in (("expunge", ours, (options.workers,)), ("polars", theirs, ())):
            output = BENCH / f"out-{name}"
            shutil.rmtree(output, ignore_errors=True)
            run = measure(str(script), base, listed, output, *more)
            shutil.rmtree(output)
            runs[name].append(run)
            assert run["removed"] == REMOVALS, run
            print(
                f"{number + 1} {name:<8} wall {run['wall']:7.2f} s   CPU {run['cpu']:7.2f} s   peak {_megabytes(run['peak'])}"
            )
    middle = {
        name: {what: _median(found, what) for what in ("wall", "cpu", "peak")} for name, found in runs.items()
    }
    for name, found in middle.items():
        print(
            f"median {name:<8} wall {found['wall']:7.2f} s   CPU {found['cpu']:7.2f} s   peak {_megabytes(found['peak'])}"
        )
    ratio = {what: middle["expunge"][what] / middle["polars"][what] for what in ("wall", "cpu", "peak")}
    print("expunge / polars: " + ", ".join(f"{what} {value:.2f}" for what, value in ratio.items()))
    stages = [run["stages"] for run in runs["expunge"]]
    for stage in stages[0]:  # type: ignore[attr-defined]  # what OURS printed
        print(f"  {stage:<16} {statistics.median(found[stage] for found in stages):7.2f} s")  # type: ignore[index]  # as above
    if middle["expunge"]["peak"] > LIMIT_BYTES:
        sys.exit("The peak memory is over 1 GB.")


def _median(runs: list[dict[str, object]], what: str) -> float:
    return statistics.median(float(str(run[what])) for run in runs)


def _megabytes(value: object) -> str:
    return f"{float(str(value)) / 1e6:7,.0f} MB"


if __name__ == "__main__":
    main()
