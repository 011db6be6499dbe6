"""Starting, naming and ending the programs that we supervise."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable

STOP_SECONDS = 30  # PostgreSQL writes a checkpoint before it ends
_PR_SET_PDEATHSIG = 1


class ServerError(Exception):
    """A server did not start; the text says why."""


def say(line: str) -> None:
    """Print the one line that whoever started us waits for, and close the output."""
    with contextlib.suppress(BrokenPipeError):  # it was killed; somebody else may need the server by now
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())


def die_with_parent(number: signal.Signals) -> Callable[[], None]:
    """For `preexec_fn`: have the kernel send `number` to the child when its parent dies, even by kill -9.

    Linux only. Elsewhere it does nothing, and `end_leftover` ends what a killed parent has left.
    """
    if not sys.platform.startswith("linux"):
        return lambda: None
    prctl = ctypes.CDLL(None, use_errno=True).prctl  # looked up before the fork: the child should do little
    return lambda: prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)


def end_leftover(pid_file: Path, marker: str) -> None:
    """End a server whose keeper was killed. A process that only has its old number by chance is left alone.

    `marker` is a text that the command line of that server, and of no other process, contains.
    """
    with contextlib.suppress(OSError, ValueError, IndexError, psutil.Error):
        process = psutil.Process(int(pid_file.read_text().split()[0]))
        if marker and any(marker in argument for argument in process.cmdline()):
            process.send_signal(signal.SIGINT)  # both servers take it as: finish cleanly, now
            if not _ended(process, STOP_SECONDS):
                process.kill()
                _ended(process, STOP_SECONDS)
    pid_file.unlink(missing_ok=True)


def _ended(process: psutil.Process, seconds: float) -> bool:
    """Wait for a process that is not our child; a zombie has ended, though nobody may ever collect it."""
    deadline = time.monotonic() + seconds
    while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def end(process: subprocess.Popen[bytes], number: signal.Signals, seconds: float) -> None:
    """Ask a child to end with `number`; kill it when it has not ended after `seconds`."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def socket_folder(record: Path) -> Path:
    """Make a private folder for sockets and write its name to `record`; remove the one recorded before.

    It lies in /tmp whatever TMPDIR says, because the path of a unix socket has 107 bytes at most.
    """
    remove_socket_folder(record)
    folder = Path(tempfile.mkdtemp(prefix="expunge-", dir="/tmp"))  # mkdtemp: new, ours, mode 700
    record.write_text(str(folder))
    return folder


def recorded(record: Path) -> str:
    """Return the text of `record`, empty if there is none."""
    return record.read_text() if record.exists() else ""


def remove_socket_folder(record: Path) -> None:
    """Remove the folder that `record` names, and the record."""
    with contextlib.suppress(FileNotFoundError):
        folder = Path(record.read_text())
        if folder.parent == Path("/tmp") and folder.name.startswith("expunge-"):  # noqa: S108 - as made above
            shutil.rmtree(folder, ignore_errors=True)
        record.unlink()


def wait_until(
    answers: Callable[[], bool], process: subprocess.Popen[bytes], seconds: float, log: Path
) -> None:
    """Return when `answers()`; raise ServerError when the process ends before, or `seconds` have gone by."""
    deadline = time.monotonic() + seconds
    while not answers():
        if process.poll() is not None:
            lines = log.read_text(errors="replace").strip().splitlines()
            raise ServerError(lines[-1] if lines else f"it ended with status {process.returncode}.")
        if time.monotonic() > deadline:
            raise ServerError(f"no answer within {seconds:.0f} s.")
        time.sleep(0.02)
