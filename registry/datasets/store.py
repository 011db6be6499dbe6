"""The store: every shard's bytes once, under its SHA-256, read-only.

    STORE/sha256/ab/<digest>      objects, mode 444
    STORE/incoming/               copies in the making; nothing here is an object yet
    STORE/uploads/<version id>/   files a browser or the API sent, until they are ingested
    STORE/releases/<release id>/  what the engine built
    STORE/index/                  the key index of the objects (`key_index`), a cache

An object appears by rename or hard link, whole or not at all. Imports are copied, never linked: somebody else
may write to the original. Links are made inside the store only.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

from django.conf import settings

from expunge.errors import BadShard

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

_DIGEST = re.compile(r"[0-9a-f]{64}")
_CHUNK = 1 << 20


def object_path(digest: str) -> Path:
    """Where the object with this SHA-256 (64 lower-case hex digits) is or would be. Raises ValueError."""
    if not _DIGEST.fullmatch(digest):
        raise ValueError("A digest is 64 lower-case hexadecimal digits.")
    return Path(settings.STORE) / "sha256" / digest[:2] / digest


def uploads_folder(version_id: UUID) -> Path:
    """Where a version's uploaded files wait for their ingest."""
    return Path(settings.STORE) / "uploads" / str(version_id)


def put(source: Path, digest: str, inside: Sequence[Path] = ()) -> Path:
    """Copy a file in as the object `digest` (bytes on disk when this returns); does nothing if it is there.

    With `inside` (folders, after links) only a file that lies in one of them is copied. Raises BadShard when it does
    not, or when the bytes read are not those of the digest: the file changed meanwhile.
    """
    target = object_path(digest)
    if target.exists():
        return target
    incoming = Path(settings.STORE) / "incoming"
    incoming.mkdir(parents=True, exist_ok=True)
    copy = incoming / f"{digest}.{secrets.token_hex(4)}"
    try:
        if _copy(source, copy, inside) != digest:
            raise BadShard(f"{source.name} changed while it was read. Register it again.", path=str(source))
        _adopt(copy, target)
    finally:
        copy.unlink(missing_ok=True)
    return target


def link(source: Path, digest: str) -> Path:
    """Make a file that lies in the store (of a release) the object `digest` too, without copying it.

    Raises ValueError for a file outside the store and BadShard when its bytes are not those of the digest.
    """
    if not source.resolve().is_relative_to(Path(settings.STORE).resolve()):
        raise ValueError("Only files of the store are linked; others are put.")
    target = object_path(digest)
    if target.exists():
        return target
    with source.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != digest:
            raise BadShard(f"{source.name} is not what its digest says.", path=str(source))
    _adopt(source, target)
    return target


def discard_uploads(version_id: UUID) -> None:
    """Remove a version's uploaded files; does nothing when there are none."""
    shutil.rmtree(uploads_folder(version_id), ignore_errors=True)


def sweep(older_than_seconds: float = 86_400) -> int:
    """Remove what killed workers left in `incoming`; returns how many files."""
    incoming, removed = Path(settings.STORE) / "incoming", 0
    for leftover in incoming.glob("*"):
        try:
            if leftover.stat().st_mtime < time.time() - older_than_seconds:
                leftover.unlink()
                removed += 1
        except FileNotFoundError:
            continue  # another worker swept it, or finished it
    return removed


def _copy(source: Path, copy: Path, inside: Sequence[Path]) -> str:
    """Copy and fsync; returns the SHA-256 of what was read."""
    sha256 = hashlib.sha256()
    with source.open("rb") as read, copy.open("xb") as write:
        # Judged by the file that is open: a link may have taken its place since the path was checked.
        if inside and not _lies_inside(read.fileno(), source, inside):
            raise BadShard(f"{source.name} leads out of the import folder.", path=str(source))
        while chunk := read.read(_CHUNK):
            sha256.update(chunk)
            write.write(chunk)
        write.flush()
        os.fsync(write.fileno())
    return sha256.hexdigest()


def _lies_inside(opened: int, source: Path, folders: Sequence[Path]) -> bool:
    """Whether the open file is the one that `source` names now, and that one lies in a folder."""
    there = source.resolve()
    return any(there.is_relative_to(folder) for folder in folders) and os.path.samestat(
        os.fstat(opened), os.lstat(there)
    )


def _adopt(file: Path, target: Path) -> None:
    """Give a whole file its name as an object; when another worker was first, its object stands."""
    file.chmod(0o444)
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(file, target)
    except FileExistsError:
        return
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
