"""What is known of a host, and which hosts of a version do worst.

Who only sees that one link of a host cannot be told might learn that it was reported; so to everybody a host's links are
alive, dead or not known, and only a host that we have asked is shown at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.db.models import Count, F, Max, Q

from registry.accounts.permissions import organisations_of
from registry.datasets.selectors import version_list
from registry.links.domains.models import Domain
from registry.links.domains.selectors import may_go
from registry.links.domains.takeovers import versions_doubted
from registry.links.models import Host, Link, Panel, PanelRow
from registry.links.selectors import panel_rows
from registry.links.states import IS_ALIVE, IS_DEAD, KEEPS_TIME, SHOWN, LinkState, shown

if TYPE_CHECKING:
    from datetime import datetime

    from django.db.models import QuerySet

    from registry.datasets.models import Version, Viewer
    from registry.links.models import RobotsFile


@dataclass(frozen=True, slots=True)
class HostFacts:
    """A host as everybody may see it: how it is asked, and its links in the panels that the reader may see.

    `robots` are the robots.txt of its origins, without their text.
    """

    host: Host
    robots: list[RobotsFile]
    links: int
    alive: int
    dead: int
    # When it last answered anything, by its robots.txt and by links of which something is known (`KEEPS_TIME`).
    answered_at: datetime | None

    @property
    def unknown(self) -> int:
        """Links of which neither is known."""
        return self.links - self.alive - self.dead


def host_facts(user: Viewer, name: str) -> HostFacts | None:
    """What is known of a host; None where no panel that the user may see leads there, or it was never asked."""
    host = Host.objects.filter(name=name).first()
    if host is None:
        return None
    links = Link.objects.filter(
        host=host, pk__in=PanelRow.objects.filter(panel__in=Panel.objects.visible_to(user)).values("link")
    )
    found = links.aggregate(
        links=Count("pk"),
        alive=Count("pk", filter=Q(state__in=IS_ALIVE)),
        dead=Count("pk", filter=Q(state__in=IS_DEAD)),
    )
    answered = host.links.filter(status__gt=0, state__in=KEEPS_TIME).aggregate(at=Max("checked_at"))["at"]
    robots = list(host.robots_files.defer("text").order_by("origin"))
    known = [at for at in (answered, *(file.asked_at for file in robots)) if at is not None]
    own = PanelRow.objects.visible_to(user).filter(link__host=host)
    if not found["links"] or not (known or host.opted_out_at or own.exists()):
        return None
    return HostFacts(host=host, robots=robots, answered_at=max(known, default=None), **found)


@dataclass(frozen=True, slots=True)
class HostInVersion:
    """How many links of a version's panel lead to a host, by state; one that is excluded cannot be told.

    `domain` is the name of its domain where that is gone or changed hands since the version was made, "" elsewhere.
    """

    version: Version
    counts: dict[LinkState, int]
    domain: str


def host_versions(user: Viewer, host: Host) -> list[HostInVersion]:
    """For members: the versions of their organisations whose panels lead to the host, newest first."""
    versions = {
        version.pk: version
        for version in version_list(user)
        .filter(dataset__organisation__in=organisations_of(user))
        .select_related("base")
    }
    counted: dict[Any, dict[LinkState, int]] = {}
    rows = (
        PanelRow.objects.filter(link__host=host, panel__in=list(versions))
        .values_list("panel", "link__state")
        .annotate(links=Count("pk"))
        .order_by()
    )
    for version, state, links in rows:
        counted.setdefault(version, dict.fromkeys(SHOWN, 0))[shown(state)] += links
    domain = Domain.objects.filter(domain_hosts__host=host).first()
    doubted = versions_doubted(list(counted)) if domain else set()
    return [
        HostInVersion(
            version,
            counted[pk],
            domain.name if domain and may_go(domain, version, is_doubted=pk in doubted) else "",
        )
        for pk, version in versions.items()
        if pk in counted
    ]


def version_hosts(user: Viewer, version: Version) -> QuerySet[PanelRow, Any]:
    """Hosts of a version's panel for members, worst first: `host`, `links`, `dead`, `failing`, `alive` of each.

    Excluded links are in none of the numbers.
    """
    return (
        panel_rows(user, version)
        .values(host=F("link__host__name"))
        .annotate(
            links=Count("pk"),
            dead=Count("pk", filter=Q(link__state__in=IS_DEAD)),
            failing=Count("pk", filter=Q(link__state=LinkState.FAILING)),
            alive=Count("pk", filter=Q(link__state__in=IS_ALIVE)),
        )
        .order_by("-dead", "-failing", "-links", "host")
    )


def hosts_count(user: Viewer, version: Version) -> int:
    """How many `version_hosts` there are, without what is known of them."""
    counted = panel_rows(user, version).aggregate(hosts=Count("link__host", distinct=True))
    return int(counted["hosts"])


def worst_hosts(user: Viewer, version: Version) -> QuerySet[PanelRow, Any]:
    """Those of `version_hosts` with links that are dead or fail."""
    return version_hosts(user, version).filter(Q(dead__gt=0) | Q(failing__gt=0))
