"""Running the steps of the demo: say what begins, what was found, and how long it took."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from takedowns.management.demo.journal import Journal

QUIET_SECONDS = 3.0  # a step that works says something at least this often


class StepFailed(Exception):  # noqa: N818  it names what happened
    """A step did not do what it should; the text says what, for a person."""


class Steps:
    """Prints plain lines, so that a terminal, a pipe and a log show the same."""

    def __init__(self, write: Callable[[str], None], journal: Journal) -> None:
        self._write = write
        self._journal = journal
        self._number = 0
        self._said_at = 0.0

    def run(self, title: str, do: Callable[[], None]) -> None:
        """Run the next step and say its time. Raises what the step raises, after its title was said."""
        self._number += 1
        self._write(f"{self._number:>2}  {title}")
        self._said_at = started = time.monotonic()
        do()
        seconds = time.monotonic() - started
        self._journal.step_done(title, seconds)
        self.say(f"{seconds:.1f} s")

    def say(self, text: str) -> None:
        """Say what a step found."""
        self._write(f"    {text}")
        self._said_at = time.monotonic()

    def say_in_time(self, text: str) -> None:
        """Say how far a long step is, unless something was said a moment ago."""
        if time.monotonic() - self._said_at >= QUIET_SECONDS:
            self.say(text)


def expect(what: str, found: object, planted: object) -> None:
    """Raise StepFailed when something is not what the generator planted."""
    if found != planted:
        raise StepFailed(f"{what}: found {found}, planted {planted}.")
