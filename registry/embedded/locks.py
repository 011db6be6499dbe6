"""Locks that the kernel gives back when their process ends: no process ids, so none can be stale or reused."""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType


class Lock:
    """An open file with an advisory lock on it. Not inherited by programs that this process starts."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def share(self) -> Self:
        """Wait until nobody holds the lock alone, then hold it with others."""
        fcntl.flock(self._file, fcntl.LOCK_SH)
        return self

    def own(self) -> Self:
        """Wait until nobody else holds the lock, then hold it alone."""
        fcntl.flock(self._file, fcntl.LOCK_EX)
        return self

    def try_own(self) -> bool:
        """Hold the lock alone if that needs no wait; tell whether it did."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def close(self) -> None:
        """Give the lock back. Twice does no harm."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def is_held(path: Path) -> bool:
    """Tell whether some process holds the lock at `path` now."""
    with Lock(path) as lock:
        return not lock.try_own()
