"""What the database knows of content: which links may be read and how, and what was read of them."""

from __future__ import annotations

import logging
from collections import defaultdict
from typing import TYPE_CHECKING, Any, LiteralString

from django.db import DataError, connection, transaction
from django.db.models import Count, Exists, OuterRef, Q, Value
from django.db.models.functions import Coalesce, Least
from django.utils import timezone
from psycopg import sql

from registry.datasets.models import VersionStatus
from registry.lib.among import among_ids, ids_array
from registry.links.content.models import LinkContent, OriginSignature
from registry.links.content.reading import Plan
from registry.links.content.recorded import recorded_jobs
from registry.links.content.states import (
    ContentChecks,
    ContentState,
    Evidence,
    Facts,
    Standing,
    after,
    may_revalidate,
)
from registry.links.exclusion import excluded_keys, excluded_rows
from registry.links.models import Link, PanelRow
from registry.links.states import APART

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from datetime import datetime

    from django.db.models import QuerySet

    from registry.datasets.models import Dataset
    from registry.links.content.states import Reading
    from registry.links.exclusion import Asked, Key

logger = logging.getLogger(__name__)

MANY = 3  # links of a host with the same body: what they give is no content of theirs
_AT_ONCE = 1_000  # links whose content is forgotten at a time
_FRESH = 4  # every so many readings ask anew, whatever the server calls unmodified
# Of a version that was taken out of use for what is in it, nothing is read.
_IN_USE = (VersionStatus.ACTIVE, VersionStatus.DEPRECATED, VersionStatus.ARCHIVED)


def rows_readable() -> QuerySet[PanelRow]:
    """The rows of panels whose content may be read: their maintainers turned it on, and their versions are in use.

    Not before it is known which hashes a version recorded: a report may name one of them.
    """
    return _rows_asked_for().filter(
        ~Exists(recorded_jobs().filter(subject_id=OuterRef("panel"))),
        panel__version__status__in=_IN_USE,
        panel__version__dataset__link_policy__paused_at=None,
    )


def content_plans(links: Iterable[Link]) -> dict[int, Plan]:
    """How the content of these links is to be read, by primary key; those that may not be read are left out."""
    rows = rows_readable().filter(among_ids("link_id", (link.pk for link in links)))
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


def recorded_keys(links: Iterable[Asked]) -> dict[int, set[Key]]:
    """Every hash of the content of these links that is on record, as keys, by primary key of the link.

    Those that versions recorded, and those of the whole that we read ourselves, first and last: a report may name any, and
    then the link is excluded.
    """
    return _hashes(f"{_OF_VERSIONS} UNION {_READ}", links)


# What has hashes of the content of links, as jsonb. Most versions of a dataset recorded the same of a link, and mostly the
# last that we read are the first.
_OF_VERSIONS = "SELECT link_id, hashes FROM registry_panelrow WHERE link_id = ANY(%(links)s::bigint[])"
_READ = """
SELECT link_id, first -> 'digests' FROM registry_linkcontent WHERE link_id = ANY(%(links)s::bigint[])
UNION SELECT link_id, last -> 'digests' FROM registry_linkcontent WHERE link_id = ANY(%(links)s::bigint[])
"""
_HASHES = """
SELECT link_id, kind, decode(digest, 'hex')
FROM ({known}) AS known (link_id, hashes), jsonb_each_text(hashes) AS one (kind, digest)
"""


def _hashes(known: LiteralString, links: Iterable[Asked]) -> dict[int, set[Key]]:
    """The hashes that `known` has of the content of these links, as keys, by primary key of the link."""
    found: dict[int, set[Key]] = defaultdict(set)
    with connection.cursor() as cursor:
        statement = sql.SQL(_HASHES).format(known=sql.SQL(known))
        cursor.execute(statement, {"links": ids_array(link.pk for link in links)})
        for link, kind, digest in cursor.fetchall():
            found[link].add((kind, bytes(digest)))
    return found


def origin_signatures(wanted: Collection[tuple[int, str]]) -> dict[tuple[int, str], OriginSignature]:
    """The signature of each of these origins of hosts, new ones unsaved."""
    known = {
        (one.host_id, one.origin): one
        for one in OriginSignature.objects.filter(among_ids("host_id", {host for host, _ in wanted}))
    }
    return {
        (host, origin): known.get((host, origin)) or OriginSignature(host_id=host, origin=origin)
        for host, origin in wanted
    }


def signatures_record(signatures: Iterable[OriginSignature]) -> None:
    """Write what was learned of origins. Should one of them hold what the database refuses, they are asked again instead."""
    learned = [one for one in signatures if one.tdm_at or one.probed_at]
    for one in learned:
        one.pk = None  # those that were there before are told by their host and origin
    try:
        with transaction.atomic():
            OriginSignature.objects.bulk_create(
                learned,
                update_conflicts=True,
                unique_fields=["host", "origin"],
                update_fields=["probed_at", "missing_body", "missing_target", "tdm_at", "tdm_rules"],
            )
    except DataError:
        logger.error("what %s origins reserve could not be written", len(learned))  # noqa: TRY400  -- its message would hold what they wrote


def content_record(read: Mapping[int, tuple[Reading, datetime]]) -> None:
    """Write what was read of links, by primary key, and when: in a few statements for any number, in a transaction."""
    if not read:
        return
    links = {link.pk: link for link in Link.objects.filter(pk__in=read)}
    recorded = _hashes(_OF_VERSIONS, links.values())
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
    """Delete what is known of the content of these links, but for a hash by which one is excluded."""
    _forget(LinkContent.objects.filter(link__in=links))


def content_forget_of(dataset: Dataset) -> int:
    """As `content_forget` with a dataset's links, unless another one reads their content too; returns of how many."""
    links = PanelRow.objects.filter(panel__version__dataset=dataset).values("link")
    others = _rows_asked_for().exclude(panel__version__dataset=dataset).values("link")
    return _forget(LinkContent.objects.filter(link__in=links).exclude(link__in=others))


def _forget(contents: QuerySet[LinkContent]) -> int:
    """Delete these and return how many, but keep each hash that excludes its link: who forgot it would contact the link."""
    count, last = 0, 0
    while page := list(contents.filter(pk__gt=last).order_by("pk")[:_AT_ONCE]):
        count, last = count + len(page), page[-1].pk
        reported = excluded_keys({key for one in page for key in _keys_read(one.first, one.last)})
        LinkContent.objects.filter(pk__in=[one.pk for one in page]).delete()
        LinkContent.objects.bulk_create(
            LinkContent(
                link_id=one.pk, first=_digests(one.first, reported), last=_digests(one.last, reported)
            )
            for one in page
            if not reported.isdisjoint(_keys_read(one.first, one.last))
        )
    return count


def _digests(written: dict[str, Any] | None, kept: Collection[Key]) -> dict[str, Any] | None:
    """Of facts as written, these hashes of the whole alone."""
    digests = {kind: digest.hex() for kind, digest in _keys_read(written) if (kind, digest) in kept}
    return {"digests": digests} if digests else None


def _keys_read(*looks: dict[str, Any] | None) -> set[Key]:
    """The hashes of the whole in facts as written, as keys."""
    return {key for written in looks if written for key in _keys(written["digests"])}


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
    """As `states.judge` with links that gave a body before it was known to be shared, unless the dataset recorded it."""
    wanted, always = Q(), Q()
    for host, body in shared:
        gave = Q(link__host=host, body=body)
        wanted |= gave
        always |= gave & (Q(first__isnull=True) | Q(first__prefix=bytes(body or b"").hex()))
    if not wanted:
        return
    told = Q(evidence__in=[Evidence.RECORDED_HASH, Evidence.PLACEHOLDER, Evidence.KIND])
    gave_it = LinkContent.objects.filter(wanted).exclude(told | Q(state=ContentState.REPLACED))
    gave_it.exclude(always).update(
        state=ContentState.CHANGED,
        evidence=Evidence.PLACEHOLDER,
        suspect_at=Coalesce("suspect_at", Value(timezone.now())),
    )
    gave_it.filter(always).update(
        state=ContentState.UNKNOWN, evidence=Evidence.PLACEHOLDER, first=None, suspect_at=None
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
    if written is None or "prefix" not in written:  # of what is excluded no more than a hash is kept
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
