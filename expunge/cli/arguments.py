"""What the commands' arguments mean."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from expunge.cli.options import MOST_LISTED
from expunge.errors import UsageError
from expunge.shards import find_shards

if TYPE_CHECKING:
    from pathlib import Path

    from expunge.cli.terminal import Terminal
    from expunge.shards import Found

SMALL_BYTES = 64 << 20


def default_name(path: Path) -> str:
    """The name of the folder or file, where it can name a dataset."""
    name = path.resolve().name
    return name if name.isascii() and name.isprintable() and name.strip() else "dataset"


def refuse_inside(output: Path, paths: list[Path]) -> None:
    """Refuse an output inside an input folder: the next run would take it for shards. Raises `UsageError`."""
    for path in paths:
        if path.is_dir() and path.resolve() in output.resolve().parents:
            raise UsageError(f"{output} is inside {path}, which is read. Name a folder beside it.")


def read_columns(pairs: list[str] | None) -> dict[str, str]:
    """Read the `--column` options: kind to name. Raises `UsageError`."""
    columns: dict[str, str] = {}
    for pair in pairs or []:
        kind, equals, name = pair.partition("=")
        if not equals:
            raise UsageError(f"--column {pair!r} is not KIND=NAME, for example --column url=href.")
        columns[kind] = name
    return columns


def paying_workers(asked: int, found: Found) -> int:
    """The processes that pay: starting them costs more than a little work saves."""
    size = sum(shard.path.stat().st_size for shard in found.shards if shard.path.exists())
    return asked if size > SMALL_BYTES else 1


def read_time(text: str) -> datetime:
    """Read `--created`; now where it is empty, UTC where it names no zone. Raises `UsageError`."""
    if not text:
        return datetime.now(UTC)
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"--created {text!r} is not a time, for example 2026-11-23T12:00:00Z.") from error
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def find_named(paths: list[Path], terminal: Terminal) -> Found:
    """The shards that paths name; the other files are told. Raises `UsageError`."""
    found = find_shards(paths)
    if found.ignored:
        names = ", ".join(str(path) for path in found.ignored[:MOST_LISTED])
        more = len(found.ignored) - MOST_LISTED
        terminal.say(f"Not shards, left out: {names}{f' and {more:,} more' if more > 0 else ''}.")
    return found
