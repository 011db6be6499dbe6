"""Cut random Parquet files of every writer, and let every reader say whether the result is right.

    make fuzz                                          2,000 files
    python -m tests.fuzz.parquet --files 100 --seed 7  the files of the seeds 7 to 106
    python -m tests.fuzz.parquet --seconds 60          as many as there is time for, and no more than --files

Each file comes from a seed of its own, so `--seed X --files 1` repeats the file X. A file that fails is kept in `var/fuzz`.
Files by Spark are left out where Java or PySpark is missing. The exit code is 1 if any file fails.
"""

from __future__ import annotations

import argparse
import multiprocessing
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path
from random import SystemRandom
from typing import TYPE_CHECKING

from tests.fuzz.check import Checked, check_seed
from tests.fuzz.spark import why_not

if TYPE_CHECKING:
    from collections.abc import Iterator

FAILED = Path(__file__).parents[2] / "var/fuzz"
PROCESSES = 2
LINE_EVERY = 100


def main() -> int:
    """Run it; returns the exit code."""
    parser = argparse.ArgumentParser(description="Cut random Parquet files and read the results back.")
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--seed", type=int, help="the seed of the first file; a random one otherwise")
    parser.add_argument(
        "--seconds", type=float, default=float("inf"), help="start no more files after so long"
    )
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # or its processes would outlive it
    first = SystemRandom().randrange(10**9) if options.seed is None else options.seed
    _say(f"seed {first}, {options.files:,} files")
    if reason := why_not():
        _say(f"Files by Spark are skipped: {reason}.")
    began = time.monotonic()
    passed: list[Checked] = []
    failed = 0
    for seed, outcome in _outcomes(range(first, first + options.files), began + options.seconds):
        if isinstance(outcome, Checked):
            passed.append(outcome)
        else:
            failed += 1
            _say(f"\nFAILED: --seed {seed} --files 1\n{outcome}")
        if (len(passed) + failed) % LINE_EVERY == 0:
            _say(f"{len(passed) + failed:>6,} files, {time.monotonic() - began:.0f} s: {_counts(passed)}")
    _say(
        f"seed {first}: {len(passed):,} files passed and {failed:,} failed in {time.monotonic() - began:.0f} s"
    )
    for what, counts in _tables(passed):
        _say(f"  {what}: {counts}")
    return 1 if failed or not passed else 0


def _outcomes(seeds: range, until: float) -> Iterator[tuple[int, Checked | str]]:
    """The outcome of each seed as it comes in, in processes of their own; seeds not begun by `until` are left out."""
    context = multiprocessing.get_context("spawn")
    waiting: dict[Future[Checked | str], int] = {}
    with ProcessPoolExecutor(PROCESSES, mp_context=context) as pool:
        for seed in seeds:
            if time.monotonic() > until:
                break
            waiting[pool.submit(_check, seed)] = seed
            if len(waiting) > PROCESSES:
                yield from _finished(waiting)
        while waiting:
            yield from _finished(waiting)


def _finished(waiting: dict[Future[Checked | str], int]) -> Iterator[tuple[int, Checked | str]]:
    done, _ = wait(waiting, return_when=FIRST_COMPLETED)
    for future in done:
        yield waiting.pop(future), future.result()


def _check(seed: int) -> Checked | str:
    """Check the file of a seed; returns what is wrong if something is."""
    with tempfile.TemporaryDirectory(prefix="expunge-fuzz-") as folder:
        try:
            return check_seed(Path(folder), seed)
        except Exception:  # noqa: BLE001  a fuzz run goes on
            FAILED.mkdir(parents=True, exist_ok=True)
            for path in Path(folder).glob("*.parquet"):
                (FAILED / path.name).write_bytes(path.read_bytes())
            return traceback.format_exc(limit=-4)


def _tables(passed: list[Checked]) -> Iterator[tuple[str, str]]:
    for what in ("writer", "codec", "method", "cut", "large"):
        counts = Counter(str(getattr(one, what)) for one in passed)
        yield what, ", ".join(f"{name} {count:,}" for name, count in counts.most_common())
    paged = [one.by_pages for one in passed if one.by_pages]
    yield "column chunks cut by pages", f"{sum(paged):,} in {len(paged):,} files"
    readers = Counter(reader for one in passed for reader in one.readers)
    yield "read by", ", ".join(f"{name} {count:,}" for name, count in readers.most_common())


def _counts(passed: list[Checked]) -> str:
    return "; ".join(counts for what, counts in _tables(passed) if what in {"writer", "codec", "method"})


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
