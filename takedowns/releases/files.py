"""Where a release's files lie, and what each of them is.

    STORE/releases/<release id>/release.json …    small files, written by the engine
    STORE/releases/<release id>/data/<path>       shards: links to objects of the store, or made objects by a link

A file is found only by looking its path up among those that the database lists, so no path of a request ever reaches
the file system.
"""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings

from expunge.files import partial_folder
from expunge.manifest import BadRelease, read_release

if TYPE_CHECKING:
    from expunge.manifest import ReleaseShard
    from takedowns.releases.models import Release

DATA = "data/"


@dataclass(frozen=True, slots=True)
class ReleaseFile:
    """One file to download: its path in the release, its size in bytes, its SHA-256, and where it lies."""

    path: str
    bytes: int
    sha256: str
    location: Path


def release_folder(release: Release) -> Path:
    """Where the engine builds the release; it exists once the build has ended."""
    return Path(settings.STORE) / "releases" / str(release.pk)


def release_files(release: Release) -> list[ReleaseFile]:
    """Every file of a built release: the small ones in name order, then the shards in the version's order."""
    folder = release_folder(release)
    small = [
        ReleaseFile(file["path"], file["bytes"], file["sha256"], folder / file["path"])
        for file in release.files
    ]
    shards = release.version.version_shards.order_by("position").values_list(
        "path", "shard__bytes", "shard_id"
    )
    return small + [
        ReleaseFile(f"{DATA}{path}", size, digest, folder / DATA / path) for path, size, digest in shards
    ]


def shards_by_path(release: Release) -> dict[str, ReleaseShard]:
    """What a built release says itself of each shard, by its path in the version: rows of the base and rows removed.

    In the aligned form a shard keeps its rows, so no count of the database tells how many were blanked. Empty where the
    store does not give `release.json` now: the page then shows the rest.
    """
    try:
        return {shard.name: shard for shard in read_release(release_folder(release)).shards}
    except BadRelease:
        return {}


def release_file(release: Release, path: str) -> ReleaseFile | None:
    """The file that the release lists under this path, or None."""
    folder = release_folder(release)
    if path.startswith(DATA):
        row = (
            release.version.version_shards.filter(path=path.removeprefix(DATA))
            .values_list("shard__bytes", "shard_id")
            .first()
        )
        return ReleaseFile(path, row[0], row[1], folder / path) if row else None
    listed = next((file for file in release.files if file["path"] == path), None)
    if listed is None:
        return None
    return ReleaseFile(path, listed["bytes"], listed["sha256"], folder / listed["path"])


def list_small_files(folder: Path) -> list[dict[str, Any]]:
    """What `Release.files` holds: path, bytes and SHA-256 of every file but the shards, in name order."""
    found = []
    for file in sorted(folder.rglob("*")):
        path = file.relative_to(folder).as_posix()
        if file.is_file() and not path.startswith(DATA):
            content = file.read_bytes()
            found.append({"path": path, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()})
    return found


def discard(release: Release, *, unfinished: bool = False) -> None:
    """Remove what a build that was not kept left behind.

    Shards that a build had finished when it was stopped serve it when it is started again; with `unfinished` these go too.
    """
    folder = release_folder(release)
    for left in (folder, partial_folder(folder)) if unfinished else (folder,):
        shutil.rmtree(left, ignore_errors=True)
