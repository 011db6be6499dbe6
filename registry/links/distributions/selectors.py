"""Where versions are served, as a reader may see it, and whether they still are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db.models import Prefetch

from registry.accounts.models import Role
from registry.accounts.permissions import has_role
from registry.links.content.store import recorded_keys
from registry.links.distributions.models import Distribution
from registry.links.exclusion import excluded_links
from registry.links.models import OUT_OF_USE, Observation
from registry.links.states import ABSENT, ALIVE, IS_ALIVE, MOVED, LinkState, shown

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from registry.datasets.models import Dataset, Version, Viewer

HISTORY = 10  # attempts that are shown of a place


@dataclass(frozen=True, slots=True)
class Place:
    """One place as a reader may see it.

    For who is no member `url` is None where the version is out of use or the place cannot be told, and so is `checked_at`
    where it cannot be told: what was reported is not shown and has no time, and what refuses us must look the same.
    """

    distribution: Distribution
    url: str | None
    state: LinkState
    checked_at: datetime | None
    is_flagged: bool  # still served, though the version is out of use
    was_served: bool  # for members: it cannot be told, and was still served when it last could
    history: list[Observation]  # the last attempts, newest first; for members only


def places(user: Viewer, dataset: Dataset, version: Version | None = None) -> list[Place]:
    """The places of a dataset's versions, or of one, those first that should not serve what they do."""
    found = Distribution.objects.visible_to(user).filter(version__dataset=dataset)
    if version is not None:
        found = found.filter(version=version)
    is_member = has_role(user, dataset.organisation, Role.STAFF)
    found = found.select_related("version__dataset", "link").order_by("-version__dated", "kind", "pk")
    if is_member:
        attempts = Observation.objects.order_by("-at")
        found = found.prefetch_related(Prefetch("link__observations", attempts, to_attr="attempts"))
    # A link that was reported a moment ago is not marked before a batch meets it.
    links = [] if is_member else [one.link for one in found]
    reported = excluded_links(links, recorded_keys(links)) if links else set()
    told = (_place(one, is_member=is_member, is_reported=one.link_id in reported) for one in found)
    return sorted(told, key=lambda one: not one.is_flagged)


def warnings(found: Iterable[Place]) -> list[str]:
    """A sentence for each version that is out of use and still served."""
    counts: dict[str, tuple[Version, int]] = {}
    for one in found:
        if one.is_flagged:
            version = one.distribution.version
            counts[version.name] = version, counts.get(version.name, (version, 0))[1] + 1
    return [
        f"{version.name} is {version.get_status_display().lower()} and still served at {count:,} "
        f"{'place' if count == 1 else 'places'}."
        for version, count in counts.values()
    ]


def _place(one: Distribution, *, is_member: bool, is_reported: bool) -> Place:
    out_of_use = one.version.status in OUT_OF_USE
    state = LinkState.EXCLUDED if is_reported else LinkState(one.link.state)
    is_told = shown(state) is not LinkState.UNVERIFIABLE
    history = getattr(one.link, "attempts", []) if state is not LinkState.EXCLUDED else []
    return Place(
        distribution=one,
        url=one.link.url if is_member or (is_told and not out_of_use) else None,
        state=shown(state),
        checked_at=one.link.checked_at if is_member or is_told else None,
        is_flagged=out_of_use and state in IS_ALIVE,
        was_served=not is_told and _was_served(history),
        history=history[:HISTORY],
    )


def _was_served(history: Iterable[Observation]) -> bool:
    """Whether the last attempt that told anything, of these with the newest first, found the place."""
    told = (seen.outcome for seen in history if seen.outcome in ALIVE | MOVED | ABSENT)
    return next(told, None) in ALIVE | MOVED
