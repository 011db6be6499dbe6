"""The keys of a diff: how what a release takes out is found in a copy of another order, format or part.

The entries that name it are one way. A copy may lack the column they need, so each removed row, and each row with a
redacted cell, is also named by its raw key, unless a row that stays shares it: that would take the row that stays from
everybody's copy. What the raw key does not find is counted, with the kinds that do.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from expunge.keys import ROLE_OF, KeyKind, Role
from expunge.lists import Entry
from expunge.locate import Located, ShardHits, locate
from expunge.manifest import Hidden, Redacted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from expunge.lists import Redaction
    from expunge.progress import Progress
    from expunge.redactions import Cells
    from expunge.shards import Positions, ShardFile


@dataclass(frozen=True, slots=True)
class DiffKeys:
    """What `diff/keys.parquet` and `diff/redacted_keys.parquet` hold, and what `release.json` says of it."""

    removing: list[tuple[KeyKind, bytes]]
    redacting: list[tuple[KeyKind, bytes, str | None]]
    hidden: tuple[Hidden, ...]
    redacted: tuple[Redacted, ...]


@dataclass(frozen=True, slots=True)
class _Lost:
    """One removed row or redacted cell: its column (None: the whole row), the kinds that name it, its row's raw key if any."""

    column: str | None
    kinds: frozenset[KeyKind]
    raw_key: bytes | None

    @property
    def by_url(self) -> bool:
        """Whether an entry for a URL, host or domain names it: such a one takes every row with the same URL."""
        return any(ROLE_OF[kind] is Role.URL for kind in self.kinds)


def diff_keys(
    shards: Sequence[ShardFile],
    located: Located,
    redactions: Sequence[Redaction],
    cells: Sequence[Cells],
    names: Mapping[Role, str],
    *,
    dropped: bool,
    columns: Mapping[str, str] | None,
    workers: int,
    progress: Progress,
) -> DiffKeys:
    """The keys of what was located: rows that are removed and, beside them, cells that are redacted.

    `names` says how the release calls the column of each role; `dropped`, that removed rows go, so that no redaction
    can meet them in a copy. The shards are read again where raw keys may be shared.
    """
    removed = list(_removed_rows(located))
    redacted = list(_redacted_cells(redactions, cells, names))
    doubtful = {one.raw_key for one in (*removed, *redacted) if one.raw_key is not None and not one.by_url}
    shared: Mapping[str | None, set[bytes]] = {}
    if doubtful:
        again = locate(
            shards,
            [Entry(KeyKind.URL_RAW, key, "", 0) for key in sorted(doubtful)],
            columns=columns,
            workers=workers,
            progress=progress,
            stage="Comparing keys",
            checked=False,
        )
        shared = _shared_keys(located, cells, names, again, dropped=dropped)

    def alone(one: _Lost) -> bytes | None:
        """Its raw key, where no row that stays has the same."""
        return None if one.raw_key in shared.get(one.column, ()) else one.raw_key

    hidden = Counter(tuple(sorted(one.kinds)) for one in removed if not one.by_url and alone(one) is None)
    found_by = [
        one.kinds if one.by_url or alone(one) is None else one.kinds | {KeyKind.URL_RAW} for one in redacted
    ]
    groups = Counter(
        (one.column or "", tuple(sorted(kinds))) for one, kinds in zip(redacted, found_by, strict=True)
    )
    matched = [entry for entry, hits in zip(located.entries, located.counts, strict=True) if hits]
    raw_removed = {key for one in removed if (key := alone(one)) is not None}
    raw_redacted = {
        (key, one.column) for one in redacted if not one.by_url and (key := alone(one)) is not None
    }
    return DiffKeys(
        removing=[
            *((entry.kind, entry.key) for entry in matched),
            *((KeyKind.URL_RAW, key) for key in raw_removed),
        ],
        redacting=[
            *_effective(redactions, cells, names),
            *((KeyKind.URL_RAW, key, column) for key, column in raw_redacted),
        ],
        hidden=tuple(Hidden(kinds, rows) for kinds, rows in sorted(hidden.items())),
        redacted=tuple(Redacted(column, kinds, count) for (column, kinds), count in sorted(groups.items())),
    )


def _removed_rows(located: Located) -> Iterator[_Lost]:
    kinds = [entry.kind for entry in located.entries]
    for shard in located.shards:
        _, starts = np.unique(shard.rows, return_index=True)
        places = np.split(shard.entries, starts[1:]) if len(starts) else []
        for which, raw in zip(places, shard.raw_keys, strict=True):
            yield _Lost(None, frozenset(kinds[place] for place in which.tolist()), raw)


def _redacted_cells(
    redactions: Sequence[Redaction], cells: Sequence[Cells], names: Mapping[Role, str]
) -> Iterator[_Lost]:
    """An element that goes is found by its own key alone: its row may hold others."""
    for one in cells:
        raw_keys = dict(zip(np.unique(one.hits.rows).tolist(), one.hits.raw_keys, strict=True))
        labels = [_label(name, one, names) for name in one.columns]
        kinds: defaultdict[tuple[int, int, int], set[KeyKind]] = defaultdict(set)
        for row, place, element, which in one.found.tolist():
            kinds[row, place, element].add(redactions[which].entry.kind)
        for (row, place, element), found in kinds.items():
            yield _Lost(labels[place], frozenset(found), raw_keys[row] if element < 0 else None)


def _effective(
    redactions: Sequence[Redaction], cells: Sequence[Cells], names: Mapping[Role, str]
) -> Iterator[tuple[KeyKind, bytes, str | None]]:
    """The redactions that take something, with their columns as the release calls them."""
    for one in cells:
        for place, which in np.unique(one.found[:, (1, 3)], axis=0).tolist():
            redaction = redactions[which]
            column = None if redaction.column is None else _label(one.columns[place], one, names)
            yield redaction.entry.kind, redaction.entry.key, column


def _label(name: str, cells: Cells, names: Mapping[Role, str]) -> str:
    """What the release calls a column of one shard: shards may call the one that carries a role differently."""
    return next((names[role] for role, bound in cells.hits.binding.items() if bound == name), name)


def _shared_keys(
    located: Located, cells: Sequence[Cells], names: Mapping[Role, str], again: Located, *, dropped: bool
) -> dict[str | None, set[bytes]]:
    """By column (None: the whole row) the raw keys of rows in which it stays."""
    shared: defaultdict[str | None, set[bytes]] = defaultdict(set)
    labels = {_label(name, one, names) for one in cells for name in one.columns}

    def add(label: str | None, here: ShardHits, lost: Positions) -> None:
        stays = ~np.isin(here.rows, lost)
        shared[label].update(again.entries[place].key for place in here.entries[stays].tolist())

    for place, (first, here) in enumerate(zip(located.shards, again.shards, strict=True)):
        add(None, here, first.positions)
        for label in labels:
            gone = [first.positions] if dropped else []
            one = cells[place]
            gone += [rows for name, rows in one.cut.null.items() if _label(name, one, names) == label]
            add(label, here, np.concatenate(gone) if gone else first.positions[:0])
    return shared
