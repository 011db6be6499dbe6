"""Run every benchmark, keep the results, and write the tables of docs/benchmarks.md from them.

    python benchmarks/run.py                      the small sizes
    python benchmarks/run.py --full               the sizes of the goals; 10 GB of data are made under var/bench first
    python benchmarks/run.py --only keys text     some of them
    python benchmarks/run.py --only               none: write the tables from the results that are there

A goal that is missed is shown as missed and is no error; a script that fails is one.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
PAGE = HERE.parent / "docs/benchmarks.md"
PLOTS = HERE.parent / "docs/benchmarks"
SCRIPTS = (
    "splice",
    "text",
    "clean",
    "check",
    "verify",
    "diff",
    "index",
    "keys",
    "memory",
    "growth",
    "fetch",
    "dns",
    "sampling",
    "links",
)

Result = dict[str, Any]


def result_file(script: str, *, full: bool) -> Path:
    """Where the result of a script is kept."""
    return RESULTS / f"{script}{'.full' if full else ''}.json"


def measure(script: str, *, full: bool, rounds: int | None) -> bool:
    """Run one script; returns whether it ended well."""
    began = time.monotonic()
    command = [sys.executable, HERE / f"{script}.py", "--json", result_file(script, full=full)]
    command += ["--full"] * full
    command += ["--rounds", str(rounds)] if rounds else []
    command += ["--plots", PLOTS] if script == "growth" else []
    print(f"== {script}", flush=True)
    done = subprocess.run(command, check=False)
    print(f"== {script}: {time.monotonic() - began:.0f} s\n", flush=True)
    return not done.returncode


def read_results(*, full: bool) -> list[Result]:
    """The results that are there, in the order of the scripts."""
    paths = [result_file(script, full=full) for script in SCRIPTS]
    return [json.loads(path.read_text()) for path in paths if path.exists()]


def write_page(page: Path) -> None:
    """Put the tables and the extrapolation between their marks."""
    text = page.read_text()
    for full, mark in ((False, "small"), (True, "full")):
        results = read_results(full=full)
        text = _put(text, mark, table(results) if results else "Not measured yet.")
    growth = [one for full in (True, False) for one in read_results(full=full) if one["script"] == "growth"]
    if growth:
        text = _put(text, "growth", extrapolation(growth[0]))
    page.write_text(text)


def _put(text: str, mark: str, part: str) -> str:
    begin, end = f"<!-- {mark}: written by benchmarks/run.py -->", f"<!-- end of {mark} -->"
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    if not rest or end not in rest:
        sys.exit(f"{PAGE} has no place marked {mark!r}.")
    return f"{before}{begin}\n{part}\n{end}{after}"


def table(results: list[Result]) -> str:
    """The results as a Markdown table, after a line that says on what they were measured."""
    machine = results[0]["machine"]
    packages = ", ".join(f"{name} {number}" for name, number in machine["packages"].items())
    dates = sorted(one["date"][:10] for one in results)
    when = dates[0] if dates[0] == dates[-1] else f"{dates[0]} to {dates[-1]}"
    jobs = [job for one in results for job in one["jobs"]]
    missed = sum(any(not goal["met"] for goal in job["goals"]) for job in jobs)
    lines = [
        (
            f"{when}, {machine['cores']} cores, {machine['memory'] / 1e9:.0f} GB, {machine['system']}, "
            f"Python {machine['python']}, {packages}. Load is the average of a minute before and after the script ran: "
            f"above {machine['cores']} the machine was busy with other work too, and only ratios and CPU seconds mean much. "
            f"{len(jobs)} jobs, {missed} of them with a goal that is missed."
        ),
        "",
        "| script | job | size | ours | beside it (ours ÷ theirs) | goals | load |",
        "|---|---|---|---|---|---|---|",
    ]
    for one in results:
        load = f"{one['machine']['load_before']:.1f}, {one['machine']['load_after']:.1f}"
        for job in one["jobs"]:
            cells = [
                one["script"],
                job["name"],
                _sizes(job["sizes"]),
                _cost(job["ours"]),
                _peers(job),
                _goals(job),
                load,
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _sizes(sizes: dict[str, float]) -> str:
    return "<br>".join(
        f"{count / 1e6:,.0f} MB" if what == "bytes" else f"{count:,} {what}" for what, count in sizes.items()
    )


def _cost(cost: dict[str, Any]) -> str:
    parts = [f"{_seconds(cost['wall'])}"] if "wall" in cost else []
    parts += [f"CPU {_seconds(cost['cpu'])}"] if "cpu" in cost else []
    parts += [f"{cost['peak'] / 1e6:,.0f} MB"] if "peak" in cost else []
    return "<br>".join(parts)


def _seconds(value: float) -> str:
    return f"{value:.2f} s" if value >= 0.1 else f"{value * 1e3:.3g} ms"


def _peers(job: Result) -> str:
    told = []
    for name, cost in job["peers"].items():
        ratios = [f"{value:.2f} {what}" for what, value in job["ratios"].get(name, {}).items()]
        what = _seconds(cost["wall"]) if "wall" in cost else f"CPU {_seconds(cost['cpu'])}"
        told.append(f"{name} {what} ({', '.join(ratios)})")
    return "<br>".join(told)


def _goals(job: Result) -> str:
    return "<br>".join(
        f"{'met' if goal['met'] else '**missed**'}: {goal['what']} {goal['value']:,.3g} "
        f"({'≥' if goal['at_least'] else '≤'} {goal['limit']:,g})"
        for goal in job["goals"]
    )


def extrapolation(result: Result) -> str:
    """What the largest list would take, in words and with the formula."""
    found = result["extrapolated"]
    wall, cpu = found["slopes"]["wall"], found["slopes"]["cpu"]
    rows, groups = found["rows"], found["touched_groups"]
    cores, load = result["machine"]["cores"], result["machine"]["load_before"]
    lines = [
        f"Measured on {result['date'][:10]} with {cores} cores at a load of {load:.1f}:",
        "",
        "| | fixed | a million rows | a row group that loses a row |",
        "|---|---|---|---|",
    ]
    for name, one in (("seconds", wall), ("CPU seconds", cpu)):
        lines.append(f"| {name} | {one['fixed']:.2f} | {one['row'] * 1e6:.3f} | {one['group']:.3f} |")
    lines += [
        "",
        (
            f"**Extrapolated, not measured:** {rows:,} rows (about {found['bytes'] / 1e9:,.0f} GB) and {found['removals']:,} "
            f"removals, which fall into about {groups:,.0f} row groups:"
        ),
        "",
        f"`{wall['fixed']:.2f} + ({rows / 1e6:,.0f} * {wall['row'] * 1e6:.3f} + {groups:,.0f} * {wall['group']:.3f}) / machines` seconds",
        "",
        *(
            f"- on {count} machine{'s' if int(count) > 1 else ''} of {cores} cores: **{seconds / 60:,.0f} minutes**"
            for count, seconds in found["seconds"].items()
        ),
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure, then write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--full", action="store_true")
    parser.add_argument(
        "--rounds", type=int, help="runs of each job, where the scripts' own number is not wanted"
    )
    parser.add_argument("--only", nargs="*", choices=SCRIPTS, default=SCRIPTS)
    options = parser.parse_args()
    RESULTS.mkdir(exist_ok=True)
    failed = [
        script for script in options.only if not measure(script, full=options.full, rounds=options.rounds)
    ]
    write_page(PAGE)
    if failed:
        sys.exit(f"These failed: {', '.join(failed)}.")


if __name__ == "__main__":
    main()
