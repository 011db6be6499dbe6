"""Drawing the panel of a version: one pass over its URL column, in a job, or while it is ingested (`panel_ingest`).

The links that are drawn are kept once for all versions; those that are known already keep their state. A panel that is
drawn anew replaces the one before; links that no panel holds any more stay, with their history, and are not asked after.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from django.conf import settings
from django.db import connection, transaction
from django.urls import reverse
from django.utils import timezone
from psycopg import sql
from psycopg.types.json import Jsonb

from expunge.keyed import KeyedBatch
from expunge.keys import DIGEST_SIZE, KeyKind, Role
from expunge.shards import open_shard
from registry.accounts.models import Role as MemberRole
from registry.accounts.permissions import require_role
from registry.auditlog.services import audit_append
from registry.datasets.models import Version, VersionStatus
from registry.datasets.selectors import version_shards
from registry.jobs.services import job_start
from registry.lib.copying import copying, insert_missing
from registry.lib.errors import Refused
from registry.links.content.recorded import recorded_hashes
from registry.links.models import Host, Link, LinkPolicy, Panel, PanelRow
from registry.links.sample import BottomK, Drawn
from registry.links.schedule import hosts_due
from registry.links.services import worker_wake
from registry.links.strata import link_host

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from registry.accounts.models import User
    from registry.jobs.handlers import JobRun
    from registry.jobs.models import Job
    from registry.links.strata import Stratum

KIND = "panel_draw"
MAX_SIZE = 100_000


def panel_draw(*, actor: User, version: Version, size: int) -> Job:
    """Start drawing the panel of a version: at most `size` links. Maintainer and up. Raises Refused."""
    organisation = version.dataset.organisation
    require_role(actor, organisation, MemberRole.MAINTAINER)
    if not 1 <= size <= MAX_SIZE:
        raise Refused(f"A panel holds between 1 and {MAX_SIZE:,} links.")
    if version.status in {VersionStatus.DRAFT, VersionStatus.WITHDRAWN}:
        raise Refused(f"{version} is {version.status}; links are checked of versions that are in use.")
    if not version.columns.get(Role.URL.value):
        raise Refused(f"No column of {version} carries URLs, so there are no links to check.")
    with transaction.atomic():
        LinkPolicy.objects.get_or_create(dataset=version.dataset)
        Panel.objects.update_or_create(version=version, defaults={"size": size, "drawn_by": actor})
        job = panel_job(actor, version)
        audit_append(
            actor=actor,
            action=KIND,
            subject=version,
            organisation=organisation,
            data={"job": str(job.pk), "size": size},
        )
    return job


def panel_job(actor: User | None, version: Version) -> Job:
    """Start the job that draws the panel of a version."""
    return job_start(
        actor=actor,
        kind=KIND,
        subject_id=version.pk,
        organisation=version.dataset.organisation,
        title=f"Drawing the links of {version} to check",
        page=reverse("version_links", args=[version.dataset.slug, version.name]),
    )


def panel_draw_run(run: JobRun) -> None:
    """The job. May be run again at any point: until its one transaction at the end nothing is written."""
    version = Version.objects.select_related("dataset").get(pk=run.subject_id)
    panel = Panel.objects.get(version=version)
    column = version.columns[Role.URL.value]
    drawing = Drawing(panel.size)
    for place, file in enumerate(version_shards(version)):
        shard = open_shard(file)
        if column not in {one.name for one in shard.columns}:
            continue
        for batch in shard.batches([column]):
            drawing.offer(place, column, KeyedBatch(batch))
            run.progress("Drawing links", drawing.rows, version.rows)
    drawing.settle(version)
    run.progress(f"Keeping {len(drawing.drawn):,} links", drawing.rows, version.rows)
    with transaction.atomic():
        run.confirm()
        drawing.keep(panel)


class Drawing:
    """The panel of one version while it is drawn: `offer` every row, then `settle`, then `keep`."""

    def __init__(self, size: int) -> None:
        self.rows = 0  # offered
        self.drawn: Sequence[Drawn] = ()
        self._sample = BottomK(size, panel_secret())
        self._limits: Mapping[Stratum, int] = {}
        self._hashes: dict[bytes, dict[str, str]] = {}

    def offer(self, place: int, column: str, keyed: KeyedBatch) -> None:
        """Take the next rows of the version's shard at `place`, whose `column` carries the URLs."""
        batch, kind = keyed.batch, KeyKind.URL_RAW
        found, parents = keyed.keys(column, (kind,))
        keys, urls = found[kind].cast(pa.binary(DIGEST_SIZE[kind])), batch.arrays[column]
        rows = parents
        if rows is None:
            rows = np.arange(batch.rows)
        else:
            urls = urls.flatten()
        if keys.null_count:
            there = keys.is_valid()
            keys, urls, rows = (
                keys.filter(there),
                urls.filter(there),
                rows[there.to_numpy(zero_copy_only=False)],
            )
        self._sample.offer(place, rows + batch.first, keys, urls)
        self.rows += batch.rows

    def settle(self, version: Version) -> None:
        """Every row was offered: read what else is recorded of those that were drawn, from the stored shards."""
        self.drawn, self._limits = self._sample.drawn(), self._sample.limits()
        self._hashes = recorded_hashes(version.columns, version_shards(version), self.drawn)

    def keep(self, panel: Panel) -> None:
        """Write the panel, in the caller's transaction."""
        shards = panel.version.version_shards.order_by("position")
        digests = list(shards.values_list("shard_id", flat=True))
        rows = [
            (
                one.key,
                one.url.decode(),
                host,
                digests[one.shard],
                one.row,
                Jsonb(self._hashes.get(one.key, {})),
            )
            for one in self.drawn
            if (host := link_host(one.url)) is not None
        ]
        _rows_keep(panel, rows)
        panel.rows_read, panel.drawn_at = self.rows, timezone.now()
        panel.urls_unusable = len(self.drawn) - len(rows)
        panel.limits = {stratum.value: str(limit) for stratum, limit in self._limits.items()}
        panel.save(update_fields=["rows_read", "drawn_at", "urls_unusable", "limits"])
        transaction.on_commit(worker_wake, robust=True)


def panel_secret() -> bytes:
    """The 16 bytes that number the rows: a new SECRET_KEY draws new panels."""
    return hmac.digest(settings.SECRET_KEY.encode(), b"registry.links.panel", "sha256")[:16]


def _rows_keep(panel: Panel, rows: Sequence[tuple[Any, ...]]) -> None:
    """Write the rows of a panel, each as in `_DRAWN`, with their hosts and links; those that are new are due now.

    They are copied once and the rest is said in SQL: to fetch the ids of so many hosts and links takes longer than that.
    """
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE TEMPORARY TABLE panel_drawn ({_DRAWN}) ON COMMIT DROP")
        with copying(sql.SQL("COPY panel_drawn FROM STDIN")) as copy:
            for row in rows:
                copy.write_row(row)
        # In order, so that two panels that are drawn at a time wait for each other and not crosswise.
        insert_missing(Host, ("name",), sql.SQL("SELECT DISTINCT host FROM panel_drawn ORDER BY host"))
        # What is known from another version keeps its state.
        insert_missing(Link, ("key", "url", "host_id"), sql.SQL(_LINKS))
        cursor.execute("SELECT id FROM registry_host WHERE name IN (SELECT host FROM panel_drawn)")
        hosts_due(host for (host,) in cursor.fetchall())
        PanelRow.objects.filter(panel=panel).delete()
        insert_missing(
            PanelRow, ("panel_id", "link_id", "shard_id", "row", "hashes"), sql.SQL(_ROWS), [panel.pk]
        )
        cursor.execute("DROP TABLE panel_drawn")


_DRAWN = "key bytea, url text, host text, shard text, row bigint, hashes jsonb"
_LINKS = """
SELECT drawn.key, drawn.url, host.id
FROM panel_drawn AS drawn JOIN registry_host AS host ON host.name = drawn.host ORDER BY drawn.key
"""
_ROWS = """
SELECT %s::uuid, link.id, drawn.shard, drawn.row, drawn.hashes
FROM panel_drawn AS drawn JOIN registry_link AS link ON link.key = drawn.key ORDER BY link.id
"""
