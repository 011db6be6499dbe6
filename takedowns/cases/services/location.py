"""Locating: which rows of which shards the items of a case name.

The work runs as job `case_locate`: outside any transaction it finds the rows in every version in reach at once, by the key
index where there is one (`registry.datasets.locating`), then writes all it found in one transaction. Run again after a
kill it starts anew, and what it writes replaces what was there, so it may be run as often as anybody likes while the case
is not yet proposed.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np
from django.db import transaction
from django.urls import reverse
from django.utils import timezone
from pyroaring import BitMap

from expunge.keys import ROLE_OF, KeyKind
from expunge.lists import Entry
from registry.auditlog.services import audit_append
from registry.datasets.locating import rows_named
from registry.datasets.selectors import versions_in_reach
from registry.jobs.services import job_start
from registry.lib.copying import copy_rows
from registry.lib.errors import Refused
from takedowns.cases.consequence import consequence_write
from takedowns.cases.models import Case, Location
from takedowns.cases.permissions import require_staff
from takedowns.cases.selectors import case_items
from takedowns.cases.services.items import MARKABLE, case_lock
from takedowns.cases.states import CHANGEABLE, CaseState
from takedowns.reports.masking import kind_label

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from uuid import UUID

    from expunge.shards import Positions
    from registry.accounts.models import User
    from registry.datasets.locating import RowHits
    from registry.datasets.models import Version
    from registry.jobs.handlers import JobRun
    from registry.jobs.models import Job

CHUNK = 5_000  # rows fetched at a time


def case_locate(*, actor: User | None, case: Case) -> Job:
    """Have the items of a case located anew. Raises NotAllowed, Refused once a decision is proposed."""
    actor = require_staff(actor, case)
    with transaction.atomic():
        case = case_lock(case)
        _require_changeable(case)
        job = locate_start(actor, case)
        audit_append(
            actor=actor,
            action="case_locate",
            subject=case,
            organisation=case.dataset.organisation,
            data={"job": str(job.pk)},
        )
    return job


def locate_start(actor: User | None, case: Case) -> Job:
    """Start the job that locates the items of a case; the service that calls it writes the audit entry."""
    return job_start(
        actor=actor,
        kind="case_locate",
        subject_id=case.pk,
        organisation=case.dataset.organisation,
        title=f"Locating the items of {case.number}",
        page=reverse("case_detail", args=[case.number]),
    )


def case_locate_run(run: JobRun) -> None:
    """Locate the items of the job's case in every version in reach, and write what was found (job `case_locate`)."""
    case = Case.objects.select_related("dataset").get(pk=run.subject_id)
    _require_changeable(case)
    while not _locate_once(run, case):
        pass  # a merge brought more items in the meantime


def _locate_once(run: JobRun, case: Case) -> bool:
    """Locate once; False, with nothing written, when the items of the case changed meanwhile."""
    items = _items_by_key(case)
    entries = [Entry(kind=KeyKind(kind), key=key, text="", line=0) for kind, key in items]
    owners = list(items.values())
    versions = versions_in_reach(case.dataset)
    found: list[tuple[UUID, int, str, int, bytes]] = []
    for digest, hits in rows_named(versions, entries, run.progress).items():
        for entry, rows in rows_by_entry(hits):
            positions = BitMap(rows).serialize()
            found += [(case.pk, item, digest, len(rows), positions) for item in owners[entry]]
    run.progress("Writing what was found", 0, len(found))
    with transaction.atomic():
        run.confirm()
        case = case_lock(case)
        _require_changeable(case)
        if _items_by_key(case) != items:
            return False
        case.locations.all().delete()
        copy_rows(Location, ["case_id", "item_id", "shard_id", "rows", "positions"], found)
        case.located_at = timezone.now()
        case.scope = [str(version.pk) for version in versions]
        case.gaps = _gaps(versions, {KeyKind(kind) for kind, _ in items})
        case.save(update_fields=["located_at", "scope", "gaps"])
        affected = consequence_write(case)
        audit_append(
            actor=None,
            action="case_located",
            subject=case,
            organisation=case.dataset.organisation,
            data={
                "items": len(items),
                "versions": len(versions),
                "affected": len(affected),
                "rows": sum(effect.rows for effect in affected.values()),
                "redacted_rows": sum(effect.redacted_rows for effect in affected.values()),
            },
        )
    return True


def rows_by_entry(hits: RowHits) -> Iterator[tuple[int, Positions]]:
    """Yield, for each entry that names rows of a shard, its place among the entries and the rows, ascending."""
    order = np.argsort(hits.entries, kind="stable")  # rows stay ascending within an entry
    entries, starts = np.unique(hits.entries[order], return_index=True)
    yield from zip(entries.tolist(), np.split(hits.rows[order], starts[1:]), strict=True)


def _require_changeable(case: Case) -> None:
    if case.state not in CHANGEABLE:
        raise Refused(
            f"{case.number} is “{CaseState(case.state).label}”, so its items were not located again. "
            "Return it to review first."
        )


def _items_by_key(case: Case) -> dict[tuple[str, bytes], list[int]]:
    """Ids of the case's readable items by their key; reports that were merged may name the same one twice."""
    found: dict[tuple[str, bytes], list[int]] = defaultdict(list)
    readable = case_items(case).filter(outcome__in=MARKABLE).order_by("pk")
    for pk, kind, key in readable.values_list("pk", "kind", "key").iterator(chunk_size=CHUNK):
        if key is not None:  # a constraint: readable items have one
            found[kind, bytes(key)].append(pk)
    return dict(found)


def _gaps(versions: Sequence[Version], kinds: set[KeyKind]) -> list[str]:
    """Say where items could not be looked up, because no column of the version carries their key."""
    return [
        f"{version}: no column carries {kind_label(kind)} keys, so those items could not be looked up there."
        for version in versions
        for kind in sorted(kinds)
        if ROLE_OF[kind] not in version.columns
    ]
