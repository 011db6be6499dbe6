"""Where a version's files may come from: a path under IMPORT_ROOTS, or an upload. Nothing else is ever read."""

from __future__ import annotations

import glob
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings

from expunge.errors import ExpungeError
from expunge.shards import check_name, find_shards, is_shard_name
from registry.datasets.store import discard_uploads, uploads_folder
from registry.lib.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from django.core.files.uploadedfile import UploadedFile

    from expunge.shards import ShardFile
    from registry.datasets.models import Version

_OUTSIDE = "The path is not inside an import folder of this site. Give one under: {roots}."


def source_resolve(source: str) -> Path:
    """The folder, file or glob that `source` means: absolute, or relative to an import root.

    Raises Refused when it lies outside every import root (also by `..` or a link), or holds no shard.
    """
    given = Path(source)
    roots = _roots()
    if not source.strip() or "\0" in source or ".." in given.parts:
        raise _outside(roots)
    candidates = [given] if given.is_absolute() else [root / given for root in roots]
    inside = [path for path in candidates if _is_inside(_fixed_part(path), roots)]
    if not inside:
        raise _outside(roots)
    there = [path for path in inside if _exists(path) or glob.has_magic(str(path))]
    if not there:
        raise Refused(f"{source} does not exist under {_names(roots)}. Check the spelling.")
    return there[0]


def version_roots(version: Version) -> list[Path]:
    """The folders, after links, that the version's files must lie in."""
    return _roots() if version.source else [uploads_folder(version.pk).resolve()]


def version_files(version: Version) -> list[ShardFile]:
    """The shards that the version is to be made of, in name order, each inside its root after links.

    Raises Refused, or the engine's UsageError when nothing there is a shard.
    """
    roots = version_roots(version)
    path = source_resolve(version.source) if version.source else uploads_folder(version.pk)
    if not version.source and not path.is_dir():
        raise Refused("The uploaded files are no longer here. Upload them again.")
    shards = find_shards([path]).shards
    for shard in shards:
        if not _is_inside(shard.path, roots):
            raise Refused(
                f"{shard.name} is a link that leads out of the import folder. Nothing was read from it."
            )
    return shards


def uploads_save(version_id: UUID, files: Sequence[UploadedFile[Any]]) -> None:
    """Keep uploaded files until their ingest. Raises Refused, and then keeps none.

    The whole upload may have UPLOAD_MAX_BYTES; every name must be a relative path of a known format.
    """
    _check_uploads(files)
    folder = uploads_folder(version_id)
    try:
        for file in files:
            target = folder / str(file.name)
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("xb") as kept:
                for chunk in file.chunks():
                    kept.write(chunk)
    except BaseException:
        discard_uploads(version_id)
        raise


def _check_uploads(files: Sequence[UploadedFile[Any]]) -> None:
    names = [str(file.name) for file in files]
    for name in names:
        try:
            check_name(name)
        except ExpungeError as error:
            raise Refused(str(error)) from error
        if not is_shard_name(name):
            raise Refused(
                f"{name} is no shard: its name ends in none of .parquet .csv .tsv .jsonl .ndjson .txt "
                "(the text forms also .gz or .zst)."
            )
        if names.count(name) > 1:
            raise Refused(f"Two of the files are named {name}. Each shard needs a name of its own.")
    if sum(file.size or 0 for file in files) > settings.UPLOAD_MAX_BYTES:
        raise Refused(
            f"The files are larger than the limit of {settings.UPLOAD_MAX_BYTES:,} bytes for one upload. "
            "Nothing was kept."
        )


def _roots() -> list[Path]:
    return [Path(root).resolve() for root in settings.IMPORT_ROOTS]


def _is_inside(path: Path, roots: Sequence[Path]) -> bool:
    resolved = path.resolve()
    return any(resolved.is_relative_to(root) for root in roots)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name that is too long, a folder that is closed to us
        return False


def _fixed_part(pattern: Path) -> Path:
    """The path before its first wildcard."""
    fixed = Path(pattern.anchor)
    for part in pattern.parts[len(fixed.parts) :]:
        if glob.has_magic(part) and not _exists(fixed / part):
            break
        fixed /= part
    return fixed


def _outside(roots: Sequence[Path]) -> Refused:
    return Refused(_OUTSIDE.format(roots=_names(roots)))


def _names(roots: Sequence[Path]) -> str:
    return ", ".join(map(str, roots)) or "(none is set: the operator sets IMPORT_ROOTS)"
