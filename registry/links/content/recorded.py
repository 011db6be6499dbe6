"""The hashes of content that a version recorded for the rows of its panel, read after these were drawn.

That is part of drawing a panel. One that was drawn before they were looked for gets them by a job, when the reading of
content is turned on; while that waits or runs, no content of it is read (`store.rows_readable`).
"""

from __future__ import annotations

import json
from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np
from django.db import connection, transaction
from django.db.models import Exists, OuterRef, Sum
from django.urls import reverse

from expunge.keys import ROLE_OF, column_keys
from expunge.shards import is_list, open_shard
from registry.datasets.models import Shard, Version, VersionStatus
from registry.datasets.selectors import version_shards
from registry.jobs.models import Job
from registry.jobs.services import ALIVE, job_start
from registry.links.content.states import HASHES
from registry.links.models import Panel, PanelRow
from registry.links.sample import Drawn

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from django.db.models import QuerySet

    from expunge.keys import KeyKind
    from expunge.shards import ShardFile
    from registry.accounts.models import User
    from registry.datasets.models import Dataset
    from registry.jobs.handlers import JobRun

KIND = "recorded_read"


def recorded_read(*, actor: User, dataset: Dataset) -> list[Job]:
    """Start a job for each panel of a dataset that lacks the hashes which its version recorded; returns these jobs.

    In the caller's transaction, who has asked whether the actor may. Panels of withdrawn versions are left out.
    """
    known = PanelRow.objects.filter(panel=OuterRef("pk")).exclude(hashes={})
    lacking = (
        Panel.objects.filter(~Exists(known), version__dataset=dataset, drawn_at__isnull=False)
        .exclude(version__status=VersionStatus.WITHDRAWN)
        .select_related("version__dataset")
    )
    return [
        job_start(
            actor=actor,
            kind=KIND,
            subject_id=panel.version_id,
            organisation=dataset.organisation,
            title=f"Reading the hashes of content that {panel.version} recorded",
            page=reverse("version_links", args=[dataset.slug, panel.version.name]),
        )
        for panel in lacking
        if _columns_of_hashes(panel.version.columns)
    ]


def recorded_jobs() -> QuerySet[Job]:
    """The jobs of this kind that wait or run; the subject of each is the version."""
    return Job.objects.filter(kind=KIND, state__in=ALIVE)


def recorded_read_run(run: JobRun) -> None:
    """The job. May be run again at any point: nothing is written before its one statement at the end."""
    version = Version.objects.get(pk=run.subject_id)
    shards = version_shards(version)
    places = {file.sha256: place for place, file in enumerate(shards)}
    rows = PanelRow.objects.filter(panel=version.pk).values_list("pk", "link__key", "shard", "row")
    drawn = {
        pk: Drawn(0, bytes(key), places[shard], row, b"") for pk, key, shard, row in rows if shard in places
    }
    total = Shard.objects.filter(pk__in={shards[one.shard].sha256 for one in drawn.values()}).aggregate(
        rows=Sum("rows")
    )["rows"]

    def told(read: int) -> None:
        run.progress("Reading recorded hashes", read, total)

    found = recorded_hashes(version.columns, shards, drawn.values(), told)
    written = {pk: json.dumps(found[one.key]) for pk, one in drawn.items() if one.key in found}
    with transaction.atomic(), connection.cursor() as cursor:
        run.confirm()
        # A panel that was drawn anew meanwhile has other rows, and its hashes.
        cursor.execute(_WRITE, [list(written), list(written.values())])


_WRITE = """
UPDATE registry_panelrow AS panelrow SET hashes = v.hashes::jsonb
FROM unnest(%s::bigint[], %s::text[]) AS v (id, hashes) WHERE panelrow.id = v.id
"""


def recorded_hashes(
    columns: Mapping[str, str],
    shards: Sequence[ShardFile],
    drawn: Collection[Drawn],
    told: Callable[[int], None] | None = None,
) -> dict[bytes, dict[str, str]]:
    """The hashes of the rows drawn, as hex by kind of key, by the row's raw key; rows without any are left out.

    `columns` are the version's, by role. Only shards with a row that was drawn are read, and of them only these columns.
    A column of lists is passed over, for which hash belongs to which URL is not known. `told` is called often, with the
    number of rows read by then.
    """
    wanted = _columns_of_hashes(columns)
    of_shard: dict[int, list[Drawn]] = defaultdict(list)
    for one in drawn if wanted else ():
        of_shard[one.shard].append(one)
    found: dict[bytes, dict[str, str]] = defaultdict(dict)
    read = 0
    for place, ones in of_shard.items():
        shard = open_shard(shards[place])
        there = {column.name for column in shard.columns}
        kinds = {kind: name for kind, name in wanted.items() if name in there}
        rows = np.array([one.row for one in ones], np.int64)
        for batch in shard.batches(sorted(set(kinds.values()))) if kinds else ():
            within = np.flatnonzero((rows >= batch.first) & (rows < batch.first + batch.rows))
            for kind, name in kinds.items() if len(within) else ():
                values = batch.arrays[name]
                if is_list(values):
                    continue
                digests = column_keys(kind, values.take(rows[within] - batch.first)).to_pylist()
                for drawn_at, digest in zip(within.tolist(), digests, strict=True):
                    if digest is not None:
                        found[ones[drawn_at].key][kind.value] = digest.hex()
            read += batch.rows
            if told:
                told(read)
    return dict(found)


def _columns_of_hashes(columns: Mapping[str, str]) -> dict[KeyKind, str]:
    """The columns that carry hashes of content, by kind of key."""
    return {kind: columns[ROLE_OF[kind]] for kind in HASHES if columns.get(ROLE_OF[kind])}
