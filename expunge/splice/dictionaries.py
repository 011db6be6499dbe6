"""Dictionaries that hold values which no row of their group has.

Most writers collect a chunk's dictionary from its rows. But Arrow's dictionary arrays and categories of pandas come with a
dictionary that was made for a whole table, and it is written whole to each row group; of DuckDB's enumerations each row
group gets the entries that it or a group before it has, and empty texts for the others. A value of a removed row would then
stay in groups that never had such a row.

- Where every group has the same dictionary, it stays the same in all of them: readers of categories count on it. It loses
  the entries that no row of the file has any more, and if there are such, every chunk of the column is written anew.
- Any other chunk with an entry that none of its rows has is written anew, as if something had been cut from it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from expunge.splice.bare import BYTE_ARRAY, ENUM, BareFile
from expunge.splice.pages import DICTIONARY, OF_DICTIONARY, first_headers
from expunge.splice.tables import leaf_values

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from expunge.shards.cut import Cut
    from expunge.splice.footer import ColumnChunk
    from expunge.splice.source import Source

# They collect dictionaries from rows, but for columns whose Arrow type is a dictionary.
_COLLECTING = re.compile(r"parquet-mr|parquet-rs|parquet-cpp|polars|duckdb", re.IGNORECASE)
_ARROW = re.compile(r"parquet-cpp|polars", re.IGNORECASE)
_DUCKDB = re.compile(r"duckdb", re.IGNORECASE)


def doubtful_columns(source: Source, arrow_schema: pa.Schema | None) -> set[int]:
    """The top-level columns whose dictionaries may hold more than their rows do.

    `arrow_schema` is the schema that a writer of Arrow tables left in the file, or None. Raises `ThriftError`.
    """
    footer = source.footer
    tops = set(range(len(footer.columns)))
    writer = footer.created_by
    if not _COLLECTING.search(writer) or (arrow_schema is None and _ARROW.search(writer)):
        return tops
    doubtful = {leaf.top for leaf in footer.leaves if leaf.element.converted_type == ENUM}
    if _DUCKDB.search(writer):
        doubtful |= {
            leaf.top for place, leaf in enumerate(footer.leaves) if _may_be_enumeration(source, place)
        }
    if arrow_schema is not None:
        doubtful |= {top for top in tops if "dictionary<" in str(arrow_schema.field(top).type)}
    return doubtful


def _may_be_enumeration(source: Source, place: int) -> bool:
    """Whether a leaf has a dictionary of texts in each of several row groups, of as many entries everywhere."""
    groups = source.footer.groups
    if len(groups) < 2 or source.footer.leaves[place].element.type != BYTE_ARRAY:
        return False
    entries: set[int] = set()
    for group in groups:
        first = first_headers(source, *group.columns[place].extent, most=1)
        entries.add(first[0].values if first and first[0].type == DICTIONARY else 0)
        if len(entries) > 1:
            return False
    return entries != {0}


@dataclass(frozen=True, slots=True)
class Dictionaries:
    """What doubtful columns need.

    `shared` is the dictionary of every chunk of a column, by the column's place; `anew` are the columns of which it lost
    entries, so that every chunk is written anew; `own` are those without one, whose chunks are looked at one by one.
    """

    shared: Mapping[int, pa.Array]
    anew: frozenset[int]
    own: tuple[int, ...]

    @property
    def doubtful(self) -> set[int]:
        """All columns whose dictionaries may hold more than their rows do."""
        return {*self.shared, *self.own}


def plan_dictionaries(bare: BareFile, doubtful: set[int], parts: Sequence[tuple[int, Cut]]) -> Dictionaries:
    """What these columns need in the row groups, by number, of which rows stay after these parts of a cut."""
    shared: dict[int, pa.Array] = {}
    anew: set[int] = set()
    pandas = "fastparquet" in bare.source.footer.created_by
    for top in sorted(doubtful):
        if not parts or not _is_shared(bare.source, top, [number for number, _ in parts]):
            continue
        entries = bare.dictionary(parts[0][0], top)
        used = np.zeros(len(entries), dtype=bool)
        for number, cut in parts:
            values = bare.read(number, [top], cut).column(0)
            used[pc.index_in(values.unique().drop_null(), entries).to_numpy()] = True
        if not used.all():
            anew.add(top)
        if used.any():
            shared[top] = entries.filter(pa.array(used))
        elif pandas:  # whose categories need a dictionary, and that of some bytes
            shared[top] = pa.array([b""], entries.type)
    return Dictionaries(shared, frozenset(anew), tuple(sorted(doubtful - shared.keys())))


def _is_shared(source: Source, top: int, groups: Sequence[int]) -> bool:
    """Whether a column of texts or bytes has a dictionary in these row groups, one and the same."""
    leaves = source.footer.leaves_of(top)
    leaf = source.footer.leaves[leaves[0]]
    if len(leaves) > 1 or leaf.repetition or leaf.element.type != BYTE_ARRAY:
        return False
    pages: set[bytes] = set()
    for group in groups:
        meta = source.footer.groups[group].columns[leaves[0]].meta
        pages.add(source.read(meta.dictionary_page_offset or meta.data_page_offset, meta.data_page_offset))
        if len(pages) > 1:
            return False
    return pages != {b""}


def _has_unused_entries(source: Source, chunk: ColumnChunk, values: pa.ChunkedArray) -> bool:
    """Whether the dictionary of a chunk, of which `values` are all values, holds another one, or may."""
    headers = first_headers(source, *chunk.extent, most=chunk.meta.values + 2)
    entries = sum(header.values for header in headers if header.type == DICTIONARY)
    if not entries:
        return False
    if any(header.encoding not in OF_DICTIONARY for header in headers if header.type != DICTIONARY):
        return True
    return entries > int(pc.count_distinct(values, mode="only_valid").as_py())


def stale_columns(bare: BareFile, group: int, tops: Sequence[int], cut: Cut) -> list[int]:
    """Those of the columns of a row group in whose dictionaries there is something that no row has."""
    source = bare.source
    chunks = source.footer.groups[group].columns
    with_dictionary = [
        top for top in tops if any(chunks[leaf].has_dictionary for leaf in source.footer.leaves_of(top))
    ]
    stale: list[int] = []
    for top in with_dictionary:
        values = leaf_values(bare.read(group, [top], cut).column(0))
        found = zip(source.footer.leaves_of(top), values, strict=True)
        if any(_has_unused_entries(source, chunks[leaf], held) for leaf, held in found):
            stale.append(top)
    return stale
