"""Releases on a schedule, for sites that set RELEASE_SCHEDULE."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from registry.lib.errors import Refused
from takedowns.releases.models import Release, ReleaseState
from takedowns.releases.selectors import bases_due
from takedowns.releases.services.build import release_build
from takedowns.releases.services.publish import release_publish_start

if TYPE_CHECKING:
    from registry.jobs.models import Job

log = structlog.get_logger(__name__)


def releases_due() -> tuple[list[Release], list[Job]]:
    """Start publishing what an earlier round built, then build for every base from which rows must go.

    Returns the releases that are now built and the jobs that publish. What a person built is left to that person.
    """
    publishing, again = [], []
    ours = Release.objects.filter(state=ReleaseState.VERIFIED, created_by=None, failure="")
    for release in ours.select_related("dataset__organisation", "version", "base__dataset__organisation"):
        try:
            publishing.append(release_publish_start(actor=None, release=release))
        except Refused:
            # More was decided since it was built: build it again, publish in a later round.
            again.append(release.base)
    building = []
    for base in [*again, *bases_due()]:
        try:
            building.append(release_build(actor=None, base=base))
        except Refused as reason:
            log.warning("release_not_due", base=str(base.pk), reason=str(reason))
    return building, publishing
