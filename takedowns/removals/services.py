"""What a decision takes out, its advisory, and the guard that keeps it out.

`removal_create` runs inside the approval of a case, `removal_publish` inside the publication of a release, and
`version_objections` whenever a version is about to become usable.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from expunge.keys import KeyKind
from expunge.lists import Entry
from expunge.redactions import locate_both
from expunge.shards import ShardFile
from registry.accounts.models import Role
from registry.accounts.permissions import require_role
from registry.auditlog.services import audit_append
from registry.datasets.locating import rows_named
from registry.datasets.models import VersionStatus
from registry.datasets.store import object_path
from registry.lib.copying import copy_rows
from registry.lib.errors import Refused
from registry.lib.words import counted
from takedowns.removals.models import AffectedVersion, RedactionKey, Removal, RemovalKey
from takedowns.removals.selectors import removal_redactions
from takedowns.reports.numbers import number_next

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from uuid import UUID

    from registry.accounts.models import User
    from registry.datasets.models import Dataset, Version
    from takedowns.reports.models import Category

CHUNK = 5_000  # rows fetched at a time


def removal_create(
    *,
    actor: User,
    dataset: Dataset,
    category: Category,
    summary: str,
    keys: Iterable[tuple[str, bytes]],
    redactions: Iterable[tuple[str, bytes, str]],
    affected: Mapping[UUID, tuple[int, int]],
) -> Removal:
    """Record what an approved decision takes out.

    `keys` are those of rows that go, as (kind, key); `redactions` those of cells that become null in rows that stay, as
    (kind, key, column), the column empty for what the key matches itself. `affected` counts both kinds of rows of each
    version by its id; at least one of the two is above 0.

    Part of `case_approve`, which has checked who may. Raises Refused when there is nothing to take out.
    """
    distinct, cells = sorted(set(keys)), sorted(set(redactions))
    if not (distinct or cells) or not affected:
        raise Refused("There is nothing to remove: no item names a row of any version.")
    with transaction.atomic():
        removal = Removal.objects.create(dataset=dataset, category=category, summary=summary)
        copy_rows(
            RemovalKey, ["removal_id", "kind", "key"], ((removal.pk, kind, key) for kind, key in distinct)
        )
        copy_rows(
            RedactionKey,
            ["removal_id", "kind", "key", "column"],
            ((removal.pk, kind, key, column) for kind, key, column in cells),
        )
        AffectedVersion.objects.bulk_create(
            AffectedVersion(removal=removal, version_id=version, rows=rows, redacted_rows=others)
            for version, (rows, others) in affected.items()
        )
        audit_append(
            actor=actor,
            action="removal_create",
            subject=removal,
            organisation=dataset.organisation,
            data={
                "keys": len(distinct),
                "versions": len(affected),
                "rows": sum(rows for rows, _ in affected.values()),
                "redactions": len(cells),
                "redacted_rows": sum(others for _, others in affected.values()),
            },
        )
    return removal


def removal_publish(*, actor: User | None, removal: Removal) -> Removal:
    """Give the removal its advisory id and make it public; published before, it stays as it is.

    `actor` is None when the schedule publishes, else a maintainer of the dataset. Raises NotAllowed.
    """
    if actor is not None:
        require_role(actor, removal.dataset.organisation, Role.MAINTAINER)
    with transaction.atomic():
        removal = (
            Removal.objects.select_for_update(of=("self",))
            .select_related("dataset__organisation")
            .get(pk=removal.pk)
        )
        if removal.published_at:
            return removal
        removal.advisory_id = number_next(settings.ADVISORY_PREFIX)
        removal.published_at = removal.modified_at = timezone.now()
        removal.save(update_fields=["advisory_id", "published_at", "modified_at"])
        audit_append(
            actor=actor,
            action="removal_publish",
            subject=removal,
            organisation=removal.dataset.organisation,
            data={"advisory": removal.advisory_id},
        )
    return removal


def version_objections(version: Version) -> list[str]:
    """Say why this version may not become active: a sentence for each removal in force whose rows or redacted cells it holds.

    A cell counts as brought back when it holds anything again, whatever that is. A version that is registered after the
    fact, as deprecated, may hold them: it is history. It is then added to what those removals affect, so that their
    advisories name it, and there is no objection.
    """
    found, redacted = rows_by_removal(version), redacted_by_removal(version)
    if version.final_status == VersionStatus.ACTIVE:
        return [
            f"It brings back {counted(rows, 'row')} that {_named(removal)} removed."
            for removal, rows in found.items()
        ] + [
            f"It brings back values in {counted(rows, 'row')} that {_named(removal)} redacted."
            for removal, rows in redacted.items()
        ]
    with transaction.atomic():
        for removal in found | redacted:
            rows, others = found.get(removal, 0), redacted.get(removal, 0)
            AffectedVersion.objects.update_or_create(
                removal=removal, version=version, defaults={"rows": rows, "redacted_rows": others}
            )
            Removal.objects.filter(pk=removal.pk).update(modified_at=timezone.now())
            audit_append(
                actor=None,
                action="removal_affects",
                subject=removal,
                organisation=version.dataset.organisation,
                data={"version": str(version.pk), "rows": rows, "redacted_rows": others},
            )
    return []


def rows_by_removal(version: Version) -> dict[Removal, int]:
    """Count the distinct rows of the version that each removal in force takes out; removals without any are left out."""
    removals = {
        removal.pk: removal for removal in Removal.objects.in_force(version.dataset).order_by("created_at")
    }
    # Each distinct key is one entry for the engine; a removal knows the places of its keys among them.
    place_of: dict[tuple[str, bytes], int] = {}
    places: dict[UUID, list[int]] = defaultdict(list)
    keys = RemovalKey.objects.filter(removal__in=removals).values_list("removal_id", "kind", "key")
    for removal_id, kind, key in keys.iterator(chunk_size=CHUNK):
        places[removal_id].append(place_of.setdefault((kind, bytes(key)), len(place_of)))
    if not place_of:
        return {}
    entries = [Entry(kind=KeyKind(kind), key=key, text="", line=0) for kind, key in place_of]
    found = rows_named([version], entries)
    # A shard may stand in a version twice, and its rows with it.
    hits = [
        found[digest]
        for digest in version.version_shards.values_list("shard_id", flat=True)
        if digest in found
    ]
    counts = {
        pk: sum(
            # Several keys of one removal may name one row.
            len(np.unique(shard.rows[np.isin(shard.entries, places[pk])]))
            for shard in hits
        )
        for pk in removals
    }
    return {removal: counts[pk] for pk, removal in removals.items() if counts[pk]}


def redacted_by_removal(version: Version) -> dict[Removal, int]:
    """Count the rows of the version in which a cell or element still stands that a removal in force redacts.

    Removals without any are left out. Only shards that hold such rows are read.
    """
    owners = removal_redactions(Removal.objects.in_force(version.dataset).select_related("dataset"), version)
    if not owners:
        return {}
    redactions = list(owners)
    entries = list(dict.fromkeys(one.entry for one in redactions))
    named = rows_named([version], entries)
    held = version.version_shards.filter(shard__in=named).values_list("shard_id", "path")
    files = [ShardFile(path=object_path(digest), name=path) for digest, path in held]
    if not files:
        return {}
    _, cells = locate_both(files, [], redactions, columns=version.columns)
    counts: dict[Removal, int] = defaultdict(int)
    for shard in cells:
        rows: dict[Removal, set[int]] = defaultdict(set)
        for row, which in np.unique(shard.found[:, (0, 3)], axis=0).tolist():
            for removal in owners[redactions[which]]:
                rows[removal].add(row)
        for removal, its in rows.items():
            counts[removal] += len(its)
    return dict(counts)


def _named(removal: Removal) -> str:
    return removal.advisory_id or "a removal not yet published"
