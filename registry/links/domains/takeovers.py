"""Domains that changed hands after a dataset's rows were collected: who owns one now may serve what he likes there.

Only two things count: the registry says that the domain was registered after a version with rows on it was made, or a
census saw its name servers become a reseller's after that day. A release counts from the day of its base, whose rows it
has. Each such change is noted once for each dataset, and the hook `domain_taken_over` is told of it once.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from django.db import transaction
from django.db.models import F, Min
from django.db.models.functions import Coalesce
from django.utils import timezone

from registry.datasets.models import VersionStatus
from registry.hooks import hooks
from registry.links.domains.models import ChangeKind, DomainChange, Takeover
from registry.links.models import PanelRow

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from django.db.models import QuerySet

AT_ONCE = 1_000  # takeovers that the hook is told of at once

DOMAIN = "link__host__of_domain__domain"
COLLECTED = Coalesce("panel__version__base__dated", "panel__version__dated")


def rows_taken_over() -> QuerySet[PanelRow]:
    """Panel rows whose domain changed hands after their version was made; annotated with `collected`, a day."""
    rows = PanelRow.objects.exclude(panel__version__status=VersionStatus.DRAFT).annotate(collected=COLLECTED)
    registered = rows.filter(**{f"{DOMAIN}__registered_at__date__gt": F("collected")})
    parked = rows.filter(**{f"{DOMAIN}__parked_at__date__gt": F("collected")})
    return registered | parked


def takeovers_find() -> int:
    """Note the takeovers that are not noted yet; returns how many. Run as often as anybody likes."""
    pairs = (
        rows_taken_over()
        .order_by()
        .values_list("panel__version__dataset", DOMAIN, f"{DOMAIN}__registered_at", f"{DOMAIN}__parked_at")
        .annotate(first=Min("collected"))
    )
    wanted: dict[tuple[int, ChangeKind, datetime], set[UUID]] = defaultdict(set)
    for dataset, domain, registered_at, parked_at, collected in pairs:
        for kind, at in ((ChangeKind.REGISTERED, registered_at), (ChangeKind.PARKED, parked_at)):
            if at is not None and at.date() > collected:
                wanted[domain, kind, at].add(dataset)
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
    """Tell the hook what it was not told yet, a dataset at a time; returns of how many takeovers."""
    told = 0
    with transaction.atomic():
        waiting = list(
            Takeover.objects.select_for_update(of=("self",), skip_locked=True)
            .filter(told_at=None)
            .order_by("dataset", "pk")
            .values_list("dataset", "pk")[:AT_ONCE]
        )
        by_dataset: dict[UUID, list[int]] = defaultdict(list)
        for dataset, pk in waiting:
            by_dataset[dataset].append(pk)
        for takeovers in by_dataset.values():
            for tell in hooks.domain_taken_over:
                tell(takeovers)
            told += len(takeovers)
        Takeover.objects.filter(pk__in=[pk for _, pk in waiting]).update(told_at=timezone.now())
    return told
