"""Which files of an unfinished folder are finished, so that an interrupted run need not write them again.

Each line of `.finished` names a file, the digest of all that it was made of (its `recipe`), and its own. A line is
appended, and put on disk, once its file is. A file without a line may be half written; one with a line counts only if
its bytes still have that digest, for after a power cut nothing else is certain.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from expunge.shards import check_name

if TYPE_CHECKING:
    from collections.abc import Collection

JOURNAL_FILE = ".finished"


@dataclass(frozen=True, slots=True)
class Finished:
    """A finished file: its path in the folder, the recipe and its own SHA-256 in hex, and what else is known of it."""

    path: str
    recipe: str
    sha256: str
    facts: dict[str, Any]


def append_finished(folder: Path, finished: Finished) -> None:
    """Note that a file, which is on disk, is finished. Several processes may do so at once."""
    line = b"\n" + orjson.dumps(asdict(finished)) + b"\n"  # whatever the line before may lack
    journal = os.open(folder / JOURNAL_FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(journal, line)
        os.fsync(journal)
    finally:
        os.close(journal)


def read_finished(folder: Path) -> dict[str, Finished]:
    """The finished files by path. A line that is cut off or damaged counts for nothing."""
    try:
        lines = (folder / JOURNAL_FILE).read_bytes().split(b"\n")
    except OSError:
        return {}
    found: dict[str, Finished] = {}
    for line in lines:
        try:
            finished = Finished(**orjson.loads(line))
            check_name(finished.path)
        except Exception:  # noqa: BLE001, S112  whatever was torn, its file is written again
            continue
        found[finished.path] = finished
    return found


def keep_finished(folder: Path, paths: Collection[str]) -> None:
    """Remove everything from an unfinished folder but these files, which are finished, and the journal.

    Lines of files that are gone may stay in it: a file has to have the digest that its last line says.
    """
    wanted = {folder / path for path in paths}
    above = {parent for path in wanted for parent in path.parents}
    if wanted:
        wanted.add(folder / JOURNAL_FILE)
    for here, folders, files in os.walk(folder, topdown=False):
        for name in files:
            if (path := Path(here, name)) not in wanted:
                path.unlink()
        for name in folders:
            path = Path(here, name)
            if path.is_symlink():
                path.unlink()
            elif path not in above:
                path.rmdir()
