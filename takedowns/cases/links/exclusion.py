"""Which links are never contacted, not even for their headers. Fills the hooks of `registry`, which checks links.

A reported item counts as sealed until its case is decided. After that it is excluded unless the decision kept it, or
removed it for a reason that is open (an opt-out, a dead link …): guarded and sealed material is not asked for. The keys
of a removal in force for such a reason are excluded as well, and so are the rows that an excluded item was located in.
Dead links that a member turned into a case (`takedowns.cases.own_initiative`) are triaged by that.
Items and removals name links by URL, host or domain, or by a hash that a version recorded of the content behind one.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from django.db.models import Exists, OuterRef, Q
from pyroaring import BitMap

from registry.lib.among import among_bytes
from takedowns.cases.models import Case, Location
from takedowns.cases.own_initiative.selectors import CATEGORY, Finding
from takedowns.removals.models import RemovalKey
from takedowns.reports.models import Item, Outcome, Sensitivity, Source

if TYPE_CHECKING:
    from collections.abc import Collection

    from django.db.models import QuerySet


def keys_excluded(keys: Collection[tuple[str, bytes]]) -> set[tuple[str, bytes]]:
    """Of these keys, as (kind, key), those whose links must not be contacted."""
    by_kind: dict[str, list[bytes]] = defaultdict(list)
    for kind, key in keys:
        by_kind[kind].append(key)
    wanted = Q()
    for kind, ones in by_kind.items():
        wanted |= Q(among_bytes("key", ones), kind=kind)
    if not wanted:
        return set()
    removed = RemovalKey.objects.filter(wanted, removal__withdrawn_at=None).exclude(
        removal__category__sensitivity=Sensitivity.OPEN
    )
    found = [*_items().filter(wanted).values_list("kind", "key"), *removed.values_list("kind", "key")]
    return {(kind, bytes(key or b"")) for kind, key in found}


def rows_excluded(rows: Collection[tuple[str, int]]) -> set[tuple[str, int]]:
    """Of these rows, as (shard digest, row index), those whose links must not be contacted."""
    asked: dict[str, list[int]] = {}
    for shard, row in rows:
        asked.setdefault(shard, []).append(row)
    located = Location.objects.filter(shard__in=asked, item__in=_items()).values_list("shard_id", "positions")
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
    kept = Q(outcome__in=[Outcome.REJECT, Outcome.INVALID, Outcome.DUPLICATE])
    # A member reported these because our own checks found them dead: that is triage, and only a check finds them back.
    found_dead = Q(report__source=Source.OWN_INITIATIVE, report__category=CATEGORY[Finding.DEAD])
    return Item.objects.filter(key__isnull=False).exclude(
        (decided & (is_open | kept)) | (found_dead & is_open)
    )
