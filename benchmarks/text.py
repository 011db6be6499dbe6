"""How long it takes to cut known rows out of CSV and JSON Lines, beside the same by Polars in the same run.

    python benchmarks/text.py                    1,000,000 rows, 100 removals, .csv .jsonl .csv.zst .jsonl.zst
    python benchmarks/text.py --full             10,000,000 rows, 1,000 removals

Both know the rows that go and read the same cached file. Ours copies the bytes around them, hashes what it writes and puts
the file on disk (fsync, which Polars does not: its seconds are part of ours, and shown apart); Polars reads, filters by row
number and writes, and `sha256` of its output is taken in the same process. Verifying (reading both files back side by side)
and locating (reading the URL column, every row checked) are timed apart.
"""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from measure import JUDGED, SECONDS, Goal, Job, finish, parse_options, run, take_turns

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from pathlib import Path

    from measure import Figures
    from numpy.typing import NDArray

FORMATS = ("csv", "jsonl", "csv.zst", "jsonl.zst")
PARTS = 100_000

OURS = """
import json, os, sys, time
from pathlib import Path
import numpy as np
from expunge.shards import Cut, ShardFile, open_shard
from measure import timed

def opened(path):
    return open_shard(ShardFile(Path(path), Path(path).name))

sync, synced = os.fsync, 0.0

def timed_sync(file):
    global synced
    began = time.perf_counter()
    sync(file)
    synced += time.perf_counter() - began

os.fsync = timed_sync
job, source, places, target = sys.argv[1:]
shard, cut = opened(source), Cut(drop=np.load(places))
with timed() as figures:
    if job == "rewrite":
        figures["rows"] = shard.rewrite(Path(target), cut).rows
    elif job == "verify":
        shard.compare(opened(target), cut)
    else:
        figures["rows"] = sum(batch.rows for batch in shard.batches(["url"]))
print(json.dumps({**figures, "fsync": synced}))
"""

POLARS = """
import hashlib, json, sys
import numpy as np
import polars as pl
from measure import timed

source, places, target = sys.argv[1:]
gone = np.load(places).tolist()
with timed() as figures:
    scan = pl.scan_csv if ".csv" in source else pl.scan_ndjson
    frame = scan(source, row_index_name="row").filter(~pl.col("row").is_in(gone)).drop("row")
    options = {"compression": "zstd"} if source.endswith(".zst") else {}
    sink = frame.sink_csv if ".csv" in source else frame.sink_ndjson
    sink(target, maintain_order=True, **options)
    with open(target, "rb") as written:
        hashlib.file_digest(written, "sha256")
print(json.dumps(figures))
"""


def generate(data: Path, rows: int, removals: int) -> tuple[dict[str, Path], Path]:
    """Write one table in every format, once, from a seed; returns the files and that of the places to cut."""
    folder = data / f"text-{rows}"
    files = {form: folder / f"part.{form}" for form in FORMATS}
    places = folder / "gone.npy"
    if places.exists():
        return files, places
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    rng = np.random.default_rng(2026)
    words = np.array(
        ["photo", "of", "a", "red", "house,", "by", "the", 'sea "Nord"', "with", "two", "cats", "in", "été"]
    )
    with files["csv"].open("wb") as table, files["jsonl"].open("wb") as lines:
        for first in range(0, rows, PARTS):
            frame = _part(rng, words, first, min(PARTS, rows - first))
            frame.write_csv(table, include_header=not first)
            frame.write_ndjson(lines)
    for form in ("csv", "jsonl"):
        with files[form].open("rb") as plain, zstd.open(files[f"{form}.zst"], "wb") as frames:
            shutil.copyfileobj(plain, frames, 1 << 20)
    np.save(places, np.sort(rng.choice(rows, removals, replace=False)))
    return files, places


def _part(rng: np.random.Generator, words: NDArray[np.str_], first: int, rows: int) -> pl.DataFrame:
    """The rows from `first` on; about two captions in five hold a comma or a quote, one in two a letter beyond ASCII."""
    digests = rng.bytes(16 * rows).hex()
    hosts = rng.integers(0, 20_000, rows).tolist()
    captions = words[rng.integers(0, len(words), (rows, 8))]
    return pl.DataFrame(
        {
            "sample_id": np.arange(first, first + rows),
            "url": [
                f"https://img{host}.example.com/{digests[32 * n : 32 * n + 12]}/{first + n}.jpg"
                for n, host in enumerate(hosts)
            ],
            "text": [" ".join(caption) for caption in captions],
            "width": rng.integers(100, 4000, rows, dtype=np.int32),
            "height": rng.integers(100, 4000, rows, dtype=np.int32),
            "similarity": rng.random(rows).round(6),
            "punsafe": rng.random(rows).round(6),
            "md5": [digests[32 * n : 32 * n + 32] for n in range(rows)],
        }
    )


def compare(form: str, source: Path, places: Path, rows: int, rounds: int) -> Job:
    """Alternate the jobs on one file."""
    gone = len(np.load(places))
    ours, theirs = (source.with_name(f"{name}.{form}") for name in ("ours", "theirs"))

    def fresh(script: str, target: Path, *arguments: object) -> Figures:
        target.unlink(missing_ok=True)
        return run(script, *arguments, source, places, target)

    found = take_turns(
        {
            "expunge": lambda: fresh(OURS, ours, "rewrite"),
            "verify": lambda: run(OURS, "verify", source, places, ours),
            "locate": lambda: run(OURS, "locate", source, places, ours),
            "Polars": lambda: fresh(POLARS, theirs),
        },
        rounds,
    )
    for path in (ours, theirs):
        path.unlink()
    mine, peer = found["expunge"], found["Polars"]
    assert (mine["rows"], found["locate"]["rows"]) == (rows - gone, rows)
    more = {"fsync": {"wall": mine.pop("fsync")}}
    more |= {f"{name}, beside it": found[name] for name in ("verify", "locate")}
    goals = [Goal("peak memory, GB", mine["peak"] / 1e9, 1)]
    if "." not in form:
        goals.insert(0, Goal(f"{SECONDS}, times those of Polars", mine[JUDGED] / peer[JUDGED], 1))
    sizes = {"rows": rows, "bytes": source.stat().st_size, "removals": gone}
    return Job(f"cut known rows out of .{form}", sizes, mine, {"Polars and sha256": peer}, goals, more)


def _formats(parser: ArgumentParser) -> None:
    parser.add_argument("--formats", nargs="+", choices=FORMATS, default=FORMATS)


def main() -> None:
    """Run the jobs on every format."""
    options = parse_options(__doc__, rows=1_000_000, full=10_000_000, full_rounds=3, add=_formats)
    rows = options.rows
    files, places = generate(options.data, rows, max(rows // 10_000, 1))
    finish(
        "text",
        options,
        [compare(form, files[form], places, rows, options.rounds) for form in options.formats],
    )


if __name__ == "__main__":
    main()
