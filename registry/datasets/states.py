"""Which way a version's status may go."""

from __future__ import annotations

from registry.datasets.models import VersionStatus as S

# A draft leaves that state only through its ingest, or through the publication of the release it belongs to.
NEXT: dict[str, frozenset[str]] = {
    S.DRAFT: frozenset({S.ACTIVE, S.DEPRECATED, S.QUARANTINED}),
    S.ACTIVE: frozenset({S.DEPRECATED, S.QUARANTINED, S.ARCHIVED, S.WITHDRAWN}),
    S.DEPRECATED: frozenset({S.ACTIVE, S.QUARANTINED, S.ARCHIVED, S.WITHDRAWN}),
    S.QUARANTINED: frozenset({S.ACTIVE, S.DEPRECATED, S.ARCHIVED, S.WITHDRAWN}),
    S.ARCHIVED: frozenset({S.DEPRECATED, S.QUARANTINED, S.WITHDRAWN}),
    S.WITHDRAWN: frozenset(),
}

# What an imported version may become once it is ingested.
AFTER_INGEST = (S.ACTIVE, S.DEPRECATED, S.QUARANTINED)


def may_become(status: str, target: str) -> bool:
    """Whether a version may go from one status to the other."""
    return target in NEXT[status]
