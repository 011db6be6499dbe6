"""Domains that changed hands after a dataset's rows were collected: who owns one now may serve what he likes there.

Only two things count: the registry says that the domain was registered after a version with rows on it was made, or a
census saw its name servers become a reseller's after that day. A release counts from the day of its base, whose rows it
has. Each such change is noted once for each dataset, and the hook `domain_taken_over` is told of it once.

A maintainer writes the day of a version, and may err. So where it makes an improbable share of the version's domains new,
that day is doubted (`is_date_doubted`), and no registration is held against a domain by it; what a census saw itself is.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from django.db import transaction
from django.db.models import Case, Count, F, Q, Value, When
from django.db.models.functions import Coalesce
from django.utils import timezone

from registry.datasets.models import VersionStatus
from registry.hooks import hooks
from registry.links.domains.models import ChangeKind, DomainChange, Takeover
from registry.links.models import PanelRow

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime
    from uuid import UUID

    from django.db.models import QuerySet

AT_ONCE = 1_000  # takeovers of one dataset that the hook is told of at once
DOUBTED_FROM, DOUBTED_SHARE = 20, 5  # domains of a version at least; more than one in so many registered anew

DOMAIN = "link__host__of_domain__domain"
COLLECTED = Coalesce("panel__version__base__dated", "panel__version__dated")

_REGISTERED = Q(**{f"{DOMAIN}__registered_at__date__gt": F("collected")})
_PARKED = Q(**{f"{DOMAIN}__parked_at__date__gt": F("collected")})
_IS_DRAFT = Q(panel__version__status=VersionStatus.DRAFT)


def rows_taken_over() -> QuerySet[PanelRow]:
    """Panel rows whose domain changed hands after their version was made; annotated with `collected`, a day."""
    return PanelRow.objects.exclude(_IS_DRAFT).annotate(collected=COLLECTED).filter(_REGISTERED | _PARKED)


def with_takeovers(rows: QuerySet[PanelRow]) -> QuerySet[PanelRow]:
    """Give each row `ownership_changed`: whether it is one of `rows_taken_over`, by a day that is not doubted."""
    # Only where a row may be held against its domain: to doubt a day, all links of its version are counted.
    later = rows.annotate(collected=COLLECTED).filter(_REGISTERED).order_by()
    doubted = versions_doubted(list(later.values_list("panel", flat=True).distinct()))
    held = _PARKED | _REGISTERED & ~Q(panel__in=doubted)
    changed = Case(When(~_IS_DRAFT & held, then=Value(True)), default=Value(False))
    return rows.annotate(collected=COLLECTED).annotate(ownership_changed=changed)


def is_date_doubted(domains: int, known: int, registered: int) -> bool:
    """Whether so many `registered` later say that the day of a version is wrong, rather than they.

    `domains` lie behind the version's links, of `known` the registry told when they were registered. Few are known at
    first, so that 20 are taken to be.
    """
    return domains >= DOUBTED_FROM and registered * DOUBTED_SHARE > max(known, DOUBTED_FROM)


def versions_doubted(versions: Collection[UUID]) -> set[UUID]:
    """Those of these versions, by primary key, whose day is doubted."""
    counts = (
        PanelRow.objects.filter(panel__version__in=versions, **{f"{DOMAIN}__isnull": False})
        .annotate(collected=COLLECTED)
        .order_by()
        .values_list("panel__version")
        .annotate(
            domains=Count(DOMAIN, distinct=True),
            known=Count(DOMAIN, distinct=True, filter=Q(**{f"{DOMAIN}__registered_at__isnull": False})),
            registered=Count(DOMAIN, distinct=True, filter=_REGISTERED),
        )
        .values_list("panel__version", "domains", "known", "registered")
    )
    return {version for version, *found in counts if is_date_doubted(*found)}


def takeovers_find() -> int:
    """Note the takeovers that are not noted yet; returns how many. Run as often as anybody likes."""
    found = list(
        rows_taken_over()
        .order_by()
        .values_list(
            "panel__version",
            "panel__version__dataset",
            "collected",
            DOMAIN,
            f"{DOMAIN}__registered_at",
            f"{DOMAIN}__parked_at",
        )
        .distinct()
    )
    doubted = versions_doubted({version for version, *_ in found})
    wanted: dict[tuple[int, ChangeKind, datetime], set[UUID]] = defaultdict(set)
    for version, dataset, collected, domain, registered_at, parked_at in found:
        if registered_at is not None and registered_at.date() > collected and version not in doubted:
            wanted[domain, ChangeKind.REGISTERED, registered_at].add(dataset)
        if parked_at is not None and parked_at.date() > collected:
            wanted[domain, ChangeKind.PARKED, parked_at].add(dataset)
    made = 0
    for (domain, kind, at), datasets in wanted.items():
        with transaction.atomic():
            change, _ = DomainChange.objects.get_or_create(domain_id=domain, kind=kind, at=at)
            known = set(Takeover.objects.filter(change=change).values_list("dataset", flat=True))
            new = [
                Takeover(dataset_id=dataset, domain_id=domain, change=change)
                for dataset in datasets
                if dataset not in known
            ]
            Takeover.objects.bulk_create(new, ignore_conflicts=True)
            made += len(new)
    return made


def takeovers_tell() -> int:
    """Tell the hook what it was not told yet, AT_ONCE of each dataset; returns of how many takeovers.

    Where it fails for some datasets those of the others are told all the same, and then the first failure is raised.
    """
    waiting = Takeover.objects.filter(told_at=None).order_by("dataset")
    told, failures = 0, []
    for dataset in waiting.values_list("dataset", flat=True).distinct():
        try:
            told += _tell(dataset)
        except Exception as failure:  # noqa: BLE001  -- one dataset's, whatever it is; raised below
            failures.append(failure)
    if failures:
        raise failures[0]
    return told


@transaction.atomic
def _tell(dataset: UUID) -> int:
    """Tell the hook of AT_ONCE takeovers in one dataset; returns of how many, 0 where somebody else does so now."""
    waiting = list(
        Takeover.objects.select_for_update(of=("self",), skip_locked=True)
        .filter(dataset=dataset, told_at=None)
        .order_by("pk")
        .values_list("pk", flat=True)[:AT_ONCE]
    )
    if waiting:
        for tell in hooks.domain_taken_over:
            tell(waiting)
        Takeover.objects.filter(pk__in=waiting).update(told_at=timezone.now())
    return len(waiting)
