"""How the links of a case's items stand, for the staff who decide on it.

A link is known when it is in the sample of some version: by the item's own URL, or by the rows that the item was located
in. Once a link is excluded nothing of what was seen of it is kept, and its line says why nothing is asked.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from django.db.models import Q
from pyroaring import BitMap

from expunge.errors import UsageError
from expunge.keys import KeyKind, keys_of_url
from registry.links.content.store import recorded_keys
from registry.links.exclusion import excluded_links
from registry.links.models import Link, PanelRow
from registry.links.states import APART, IS_DEAD, LinkState
from takedowns.reports.masking import masked
from takedowns.reports.targets import split_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from takedowns.cases.models import Case
    from takedowns.reports.models import Item

MOST_SHOWN = 5  # links of one item; a host may have thousands
_MEANINGS = {
    LinkState.ALIVE: "good",
    LinkState.MOVED: "good",
    LinkState.FAILING: "attention",
    LinkState.EXCLUDED: "quiet",
}
_NOT_ASKED = "Nothing is asked of it: it is reported, and the case is not decided."
_NEVER_ASKED = "Nothing is asked of it: its kind of material is never contacted."


@dataclass(frozen=True, slots=True)
class LinkLine:
    """One link of an item: its state in words with its meaning, when it was last asked, and what that saw."""

    item: Item
    masked: str
    state: str
    meaning: str
    checked_at: datetime | None
    evidence: str


@dataclass(frozen=True, slots=True)
class CaseLinks:
    """Lines for the items of one page; `more` links of them are known and not shown, `unknown` items have none."""

    lines: list[LinkLine]
    more: int
    unknown: int


def case_links(case: Case, items: Sequence[Item]) -> CaseLinks:
    """How the links of these items of the case stand; in as many queries for many items as for one."""
    by_item = _links(case, items)
    known = {link.pk: link for links in by_item.values() for link in links.values()}
    hidden = excluded_links(known.values(), recorded_keys(known.values()))
    lines, more = [], 0
    for item in items:
        links = sorted(by_item[item.pk].values(), key=lambda link: link.pk)
        more += max(0, len(links) - MOST_SHOWN)
        lines += [
            _line(case, item, link, is_excluded=link.pk in hidden or link.state == LinkState.EXCLUDED)
            for link in links[:MOST_SHOWN]
        ]
    return CaseLinks(lines, more, sum(not by_item[item.pk] for item in items if item.key is not None))


def _links(case: Case, items: Sequence[Item]) -> dict[int, dict[int, Link]]:
    """Links by id, by item: those of the item's own URL, and those of sampled rows that it was located in."""
    found: dict[int, dict[int, Link]] = defaultdict(dict)
    by_key: dict[bytes, list[int]] = defaultdict(list)
    for item in items:
        if key := _raw_key(item):
            by_key[key].append(item.pk)
    for link in Link.objects.filter(key__in=list(by_key)):
        for pk in by_key[bytes(link.key)]:
            found[pk][link.pk] = link
    named: dict[str, list[tuple[int, BitMap]]] = defaultdict(list)
    for pk, shard, positions in case.locations.filter(item__in=items).values_list(
        "item", "shard", "positions"
    ):
        named[shard].append((pk, BitMap.deserialize(bytes(positions))))
    for row in _sampled(named):
        for pk, rows in named[row.shard_id]:
            if row.row in rows:
                found[pk][row.link_id] = row.link
    return found


def _sampled(named: dict[str, list[tuple[int, BitMap]]]) -> Iterable[PanelRow]:
    """Rows of panels in these shards, between the first and the last row that is named."""
    wanted = Q()
    for shard, found in named.items():
        everywhere = BitMap.union(*(positions for _, positions in found))
        wanted |= Q(shard=shard, row__gte=everywhere.min(), row__lte=everywhere.max())
    if not wanted:
        return []
    return PanelRow.objects.filter(wanted).select_related("link").iterator(chunk_size=5_000)


def _raw_key(item: Item) -> bytes | None:
    """The key of the link that an item names by URL, if it does."""
    if item.key is None or item.kind not in {KeyKind.URL_C1.value, KeyKind.URL_RAW.value}:
        return None
    if item.kind == KeyKind.URL_RAW.value:
        return bytes(item.key)
    try:
        return bytes.fromhex(keys_of_url(split_line(item.value).text)[KeyKind.URL_RAW])
    except UsageError:
        return None


def _line(case: Case, item: Item, link: Link, *, is_excluded: bool) -> LinkLine:
    state = LinkState(link.state)
    evidence = link.get_outcome_display()
    if is_excluded:
        evidence = _NOT_ASKED if case.decided_at is None else _NEVER_ASKED
        if state is not LinkState.EXCLUDED and link.checked_at:
            evidence = f"{link.get_outcome_display()}, before it was reported. {evidence}"
    elif link.failures > 1:
        apart = APART // timedelta(hours=1)
        evidence += f"; failed {link.failures} times, each at least {apart} hours after the one before"
    meaning = "danger" if state in IS_DEAD else _MEANINGS.get(state, "neutral")
    return LinkLine(item, masked(item), state.label, meaning, link.checked_at, evidence)
