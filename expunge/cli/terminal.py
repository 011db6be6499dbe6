"""What the command prints beside its result: progress, warnings, errors."""

from __future__ import annotations

import sys
import time
import unicodedata
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from expunge.progress import quiet as say_nothing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from expunge.progress import Progress as Report

_PATIENCE_SECONDS = 2.0


class Terminal:
    """Standard error, as a person reads it; silent about progress with `--quiet` and in a pipe."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self.console = Console(file=sys.stderr, highlight=False, soft_wrap=True)

    def say(self, text: str) -> None:
        """Tell what was done."""
        if not self.quiet:
            self._print(text)

    def warn(self, text: str) -> None:
        """Tell what the person should know, also when quiet."""
        self._print(f"warning: {text}")

    def error(self, text: str) -> None:
        """Tell what went wrong."""
        self._print(f"error: {text}")

    def _print(self, text: str) -> None:
        """Print a message as it stands, but for control characters: names and entries come from anybody."""
        plain = "".join(
            c if c == "\n" or unicodedata.category(c) not in {"Cc", "Cs"} else "\ufffd" for c in text
        )
        self.console.print(plain, markup=False, emoji=False)

    @contextmanager
    def progress(self) -> Iterator[Report]:
        """A report function that draws a bar per stage once the work has taken two seconds."""
        if (
            self.quiet or not sys.stderr.isatty()
        ):  # rich calls a pipe a terminal where the environment asks for colour
            yield say_nothing
            return
        started = time.monotonic()
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[rows]}"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self.console, transient=True) as bars:
            bars.live.stop()
            stage_shown = ""

            def report(stage: str, done: int, total: int) -> None:
                nonlocal stage_shown
                if time.monotonic() - started < _PATIENCE_SECONDS:
                    return
                if not stage_shown:
                    bars.live.start()
                # Text formats do not tell how many rows they have, so a stage may have no total.
                rows = f"{done:,} of {total:,}" if total else f"{done:,}"
                if stage != stage_shown:
                    for task in bars.task_ids:
                        bars.remove_task(task)
                    bars.add_task(stage, total=total or None, rows=rows)
                    stage_shown = stage
                bars.update(bars.task_ids[0], completed=done, rows=rows)

            yield report
