"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

from expunge.errors import ExpungeError, Interrupted, UsageError
from expunge.journal import JOURNAL_FILE, keep_finished, read_finished

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def partial_folder(output: Path) -> Path:
    """Where `building` keeps what is not `output` yet; when a run was stopped, what it had finished is still there."""
    return output.with_name(f".{output.name}.partial")


@contextmanager
def building(output: Path) -> Iterator[Path]:
    """Give a folder to build in; it becomes `output`, complete and on disk, when the block ends without an error.

    The folder is `partial_folder(output)`, locked while it is built. An error that says what is wrong with the
    inputs or the result leaves nothing of it. Whatever else ends a run (Ctrl-C, a kill, a full disk, a lost worker)
    leaves the files that are finished, as the folder's journal (`expunge.journal`) says, and the next run finds them
    and nothing else in the folder; it must take over or remove them. The journal is removed at the end.

    Raises `UsageError` when `output` exists and is not an empty folder or another run builds it, and `Interrupted`
    when the disk is full or not writable.
    """
    output = output.absolute()
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise UsageError(f"{output} exists and is not an empty folder. Name a new one.")
    partial = partial_folder(output)
    missing = [parent for parent in output.parents if not parent.exists()]
    with _explained(output):
        output.parent.mkdir(parents=True, exist_ok=True)
        partial.mkdir(exist_ok=True)
        lock = os.open(partial, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UsageError(
                f"Another run is building {output}. Wait for it, or name another folder."
            ) from error
        try:
            with _explained(output, partial):
                keep_finished(partial, read_finished(partial))
                yield partial
                (partial / JOURNAL_FILE).unlink(missing_ok=True)
                for folder, _, _ in os.walk(partial):
                    _sync(folder)
                if output.exists():
                    output.rmdir()
                partial.rename(output)
                _sync(output.parent)
        except BaseException as error:
            finished = {} if _condemns(error) else read_finished(partial)
            if finished:
                with contextlib.suppress(OSError):  # the next run does it then
                    keep_finished(partial, finished)
                raise
            shutil.rmtree(partial, ignore_errors=True)
            with contextlib.suppress(OSError):  # somebody else uses them by now
                for parent in missing:
                    parent.rmdir()
            raise
    finally:
        os.close(lock)


def _condemns(error: BaseException) -> bool:
    """Whether an error says that what was built so far is of no use, rather than that the building was stopped."""
    return isinstance(error, ExpungeError) and not isinstance(error, Interrupted)


@contextmanager
def writing(output: Path) -> Iterator[Path]:
    """Give a path to write one file to; it becomes `output` when the block ends without an error."""
    partial = output.with_name(f".{output.name}.partial")
    try:
        with _explained(output):
            yield partial
            _sync(partial)
            partial.rename(output)
    finally:
        partial.unlink(missing_ok=True)


def write_file(path: Path, data: bytes) -> None:
    """Write a new file and put it on disk, with its folder if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as sink:
        sink.write(data)
        sink.flush()
        os.fsync(sink.fileno())


@contextmanager
def _explained(output: Path, partial: Path | None = None) -> Iterator[None]:
    """Turn what the operating system says of a write into a sentence."""
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            finished = len(read_finished(partial)) if partial else 0
            kept = (
                f"{finished:,} finished files are kept in {partial}"
                if finished
                else "nothing was left behind"
            )
            raise Interrupted(
                f"The disk is full: {output} was not written, and {kept}. Free some space, then start again."
            ) from error
        if error.errno is None:
            raise
        raise Interrupted(f"{output} cannot be written: {error.strerror}.") from error


def _sync(folder: Path | str) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
