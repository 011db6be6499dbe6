"""Runs of the engine and of the command, as tests start them."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from expunge.clean import CleanResult, clean
from expunge.copies import Copy, find_copy
from expunge.lists import parse_entry
from expunge.shards import ShardFile, find_shards
from tests.expunge.formats import PARQUET, TEXT, make_rows, write_shard

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

COMMAND = Path(sys.executable).with_name("expunge")
CREATED = datetime(2026, 11, 23, 12, tzinfo=UTC)


def shards_of(*paths: Path) -> list[ShardFile]:
    """The shards under these paths."""
    return find_shards(paths).shards


def make_base(folder: Path) -> Path:
    """A version of thirty rows under `folder`: a shard of Parquet in a folder of its own, and one of CSV."""
    write_shard(folder / "base", "train/one", make_rows(20), PARQUET[0])
    write_shard(folder / "base", "two", make_rows(10), TEXT[0])
    return folder / "base"


def copy_of(*paths: Path, **options: Any) -> Copy:
    """The copy under these paths."""
    return find_copy(paths, **options)


def release_of(
    base: Path | Sequence[Path], entries: Iterable[str], output: Path, **options: Any
) -> CleanResult:
    """A clean release of `base` without what `entries` name."""
    paths = [base] if isinstance(base, Path) else base
    settings = {"dataset": "links", "version": "2026-11-23", "created": CREATED, **options}
    return clean(find_shards(paths).shards, [parse_entry(entry) for entry in entries], output, **settings)


def expunge(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run the installed command to its end."""
    return subprocess.run(
        [str(COMMAND), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        **{"timeout": 120, **options},
    )


def names_in(folder: Path) -> set[str]:
    """Everything in a folder, hidden files included."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def flip_byte(path: Path, at: int) -> None:
    """Change one bit of a file."""
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)
