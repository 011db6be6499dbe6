"""Links that are never contacted: what was reported and not yet triaged, or is guarded or sealed.

`takedowns` says which, by key (`registry/hooks.py`). It is asked when links are handed out and again before each single
request, redirects included.
"""

from __future__ import annotations

from collections import defaultdict
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, Protocol

from django.contrib.postgres.aggregates import ArrayAgg

from expunge.errors import UsageError
from expunge.keys import DIGEST_SIZE, KeyKind, canonical_url, keys_of_url
from registry.hooks import hooks
from registry.lib.among import among_ids
from registry.links.models import PanelRow

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    Key = tuple[str, bytes]  # kind of key, and the key


_OTHER = {"http": "https", "https": "http"}


def excluded_urls(urls: Iterable[str], recorded: Mapping[str, Collection[Key]] | None = None) -> set[str]:
    """Of these URLs, those that must not be contacted: by their own keys, or by a rule on their host or domain.

    `recorded` are keys of what datasets recorded behind a URL, that is the hashes of its content.
    """
    recorded = recorded or {}
    keys = {url: _keys(url).union(recorded.get(url, ())) for url in urls}
    found = excluded_keys({key for of_url in keys.values() for key in of_url})
    return {url for url, of_url in keys.items() if not found.isdisjoint(of_url)}


def excluded_keys(keys: Collection[Key]) -> set[Key]:
    """Of these keys, those whose links must not be contacted."""
    return {key for ask in hooks.keys_excluded for key in ask(keys)} if keys else set()


def excluded_rows(rows: Collection[tuple[str, int]]) -> set[tuple[str, int]]:
    """Of these rows, as (shard digest, row index), those whose links must not be contacted."""
    return {row for ask in hooks.rows_excluded for row in ask(rows)} if rows else set()


class Asked(Protocol):
    """As much of a link as it takes to ask whether it must not be contacted: a `Link` is one."""

    @property
    def pk(self) -> int:
        """Its primary key."""

    @property
    def url(self) -> str:
        """As the row has it."""


def excluded_links(links: Collection[Asked], recorded: Mapping[int, Collection[Key]]) -> set[int]:
    """Of these links, the primary keys of those that must not be contacted: by their URLs or by the rows that hold them.

    `recorded` are keys of what datasets recorded behind them, by primary key.
    """
    urls = excluded_urls(
        {link.url for link in links}, {link.url: recorded.get(link.pk, ()) for link in links}
    )
    rows = PanelRow.objects.filter(among_ids("link_id", (link.pk for link in links)))
    holding: dict[tuple[str, int], set[int]] = defaultdict(set)
    # A link may be in many versions: one answer a shard is read in a third of the time of one a row.
    by_shard = rows.values("shard").annotate(places=ArrayAgg("row"), held=ArrayAgg("link"))
    for shard, places, held in by_shard.values_list("shard", "places", "held"):
        for row, link in zip(places, held, strict=True):
            holding[shard, row].add(link)
    named = {link for row in excluded_rows(holding.keys()) for link in holding[row]}
    return named | {link.pk for link in links if link.url in urls}


@lru_cache(2_048)  # it is asked for when a link is handed out, and again before each request
def _keys(url: str) -> frozenset[Key]:
    """The keys of a URL, and those of its twin, the same over http or https: who reports the one means the other."""
    try:
        keys = keys_of_url(url)
    except UsageError:  # not valid UTF-8: the door refuses it, whoever asks
        return frozenset()
    found = {
        (kind.value, bytes.fromhex(text) if kind in DIGEST_SIZE else text.encode())
        for kind, text in keys.items()
    }
    for kind, twin in _twins(url):
        found.add((kind.value, sha256(twin.encode()).digest()))
    return frozenset(found)


def _twins(url: str) -> Iterator[tuple[KeyKind, str]]:
    """The URL over the other scheme, where it has one of the two: as most people write it, and in its canonical form."""
    canonical = canonical_url(url)
    scheme, _, rest = (canonical or "").partition("://")
    if scheme in _OTHER:
        twin = f"{_OTHER[scheme]}://{rest}"
        yield KeyKind.URL_RAW, twin
        # They differ where a port is named that goes without saying over the other scheme.
        yield KeyKind.URL_C1, (canonical_url(twin) or twin) if ":" in rest.partition("/")[0] else twin
