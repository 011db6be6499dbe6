"""Reading removals: their entries for the engine, and advisories for the public."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

from django.db.models import OuterRef, Prefetch, Subquery, Sum

from expunge.keys import KeyKind
from expunge.lists import Entry, Redaction
from registry.lib.words import counted
from takedowns.removals.columns import ShardColumns, dataset_names
from takedowns.removals.models import AffectedVersion, RedactionKey, Removal, RemovalKey

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from registry.datasets.models import Version
    from takedowns.removals.models import RemovalQuerySet

OSV_SCHEMA_VERSION = "1.7.3"
ECOSYSTEM = "Expunge"


def removal_entries(removals: Iterable[Removal]) -> list[Entry]:
    """Return the distinct keys of the removals as the engine's entries, in a stable order."""
    keys = RemovalKey.objects.filter(removal__in=removals).order_by("kind", "key").values_list("kind", "key")
    return [Entry(kind=KeyKind(kind), key=bytes(key), text="", line=0) for kind, key in keys.distinct()]


def removal_redactions(removals: Iterable[Removal], version: Version) -> dict[Redaction, list[Removal]]:
    """Return the distinct redactions of the removals as the engine's, in a stable order, each with who asks for it.

    Columns are called as this version calls them; what it has no column for is left out, for there is nothing to redact.
    """
    owners = {removal.pk: removal for removal in removals}
    asked = RedactionKey.objects.filter(removal__in=owners).order_by("kind", "key", "column", "removal")
    if not asked.exists():
        return {}
    names = dataset_names(removal.dataset for removal in owners.values())
    schemas = version.version_shards.order_by("position").values_list("shard__schema", flat=True)
    shards = [ShardColumns.of(schema, version.columns) for schema in schemas]
    called: dict[tuple[Any, str], str | None] = {}
    found: dict[Redaction, list[Removal]] = {}
    for key in asked.iterator():
        removal = owners[key.removal_id]
        place = (removal.dataset_id, key.column)
        if key.column and place not in called:
            here = [shard.find(key.column, names[removal.dataset_id]) for shard in shards]
            meant = [columns[0].name for columns in here if columns]
            called[place] = key.column if key.column in meant else next(iter(meant), None)
        column = called.get(place)
        if key.column and column is None:
            continue
        entry = Entry(kind=KeyKind(key.kind), key=bytes(key.key), text="", line=0)
        found.setdefault(Redaction(entry, column), []).append(removal)
    return found


def advisory_list() -> RemovalQuerySet:
    """Published advisories, newest first, each with its dataset, category, `affected_rows` and `redacted_rows` (None if no version)."""
    affected = AffectedVersion.objects.filter(removal=OuterRef("pk")).order_by().values("removal")
    return (
        Removal.objects.published()
        .select_related("dataset__organisation", "category")
        .annotate(
            affected_rows=Subquery(affected.annotate(total=Sum("rows")).values("total")),
            redacted_rows=Subquery(affected.annotate(total=Sum("redacted_rows")).values("total")),
        )
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
    version how many rows go, of how many others cells are redacted and, once there is one, which clean release is made
    of it. Keys are never part of it.
    """
    fixed = {
        release.version.base_id: release.version.name
        # Reached by name only: releases stand above removals. The newest one wins.
        for release in sorted(removal.releases.all(), key=lambda release: release.serial)
        if release.state == "published"
    }
    affected = []
    rows = redacted = 0
    for dataset, group in groupby(removal.affected.all(), key=lambda one: one.version.dataset):
        versions = list(group)
        rows += sum(one.rows for one in versions)
        redacted += sum(one.redacted_rows for one in versions)
        affected.append(
            {
                "package": {"ecosystem": ECOSYSTEM, "name": dataset.slug},
                "versions": [one.version.name for one in versions],
                "database_specific": {
                    "rows": sum(one.rows for one in versions),
                    "redacted_rows": sum(one.redacted_rows for one in versions),
                    "versions": [
                        {
                            "version": one.version.name,
                            "rows": one.rows,
                            "redacted_rows": one.redacted_rows,
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
        "summary": f"{_what_goes(rows, redacted, removal.dataset.name)}: {removal.category.label}",
        "details": removal.summary,
        "affected": affected,
        "database_specific": {"category": removal.category_id, "rows": rows, "redacted_rows": redacted},
    }


def _what_goes(rows: int, redacted: int, dataset: str) -> str:
    if rows and redacted:
        return f"{counted(rows, 'row')} of {dataset} must go, and cells of {counted(redacted, 'row')} more"
    if redacted:
        return f"Cells of {counted(redacted, 'row')} of {dataset} must go"
    return f"{counted(rows, 'row')} of {dataset} must go"


def _rfc3339(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
