"""How long work tells how far it is."""

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called as `progress(stage, done, total)`: the stage in words, rows done, rows in all. Called often, so it must be cheap."""


def quiet(stage: str, done: int, total: int) -> None:
    """Say nothing."""
