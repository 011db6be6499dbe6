"""Where versions are served, as a reader may see it, and whether they still are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db.models import Prefetch

from registry.accounts.models import Role
from registry.accounts.permissions import has_role
from registry.datasets.models import VersionStatus
from registry.links.distributions.models import Distribution
from registry.links.models import Observation
from registry.links.states import IS_ALIVE, LinkState, shown

if TYPE_CHECKING:
    from collections.abc import Iterable

    from registry.datasets.models import Dataset, Version, Viewer

HISTORY = 10  # attempts that are shown of a place
# Nobody should be led to these; who keeps the dataset has to know where they still are.
OUT_OF_USE = (VersionStatus.WITHDRAWN, VersionStatus.QUARANTINED)


@dataclass(frozen=True, slots=True)
class Place:
    """One place as a reader may see it. `url` is None where the version is out of use and the reader no member."""

    distribution: Distribution
    url: str | None
    state: LinkState
    is_flagged: bool  # still served, though the version is out of use
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
    return sorted((_place(one, is_member=is_member) for one in found), key=lambda one: not one.is_flagged)


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


def _place(one: Distribution, *, is_member: bool) -> Place:
    out_of_use = one.version.status in OUT_OF_USE
    state = LinkState(one.link.state)
    return Place(
        distribution=one,
        url=one.link.url if is_member or not out_of_use else None,
        state=shown(state),
        is_flagged=out_of_use and state in IS_ALIVE,
        history=getattr(one.link, "attempts", [])[:HISTORY] if state is not LinkState.EXCLUDED else [],
    )
