"""The commands' results, printed to stdout for people or machines."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import orjson

from expunge.check import Verdict

if TYPE_CHECKING:
    from expunge.check import Checked


def print_checked(checked: Checked) -> None:
    """Print the answer of `check`, with a line for each shard that is affected or could not be judged."""
    named = [shard for shard in checked.shards if len(shard.positions) or shard.undetermined]
    if named:
        width = max(len(shard.file.name) for shard in named)
        print_line(f"{'shard':<{width}}  {'rows':>14}  {'affected':>12}  known by")
        for shard in named:
            print_line(
                f"{shard.file.name:<{width}}  {shard.rows:>14,}  {len(shard.positions):>12,}  {shard.known_as}"
            )
    print_line(f"shards: {len(checked.shards):,}, affected or not judged in full: {len(named):,}")
    release = f"{checked.release.dataset}@{checked.release.version}"
    for shard in checked.shards:
        for reason in shard.undetermined:
            print_line(f"{shard.file.name}: {reason}.")
    match checked.verdict:
        case Verdict.AFFECTED:
            print_line(
                f"AFFECTED: {checked.affected:,} of {checked.rows:,} rows are removed in {release}. Use expunge apply."
            )
        case Verdict.UNDETERMINED:
            print_line(f"UNDETERMINED: nothing found in {checked.rows:,} rows, but not all could be judged.")
        case Verdict.NOT_AFFECTED:
            print_line(f"NOT AFFECTED: none of {checked.rows:,} rows is removed in {release}.")


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
