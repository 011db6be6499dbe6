"""Which files are the shards of a version, and under which names."""

from __future__ import annotations

import glob
import os
import unicodedata
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from expunge.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

TABLE_EXTENSION = ".parquet"
TEXT_EXTENSIONS = (".csv", ".tsv", ".jsonl", ".ndjson", ".txt")
COMPRESSIONS = (".gz", ".zst")

RELEASE_FILE = "release.json"
SUMS_FILE = "SHA256SUMS"
DATA_FOLDER = "data"


@dataclass(frozen=True, slots=True)
class ShardFile:
    """One file of a version: where its bytes are, and its name inside the version.

    `name` is a relative POSIX path, and its extension says the format: the bytes may lie anywhere, for example in
    a store under their digest. A release may hold an empty text shard, because all its rows were removed; from
    anybody else an empty file is a fault, hence `may_be_empty`. `rows`, if given, asks for the batches that hold these
    rows only; formats in which a row has no known place give all. `sha256` is the digest that a manifest gives: a release
    is made without hashing the file again, and verified with it.
    """

    path: Path
    name: str
    may_be_empty: bool = False
    rows: tuple[range, ...] | None = None
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """The shards that paths name, in name order, and the files that are not shards."""

    shards: list[ShardFile]
    ignored: list[Path]


def split_extension(name: str) -> tuple[str, str]:
    """The format and compression that a shard's name declares, as extensions: `(".csv", ".gz")`.

    Both are empty for a file that is not a shard.
    """
    lower = name.lower()
    compression = next((ending for ending in COMPRESSIONS if lower.endswith(ending)), "")
    stem = lower.removesuffix(compression)
    form = next((ending for ending in TEXT_EXTENSIONS if stem.endswith(ending)), "")
    if form:
        return form, compression
    if lower.endswith(TABLE_EXTENSION):
        return TABLE_EXTENSION, ""
    return "", ""


def row_format(name: str) -> str:
    """What a shard's name says of how its bytes are split into rows: its format and compression, by their extensions.

    The same bytes are other rows under another format, so a row address, digest and row, would mean two of them.
    """
    return "".join(split_extension(name)).replace(".ndjson", ".jsonl")


def is_shard_name(name: str) -> bool:
    """Whether a file of this name is read as a shard."""
    return split_extension(name)[0] != ""


def check_name(name: str) -> None:
    """Refuse a name that would leave the folder it is written to, or that a list of digests cannot hold.

    Raises `UsageError`.
    """
    parts = PurePosixPath(name).parts
    if not name or name.startswith("/") or "\\" in name or ".." in parts or str(PurePosixPath(name)) != name:
        raise UsageError(f"{name!r} is not a name inside a folder. Use a relative path without '..' or '\\'.")
    # Control characters, line and paragraph separators, and bytes that are not UTF-8 (Python reads them as surrogates).
    if any(unicodedata.category(letter) in {"Cc", "Zl", "Zp", "Cs"} for letter in name):
        raise UsageError(f"{name!r} holds a control character or is not UTF-8. Rename the file.")


def find_shards(paths: Sequence[Path]) -> Found:
    """The shards under files, folders and globs, in the order of their names.

    A file's name is its own; a shard in a folder is named by its path from there, and so is one that a glob finds,
    from the part of the glob without wildcards. In the folder of a release only `data/` is looked at. Files whose
    names start with a dot are passed over.

    Raises `UsageError` when a path does not exist, nothing is found, or two shards would have one name.
    """
    shards: list[ShardFile] = []
    ignored: list[Path] = []
    for path in paths:
        released = is_release(path)
        for file, name in list_files(path):
            if not is_shard_name(name):
                ignored.append(file)
                continue
            check_name(name)
            shards.append(ShardFile(file, name, may_be_empty=released))
    shards.sort(key=lambda shard: shard.name)
    for one, other in pairwise(shards):
        if one.name == other.name:
            raise UsageError(
                f"{one.path} and {other.path} would both be {one.name!r}. Give one folder that holds both."
            )
    if not shards:
        names = ", ".join(str(path) for path in paths)
        endings = " ".join((TABLE_EXTENSION, *TEXT_EXTENSIONS))
        raise UsageError(f"No shard in {names}: looked for {endings}, the text forms also .gz and .zst.")
    return Found(shards, sorted(ignored))


def list_files(path: Path) -> Iterator[tuple[Path, str]]:
    """Each file that one path means, with its name; hidden ones are passed over. Raises `UsageError` when it does not exist.

    A link to a folder is not followed. It is told like a file unless it leads to somewhere inside the folder, where
    everything is looked at anyhow.
    """
    if path.is_dir():
        yield from _folder_files(path)
    elif path.exists():
        yield path, path.name
    elif glob.has_magic(str(path)):
        fixed = _fixed_part(path)
        for found in sorted(glob.glob(str(path), recursive=True)):  # noqa: PTH207  a pattern may be absolute
            if Path(found).is_file():
                yield Path(found), Path(found).relative_to(fixed).as_posix()
    else:
        raise UsageError(f"{path} does not exist.")


def _folder_files(folder: Path) -> Iterator[tuple[Path, str]]:
    if is_release(folder):
        folder = folder / DATA_FOLDER
    for here, folders, files in os.walk(folder, onerror=_cannot_list):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        links = [name for name in folders if _leads_out(Path(here, name), folder)]
        for name in sorted([*files, *links]):
            if not name.startswith("."):
                file = Path(here, name)
                yield file, file.relative_to(folder).as_posix()


def _leads_out(path: Path, folder: Path) -> bool:
    return path.is_symlink() and not path.resolve().is_relative_to(folder.resolve())


def is_release(folder: Path) -> bool:
    """Whether a folder is that of a release."""
    return (folder / RELEASE_FILE).is_file() and (folder / SUMS_FILE).is_file()


def _cannot_list(error: OSError) -> None:
    raise UsageError(f"{error.filename} cannot be listed: {error.strerror}.")


def _fixed_part(pattern: Path) -> Path:
    """The folders of a glob before its first wildcard."""
    fixed = Path(pattern.anchor)
    for part in pattern.parts[len(fixed.parts) : -1]:
        if glob.has_magic(part):
            break
        fixed = fixed / part
    return fixed
