"""Parts of a new folder that an interrupted run had finished, so that they need not be written again."""

from __future__ import annotations

import contextlib
import hashlib
from typing import TYPE_CHECKING

import orjson

from expunge import __version__
from expunge.copies.folder import FolderSamples
from expunge.journal import Finished, append_finished, keep_finished, read_finished
from expunge.manifest import file_digest

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from expunge.copies.judge import JudgedPart


def part_recipe(one: JudgedPart, settings: str) -> str:
    """A digest of all that decides what is written of a part; `settings` tell the release and the arguments.

    Empty for a folder of samples: so many small files are written faster than noted down one by one.
    """
    if isinstance(one.part.samples, FolderSamples):
        return ""
    followers = [(follower.name, *_state(follower.path)) for follower in one.part.all_followers]
    manifest = (one.shard.file.name, *one.shard.fingerprint) if one.shard else ()
    made_of = [
        __version__,
        settings,
        one.name,
        manifest,
        followers,
        one.going.aligned,
        sorted(one.going.keys),
        one.going.emptied.tolist(),
        [
            [key, sorted(cells.fields), sorted(cells.elements), cells.text]
            for key, cells in sorted(one.going.cells.items())
        ],
    ]
    digest = hashlib.sha256(orjson.dumps(made_of))
    digest.update(one.going.positions.tobytes())
    digest.update(one.redacted.digest().encode())
    return digest.hexdigest()


def take_over(folder: Path, recipes: Collection[str]) -> dict[str, list[Finished]]:
    """What an interrupted run finished of the parts with these recipes, by recipe; everything else is removed."""
    found: dict[str, list[Finished]] = {}
    for one in read_finished(folder).values():
        if one.recipe and one.recipe in recipes:
            found.setdefault(one.recipe, []).append(one)
    whole = {recipe: files for recipe, files in found.items() if files[0].facts.get("files") == len(files)}
    keep_finished(folder, {one.path for files in whole.values() for one in files})
    return whole


def still_there(folder: Path, files: Sequence[Finished]) -> bool:
    """Whether a part's files are what they were when it was finished. They are removed if not."""
    with contextlib.suppress(OSError):
        if files and all(file_digest(folder / one.path) == one.sha256 for one in files):
            return True
    for one in files:
        (folder / one.path).unlink(missing_ok=True)
    return False


def note_finished(folder: Path, recipe: str, written: Mapping[str, Path]) -> None:
    """Note that a part, of which these files were written, is finished."""
    if recipe:
        for name, path in written.items():
            append_finished(folder, Finished(name, recipe, file_digest(path), {"files": len(written)}))


def _state(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns, status.st_ino
