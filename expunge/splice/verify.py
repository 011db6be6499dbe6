"""A spliced file held against the file it was made of.

Bytes that were copied are compared as bytes, with what is said of them; only chunks that were written anew are decoded, and
the old ones beside them.
"""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING

from expunge.errors import VerificationFailed
from expunge.splice.bare import BareFile
from expunge.splice.dictionaries import doubtful_columns
from expunge.splice.footer import (
    CHUNK_PLACES,
    GROUP_PLACES,
    META_PLACES,
    ColumnChunk,
    RowGroup,
)
from expunge.splice.indexes import moved, read_beside
from expunge.splice.splice import changed_columns, parts
from expunge.splice.tables import same

if TYPE_CHECKING:
    import pyarrow as pa

    from expunge.shards.cut import Cut
    from expunge.splice.source import Source


def has_same_fields(base: Source, written: Source) -> bool:
    """Whether the footer of a file is as that of its base would be after a splice, but for the row groups."""
    return base.footer.kept_fields == written.footer.kept_fields


def verify(base: Source, written: Source, cut: Cut, arrow_schema: pa.Schema | None, name: str) -> None:
    """Hold a spliced file against its base. `arrow_schema` is as in `splice`, `name` is the shard's.

    Raises `VerificationFailed` with the first difference, `FooterError`, `ThriftError` and what PyArrow raises.
    """
    doubtful = doubtful_columns(base, arrow_schema)
    with BareFile(base) as old_values, BareFile(written) as new_values:
        for place, (part, new) in enumerate(zip_longest(parts(base, cut), written.footer.groups)):
            if part is None:
                raise VerificationFailed(f"{name}: row groups were added.")
            number, old, here = part
            differs = VerificationFailed(
                f"{name}: row group {number} differs from its base beyond the removed rows."
            )
            if new is None or new.rows != old.rows - len(here.drop):
                raise differs
            anew = _written_anew(base, written, old, new, here)
            if not anew.issubset({*changed_columns(base, here), *doubtful}):
                raise differs
            if not anew and not here and not _is_described_alike(old, new):
                raise differs
            for top in sorted(anew):
                expected = old_values.read(number, [top], here)
                if not same(expected, new_values.read(place, [top], here.within(0, 0))):
                    raise differs


def _written_anew(base: Source, written: Source, old: RowGroup, new: RowGroup, cut: Cut) -> set[int]:
    """The top-level columns of a row group that are not copies."""
    if len(cut.drop):
        return set(range(len(base.footer.columns)))
    return {
        leaf.top
        for leaf, one, other in zip(base.footer.leaves, old.columns, new.columns, strict=True)
        if not _is_copy(base, written, one, other)
    }


def _is_copy(base: Source, written: Source, old: ColumnChunk, new: ColumnChunk) -> bool:
    """Whether a chunk is another one byte for byte, described alike, with the same things beside it."""
    if _placeless(old) != _placeless(new):
        return False
    (begin, end), (place, _) = old.extent, new.extent
    one, other = read_beside(base.read, old), read_beside(written.read, new)
    return (
        (one.bloom_filter, one.column_index) == (other.bloom_filter, other.column_index)
        and moved(one.offset_index, place - begin) == other.offset_index
        and all(
            a == b
            for a, b in zip(base.blocks(begin, end), written.blocks(place, place + end - begin), strict=True)
        )
    )


def _placeless(chunk: ColumnChunk) -> tuple[object, object, object]:
    """What is said of a chunk but for where it and the things beside it are, other than from its own start."""
    begin, _ = chunk.extent
    meta = chunk.meta
    places = [
        field - begin
        for field in (meta.data_page_offset, meta.dictionary_page_offset, meta.index_page_offset)
        if field > 0
    ]
    return (
        {number: field for number, field in chunk.struct.items() if number not in CHUNK_PLACES},
        {number: field for number, field in meta.struct.items() if number not in META_PLACES},
        places,
    )


def _is_described_alike(old: RowGroup, new: RowGroup) -> bool:
    one, other = (
        {number: field for number, field in group.struct.items() if number not in GROUP_PLACES}
        for group in (old, new)
    )
    return one == other
