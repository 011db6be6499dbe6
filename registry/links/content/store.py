"""What the database knows of content: which links may be read and how, and what was read of them."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from django.db.models import Count, Q, Value
from django.db.models.functions import Coalesce, Least
from django.utils import timezone

from registry.datasets.models import VersionStatus
from registry.links.content.models import HostSignature, LinkContent
from registry.links.content.reading import Plan
from registry.links.content.states import (
    ContentChecks,
    ContentState,
    Evidence,
    Facts,
    Standing,
    after,
    may_revalidate,
)
from registry.links.exclusion import excluded_rows
from registry.links.models import Link, PanelRow
from registry.links.states import APART

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from datetime import datetime

    from django.db.models import QuerySet

    from registry.datasets.models import Dataset
    from registry.links.content.states import Reading
    from registry.links.exclusion import Key

MANY = 3  # links of a host with the same body: what they give is no content of theirs
_FRESH = 4  # every so many readings ask anew, whatever the server calls unmodified
# Of a version that was taken out of use for what is in it, nothing is read.
_IN_USE = (VersionStatus.ACTIVE, VersionStatus.DEPRECATED, VersionStatus.ARCHIVED)


def rows_readable() -> QuerySet[PanelRow]:
    """The rows of panels whose content may be read: their maintainers turned it on, and their versions are in use."""
    return _rows_asked_for().filter(
        panel__version__status__in=_IN_USE, panel__version__dataset__link_policy__paused_at=None
    )


def content_plans(links: Iterable[Link]) -> dict[int, Plan]:
    """How the content of these links is to be read, by primary key; those that may not be read are left out."""
    rows = rows_readable().filter(link__in=list(links))
    images: dict[int, bool] = {}
    recorded: dict[int, set[Key]] = defaultdict(set)
    for link, hashes, level in rows.values_list(
        "link", "hashes", "panel__version__dataset__link_policy__content"
    ):
        images[link] = images.get(link, False) or level == ContentChecks.IMAGES
        recorded[link] |= _keys(hashes)
    plans = {link: Plan(frozenset(recorded[link]), looked) for link, looked in images.items()}
    for known in LinkContent.objects.filter(link__in=plans):
        standing = _standing(known)
        if standing.last is not None and may_revalidate(standing) and known.reads % _FRESH:
            plan = plans[known.pk]
            plans[known.pk] = Plan(plan.recorded, plan.images, standing.last.etag, standing.last.modified)
    return plans


def content_may_be_read(link: int) -> bool:
    """Whether the content of a link may be read at this moment. Its keys are asked for at every dial besides."""
    if not rows_readable().filter(link=link).exists():
        return False
    rows = {(shard, row) for shard, row in PanelRow.objects.filter(link=link).values_list("shard", "row")}
    return not excluded_rows(rows)


def recorded_keys(links: Iterable[Link]) -> dict[int, set[Key]]:
    """The hashes that any version recorded of the content of these links, as keys, by primary key of the link."""
    rows = PanelRow.objects.filter(link__in=list(links)).exclude(hashes={})
    found: dict[int, set[Key]] = defaultdict(set)
    for link, hashes in rows.values_list("link", "hashes"):
        found[link] |= _keys(hashes)
    return found


def host_signatures(hosts: Collection[int]) -> dict[int, HostSignature]:
    """The signature of each of these hosts, new ones unsaved."""
    known = {one.pk: one for one in HostSignature.objects.filter(host__in=hosts)}
    return {pk: known.get(pk) or HostSignature(host_id=pk) for pk in hosts}


def signatures_record(signatures: Iterable[HostSignature]) -> None:
    """Write what was learned of hosts."""
    HostSignature.objects.bulk_create(
        [one for one in signatures if one.tdm_at or one.probed_at],
        update_conflicts=True,
        unique_fields=["host"],
        update_fields=["probed_at", "missing_body", "missing_target", "tdm_at", "tdm_rules"],
    )


def content_record(read: Mapping[int, tuple[Reading, datetime]]) -> None:
    """Write what was read of links, by primary key, and when: in a few statements for any number, in a transaction."""
    if not read:
        return
    links = {link.pk: link for link in Link.objects.filter(pk__in=read)}
    recorded = recorded_keys(links.values())
    known = {one.pk: one for one in LinkContent.objects.filter(link__in=links)}
    shared = _shared_bodies(links, read)
    rows = []
    for pk, link in links.items():
        reading, at = read[pk]
        before = known.get(pk)
        body = reading.prefix if isinstance(reading, Facts) else None
        standing = after(
            _standing(before) if before else Standing(),
            reading,
            at,
            url=link.url,
            recorded=recorded.get(pk, ()),
            is_shared=(link.host_id, body) in shared,
        )
        rows.append(_row(pk, standing, at, (before.reads if before else 0) + 1))
    LinkContent.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["link"],
        update_fields=["state", "evidence", "first", "last", "body", "reads", "suspect_at", "read_at"],
    )
    _mark_shared(shared)
    # What looks replaced is looked at again as soon as that can be certain.
    suspects = Q(content__suspect_at__isnull=False) & ~Q(content__state=ContentState.REPLACED)
    Link.objects.filter(suspects, pk__in=links, due_at__isnull=False).update(
        due_at=Least("due_at", Value(timezone.now() + APART))
    )


def content_forget(links: Collection[int]) -> None:
    """Delete what is known of the content of these links."""
    LinkContent.objects.filter(link__in=links).delete()


def content_forget_of(dataset: Dataset) -> int:
    """Delete what is known of the content of a dataset's links, unless another one reads it too; returns of how many."""
    links = PanelRow.objects.filter(panel__version__dataset=dataset).values("link")
    others = _rows_asked_for().exclude(panel__version__dataset=dataset).values("link")
    gone, _ = LinkContent.objects.filter(link__in=links).exclude(link__in=others).delete()
    return gone


def _rows_asked_for() -> QuerySet[PanelRow]:
    levels = [ContentChecks.BYTES, ContentChecks.IMAGES]
    return PanelRow.objects.filter(panel__version__dataset__link_policy__content__in=levels)


def _shared_bodies(
    links: Mapping[int, Link], read: Mapping[int, tuple[Reading, datetime]]
) -> set[tuple[int, bytes | None]]:
    """The bodies, as (host, hash), that MANY links of a host give, those that were read just now included."""
    givers: dict[tuple[int, bytes], set[int]] = defaultdict(set)
    for pk, link in links.items():
        reading = read[pk][0]
        if isinstance(reading, Facts):
            givers[link.host_id, reading.prefix].add(pk)
    now = {pk for of in givers.values() for pk in of}
    before = LinkContent.objects.filter(body__in=[body for _, body in givers]).exclude(link__in=now)
    for host, body, others in (
        before.values_list("link__host", "body")
        .annotate(n=Count("pk"))
        .values_list("link__host", "body", "n")
    ):
        key = (host, bytes(body or b""))
        if key in givers and len(givers[key]) + others >= MANY:
            givers[key] |= {-number for number in range(1, others + 1)}
    return {key for key, of in givers.items() if len(of) >= MANY}


def _mark_shared(shared: Iterable[tuple[int, bytes | None]]) -> None:
    """Let links that gave a body before it was known to be shared be suspects too, unless the dataset recorded it."""
    wanted = Q()
    for host, body in shared:
        wanted |= Q(link__host=host, body=body)
    if not wanted:
        return
    certain = Q(evidence__in=[Evidence.RECORDED_HASH, Evidence.PLACEHOLDER]) | Q(state=ContentState.REPLACED)
    LinkContent.objects.filter(wanted).exclude(certain).update(
        state=ContentState.CHANGED,
        evidence=Evidence.PLACEHOLDER,
        first=None,
        suspect_at=Coalesce("suspect_at", Value(timezone.now())),
    )


def _row(pk: int, standing: Standing, at: datetime, reads: int) -> LinkContent:
    return LinkContent(
        link_id=pk,
        state=standing.state,
        evidence=standing.evidence or "",
        first=_written(standing.first),
        last=_written(standing.last),
        body=standing.last.prefix if standing.last else None,
        reads=reads,
        suspect_at=standing.suspect_at,
        read_at=at,
    )


def _standing(row: LinkContent) -> Standing:
    return Standing(
        ContentState(row.state),
        Evidence(row.evidence) if row.evidence else None,
        _read(row.first),
        _read(row.last),
        row.suspect_at,
    )


def _written(facts: Facts | None) -> dict[str, Any] | None:
    if facts is None:
        return None
    return {
        "kind": facts.kind,
        "length": facts.length,
        "prefix": facts.prefix.hex(),
        "digests": {kind: digest.hex() for kind, digest in facts.digests.items()},
        "pdq": facts.pdq.hex() if facts.pdq else None,
        "etag": facts.etag,
        "modified": facts.modified,
    }


def _read(written: dict[str, Any] | None) -> Facts | None:
    if written is None:
        return None
    return Facts(
        kind=written["kind"],
        length=written["length"],
        prefix=bytes.fromhex(written["prefix"]),
        digests={kind: bytes.fromhex(digest) for kind, digest in written["digests"].items()},
        pdq=bytes.fromhex(written["pdq"]) if written["pdq"] else None,
        etag=written["etag"],
        modified=written["modified"],
    )


def _keys(hashes: Mapping[str, str]) -> set[Key]:
    return {(kind, bytes.fromhex(digest)) for kind, digest in hashes.items()}
