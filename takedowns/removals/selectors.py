"""Reading removals: their entries for the engine, and advisories for the public."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

from django.db.models import OuterRef, Prefetch, Subquery, Sum

from expunge.keys import KeyKind
from expunge.lists import Entry
from registry.lib.words import counted
from takedowns.removals.models import AffectedVersion, Removal, RemovalKey

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from takedowns.removals.models import RemovalQuerySet

OSV_SCHEMA_VERSION = "1.7.3"
ECOSYSTEM = "Expunge"


def removal_entries(removals: Iterable[Removal]) -> list[Entry]:
    """Return the distinct keys of the removals as the engine's entries, in a stable order."""
    keys = RemovalKey.objects.filter(removal__in=removals).order_by("kind", "key").values_list("kind", "key")
    return [Entry(kind=KeyKind(kind), key=bytes(key), text="", line=0) for kind, key in keys.distinct()]


def advisory_list() -> RemovalQuerySet:
    """Published advisories, newest first, each with its dataset, category and `affected_rows` (None if no version)."""
    affected = AffectedVersion.objects.filter(removal=OuterRef("pk")).order_by().values("removal")
    return (
        Removal.objects.published()
        .select_related("dataset__organisation", "category")
        .annotate(affected_rows=Subquery(affected.annotate(total=Sum("rows")).values("total")))
        .order_by("-published_at", "-advisory_id")
    )


def advisory_get(advisory_id: str) -> Removal:
    """Return one published advisory with all that `advisory_osv` reads. Raises Removal.DoesNotExist."""
    return with_affected(Removal.objects.published()).get(advisory_id=advisory_id)


def with_affected(removals: RemovalQuerySet) -> RemovalQuerySet:
    """Fetch dataset, category, affected versions and their published releases along, in four queries for any number."""
    affected = (
        # What a member's draft is called is nobody else's business.
        AffectedVersion.objects.exclude(version__status="draft")
        .select_related("version__dataset")
        .order_by("version__dataset__slug", "version__dated", "version__name")
    )
    return removals.select_related("dataset__organisation", "category").prefetch_related(
        Prefetch("affected", affected), "releases__version__base"
    )


def advisory_osv(removal: Removal) -> dict[str, Any]:
    """Return a published removal as an OSV record.

    `affected` has an entry for each dataset, with its affected versions enumerated; `database_specific` says for each
    version how many rows go and, once there is one, which clean release is made of it. Keys are never part of it.
    """
    fixed = {
        release.version.base_id: release.version.name
        # Reached by name only: releases stand above removals. The newest one wins.
        for release in sorted(removal.releases.all(), key=lambda release: release.serial)
        if release.state == "published"
    }
    affected = []
    rows = 0
    for dataset, group in groupby(removal.affected.all(), key=lambda one: one.version.dataset):
        versions = list(group)
        rows += sum(one.rows for one in versions)
        affected.append(
            {
                "package": {"ecosystem": ECOSYSTEM, "name": dataset.slug},
                "versions": [one.version.name for one in versions],
                "database_specific": {
                    "rows": sum(one.rows for one in versions),
                    "versions": [
                        {
                            "version": one.version.name,
                            "rows": one.rows,
                            "fixed": fixed.get(one.version_id) or fixed.get(one.version.base_id),
                        }
                        for one in versions
                    ],
                },
            }
        )
    record: dict[str, Any] = {
        "schema_version": OSV_SCHEMA_VERSION,
        "id": removal.advisory_id,
        "modified": _rfc3339(removal.modified_at),
        "published": _rfc3339(removal.published_at),
    }
    if removal.withdrawn_at:
        record["withdrawn"] = _rfc3339(removal.withdrawn_at)
    return record | {
        "summary": f"{counted(rows, 'row')} of {removal.dataset.name} must go: {removal.category.label}",
        "details": removal.summary,
        "affected": affected,
        "database_specific": {"category": removal.category_id, "rows": rows},
    }


def _rfc3339(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
