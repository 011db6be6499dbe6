"""Links that are never contacted: what was reported and not yet triaged, or is guarded or sealed.

`takedowns` says which, by key (`registry/hooks.py`). It is asked when links are handed out and again before each single
request, redirects included.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from expunge.errors import UsageError
from expunge.keys import DIGEST_SIZE, keys_of_url
from registry.hooks import hooks
from registry.links.models import PanelRow

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from registry.links.models import Link

    Key = tuple[str, bytes]  # kind of key, and the key


def excluded_urls(urls: Iterable[str], recorded: Mapping[str, Collection[Key]] | None = None) -> set[str]:
    """Of these URLs, those that must not be contacted: by their own keys, or by a rule on their host or domain.

    `recorded` are keys of what datasets recorded behind a URL, that is the hashes of its content.
    """
    recorded = recorded or {}
    keys = {url: _keys(url).union(recorded.get(url, ())) for url in urls}
    wanted = {key for of_url in keys.values() for key in of_url}
    found = {key for ask in hooks.keys_excluded for key in ask(wanted)} if wanted else set()
    return {url for url, of_url in keys.items() if not found.isdisjoint(of_url)}


def excluded_rows(rows: Collection[tuple[str, int]]) -> set[tuple[str, int]]:
    """Of these rows, as (shard digest, row index), those whose links must not be contacted."""
    return {row for ask in hooks.rows_excluded for row in ask(rows)} if rows else set()


def excluded_links(links: Collection[Link], recorded: Mapping[int, Collection[Key]]) -> set[int]:
    """Of these links, the primary keys of those that must not be contacted: by their URLs or by the rows that hold them.

    `recorded` are keys of what datasets recorded behind them, by primary key.
    """
    urls = excluded_urls(
        {link.url for link in links}, {link.url: recorded.get(link.pk, ()) for link in links}
    )
    holding: dict[tuple[str, int], set[int]] = defaultdict(set)
    for shard, row, link in PanelRow.objects.filter(link__in=links).values_list("shard", "row", "link"):
        holding[shard, row].add(link)
    named = {link for row in excluded_rows(holding.keys()) for link in holding[row]}
    return named | {link.pk for link in links if link.url in urls}


def _keys(url: str) -> set[Key]:
    try:
        keys = keys_of_url(url)
    except UsageError:  # not valid UTF-8: the door refuses it, whoever asks
        return set()
    return {
        (kind.value, bytes.fromhex(text) if kind in DIGEST_SIZE else text.encode())
        for kind, text in keys.items()
    }
