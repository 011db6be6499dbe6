"""The commands' results, printed to stdout for people or machines."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import orjson

from expunge.check import Verdict

if TYPE_CHECKING:
    from expunge.apply import Applied, Plan
    from expunge.check import Checked


_MOST_SHOWN = 10


def print_checked(checked: Checked) -> None:
    """Print the answer of `check`, with a line for each part that is affected or could not be judged."""
    named = [
        part for part in checked.parts if part.affected or part.cells or part.present or part.undetermined
    ]
    if named:
        width = max(len(part.name) for part in named)
        with_samples = any(part.part.samples for part in checked.parts)
        samples = f"  {'samples':>12}" if with_samples else ""
        print_line(f"{'shard':<{width}}  {'rows':>14}  {'affected':>12}{samples}  known by")
        for part in named:
            samples = f"  {len(part.present):>12,}" if with_samples else ""
            print_line(
                f"{part.name:<{width}}  {part.rows:>14,}  {part.affected:>12,}{samples}  {part.known_as}"
            )
    print_line(f"shards: {len(checked.parts):,}, affected or not judged in full: {len(named):,}")
    release = f"{checked.release.dataset}@{checked.release.version}"
    for part in checked.parts:
        for reason in part.undetermined:
            print_line(f"{part.name}: {reason}.")
    match checked.verdict:
        case Verdict.AFFECTED:
            print_line(
                f"AFFECTED: {checked.affected:,} of {checked.rows:,} rows are removed{_cells(checked.cells)} in {release}. "
                "Use expunge apply."
            )
        case Verdict.UNDETERMINED:
            print_line(f"UNDETERMINED: nothing found in {checked.rows:,} rows, but not all could be judged.")
        case Verdict.NOT_AFFECTED:
            print_line(f"NOT AFFECTED: none of {checked.rows:,} rows is removed in {release}.")


def print_plan(plan: Plan) -> None:
    """Print what `apply` would do, file by file. `--format json` has every row and key."""
    for change in plan.changes:
        named = change.keys or [str(position) for position in change.positions]
        shown = ", ".join(named[:_MOST_SHOWN])
        more = f" and {len(named) - _MOST_SHOWN:,} more" if len(named) > _MOST_SHOWN else ""
        members = f" in {len(change.members):,} files" if change.members else ""
        counted = f"{len(named):,} {change.what}{members}: {shown}{more}" if named else change.what
        print_line(f"{change.name}: {counted} ({change.bytes:,} bytes to write anew)")
    gone = sum(part.affected for part in plan.parts)
    rows = sum(part.rows for part in plan.parts)
    release = f"{plan.release.dataset}@{plan.release.version}"
    print_line(
        f"{gone:,} of {rows:,} rows are removed in {release}: {len(plan.changes):,} files would change, {plan.bytes:,} "
        "bytes be written anew. Nothing was written."
    )


def _cells(count: int) -> str:
    return f" and {count:,} cells redacted" if count else ""


def applied_line(applied: Applied) -> str:
    """What `apply` did, in a sentence."""
    where = "in place" if applied.path is None else f"in {applied.path}"
    return (
        f"{applied.rows_removed:,} of {applied.rows_before:,} rows removed{_cells(applied.cells_redacted)} from "
        f"{applied.shards_changed:,} of "
        f"{applied.shards:,} shards, {applied.rows_after:,} {where}, verified."
    )


def print_line(line: str) -> None:
    """Print one line."""
    print(line)  # noqa: T201  stdout is the result


def print_json(value: Any) -> None:
    """Print a value as JSON."""
    sys.stdout.write(
        orjson.dumps(
            value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS
        ).decode()
    )
