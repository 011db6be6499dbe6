"""What is in a spliced file and must not be, or is not and should be, page by page.

`leaks(base, made)` names every value of the base that the made file still holds though no row of it has it: in pages,
dictionaries, statistics, page indexes and bloom filters. `missing` names what lay beside a chunk and is gone.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from expunge.splice.bare import DOUBLE, FIXED_LEN_BYTE_ARRAY, FLOAT
from expunge.splice.footer import TAIL, Footer
from expunge.splice.indexes import read_beside
from expunge.splice.pages import DATA_V2, DICTIONARY, Page, pages
from expunge.splice.source import Source
from expunge.splice.style import CODECS
from expunge.splice.thrift import decode

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from expunge.shards import Cut
    from expunge.splice.footer import ColumnChunk
    from expunge.splice.source import Read

_OLD_LZ4 = 5

# Shorter values are in many other bytes by chance.
_LEAST_BYTES = 8

# So many removed values are looked for in a file.
_MOST_VALUES = 200

# Types whose values a bloom filter hashes as Arrow stores them.
_HASHED_AS_STORED = (
    pa.string(),
    pa.large_string(),
    pa.binary(),
    pa.large_binary(),
    pa.int32(),
    pa.int64(),
    pa.float32(),
    pa.float64(),
)


def written(source: Source) -> Iterator[tuple[ColumnChunk, list[tuple[Page, bytes]]]]:
    """Each chunk with its pages, decompressed."""
    for group in source.footer.groups:
        for chunk in group.columns:
            data = source.read(*chunk.extent)
            yield chunk, [(page, inflated(chunk, page, data[page.begin : page.end])) for page in pages(data)]


def inflated(chunk: ColumnChunk, page: Page, data: bytes) -> bytes:
    """The bytes of a page as they were before compression."""
    header = page.header
    levels = 0
    if header.type == DATA_V2:
        levels = header.data_v2.definition_bytes + header.data_v2.repetition_bytes
        if not header.data_v2.is_compressed:
            return data
    codec = CODECS[chunk.meta.codec]
    if codec == "none" or not data[levels:]:
        return data
    size = header.uncompressed_size - levels
    if chunk.meta.codec == _OLD_LZ4:
        return data[:levels] + _inflated_frames(data[levels:])
    name = "lz4_raw" if codec == "lz4" else codec
    return data[:levels] + bytes(pa.Codec(name).decompress(data[levels:], size))


def _inflated_frames(data: bytes) -> bytes:
    """LZ4 in its old framing: before each block its lengths, as Hadoop writes them."""
    parts: list[bytes] = []
    while data:
        size, length = int.from_bytes(data[:4]), int.from_bytes(data[4:8])
        parts.append(bytes(pa.Codec("lz4_raw").decompress(data[8 : 8 + length], size)))
        data = data[8 + length :]
    return b"".join(parts)


def leaks(base: Path, made: Path) -> list[str]:
    """What the made file tells of values that none of its rows has, as sentences."""
    with Source.open(made) as source, pq.ParquetFile(made) as reader:
        groups = [
            [leaf for column in reader.read_row_group(group).columns for leaf in leaves(_whole(column))]
            for group in range(reader.num_row_groups)
        ]
        chunks = [(chunk, found) for chunk, found in written(source)]
        values = [leaf for group in groups for leaf in group]
        told = [f"{text!r} is still there" for text in _still_there(base, made, values, chunks, source)]
        width = len(source.footer.leaves)
        for place in range(width):
            mine = list(zip(chunks[place::width], values[place::width], strict=True))
            told += _dictionary_leaks(mine)
            for number, ((chunk, _), leaf) in enumerate(mine):
                told += _bound_leaks(reader.metadata.row_group(number).column(place), leaf)
                told += _filter_leaks(source, chunk, leaf)
    return told


def missing(base: Path, made: Path, cut: Cut) -> list[str]:
    """Which chunks had a page index or a bloom filter and have none now, as sentences.

    A page of which only NaN is left has no bounds, and then its chunk no column index.
    """
    told: list[str] = []
    with Source.open(base) as old, Source.open(made) as new:
        first = 0
        groups = iter(new.footer.groups)
        for number, group in enumerate(old.footer.groups):
            kept = group.rows - len(cut.within(first, group.rows).drop)
            first += group.rows
            if not kept:
                continue
            for place, (one, other) in enumerate(zip(group.columns, next(groups).columns, strict=True)):
                for what, had, has in (
                    ("column index", one.column_index_length, other.column_index_length),
                    ("offset index", one.offset_index_length, other.offset_index_length),
                    ("bloom filter", one.meta.bloom_filter_offset, other.meta.bloom_filter_offset),
                ):
                    floats = old.footer.leaves[place].element.type in {FLOAT, DOUBLE, FIXED_LEN_BYTE_ARRAY}
                    if bool(had) != bool(has) and not (floats and what == "column index"):
                        told.append(f"group {number}, column {place}: the {what} {'went' if had else 'came'}")
    return told


def leaves(values: pa.Array) -> list[pa.Array]:
    """The values of each leaf of a column, nulls among them, dictionaries unfolded."""
    kind = values.type
    if pa.types.is_struct(kind):
        return [leaf for child in values.flatten() for leaf in leaves(child)]
    if pa.types.is_map(kind):
        there = values.drop_null()
        pairs = pa.StructArray.from_arrays([there.keys, there.items], ["key", "value"])
        first, last = (there.offsets[0].as_py(), there.offsets[-1].as_py()) if len(there) else (0, 0)
        return leaves(pairs.slice(first, last - first))
    if pa.types.is_nested(kind):
        return leaves(values.flatten())
    if pa.types.is_dictionary(kind):
        return [values.cast(kind.value_type)]
    if pa.types.is_string_view(kind) or pa.types.is_binary_view(kind):
        return [values.cast(pa.large_string() if pa.types.is_string_view(kind) else pa.large_binary())]
    return [values]


def _whole(column: pa.ChunkedArray) -> pa.Array:
    if not column.num_chunks:
        return pa.array([], column.type)
    return pa.concat_arrays(
        [leaf.dictionary_decode() if pa.types.is_dictionary(leaf.type) else leaf for leaf in column.chunks]
    )


def is_text(kind: pa.DataType) -> bool:
    """Whether values of the type are texts or bytes of any length."""
    return kind in {pa.string(), pa.large_string(), pa.binary(), pa.large_binary()}


def plain_texts(data: bytes) -> list[bytes]:
    """The values of a dictionary page of texts."""
    texts: list[bytes] = []
    place = 0
    while place < len(data):
        length = int.from_bytes(data[place : place + 4], "little")
        texts.append(data[place + 4 : place + 4 + length])
        place += 4 + length
    return texts


def _texts(values: pa.Array) -> set[bytes]:
    if not is_text(values.type):
        return set()
    return {one for one in values.cast(pa.large_binary()).unique().to_pylist() if one is not None}


def _still_there(
    base: Path,
    made: Path,
    values: list[pa.Array],
    chunks: list[tuple[ColumnChunk, list[tuple[Page, bytes]]]],
    source: Source,
) -> list[bytes]:
    """Texts of the base that no row has any more, and yet the made file holds somewhere."""
    kept = {text for leaf in values for text in _texts(leaf)}
    with pq.ParquetFile(base) as reader:
        had = {
            text
            for column in reader.read().columns
            for leaf in leaves(_whole(column))
            for text in _texts(leaf)
        }
    gone = sorted(text for text in had - kept if len(text) >= _LEAST_BYTES)
    some = gone[:: max(1, len(gone) // _MOST_VALUES)]
    all_kept = b"\0".join(kept)  # of which it may be a part
    told = [_between_pages(made, chunks)]
    for chunk, found in chunks:
        beside = read_beside(source.read, chunk)
        told += [beside.column_index, beside.offset_index]
        # Ends of values stand side by side in this encoding, and may read as another one together.
        told += [data for page, data in found if page.header.encoding != "DELTA_BYTE_ARRAY"]
    whole = b"\0".join(told)
    return [text for text in some if text in whole and text not in all_kept]


def _between_pages(made: Path, chunks: list[tuple[ColumnChunk, list[tuple[Page, bytes]]]]) -> bytes:
    """All of a file but its pages, which may be compressed: headers, footer, what lies beside and between."""
    data = bytearray(made.read_bytes())
    for chunk, found in chunks:
        first, _ = chunk.extent
        for page, _ in found:
            data[first + page.begin : first + page.end] = bytes(page.end - page.begin)
    return bytes(data)


def _bits(values: pa.Array) -> pa.Array:
    """Floats as numbers of the same bits: NaN and the two zeros are then values as others."""
    if not pa.types.is_floating(values.type):
        return values
    return values.view({16: pa.int16(), 32: pa.int32(), 64: pa.int64()}[values.type.bit_width])


def _distinct(values: pa.Array) -> int:
    return len(_bits(values).unique().drop_null())


def _dictionary_leaks(
    chunks: list[tuple[tuple[ColumnChunk, list[tuple[Page, bytes]]], pa.Array]],
) -> list[str]:
    """Dictionaries of a column with more entries than their rows have values; one that all share than all rows have."""
    found = [
        (
            next(((page.header.values, data) for page, data in held if page.header.type == DICTIONARY), None),
            leaf,
        )
        for (_, held), leaf in chunks
    ]
    if len({dictionary[1] if dictionary else None for dictionary, _ in found}) == 1 and len(found) > 1:
        found = [(found[0][0], pa.concat_arrays([leaf for _, leaf in found]))]
    told: list[str] = []
    for dictionary, leaf in found:
        if dictionary and is_text(leaf.type):
            extra = (
                set(plain_texts(dictionary[1])) - _texts(leaf) - {b""}
            )  # DuckDB's place for what is not there
            told += [f"a dictionary has {len(extra)} entries that no row has"] if extra else []
        elif dictionary and dictionary[0] > _distinct(leaf):
            told.append(
                f"a dictionary has {dictionary[0]} entries for {_distinct(leaf)} values ({leaf.type})"
            )
    return told


def _bound_leaks(chunk: pq.ColumnChunkMetaData, leaf: pa.Array) -> list[str]:
    """Bounds of a chunk of numbers or times that lie beyond its values. Those of texts are found as texts."""
    kind = leaf.type
    if not chunk.is_stats_set or not chunk.statistics.has_min_max:
        return []
    if kind in {pa.float32(), pa.float64()}:
        leaf = leaf.filter(pc.invert(pc.is_nan(leaf)))
    elif not (pa.types.is_integer(kind) or pa.types.is_date(kind) or pa.types.is_decimal(kind)):
        return []
    least, most = (value.as_py() for value in pc.min_max(leaf).values())
    told = chunk.statistics.min, chunk.statistics.max
    if told[0] != told[0]:
        return []
    if least is None or told[0] < least or told[1] > most:
        return [f"statistics tell of {told}, where the values are {least} to {most}"]
    return []


def _filter_leaks(source: Source, chunk: ColumnChunk, leaf: pa.Array) -> list[str]:
    """A bloom filter with bits that its values do not set, or without bits that they do."""
    begin = chunk.meta.bloom_filter_offset
    if not begin or leaf.type not in _HASHED_AS_STORED:
        return []
    bits = _filter_bits(source.read, begin)
    expected = _filter_of(leaf, len(bits))
    if _halved(bits, len(expected)) == expected:
        return []
    return [f"a bloom filter of {len(bits)} bytes is not that of its values"]


def _halved(bits: bytes, size: int) -> bytes:
    """A bloom filter made smaller, as PyArrow does with one that few values are in: neighbouring blocks become one."""
    blocks = np.frombuffer(bits, np.uint8).reshape(size // 32, -1, 32)
    return bytes(np.bitwise_or.reduce(blocks, axis=1).tobytes())


def _filter_bits(read: Read, begin: int) -> bytes:
    header, length = decode(read(begin, begin + 32))
    size: Any = header[1][1]
    return read(begin + length, begin + length + size)


def _filter_of(values: pa.Array, size: int) -> bytes:
    """The bits of the bloom filter, of so many bytes, that holds these values."""
    sink = pa.BufferOutputStream()
    most = max(1, int(-size * math.log(1 - 1e-9 ** (1 / 8)) * 0.9))  # that fit so, and a little less
    options = {"bloom_filter_options": {"x": {"ndv": most, "fpp": 1e-9}}}
    pq.write_table(pa.table({"x": values}), sink, row_group_size=max(1, len(values)), **options)
    data = sink.getvalue().to_pybytes()
    start = len(data) - TAIL - int.from_bytes(data[-TAIL : -TAIL + 4], "little")
    (group,) = Footer(data[start:-TAIL], start).groups
    return _filter_bits(lambda begin, end: data[begin:end], group.columns[0].meta.bloom_filter_offset)
