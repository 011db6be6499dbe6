"""Reading how the domains behind a version's links stand, and what changed about them since its rows were collected.

Each domain is in one kind, the gravest that holds. A change is the domain's and was found by the census, so it is counted
and listed whether or not links of it are excluded: nobody learns from it that a link was reported.

A registration says that a domain changed hands only where the day of the version is not doubted (`takeovers`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import models
from django.db.models import Case, Count, Exists, Max, Min, OuterRef, Prefetch, Q, Value, When

from registry.accounts.permissions import organisations_of
from registry.links.domains.models import ChangeKind, Domain, DomainChange, DomainState
from registry.links.domains.takeovers import is_date_doubted, versions_doubted
from registry.links.models import PanelRow
from registry.links.states import IS_ALIVE, IS_DEAD

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import date, datetime

    from django.db.models import QuerySet

    from registry.datasets.models import Version, Viewer


class DomainKind(models.TextChoices):
    """What became of a domain since a version's rows were collected, the gravest first."""

    OWNERSHIP_CHANGED = "ownership_changed", "Changed hands"
    GONE = "domain_gone", "Gone"
    MISSING = "missing", "Not found once"
    MOVED = "moved", "Changed its servers"
    # Than a day that is doubted, so it accuses nobody.
    REGISTERED_LATER = "registered_later", "Registered later"
    UNCHECKED = "unchecked", "Not asked yet"
    PRESENT = "present", "Unchanged"


NOTEWORTHY = (DomainKind.OWNERSHIP_CHANGED, DomainKind.GONE, DomainKind.MISSING, DomainKind.MOVED)


@dataclass(frozen=True, slots=True)
class DomainHealth:
    """Domains behind the links of a version's panel: by kind how many there are, and how the links to them stand.

    Of the links of a kind some are known to be `alive`, some to be `dead`; of the others, excluded ones among them, neither
    is known.
    """

    domains: dict[DomainKind, int]
    links: dict[DomainKind, int]
    alive: dict[DomainKind, int]
    dead: dict[DomainKind, int]
    asked_first: datetime | None  # the oldest of the last censuses
    asked_last: datetime | None
    has_second: bool  # without a second resolver no domain is called gone
    has_registries: bool  # without registries nobody knows since when a domain is registered
    is_date_doubted: bool  # so many are registered later that the day is doubted: none of them is reported

    @property
    def total(self) -> int:
        """All domains."""
        return sum(self.domains.values())

    @property
    def unknown(self) -> dict[DomainKind, int]:
        """Links of which neither is known."""
        return {kind: self.links[kind] - self.alive[kind] - self.dead[kind] for kind in DomainKind}


def version_domains(version: Version) -> DomainHealth | None:
    """How the domains behind the version's links stand; None where its panel leads to none. Two queries for any size."""
    rows = PanelRow.objects.filter(panel__version=version, link__host__of_domain__domain__isnull=False)
    domain = "link__host__of_domain__domain"
    later = {f"{domain}__registered_at__date__gt": collected_on(version)}
    told = rows.aggregate(
        domains=Count(domain, distinct=True),
        first=Min(f"{domain}__checked_at"),
        last=Max(f"{domain}__checked_at"),
        known=Count(domain, distinct=True, filter=Q(**{f"{domain}__registered_at__isnull": False})),
        registered=Count(domain, distinct=True, filter=Q(**later)),
    )
    if not told["domains"]:
        return None
    is_doubted = is_date_doubted(told["domains"], told["known"], told["registered"])
    found = (
        rows.annotate(
            kind=_kind(collected_on(version), f"{domain}__", OuterRef(domain), is_doubted=is_doubted)
        )
        .order_by()
        .values("kind")
        .annotate(
            domains=Count(domain, distinct=True),
            links=Count("pk"),
            alive=Count("pk", filter=Q(link__state__in=IS_ALIVE)),
            dead=Count("pk", filter=Q(link__state__in=IS_DEAD)),
        )
    )
    of_kind = {DomainKind(one["kind"]): one for one in found}
    counts = {
        what: {kind: of_kind[kind][what] if kind in of_kind else 0 for kind in DomainKind}
        for what in ("domains", "links", "alive", "dead")
    }
    return DomainHealth(
        **counts,
        asked_first=told["first"],
        asked_last=told["last"],
        has_second=bool(settings.NAME_SERVERS_SECOND),
        has_registries=bool(settings.RDAP_BOOTSTRAP),
        is_date_doubted=is_doubted,
    )


def domain_rows(
    user: Viewer,
    version: Version,
    kinds: Collection[DomainKind] = tuple(DomainKind),
    *,
    is_doubted: bool | None = None,
) -> QuerySet[Domain]:
    """The domains behind a version's links, of these kinds, the gravest first, for members; none for others.

    Each has `kind`, `links` (of the panel that lead to it) and `evidence` (its changes since, newest first). Who has read
    `version_domains` knows whether the version's day `is_doubted`; else all its links are counted once more.
    """
    rows = Q(
        domain_hosts__host__links__panel_rows__panel__version=version,
        domain_hosts__host__links__panel_rows__panel__version__dataset__organisation__in=organisations_of(
            user
        ),
    )
    collected = collected_on(version)
    if is_doubted is None:
        is_doubted = bool(versions_doubted([version.pk]))
    kind = _kind(collected, "", OuterRef("pk"), is_doubted=is_doubted)
    grave = [When(kind=one.value, then=Value(place)) for place, one in enumerate(DomainKind)]
    since = DomainChange.objects.filter(at__date__gt=collected).order_by("-at", "-pk")
    return (
        Domain.objects.filter(rows)
        .annotate(links=Count("domain_hosts__host__links__panel_rows"), kind=kind)
        .filter(kind__in=kinds)
        .order_by(Case(*grave, default=Value(len(grave))), "-links", "name")
        .prefetch_related(Prefetch("changes", since, to_attr="evidence"))
    )


def may_go(domain: Domain, version: Version, *, is_doubted: bool) -> bool:
    """Whether a domain is gone, or changed hands since the version's rows were collected: the two gravest kinds."""
    collected = collected_on(version)
    changes = (domain.parked_at, None if is_doubted else domain.registered_at)
    return domain.state == DomainState.GONE or any(at is not None and at.date() > collected for at in changes)


def collected_on(version: Version) -> date:
    """The day from which changes count: a release has the rows of its base."""
    return (version.base or version).dated


def _kind(collected: date, domain: str, outer: OuterRef, *, is_doubted: bool) -> Case:
    """The kind of a domain; `domain` leads to its fields, `outer` to its id from a subquery."""
    later = {f"{domain}registered_at__date__gt": collected}
    parked = Q(**{f"{domain}parked_at__date__gt": collected})
    since = DomainChange.objects.filter(domain=outer, at__date__gt=collected)
    moved = since.exclude(kind=ChangeKind.REGISTERED)
    return Case(
        When(parked if is_doubted else parked | Q(**later), then=Value(DomainKind.OWNERSHIP_CHANGED.value)),
        When(**{f"{domain}state": DomainState.GONE}, then=Value(DomainKind.GONE.value)),
        When(**{f"{domain}state": DomainState.MISSING}, then=Value(DomainKind.MISSING.value)),
        When(**{f"{domain}state": DomainState.UNCHECKED}, then=Value(DomainKind.UNCHECKED.value)),
        When(Exists(moved), then=Value(DomainKind.MOVED.value)),
        When(**later, then=Value(DomainKind.REGISTERED_LATER.value)),
        default=Value(DomainKind.PRESENT.value),
        output_field=models.CharField(),
    )
