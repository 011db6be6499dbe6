"""Tables without what a cut takes out, and tables compared."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from expunge.shards.cut import Cut, Elements, Positions

# From so many runs of kept rows on, copying the kept rows once is cheaper than writing each run on its own.
_MANY_RUNS = 4096

_FRACTIONS = re.compile("float|double")


def without(table: pa.Table, cut: Cut) -> pa.Table:
    """The table without what the cut takes out.

    It is made of slices, which are no copies and exist for every type; not all types can be filtered.
    Raises `ValueError` for an element that is not there.
    """
    for place, field in enumerate(table.schema):
        if field.name in cut.elements:
            column = _shortened(table.column(place).combine_chunks(), cut.elements[field.name])
            table = table.set_column(place, field, column)
        if field.name in cut.null:
            table = table.set_column(place, field, _emptied(table.column(place), cut.null[field.name]))
    if not len(cut.drop):
        return table
    parts = [table.slice(*part) for part in _between(cut.drop, table.num_rows) if part[1]]
    kept = pa.concat_tables(parts) if parts else table.slice(0, 0)
    return kept.combine_chunks() if len(parts) > _MANY_RUNS else kept


def _between(rows: Positions, total: int) -> list[tuple[int, int]]:
    """The runs of rows, as first row and length, before, between and after these."""
    edges = [-1, *rows.tolist(), total]
    return [(one + 1, other - one - 1) for one, other in pairwise(edges)]


def picked(column: pa.ChunkedArray, rows: Positions) -> pa.ChunkedArray:
    """The values of some rows: slices again, because for an array of row numbers PyArrow first imports pandas."""
    chunks = [chunk for row in rows.tolist() for chunk in column.slice(row, 1).chunks]
    return pa.chunked_array(chunks, column.type)


def _emptied(column: pa.ChunkedArray, rows: Positions) -> pa.ChunkedArray:
    first, *others = _between(rows, len(column))
    nothing = pa.nulls(1, column.type)
    chunks = column.slice(*first).chunks
    for part in others:
        chunks += [nothing, *column.slice(*part).chunks]
    return pa.chunked_array(chunks, column.type)


def _shortened(lists: pa.ListArray, pairs: Elements) -> pa.ChunkedArray:
    """Lists without the elements at these pairs of row and place. Raises `ValueError` for one that is not there."""
    offsets = lists.offsets.to_numpy()
    rows, places = pairs[:, 0], pairs[:, 1]
    if (places >= np.diff(offsets)[rows]).any():
        raise ValueError("a list has no element at this place")
    kept = np.ones(len(lists.values), dtype=bool)
    kept[offsets[rows] + places] = False
    moved = np.concatenate(([0], np.cumsum(kept)))[offsets]
    shorter = type(lists).from_arrays(
        pa.array(moved, lists.offsets.type),
        lists.values.filter(pa.array(kept)),
        lists.type,
        mask=lists.is_null(),
    )
    return pa.chunked_array([shorter], lists.type)


def compacted(table: pa.Table) -> pa.Table:
    """The table with dictionaries that hold the values of its rows alone, not those of rows that went."""
    for place, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type):
            column = _compacted_dictionary(table.column(place).combine_chunks())
        elif "dictionary<" in str(field.type):  # inside lists or structs
            column = pa.array(table.column(place).to_pylist(), field.type)
        else:
            continue
        table = table.set_column(place, field, column)
    return table


def _compacted_dictionary(array: pa.DictionaryArray) -> pa.Array:
    """The same values in the same type, the dictionary in its old order."""
    used = np.unique(array.indices.drop_null().to_numpy())
    missing = array.indices.is_null().to_numpy(zero_copy_only=False)
    indices = np.searchsorted(used, array.indices.fill_null(0).to_numpy())
    return pa.DictionaryArray.from_arrays(
        pa.array(indices, array.type.index_type, mask=missing),
        array.dictionary.take(pa.array(used)),
        ordered=array.type.ordered,
    )


def leaf_values(column: pa.ChunkedArray) -> list[pa.ChunkedArray]:
    """The values of each leaf below a column, in the order of the leaves, without those of null parents."""
    kind = column.type
    if pa.types.is_struct(kind):
        return [values for child in column.flatten() for values in leaf_values(child)]
    if pa.types.is_map(kind):
        pairs = pa.list_(pa.struct([("key", kind.key_type), ("value", kind.item_type)]))
        return leaf_values(column.cast(pairs))
    if pa.types.is_nested(kind):
        return leaf_values(pc.list_flatten(column))
    return [column]


class LossError(ValueError):
    """Values that PyArrow reads as others than are stored, so that they would be lost. The message says it of the file."""


def check_instants(fine: pa.Table, coarse: pa.Table) -> None:
    """Refuse times in 96 bits that do not fit in 64 as nanoseconds: read so, they are other times.

    `fine` was read so, `coarse` as microseconds. Raises `LossError`.
    """
    for one, other in zip(fine.columns, coarse.columns, strict=True):
        for nanoseconds, microseconds in zip(leaf_values(one), leaf_values(other), strict=True):
            if nanoseconds.type == microseconds.type:  # which is not of 96 bits
                continue
            shortened = pc.divide(nanoseconds.cast(pa.int64()), 1000)
            apart = pc.max(pc.abs(pc.subtract(shortened, microseconds.cast(pa.int64()))))
            if (apart.as_py() or 0) > 1:
                raise LossError(
                    "holds times before 1677 or after 2262 that cannot be written again. Store them in 64 bits."
                )


def same(one: pa.Table, other: pa.Table) -> bool:
    """Whether two tables hold the same values: of numbers with a fraction the same bits, so that NaN is as NaN."""
    if one.num_rows != other.num_rows or not one.schema.equals(other.schema):
        return False
    return all(
        _same(a.combine_chunks(), b.combine_chunks()) for a, b in zip(one.columns, other.columns, strict=True)
    )


def _same(one: pa.Array, other: pa.Array) -> bool:
    kind = one.type
    if pa.types.is_floating(kind):
        width = {16: pa.int16(), 32: pa.int32(), 64: pa.int64()}[kind.bit_width]
        return bool(one.view(width).equals(other.view(width)))
    if not pa.types.is_nested(kind) or not _FRACTIONS.search(str(kind)):
        return bool(one.equals(other))
    if not one.is_null().equals(other.is_null()):
        return False
    if pa.types.is_struct(kind):
        return all(_same(a, b) for a, b in zip(one.flatten(), other.flatten(), strict=True))
    if pa.types.is_map(kind):
        pairs = pa.list_(pa.struct([("key", kind.key_type), ("value", kind.item_type)]))
        return _same(one.cast(pairs), other.cast(pairs))
    lengths = pc.list_value_length(one), pc.list_value_length(other)
    return bool(lengths[0].equals(lengths[1])) and _same(one.flatten(), other.flatten())
