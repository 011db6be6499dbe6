"""What every benchmark shares: its command line, jobs in processes of their own, and the result that it writes.

    options = parse_options(__doc__, rows=500_000, full=1_000_000)
    found = take_turns({"expunge": lambda: run(OURS, base), "Polars": lambda: run(POLARS, base)}, options.rounds)
    finish("clean", options, [Job("…", sizes, found["expunge"], {"Polars": found["Polars"]}, goals)])

A job is Python text that runs in a new process, so that nobody finds the memory or the imports of another. It puts
`with timed() as figures:` around what counts and prints `figures` as JSON. Wall and CPU seconds are those of that block,
the CPU seconds of all processes that it started among them; memory is the highest sum over the process and its children.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

Figures = dict[str, Any]
"""What a run cost: `wall` and `cpu` in seconds, `peak` in bytes, and whatever else the job says of itself."""

LOAD_BEFORE = os.getloadavg()[0]
BUSY = 1.5 * (os.cpu_count() or 1) < LOAD_BEFORE
JUDGED, SECONDS = ("cpu", "CPU seconds") if BUSY else ("wall", "seconds")
"""Which seconds goals compare: where other work keeps the cores busy, wall seconds say nothing."""
SAMPLE_SECONDS = 0.025
PACKAGES = ("expunge", "duckdb", "numpy", "polars", "pyarrow")


@dataclass(frozen=True)
class Goal:
    """A figure beside what it should be: at most `limit`, or at least."""

    what: str
    value: float
    limit: float
    at_least: bool = False

    @property
    def met(self) -> bool:
        """Whether it is."""
        return self.value >= self.limit if self.at_least else self.value <= self.limit


@dataclass(frozen=True)
class Job:
    """One row of the table: what was done, how large it was, what it cost us and the peers, and the goals.

    `more` holds, by name, what of our own work is timed apart.
    """

    name: str
    sizes: Mapping[str, float]
    ours: Figures
    peers: Mapping[str, Figures] = field(default_factory=dict)
    goals: Sequence[Goal] = ()
    more: Mapping[str, Figures] = field(default_factory=dict)

    @property
    def ratios(self) -> dict[str, dict[str, float]]:
        """Our wall and CPU seconds over each peer's."""
        return {
            peer: {what: self.ours[what] / cost[what] for what in ("wall", "cpu") if cost.get(what)}
            for peer, cost in self.peers.items()
        }

    def to_dict(self) -> dict[str, Any]:
        """The same for JSON, with ratios and verdicts."""
        goals = [asdict(goal) | {"met": goal.met} for goal in self.goals]
        return asdict(self) | {"ratios": self.ratios, "goals": goals}


def parse_options(
    description: str | None,
    *,
    rows: int,
    full: int,
    rounds: int = 3,
    full_rounds: int = 1,
    add: Callable[[argparse.ArgumentParser], object] = lambda _: None,
) -> argparse.Namespace:
    """Read the command line; `rows` and `rounds` are then numbers, whether given or chosen by `--full`.

    `add` adds the options of one script alone.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--full", action="store_true", help="the sizes of the goals; data is made once")
    parser.add_argument("--rows", type=int, help=f"rows of a shard or file: {rows:,}, with --full {full:,}")
    parser.add_argument("--rounds", type=int, help=f"runs of each: {rounds}, with --full {full_rounds}")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes of ours")
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[1] / "var/bench")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the result to FILE")
    add(parser)
    options = parser.parse_args()
    options.rows = options.rows or (full if options.full else rows)
    options.rounds = options.rounds or (full_rounds if options.full else rounds)
    options.data = options.data.resolve()
    options.data.mkdir(parents=True, exist_ok=True)
    return options


@contextmanager
def timed() -> Iterator[Figures]:
    """In a job's process: count the wall and CPU seconds of the block, those of children that still live included."""
    figures: Figures = {}
    before = _spent_by_children()
    own, began = time.process_time(), time.perf_counter()
    yield figures
    figures["wall"] = time.perf_counter() - began
    figures["cpu"] = time.process_time() - own + _spent_by_children() - before


def _spent_by_children() -> float:
    """CPU seconds of the processes that this one has waited for, and of those that live."""
    times = os.times()
    seconds = times.children_user + times.children_system
    for child in psutil.Process().children(recursive=True):
        try:
            seconds += sum(child.cpu_times()[:4])
        except psutil.NoSuchProcess:
            continue
    return seconds


def run(script: str, *arguments: object) -> Figures:
    """Run a job in a process of its own: the figures that it prints, and `peak`. Ends this run where the job fails."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "job.py")  # a file, because the processes of a pool import their main module
        file.write_text(script)
        process = subprocess.Popen(
            [sys.executable, file, *map(str, arguments)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
        )
        peak = _watch(process)
        printed, _ = process.communicate()
    if process.returncode:
        sys.exit(f"a job failed with {process.returncode}")
    return {**json.loads(printed.splitlines()[-1]), "peak": peak}


def _watch(process: subprocess.Popen[str]) -> int:
    """Wait for a process; returns the most bytes that it and its children held at once."""
    root, peak, turn = psutil.Process(process.pid), 0, 0
    known = [root]
    while process.poll() is None:
        held = 0
        try:
            if turn % 4 == 0:  # looking for children is dear
                known = [root, *root.children(recursive=True)]
            for one in known:
                held += one.memory_info().rss
        except psutil.NoSuchProcess:
            known = [root]
        peak, turn = max(peak, held), turn + 1
        time.sleep(SAMPLE_SECONDS)
    return peak


def take_turns(jobs: Mapping[str, Callable[[], Figures]], rounds: int) -> dict[str, Figures]:
    """Run all jobs, one after another, as often as there are rounds; returns the median of each figure."""
    runs: dict[str, list[Figures]] = {name: [] for name in jobs}
    for _ in range(rounds):
        for name, job in jobs.items():
            runs[name].append(job())
    return {name: median(found) for name, found in runs.items()}


def median(runs: Sequence[Figures]) -> Figures:
    """The median of each number of several runs; of anything else, what the first said."""
    return {
        what: statistics.median(run[what] for run in runs) if isinstance(value, int | float) else value
        for what, value in runs[0].items()
    }


def finish(script: str, options: argparse.Namespace, jobs: Sequence[Job], **more: object) -> None:
    """Print the jobs and write the result where `--json` says."""
    for job in jobs:
        show(job)
    result = {
        "script": script,
        "full": options.full,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "rounds": options.rounds,
        "machine": machine(),
        "jobs": [job.to_dict() for job in jobs],
        **more,
    }
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(result, indent=2) + "\n")


def machine() -> dict[str, Any]:
    """What the figures were measured on, and how busy it was with other work just before and is now."""
    return {
        "cores": os.cpu_count(),
        "memory": psutil.virtual_memory().total,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
        "load_before": LOAD_BEFORE,
        "load_after": os.getloadavg()[0],
    }


def show(job: Job) -> None:
    """Print one job for somebody who waits."""
    print(f"{job.name} ({', '.join(f'{count:,} {what}' for what, count in job.sizes.items())})")
    parts = {f"- {name}": cost for name, cost in job.more.items()}
    for name, cost in {"expunge": job.ours, **parts, **job.peers}.items():
        ratio = job.ratios.get(name, {})
        times = "".join(f"   ours is {value:.2f} x its {what}" for what, value in ratio.items())
        print(f"  {name:<34}{describe(cost)}{times}")
    for goal in job.goals:
        sign = "≥" if goal.at_least else "≤"
        verdict = "met" if goal.met else "NOT MET"
        print(f"  goal: {goal.what}: {goal.value:,.3g} ({sign} {goal.limit:,g}) {verdict}")
    sys.stdout.flush()


def describe(cost: Figures) -> str:
    """One line: seconds, and memory where it was measured."""
    parts = [f"{cost['wall']:8.3f} s"] if "wall" in cost else []
    parts += [f"CPU {cost['cpu']:8.3f} s"] if "cpu" in cost else []
    parts += [f"peak {cost['peak'] / 1e6:6,.0f} MB"] if "peak" in cost else []
    known = {"wall", "cpu", "peak"}
    parts += [
        f"{what} {value:,.3g}"
        for what, value in cost.items()
        if what not in known and isinstance(value, int | float)
    ]
    return "   ".join(parts)
