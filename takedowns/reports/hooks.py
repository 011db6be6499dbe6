"""Where `reports` must tell upward: `cases` opens a case for each new report, in the same transaction."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from takedowns.reports.models import Report


@dataclass(slots=True)
class Hooks:
    """Each hook is a list of callables; `reports` calls them all."""

    report_created: list[Callable[[Report], None]] = field(default_factory=list)


hooks = Hooks()
