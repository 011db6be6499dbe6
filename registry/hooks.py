"""Where `registry` must ask upward. `takedowns` fills these in its `AppConfig.ready()`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from registry.datasets.models import Version


@dataclass(slots=True)
class Hooks:
    """Each hook is a list of callables; `registry` calls them all."""

    # Returns why this ingested version may not become active (one sentence each), or nothing.
    version_objections: list[Callable[[Version], list[str]]] = field(default_factory=list)


hooks = Hooks()
