"""Find what redactions name: cells that must become null, and elements that must leave a list.

1. Their rows are located together with those of a removal list, in one pass over the key columns.
2. A redaction without a column takes what matched: the cell of the key's own column or, where that column holds lists,
   the elements. In shards that hold such lists the column is read again, for the places of the elements.
3. A named column is read for which cells hold anything: what is null already needs no redaction, so redacting twice
   changes nothing, and what was redacted is verified by finding nothing more.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.compute as pc

from expunge.errors import UsageError, VerificationFailed
from expunge.keys import ROLE_OF, KeyKind, Role
from expunge.locate import Located, Search, ShardHits, locate
from expunge.pool import Advance, map_shards
from expunge.progress import Progress, quiet
from expunge.shards import Cut, ShardFile, is_list, open_shard

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa
    from numpy.typing import NDArray

    from expunge.lists import Entry, Redaction
    from expunge.shards import Binding, Column, Elements, Positions

    Pairs = NDArray[np.int64]

_WHOLE = -1


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """What redactions name in one shard.

    Each line of `found`, shape (n, 4), is a row, the place of its column in `columns`, the place of an element in the
    row's list or -1 for the whole cell, and the place of the redaction that names it; sorted and distinct. `hits` are
    the rows that the redactions' entries name, of which some may hold nothing in the column; `named` are the same rows by
    the column whose cell is asked for.
    """

    columns: tuple[str, ...]
    found: NDArray[np.int64]
    hits: ShardHits
    named: Mapping[str, Positions] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """The cells and elements, each once."""
        return len(np.unique(self.found[:, :3], axis=0))

    @property
    def cut(self) -> Cut:
        """The cells and elements as a cut."""
        null: dict[str, Positions] = {}
        elements: dict[str, Elements] = {}
        for place, name in enumerate(self.columns):
            here = self.found[self.found[:, 1] == place]
            if len(whole := np.unique(here[here[:, 2] == _WHOLE, 0])):
                null[name] = whole
            if len(parts := np.unique(here[here[:, 2] != _WHOLE][:, (0, 2)], axis=0)):
                elements[name] = parts
        return Cut(null=null, elements=elements)

    def beside(self, removal: Cut) -> Cells:
        """These without what goes anyhow: with its row, with its cell, or because the removal leaves it null."""
        goes = np.isin(self.found[:, 0], removal.drop)
        for place, name in enumerate(self.columns):
            here = self.found[:, 1] == place
            whole = here & (self.found[:, 2] == _WHOLE)
            goes |= here & ~whole & np.isin(self.found[:, 0], self.found[whole, 0])
            if name in removal.null:
                goes |= here & np.isin(self.found[:, 0], removal.null[name])
        return replace(self, found=self.found[~goes])


def joined(removal: Cut, redaction: Cut) -> Cut:
    """What either takes out of a shard."""
    null = dict(removal.null)
    for name, rows in redaction.null.items():
        null[name] = np.union1d(null[name], rows) if name in null else rows
    return Cut(drop=removal.drop, null=null, elements=redaction.elements)


def locate_both(
    shards: Sequence[ShardFile],
    entries: Sequence[Entry],
    redactions: Sequence[Redaction],
    *,
    columns: Mapping[str, str] | None = None,
    hints: Mapping[Role, str] | None = None,
    blanked: Sequence[str] | None = None,
    workers: int = 1,
    progress: Progress = quiet,
    stage: str = "Locating rows",
    checked: bool = True,
) -> tuple[Located, list[Cells]]:
    """Find the rows that `entries` name and the cells that `redactions` name (both distinct) in `shards`.

    The arguments are as in `locate`; `hints` also say by which names the base called the columns that redactions name.
    The cells are those of each shard, in the shards' order. Raises `BadShard` and `UsageError`.
    """

    def search(entries: Sequence[Entry], blanked: Sequence[str] | None) -> Located:
        return locate(
            shards,
            entries,
            columns=columns,
            hints=hints,
            blanked=blanked,
            workers=workers,
            progress=progress,
            stage=stage,
            checked=checked,
        )

    if not redactions:
        located = search(entries, blanked)
        return located, [_cells(_Wanted(*one), []) for one in zip(shards, located.shards, strict=True)]
    named = {(one.entry.kind, one.entry.key): one.entry for one in redactions}
    if blanked is None:
        known = {(entry.kind, entry.key) for entry in entries}
        both = search([*entries, *(entry for key, entry in named.items() if key not in known)], None)
        located = _first(both, len(entries))
    else:  # a row that holds nothing more in the blanked columns may still hold what a redaction names
        located, both = search(entries, blanked), search(list(named.values()), None)
    wanted = [
        _wanted(file, hits, both.entries, redactions, hints or {})
        for file, hits in zip(shards, both.shards, strict=True)
    ]
    busy = [one for one in wanted if one.named or one.lists]
    read = map_shards(
        _read_cells,
        None,
        busy,
        workers=workers,
        stage="Finding cells",
        total=sum(one.hits.total for one in busy),
        progress=progress,
    )
    found = {one.file.name: cells for one, cells in zip(busy, read, strict=True)}
    return located, [_cells(one, found.get(one.file.name, [])) for one in wanted]


def check_redactions(
    shards: Sequence[ShardFile], found: Sequence[Cells], redactions: Sequence[Redaction]
) -> None:
    """Refuse a redaction of a column that no shard has, or that may not be null. Raises `UsageError`, naming the line."""
    asked = {one.column: one for one in reversed(redactions) if one.column is not None}
    for file, cells in zip(shards, found, strict=True):
        if not asked and not len(cells.found):
            continue
        columns = open_shard(file).columns
        required = {column.name for column in columns if column.required}
        for _, place, element, which in cells.found.tolist():
            if element == _WHOLE and cells.columns[place] in required:
                raise UsageError(
                    f"{_line(redactions[which])}: {file.name}: column {cells.columns[place]!r} is REQUIRED, so no cell "
                    "of it can be null. Remove the rows instead."
                )
        asked = {
            name: one
            for name, one in asked.items()
            if column_named(name, columns, cells.hits.binding, {}) is None
        }
    for name, one in asked.items():
        raise UsageError(f"{_line(one)}: there is no column {name!r} to redact.")


def verify_redactions(
    shards: Sequence[ShardFile],
    redactions: Sequence[Redaction],
    *,
    columns: Mapping[str, str] | None = None,
    hints: Mapping[Role, str] | None = None,
    workers: int = 1,
    progress: Progress = quiet,
) -> None:
    """Look for what redactions name in shards of which it was taken out. Raises `VerificationFailed`."""
    _, found = locate_both(
        shards,
        [],
        redactions,
        columns=columns,
        hints=hints,
        workers=workers,
        progress=progress,
        stage="Looking again",
        checked=False,
    )
    for file, cells in zip(shards, found, strict=True):
        for row, place, _, _ in cells.found.tolist():
            raise VerificationFailed(
                f"{file.name}: row {row} of the release still holds in {cells.columns[place]!r} what is to be redacted."
            )


def column_named(
    asked: str, columns: Sequence[Column], binding: Binding, names: Mapping[Role, str]
) -> str | None:
    """The column of a shard that a redaction means, or None where the shard has none such.

    A column that carried a role in the base, as `names` tell, is the one that carries it here; otherwise the name is
    exact, a role, or the only one that differs in case alone.
    """
    for role, name in names.items():
        if name == asked:
            return binding.get(role)
    here = [column.name for column in columns]
    if asked in here:
        return asked
    if asked in set(Role):
        return binding.get(Role(asked))
    alike = [name for name in here if name.lower() == asked.lower()]
    return alike[0] if len(alike) == 1 else None


@dataclass(frozen=True, slots=True, eq=False)
class _Wanted:
    """What to look at in one shard. All pairs are of a row and the place of a redaction.

    `named` are the cells of named columns, `own` those of key columns; `lists` are key columns that hold lists, with the
    rows to look at and the entries, each with its redaction, to look for.
    """

    file: ShardFile
    hits: ShardHits
    named: dict[str, Pairs] = field(default_factory=dict)
    own: dict[str, Pairs] = field(default_factory=dict)
    lists: dict[str, tuple[Positions, list[Entry], list[int]]] = field(default_factory=dict)


def _wanted(
    file: ShardFile,
    hits: ShardHits,
    entries: Sequence[Entry],
    redactions: Sequence[Redaction],
    names: Mapping[Role, str],
) -> _Wanted:
    order = np.argsort(hits.entries, kind="stable")
    rows, places = hits.rows[order], hits.entries[order]
    place_of = {(entry.kind, entry.key): place for place, entry in enumerate(entries)}
    wanted = _Wanted(file, hits)
    shard = open_shard(file)
    named: dict[str, list[Pairs]] = {}
    own: dict[str, list[Pairs]] = {}
    lists: dict[str, list[tuple[Positions, Entry, int]]] = {}
    for which, one in enumerate(redactions if len(rows) else ()):
        begin, end = np.searchsorted(places, (at := place_of[one.entry.kind, one.entry.key], at + 1))
        here = rows[begin:end]
        if not len(here):
            continue
        pairs = np.stack((here, np.full(len(here), which)), axis=1)
        if one.column is not None:
            name = column_named(one.column, shard.columns, hits.binding, names)
            # Objects need not all have the keys that were seen in the first ones.
            name = one.column if name is None and shard.format.startswith(("jsonl", "ndjson")) else name
            if sum(column.name == name for column in shard.columns) > 1:
                raise UsageError(
                    f"{_line(one)}: {file.name}: several columns are called {name!r}, so it does not name one."
                )
            if name is not None:
                named.setdefault(name, []).append(pairs)
            continue
        name = hits.binding[ROLE_OF[one.entry.kind]]
        if any(column.name == name and _holds_lists(column) for column in shard.columns):
            lists.setdefault(name, []).append((here, one.entry, which))
        else:
            own.setdefault(name, []).append(pairs)
    wanted.named.update({name: np.concatenate(pairs) for name, pairs in named.items()})
    wanted.own.update({name: np.concatenate(pairs) for name, pairs in own.items()})
    for name, parts in lists.items():
        all_rows = np.unique(np.concatenate([rows for rows, _, _ in parts]))
        wanted.lists[name] = all_rows, [entry for _, entry, _ in parts], [which for _, _, which in parts]
    return wanted


def _holds_lists(column: Column) -> bool:
    return column.type.startswith(("list<", "large_list<"))


def _read_cells(_shared: None, item: _Wanted, advance: Advance) -> list[tuple[str, NDArray[np.int64]]]:
    """By column the cells and elements that are there, as lines of row, element and redaction."""
    shard = open_shard(item.file)
    shard.expect(item.hits.fingerprint)
    found: list[tuple[str, NDArray[np.int64]]] = []
    if item.named:
        for batch in shard.presence(sorted(item.named)):
            for name, pairs in item.named.items():
                here = pairs[(pairs[:, 0] >= batch.first) & (pairs[:, 0] < batch.first + batch.rows)]
                there = batch.arrays[name].to_numpy(zero_copy_only=False)[here[:, 0] - batch.first]
                rows, which = here[there].T
                found.append((name, np.stack((rows, np.full(len(rows), _WHOLE), which), axis=1)))
    searches = {name: Search.of(entries) for name, (_, entries, _) in item.lists.items()}
    if item.lists:
        for batch in shard.batches(sorted(item.lists)):
            for name, (rows, _, which) in item.lists.items():
                begin, end = np.searchsorted(rows, (batch.first, batch.first + batch.rows))
                here = rows[begin:end]
                values = batch.arrays[name].take(here - batch.first)
                at, elements, places = _matching_elements(searches[name], item.hits.binding, name, values)
                lines = (here[at], elements, np.array(which, dtype=np.int64)[places])
                found.append((name, np.stack(lines, axis=1)))
    advance(item.hits.total)
    return found


def _matching_elements(
    search: Search, binding: Binding, name: str, values: pa.Array
) -> tuple[Pairs, Pairs, Pairs]:
    """The elements of lists that match: places of the list, of the element in it, and of the entry; parallel."""
    if not is_list(values):  # JSON Lines: no list among these rows after all
        at, places = search.match(binding, {name: values})
        return at, np.zeros(len(at), dtype=np.int64), places
    parents = pc.list_parent_indices(values).to_numpy(zero_copy_only=False).astype(np.int64)
    flat, places = search.match(binding, {name: values.flatten()})
    return parents[flat], flat - np.searchsorted(parents, parents[flat]), places


def _cells(wanted: _Wanted, read: list[tuple[str, NDArray[np.int64]]]) -> Cells:
    lines = [*read]
    for name, pairs in wanted.own.items():
        rows, which = pairs.T
        lines.append((name, np.stack((rows, np.full(len(rows), _WHOLE), which), axis=1)))
    columns = tuple(sorted({name for name, _ in lines}))
    parts = [
        np.insert(found, 1, columns.index(name), axis=1) for name, found in lines if len(found)
    ]  # row, column, element, redaction
    found = np.unique(np.concatenate(parts), axis=0) if parts else np.zeros((0, 4), dtype=np.int64)
    asked = [*wanted.named.items(), *wanted.own.items()]
    named = {
        name: np.unique(np.concatenate([pairs[:, 0] for one, pairs in asked if one == name]))
        for name in {name for name, _ in asked}
    }
    return Cells(columns, found, wanted.hits, named)


def _first(located: Located, count: int) -> Located:
    """What was found of the first entries alone."""
    shards = []
    for hits in located.shards:
        kept = hits.entries < count
        rows = hits.rows[kept]
        still = np.isin(np.unique(hits.rows), rows).tolist()
        raw_keys = [key for key, stays in zip(hits.raw_keys, still, strict=True) if stays]
        shards.append(replace(hits, rows=rows, entries=hits.entries[kept], raw_keys=raw_keys))
    return Located(located.entries[:count], shards, located.rows, located.counts[:count])


def _line(one: Redaction) -> str:
    return (
        f"Line {one.entry.line} of the redactions"
        if one.entry.line
        else f"The redaction by {KeyKind(one.entry.kind)}"
    )
