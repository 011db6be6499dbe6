"""Find what entries name in every version of an index at once, and confirm it by reading the rows."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from expunge.errors import BadShard
from expunge.index.versions import distinct_shards
from expunge.locate import Located, Search, ShardHits, search_rows
from expunge.shards import Positions, ShardFile, open_shard

if TYPE_CHECKING:
    from collections.abc import Sequence

    from expunge.index.store import KeyIndex
    from expunge.index.versions import IndexedShard, IndexedVersion
    from expunge.keys import KeyKind
    from expunge.lists import Entry


@dataclass(frozen=True, slots=True)
class Found:
    """Where entries are in one version.

    `located` holds what was confirmed, as `locate` gives it. `unconfirmed` names by shard the rows that the index gives and
    nobody could read, because the file is gone or is another one now. `not_indexed` names by kind the shards that have a
    column for it and no index: there nothing was looked for.
    """

    version: IndexedVersion
    located: Located
    unconfirmed: dict[str, Positions]
    not_indexed: dict[KeyKind, list[str]]

    @property
    def complete(self) -> bool:
        """Whether everything was looked for in every shard, and every candidate confirmed or ruled out."""
        return not (self.unconfirmed or self.not_indexed or self.located.missing_kinds)


def locate_versions(
    index: KeyIndex, entries: Sequence[Entry], versions: Sequence[IndexedVersion]
) -> list[Found]:
    """Find the rows that `entries` (distinct) name in each of `versions`; a shard that several hold is read once.

    Raises `BadIndex` where the index of a shard cannot be trusted.
    """
    shards = distinct_shards(versions)
    candidates = index.candidates(entries, shards.values())
    copies: dict[str, list[IndexedShard]] = defaultdict(list)
    for version in versions:
        for shard in version.shards:
            copies[shard.sha256].append(shard)
    search = Search.of(entries)
    confirmed = {
        digest: next(filter(None, (confirm(copy, search, rows) for copy in copies[digest])), None)
        for digest, rows in candidates.rows.items()
    }
    found: list[Found] = []
    for version in versions:
        hits = [confirmed.get(shard.sha256) for shard in version.shards]
        here = [_hits(shard, *(hit or _NO_HITS)) for shard, hit in zip(version.shards, hits, strict=True)]
        counts = sum(
            (np.bincount(shard.entries, minlength=len(entries)) for shard in here),
            start=np.zeros(len(entries), np.int64),
        )
        found.append(
            Found(
                version,
                Located(entries, here, sum(shard.rows for shard in version.shards), counts),
                {
                    shard.name: candidates.rows[shard.sha256]
                    for shard, hit in zip(version.shards, hits, strict=True)
                    if hit is None and shard.sha256 in candidates.rows
                },
                {
                    kind: names
                    for kind, digests in candidates.not_indexed.items()
                    if (names := [shard.name for shard in version.shards if shard.sha256 in digests])
                },
            )
        )
    return found


Hits = tuple[Positions, "np.ndarray[tuple[int], np.dtype[np.int64]]", list[bytes | None]]
"""What `search_rows` finds: rows, the entry of each, and the raw key of each distinct row."""

_NO_HITS: Hits = (np.zeros(0, np.int64), np.zeros(0, np.int64), [])


def confirm(shard: IndexedShard, search: Search, rows: Positions) -> Hits | None:
    """Read candidate rows of a shard and compare their full keys; None where the file is not what was indexed.

    A file that looks as it did is believed, any other is hashed first.
    """
    try:
        opened = open_shard(ShardFile(shard.path, shard.name, may_be_empty=True))
        if opened.fingerprint != shard.fingerprint and opened.digest() != shard.sha256:
            return None
        return search_rows(opened, search, shard.columns, rows)
    except BadShard:
        return None


def _hits(
    shard: IndexedShard,
    rows: Positions,
    entries: np.ndarray[tuple[int], np.dtype[np.int64]],
    raw_keys: list[bytes | None],
) -> ShardHits:
    return ShardHits(shard.name, shard.rows, rows, entries, raw_keys, shard.columns, shard.fingerprint)
