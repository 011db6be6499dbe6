"""Where the files of a copy are written: into a new folder, or over the old ones.

In place, the files of one part change together or not at all, though the machine may stop at any point:

1. What is written anew lies aside, as `.<name>.expunge-new` beside the old file, on disk.
2. A list of what is to be renamed and deleted is put beside the manifest, as `.<name>.expunge-swap`. From here on the
   part is as good as changed.
3. The new files are renamed over the old ones, the others deleted, and the list at last.

A run that finds a list finishes it; what lies aside without a list is deleted.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from abc import ABC, abstractmethod
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast

import orjson

from expunge.errors import BadShard, UsageError
from expunge.shards.source import list_files

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_NEW = ".expunge-new"
_SWAP = ".expunge-swap"
_MANY = 64


class Target(ABC):
    """Takes every file of a part, under its path and its name inside the copy, in one of three ways."""

    @abstractmethod
    def new(self, path: Path, name: str) -> Path:
        """Where to write the file anew: a path that does not exist yet, in a folder that does."""

    @abstractmethod
    def keep(self, path: Path, name: str) -> None:
        """The file stays as it is."""

    @abstractmethod
    def drop(self, path: Path, name: str) -> None:
        """The file goes."""


class NewFolder(Target):
    """A folder that holds none of the files yet. `written` are those that it was given, by name."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.written: dict[str, Path] = {}
        self._copied: list[Path] = []

    def new(self, path: Path, name: str) -> Path:  # noqa: ARG002  the old file is not touched
        """The file's place in the folder."""
        target = self._folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            raise UsageError(f"Two files of the copy are both {name!r}. Give one folder that holds both.")
        self.written[name] = target
        return target

    def keep(self, path: Path, name: str) -> None:
        """Copy the file."""
        self._copied.append(self.new(path, name))
        shutil.copyfile(path, self._copied[-1])

    def drop(self, path: Path, name: str) -> None:
        """Leave the file out."""

    def settle(self) -> None:
        """Put the copied files on disk; what was written anew is there already."""
        if len(self._copied) > _MANY:
            os.sync()  # one by one, the small files of a folder of samples would take minutes
        else:
            for path in self._copied:
                _sync(path)


class InPlace(Target):
    """The files of one part, to be changed together by `swap`."""

    def __init__(self) -> None:
        self._renamed: list[Path] = []
        self._deleted: list[Path] = []

    def new(self, path: Path, name: str) -> Path:
        """A place beside the file."""
        self._refuse_link(path, name)
        self._renamed.append(path)
        return _aside(path)

    def keep(self, path: Path, name: str) -> None:
        """Leave the file alone."""

    def drop(self, path: Path, name: str) -> None:
        """Delete the file when the others change."""
        self._refuse_link(path, name)
        self._deleted.append(path)

    def swap(self) -> None:
        """Change all files, as the module says. Nothing is done when nothing was written or dropped."""
        if not self._renamed and not self._deleted:
            return
        first = min(self._renamed or self._deleted)
        here = first.parent
        for path in self._renamed:
            shutil.copymode(path, _aside(path))
            _sync(_aside(path))
        for folder in {path.parent for path in self._renamed}:
            _sync(folder)
        listed = {
            "renamed": [os.path.relpath(path, here) for path in self._renamed],
            "deleted": [os.path.relpath(path, here) for path in self._deleted],
        }
        swap = here / f".{first.name}{_SWAP}"
        aside = _aside(swap)
        aside.write_bytes(orjson.dumps(listed))
        _sync(aside)
        aside.rename(swap)
        _sync(here)
        _finish(swap, self._renamed, self._deleted)

    def discard(self) -> None:
        """Delete what was written aside."""
        for path in self._renamed:
            _aside(path).unlink(missing_ok=True)

    @staticmethod
    def _refuse_link(path: Path, name: str) -> None:
        if path.is_symlink():
            raise BadShard(
                f"{name}: is a link, and what it leads to would stay as it is. Use --output, or replace it by the file.",
                str(path),
            )


@contextmanager
def in_place() -> Iterator[InPlace]:
    """Give a target whose files change when the block ends without an error; else all stay as they were."""
    target = InPlace()
    try:
        yield target
    except BaseException:
        target.discard()
        raise
    target.swap()


@contextmanager
def locked(paths: Sequence[Path]) -> Iterator[None]:
    """Keep a copy for this run, and finish what one that was stopped had begun.

    `paths` are files, folders and globs, all those that make the copy. Raises `UsageError` when another run changes it.
    """
    folders = sorted({folder for path in paths for folder in _folders(path)})
    owners = sorted({(path if path.is_dir() else path.parent).resolve() for path in paths if path.exists()})
    with contextlib.ExitStack() as stack:
        for owner in owners:
            handle = os.open(owner, os.O_RDONLY | os.O_DIRECTORY)
            stack.callback(os.close, handle)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise UsageError(f"Another run is changing {owner}. Wait for it.") from error
        for folder in folders:
            for swap in _hidden(folder, _SWAP):
                _finish(swap, *_read_swap(swap, folders))
        for folder in folders:
            for aside in _hidden(folder, _NEW):
                aside.unlink()
        yield


def refuse_unfinished(paths: Sequence[Path]) -> None:
    """Refuse a copy that a stopped run left half changed. Raises `UsageError`."""
    for path in paths:
        for folder in _folders(path):
            if _hidden(folder, _SWAP):
                raise UsageError(
                    f"{folder}: an apply --in-place was stopped before its end. Run it again first."
                )


def _folders(path: Path) -> set[Path]:
    """The folders in which the files of a path lie."""
    if path.is_dir():
        return {Path(here).resolve() for here, _, _ in os.walk(path)}
    return {file.parent.resolve() for file, _ in list_files(path)}


def _read_swap(swap: Path, allowed: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """What a list names. Somebody else may have put it there, so it reaches files of the copy alone."""
    try:
        listed = cast("dict[str, list[str]]", orjson.loads(swap.read_bytes()))
        found = [
            [Path(os.path.abspath(swap.parent / name)) for name in listed[act]]  # noqa: PTH100  links stay links
            for act in ("renamed", "deleted")
        ]
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise UsageError(f"{swap} is not a list that expunge wrote. Delete it, then start again.") from error
    for path in (*found[0], *found[1]):
        if path.parent.resolve() not in allowed:
            raise UsageError(
                f"{swap} names a file outside the copy. Give all folders that were given before."
            )
    return found[0], found[1]


def _finish(swap: Path, renamed: Sequence[Path], deleted: Sequence[Path]) -> None:
    for path in renamed:
        with contextlib.suppress(FileNotFoundError):  # it was renamed before the run was stopped
            _aside(path).rename(path)
    for path in deleted:
        path.unlink(missing_ok=True)
    for folder in {path.parent for path in (*renamed, *deleted)}:
        _sync(folder)
    swap.unlink()
    _sync(swap.parent)


def _aside(path: Path) -> Path:
    return path.with_name(f".{path.name}{_NEW}")


def _hidden(folder: Path, ending: str) -> list[Path]:
    return sorted(
        path for path in folder.iterdir() if path.name.startswith(".") and path.name.endswith(ending)
    )


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
