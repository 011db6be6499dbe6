"""Which links are never contacted, not even for their headers. Fills the hooks of `registry`, which checks links.

A reported item counts as sealed until its case is decided. After that it is excluded unless the decision kept it, or
removed it for a reason that is open (an opt-out, a dead link …): guarded and sealed material is not asked for. The keys
of a removal in force for such a reason are excluded as well, and so are the rows that an excluded item was located in.
Dead links that a member turned into a case (`takedowns.cases.own_initiative`) are triaged by that. A domain that the census
reported by itself, because the day of a dataset's version says that it changed hands, excludes the links of that dataset
alone: nobody asked for it, and the day is one maintainer's word.
Items and removals name links by URL, host or domain, or by a hash that a version recorded of the content behind one.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from django.db import connection
from django.db.models import Exists, OuterRef, Q
from pyroaring import BitMap

from expunge.keys import KeyKind, registrable_domain
from registry.lib.among import among_bytes, bytes_array
from registry.links.models import PanelRow
from takedowns.cases.models import Case, DomainReport, Location
from takedowns.cases.own_initiative.selectors import CATEGORY, KEPT, Finding
from takedowns.removals.models import RemovalKey
from takedowns.reports.models import Item, Sensitivity, Source

if TYPE_CHECKING:
    from collections.abc import Collection
    from uuid import UUID

    from django.db.models import QuerySet

    from registry.links.exclusion import Key


def keys_excluded(keys: Collection[Key]) -> set[Key]:
    """Of these keys, as (kind, key), those whose links must not be contacted."""
    by_kind: dict[str, list[bytes]] = defaultdict(list)
    for kind, key in _named(keys):
        by_kind[kind].append(key)
    wanted = Q()
    for kind, ones in by_kind.items():
        wanted |= Q(among_bytes("key", ones), kind=kind)
    if not wanted:
        return set()
    removed = RemovalKey.objects.filter(wanted, removal__withdrawn_at=None).exclude(
        removal__category__sensitivity=Sensitivity.OPEN
    )
    items = _items().filter(wanted)
    found = [*items.exclude(_by_census()).values_list("kind", "key"), *removed.values_list("kind", "key")]
    return {(kind, bytes(key or b"")) for kind, key in found} | _of_census(items.filter(_by_census()), keys)


def _of_census(items: QuerySet[Item], keys: Collection[Key]) -> set[Key]:
    """Of these keys, those of links in panels of the very dataset about which one of these items names their domain."""
    named: dict[UUID, set[str]] = defaultdict(set)
    for dataset, domain in items.values_list("report__dataset", "key"):
        named[dataset].add(bytes(domain or b"").decode())
    if not named:
        return set()
    raw = [key for kind, key in keys if kind == KeyKind.URL_RAW.value]
    rows = PanelRow.objects.filter(among_bytes("link__key", raw), panel__version__dataset__in=named)
    links = rows.values_list("panel__version__dataset", "link__host__name", "link__key").distinct()
    return {
        (KeyKind.URL_RAW.value, bytes(key))
        for dataset, host, key in links
        if registrable_domain(host) in named[dataset]
    }


def _by_census() -> Exists:
    """Of items: whether the census made their report."""
    return Exists(DomainReport.objects.filter(report=OuterRef("report")))


_NAMED = """
WITH asked AS (SELECT * FROM unnest(%s::text[], %s::bytea[]) AS asked (kind, key))
SELECT kind, key FROM asked JOIN takedowns_item USING (kind, key)
UNION
SELECT kind, key FROM asked JOIN takedowns_removalkey USING (kind, key)
"""


def _named(keys: Collection[Key]) -> list[Key]:
    """Of these keys, those that any item or removal names.

    It is asked before every connection, and nearly always there is none: then this is all that it costs.
    """
    kinds, values = zip(*keys, strict=True) if keys else ((), ())
    with connection.cursor() as cursor:
        cursor.execute(_NAMED, [f"{{{','.join(kinds)}}}", bytes_array(values)])
        return [(kind, bytes(key)) for kind, key in cursor.fetchall()]


def rows_excluded(rows: Collection[tuple[str, int]]) -> set[tuple[str, int]]:
    """Of these rows, as (shard digest, row index), those whose links must not be contacted."""
    asked: dict[str, list[int]] = {}
    for shard, row in rows:
        asked.setdefault(shard, []).append(row)
    # Of what the census reported `keys_excluded` knows the links, before they are located.
    items = _items().exclude(_by_census())
    located = Location.objects.filter(shard__in=asked, item__in=items).values_list("shard_id", "positions")
    found = set()
    for shard, positions in located:
        named = BitMap.deserialize(bytes(positions))
        found |= {(shard, row) for row in asked[shard] if row in named}
    return found


def _items() -> QuerySet[Item]:
    """The reported items that are excluded."""
    cases = Case.objects.filter(reports=OuterRef("report"))
    decided = Exists(cases.filter(decided_at__isnull=False))
    is_open = Q(report__category__sensitivity=Sensitivity.OPEN) & ~Exists(
        cases.exclude(category__sensitivity=Sensitivity.OPEN)
    )
    # One that was in no version of its dataset may be in another's: only who marks it as kept says that nothing is wrong.
    kept = Q(outcome__in=KEPT)
    # A member reported these because our own checks found them dead: that is triage, and only a check finds them back.
    found_dead = Q(report__source=Source.OWN_INITIATIVE, report__category=CATEGORY[Finding.DEAD])
    return Item.objects.filter(key__isnull=False).exclude(
        (decided & (is_open | kept)) | (found_dead & is_open)
    )
