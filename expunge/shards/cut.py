"""What is taken out of one shard."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from expunge.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from expunge.shards.shard import Column

Positions = NDArray[np.int64]
"""Row indexes in one shard, from 0, ascending and distinct."""

Elements = NDArray[np.int64]
"""Pairs of a row index and the place of an element in that row's list, both from 0, ascending and distinct; shape (n, 2)."""

NO_ROWS: Positions = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Cut:
    """What is taken out of one shard: whole rows, cells, or elements of lists.

    `drop` are the rows that go. `null` are, by column, the rows whose cell becomes null; `elements` are, by column, the
    elements that go from a row's list. A row that goes needs no cells, and a cell that becomes null no elements: where
    both are named, the greater loss counts. All rows are counted as they are before the cut.
    """

    drop: Positions = field(default_factory=lambda: NO_ROWS)
    null: Mapping[str, Positions] = field(default_factory=dict)
    elements: Mapping[str, Elements] = field(default_factory=dict)

    @classmethod
    def of_rows(cls, positions: Positions, blank: Sequence[str] | None = None) -> Cut:
        """The cut of a release's form: rows that go or, with `blank`, that stay with these columns null."""
        return cls(drop=positions) if blank is None else cls(null=dict.fromkeys(blank, positions))

    @property
    def touched(self) -> Positions:
        """The rows that are not left as they are, ascending and distinct."""
        parts = [self.drop, *self.null.values(), *(pairs[:, 0] for pairs in self.elements.values())]
        return np.unique(np.concatenate(parts))

    def __bool__(self) -> bool:
        """Whether anything is taken out."""
        return bool(
            len(self.drop) or any(map(len, self.null.values())) or any(map(len, self.elements.values()))
        )

    @property
    def cells(self) -> int:
        """The cells that become null and the elements that go."""
        return sum(map(len, self.null.values())) + sum(map(len, self.elements.values()))

    def of_columns(self, names: Sequence[str]) -> Cut:
        """What is taken out of these columns alone."""
        return Cut(
            null={name: rows for name, rows in self.null.items() if name in names},
            elements={name: pairs for name, pairs in self.elements.items() if name in names},
        )

    @property
    def columns(self) -> frozenset[str]:
        """The columns of which some cell changes, beside the rows that go."""
        changed = {name for name, rows in self.null.items() if len(rows)}
        return frozenset(changed | {name for name, pairs in self.elements.items() if len(pairs)})

    def digest(self) -> str:
        """SHA-256 (hex) of all that is taken out: equal cuts have equal digests."""
        digest = hashlib.sha256()
        for name, rows in (("", self.drop), *sorted(self.null.items())):
            digest.update(f"{name!r} rows {len(rows)}\n".encode() + rows.tobytes())
        for name, pairs in sorted(self.elements.items()):
            digest.update(f"{name!r} elements {len(pairs)}\n".encode() + pairs.tobytes())
        return digest.hexdigest()

    def within(self, first: int, rows: int) -> Cut:
        """The part of the cut in `rows` rows from row `first` on, counted from there."""
        return Cut(
            drop=_part(self.drop, self.drop, first, rows) - first,
            null={
                name: part - first
                for name, all_rows in self.null.items()
                if len(part := _part(all_rows, all_rows, first, rows))
            },
            elements={
                name: part - np.array([first, 0])
                for name, pairs in self.elements.items()
                if len(part := _part(pairs, pairs[:, 0], first, rows))
            },
        )

    def check(self, columns: Sequence[Column], name: str) -> None:
        """Refuse to make a cell null in a column that may not be, or to cut elements from one that holds no lists.

        A name that several columns have names none of them. `name` is the shard's. Raises `UsageError`.
        """
        names = [column.name for column in columns]
        if twice := [one for one in (*self.null, *self.elements) if names.count(one) > 1]:
            raise UsageError(
                f"{name}: {names.count(twice[0])} columns are called {twice[0]!r}, so it does not name one."
            )
        required = [column.name for column in columns if column.required and column.name in self.null]
        if required:
            raise UsageError(
                f"{name}: column {required[0]!r} is REQUIRED, so no cell of it can be left empty. Remove the rows instead."
            )
        lists = {column.name for column in columns if column.type.startswith(("list<", "large_list<"))}
        if plain := sorted(set(self.elements) - lists):
            raise UsageError(f"{name}: column {plain[0]!r} holds no lists, so no element can go from it.")


def _part(values: NDArray[np.int64], rows: Positions, first: int, count: int) -> NDArray[np.int64]:
    begin, end = np.searchsorted(rows, (first, first + count))
    return values[begin:end]
