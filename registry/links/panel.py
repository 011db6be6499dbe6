"""Drawing the panel of a version: one pass over its URL column, in a job, or while it is ingested (`panel_ingest`).

The links that are drawn are kept once for all versions; those that are known already keep their state. A panel that is
drawn anew replaces the one before; links that no panel holds any more stay, with their history, and are not asked after.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import pyarrow as pa
from django.conf import settings
from django.db import connection, transaction
from django.urls import reverse
from django.utils import timezone
from psycopg import sql
from psycopg.types.json import Jsonb

from expunge.keys import DIGEST_SIZE, KeyKind, Role, url_host
from expunge.shards import open_shard, row_keys
from registry.accounts.models import Role as MemberRole
from registry.accounts.permissions import require_role
from registry.auditlog.services import audit_append
from registry.datasets.models import Version, VersionStatus
from registry.datasets.selectors import version_shards
from registry.jobs.services import job_start
from registry.lib.copying import copy_missing
from registry.lib.errors import Refused
from registry.links.content.recorded import recorded_hashes
from registry.links.models import Host, Link, LinkPolicy, Panel, PanelRow
from registry.links.sample import BottomK, Drawn
from registry.links.schedule import hosts_due
from registry.links.services import worker_wake

if TYPE_CHECKING:
    from collections.abc import Sequence

    from expunge.shards import Batch
    from registry.accounts.models import User
    from registry.jobs.handlers import JobRun
    from registry.jobs.models import Job

KIND = "panel_draw"
MAX_SIZE = 100_000

_Key = TypeVar("_Key", str, bytes)


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
            drawing.offer(place, column, batch)
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
        self._hashes: dict[bytes, dict[str, str]] = {}

    def offer(self, place: int, column: str, batch: Batch) -> None:
        """Take the next rows of the version's shard at `place`, whose `column` carries the URLs."""
        values = batch.arrays[column]
        keys, parents = row_keys(KeyKind.URL_RAW, values)
        urls = values.flatten() if parents is not None else values
        if pa.types.is_dictionary(urls.type):
            urls = urls.dictionary_decode()
        rows = np.arange(len(keys)) if parents is None else parents.to_numpy(zero_copy_only=False)
        if keys.null_count:
            there = keys.is_valid()
            keys, urls, rows = (
                keys.filter(there),
                urls.filter(there),
                rows[there.to_numpy(zero_copy_only=False)],
            )
        fixed = keys.cast(pa.binary(DIGEST_SIZE[KeyKind.URL_RAW]))
        flat = np.frombuffer(fixed.buffers()[1] or b"", np.uint8).reshape(-1, fixed.type.byte_width)
        flat = flat[fixed.offset : fixed.offset + len(fixed)]
        self._sample.offer(place, (rows + batch.first).astype(np.int64), flat, urls)
        self.rows += batch.rows

    def settle(self, version: Version) -> None:
        """Every row was offered: read what else is recorded of those that were drawn, from the stored shards."""
        self.drawn = self._sample.drawn()
        self._hashes = recorded_hashes(version.columns, version_shards(version), self.drawn)

    def keep(self, panel: Panel) -> None:
        """Write the panel, in the caller's transaction."""
        shards = panel.version.version_shards.order_by("position")
        digests = list(shards.values_list("shard_id", flat=True))
        links = _links_keep(self.drawn)
        PanelRow.objects.filter(panel=panel).delete()
        copy_missing(
            PanelRow,
            ("panel_id", "link_id", "shard_id", "row", "hashes"),
            (
                (panel.pk, links[one.key], digests[one.shard], one.row, Jsonb(self._hashes.get(one.key, {})))
                for one in self.drawn
                if one.key in links
            ),
        )
        panel.rows_read, panel.drawn_at = self.rows, timezone.now()
        panel.urls_unusable = len(self.drawn) - len(links)
        panel.save(update_fields=["rows_read", "drawn_at", "urls_unusable"])
        transaction.on_commit(worker_wake, robust=True)


def panel_secret() -> bytes:
    """The 16 bytes that number the rows: a new SECRET_KEY draws new panels."""
    return hmac.digest(settings.SECRET_KEY.encode(), b"registry.links.panel", "sha256")[:16]


def _links_keep(drawn: Sequence[Drawn]) -> dict[bytes, int]:
    """Make sure that each URL that leads to some host has its link, due now if it is new; returns id by key."""
    urls: dict[bytes, tuple[str, str]] = {}
    for one in drawn:
        try:
            url = one.url.decode()
        except UnicodeDecodeError:
            continue
        host = url_host(url) if "\0" not in url else None
        if host and len(host) <= 255:
            urls[one.key] = (url, host)
    names = sorted({host for _, host in urls.values()})
    copy_missing(Host, ("name",), ((name,) for name in names))
    hosts = _ids("registry_host", "name", names)
    # What is known from another version keeps its state.
    copy_missing(
        Link,
        ("key", "url", "host_id"),
        ((key, url, hosts[host]) for key, (url, host) in sorted(urls.items())),
    )
    hosts_due(hosts.values())
    return _ids("registry_link", "key", sorted(urls))


def _ids(table: str, column: str, values: Sequence[_Key]) -> dict[_Key, int]:
    """The ids of the rows of a table that have one of these values, by value."""
    statement = sql.SQL("SELECT {}, id FROM {} WHERE {} = ANY(%s)")
    name = sql.Identifier(column)
    with connection.cursor() as cursor:
        cursor.execute(statement.format(name, sql.Identifier(table), name), [list(values)])
        return dict(cursor.fetchall())
