"""Links that are never contacted: what was reported and not yet triaged, or is guarded or sealed.

`takedowns` says which, by key (`registry/hooks.py`). It is asked when links are handed out and again before each single
request, redirects included.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from expunge.errors import UsageError
from expunge.keys import DIGEST_SIZE, keys_of_url
from registry.hooks import hooks

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

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


def _keys(url: str) -> set[Key]:
    try:
        keys = keys_of_url(url)
    except UsageError:  # not valid UTF-8: the door refuses it, whoever asks
        return set()
    return {
        (kind.value, bytes.fromhex(text) if kind in DIGEST_SIZE else text.encode())
        for kind, text in keys.items()
    }
