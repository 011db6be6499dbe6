"""Drawing the panel of a version: one pass over its URL column, in a job.

The links that are drawn are kept once for all versions; those that are known already keep their state. A panel that is
drawn anew replaces the one before; links that no panel holds any more stay, with their history, and are not asked after.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from django.conf import settings
from django.db import transaction
from django.urls import reverse
from django.utils import timezone

from expunge.keys import KeyKind, Role, url_host
from expunge.shards import open_shard, row_keys
from registry.accounts.models import Role as MemberRole
from registry.accounts.permissions import require_role
from registry.auditlog.services import audit_append
from registry.datasets.models import Version, VersionStatus
from registry.datasets.selectors import version_shards
from registry.jobs.services import job_start
from registry.lib.errors import Refused
from registry.links.models import Host, Link, LinkPolicy, Panel, PanelRow
from registry.links.sample import BottomK, Drawn
from registry.links.schedule import hosts_due

if TYPE_CHECKING:
    from collections.abc import Sequence

    from registry.accounts.models import User
    from registry.jobs.handlers import JobRun
    from registry.jobs.models import Job

KIND = "panel_draw"
MAX_SIZE = 100_000
_AT_ONCE = 5_000  # rows of one statement


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
        job = job_start(
            actor=actor,
            kind=KIND,
            subject_id=version.pk,
            organisation=organisation,
            title=f"Drawing the links of {version} to check",
            page=reverse("version_links", args=[version.dataset.slug, version.name]),
        )
        audit_append(
            actor=actor,
            action=KIND,
            subject=version,
            organisation=organisation,
            data={"job": str(job.pk), "size": size},
        )
    return job


def panel_draw_run(run: JobRun) -> None:
    """The job. May be run again at any point: until its one transaction at the end nothing is written."""
    version = Version.objects.select_related("dataset").get(pk=run.subject_id)
    panel = Panel.objects.get(version=version)
    column = version.columns[Role.URL.value]
    shards = version_shards(version)
    sample, read = BottomK(panel.size, panel_secret()), 0
    for place, file in enumerate(shards):
        shard = open_shard(file)
        if column not in {one.name for one in shard.columns}:
            continue
        for batch in shard.batches([column]):
            _offer(sample, place, batch.first, batch.arrays[column])
            read += batch.rows
            run.progress("Drawing links", read, version.rows)
    digests = list(version.version_shards.order_by("position").values_list("shard_id", flat=True))
    drawn = sample.drawn()
    run.progress(f"Keeping {len(drawn):,} links", read, version.rows)
    with transaction.atomic():
        run.confirm()
        links = _links_keep(drawn)
        PanelRow.objects.filter(panel=panel).delete()
        PanelRow.objects.bulk_create(
            [
                PanelRow(panel=panel, link_id=links[one.key], shard_id=digests[one.shard], row=one.row)
                for one in drawn
                if one.key in links
            ],
            batch_size=_AT_ONCE,
        )
        panel.rows_read, panel.drawn_at = read, timezone.now()
        panel.urls_unusable = len(drawn) - len(links)
        panel.save(update_fields=["rows_read", "drawn_at", "urls_unusable"])


def panel_secret() -> bytes:
    """The 16 bytes that number the rows: a new SECRET_KEY draws new panels."""
    return hmac.digest(settings.SECRET_KEY.encode(), b"registry.links.panel", "sha256")[:16]


def _offer(sample: BottomK, place: int, first: int, values: pa.Array) -> None:
    keys, parents = row_keys(KeyKind.URL_RAW, values)
    urls = values.flatten() if parents is not None else values
    if pa.types.is_dictionary(urls.type):
        urls = urls.dictionary_decode()
    rows = np.arange(len(keys)) if parents is None else parents.to_numpy(zero_copy_only=False)
    there = keys.is_valid().to_numpy(zero_copy_only=False)
    flat = np.frombuffer(b"".join(keys.drop_null().to_pylist()), np.uint8).reshape(-1, 32)
    urls = urls.filter(pa.array(there)).cast(pa.large_binary())
    sample.offer(place, (rows[there] + first).astype(np.int64), flat, urls)


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
    Host.objects.bulk_create([Host(name=name) for name in names], ignore_conflicts=True, batch_size=_AT_ONCE)
    hosts = dict(Host.objects.filter(name__in=names).values_list("name", "pk"))
    Link.objects.bulk_create(
        [Link(key=key, url=url, host_id=hosts[host]) for key, (url, host) in sorted(urls.items())],
        ignore_conflicts=True,  # known from another version: it keeps its state
        batch_size=_AT_ONCE,
    )
    hosts_due(hosts.values())
    return {bytes(key): pk for key, pk in Link.objects.filter(key__in=list(urls)).values_list("key", "pk")}
