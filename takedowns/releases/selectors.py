"""Reading releases, and which bases still need one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db.models import Exists, OuterRef

from registry.datasets.models import Version
from registry.datasets.selectors import STATUSES_IN_USE
from takedowns.releases.models import Release, ReleaseState
from takedowns.removals.models import AffectedVersion, Removal

if TYPE_CHECKING:
    from registry.datasets.models import VersionQuerySet, Viewer
    from takedowns.releases.models import ReleaseQuerySet
    from takedowns.removals.models import RemovalQuerySet


def release_list(user: Viewer) -> ReleaseQuerySet:
    """The releases that the user may see, newest first, each with its dataset, base and version."""
    return Release.objects.visible_to(user).select_related(
        "dataset__organisation", "base", "version__dataset"
    )


def removals_of(base: Version) -> RemovalQuerySet:
    """The removals in force that take rows out of this base."""
    return Removal.objects.filter(withdrawn_at=None, affected__version=base)


def removals_unreleased(base: Version) -> RemovalQuerySet:
    """Those of them that no published release of the base has left out yet."""
    released = Release.objects.published().filter(base=base, removals=OuterRef("pk"))
    return removals_of(base).exclude(Exists(released))


def bases_due() -> VersionQuerySet:
    """Bases in use from which rows must go that no published release leaves out, and that nobody works on.

    A base with a release that is not published is left to the people who build or judge that one.
    """
    released = Release.objects.published().filter(base=OuterRef("version"), removals=OuterRef("removal"))
    waiting = AffectedVersion.objects.filter(version=OuterRef("pk"), removal__withdrawn_at=None).exclude(
        Exists(released)
    )
    unpublished = Release.objects.filter(base=OuterRef("pk")).exclude(state=ReleaseState.PUBLISHED)
    return (
        Version.objects.filter(Exists(waiting), ~Exists(unpublished), base=None, status__in=STATUSES_IN_USE)
        .select_related("dataset__organisation")
        .order_by("dataset__slug", "-dated")
    )
