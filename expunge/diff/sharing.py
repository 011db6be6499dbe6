"""What two versions hold byte for byte: whole shards, and row groups of Parquet shards.

A piece is a row group, or a whole text shard. Two pieces hold the same values in the columns compared when their
signatures agree (rows, types, codecs, lengths) and the bytes of those columns' chunks do. Bytes are compared side by
side where one piece can only be one other, and by digest where there are several candidates; pieces that have no
candidate are never read here.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from expunge.shards import Shard, open_shard
from expunge.shards.parquet import ParquetShard
from expunge.shards.source import TABLE_EXTENSION, row_format

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow.parquet as pq

    from expunge.progress import Progress
    from expunge.shards import ShardFile

Extents = tuple[tuple[int, int], ...]
"""Runs of bytes in a file, each by its start and its length."""

_BLOCK_BYTES = 256 << 10

# Writers whose footers do not count the dictionary page's header into a chunk's length (PARQUET-816), or that do not
# say which version they are.
_UNCERTAIN_WRITER = re.compile(r"parquet-mr(?! version (?:1\.(?:[89]|[1-9]\d)|[2-9]))", re.IGNORECASE)


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """A row group of a Parquet shard, or a whole text shard.

    `side` is 0 for the older and 1 for the newer version, `shard` the place in it, `first` the index of the first
    row. `rows` is 0 in the text formats, which must be read to know. Without a signature a piece is never shared.
    """

    side: int
    shard: int
    path: Path
    group: int | None
    first: int
    rows: int
    signature: Hashable | None
    extents: Extents = field(repr=False)


@dataclass(slots=True)
class Opened:
    """A shard of one side with its pieces and the columns compared; `footer` is None in the text formats."""

    file: ShardFile
    shard: Shard
    side: int
    place: int
    columns: tuple[str, ...]
    footer: pq.FileMetaData | None
    pieces: list[Piece]


@dataclass(slots=True)
class Sharing:
    """Which pieces both sides hold (`pairs`, older and newer), what is `left` of each side, and renamed shards."""

    pairs: list[tuple[Piece, Piece]]
    left: tuple[list[Piece], list[Piece]]
    renamed: list[tuple[str, str]]


ColumnsOf = Callable[[Shard], "tuple[str, ...]"]
"""Which columns of a shard are compared."""


def open_version(files: Sequence[ShardFile], side: int, columns: ColumnsOf, *, named: bool) -> list[Opened]:
    """Open the shards of one side and lay out their pieces. Raises `BadShard` and `UsageError`.

    With `named` a column can only be shared with one of the same name, otherwise with the one compared with it.
    """
    opened = []
    for place, file in enumerate(files):
        shard = open_shard(file)
        form = row_format(file.name)
        compared = columns(shard)
        if form != TABLE_EXTENSION:
            size = shard.fingerprint[0]
            # The same bytes are the same rows where one parser reads both. An empty file has no rows to share.
            piece = Piece(side, place, file.path, None, 0, 0, (form, size) if size else None, ((0, size),))
            opened.append(Opened(file, shard, side, place, compared, None, [piece]))
            continue
        assert isinstance(shard, ParquetShard)
        types = {column.name: column.type for column in shard.columns}
        entry = Opened(file, shard, side, place, compared, shard.footer, [])
        entry.pieces.extend(_groups(entry, types if named else None))
        opened.append(entry)
    return opened


def find_shared(
    old: Sequence[Opened], new: Sequence[Opened], *, by_shard: bool, progress: Progress
) -> Sharing:
    """Find what both sides hold: under the same name first, then, unless `by_shard`, under any."""
    names = {entry.file.name: entry for entry in new}
    namesakes = [(entry, names[entry.file.name]) for entry in old if entry.file.name in names]
    total = sum(piece.rows for entry in (*old, *new) for piece in entry.pieces)
    pairs: list[tuple[Piece, Piece]] = []
    done = 0
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as threads:
        for found in threads.map(_share_namesakes, namesakes):
            pairs += found
            done += sum(one.rows + other.rows for one, other in found)
            progress("Comparing bytes", done, total)
        renamed = _find_renamed(old, new, pairs, threads)
        if not by_shard:
            # A whole shard weighs more than the row groups it has in common with its namesake.
            moved = {id(piece) for entries in renamed for entry in entries for piece in entry.pieces}
            pairs = [pair for pair in pairs if not moved & {id(pair[0]), id(pair[1])}]
            for one, other in renamed:
                pairs += zip(one.pieces, other.pieces, strict=True)
            pairs += _match(_unshared(old, pairs), _unshared(new, pairs), threads)
    left = _unshared(old, pairs), _unshared(new, pairs)
    return Sharing(pairs, left, [(one.file.name, other.file.name) for one, other in renamed])


def _groups(entry: Opened, types: dict[str, str] | None) -> Iterator[Piece]:
    """The row groups of a Parquet shard, each with the signature and the extents of the columns compared."""
    footer, path = entry.footer, entry.file.path
    assert footer is not None
    leaves = [
        place
        for place in range(footer.num_columns)
        if _is_of(footer.schema.column(place).path, entry.columns)
    ]
    shape: list[Hashable] = []
    for place in leaves:
        leaf = footer.schema.column(place)
        shape.append(
            (
                leaf.physical_type,
                str(leaf.logical_type),
                leaf.length,
                leaf.max_definition_level,
                leaf.max_repetition_level,
                (leaf.path, types.get(leaf.path.split(".")[0])) if types is not None else None,
            )
        )
    certain = bool(leaves) and not _UNCERTAIN_WRITER.match(footer.created_by or "parquet-mr")
    first = 0
    for number in range(footer.num_row_groups):
        group = footer.row_group(number)
        chunks = [group.column(place) for place in leaves]
        extents = tuple((_start(chunk), chunk.total_compressed_size) for chunk in chunks)
        # An extent that the file cannot hold says that the footer is not to be trusted with more.
        sound = certain and all(
            start >= 4 and length > 0 and start + length <= entry.shard.fingerprint[0] and not chunk.file_path
            for (start, length), chunk in zip(extents, chunks, strict=True)
        )
        signature = (
            group.num_rows,
            tuple(shape),
            tuple(
                (chunk.compression, chunk.num_values, length, chunk.data_page_offset - start)
                for (start, length), chunk in zip(extents, chunks, strict=True)
            ),
        )
        yield Piece(
            entry.side,
            entry.place,
            path,
            number,
            first,
            group.num_rows,
            signature if sound else None,
            extents,
        )
        first += group.num_rows


def _is_of(path: str, columns: tuple[str, ...]) -> bool:
    """Whether a leaf belongs to one of the columns. One leaf too many costs time, one too few would be a fault."""
    return any(path == name or path.startswith(f"{name}.") for name in columns)


def _start(chunk: pq.ColumnChunkMetaData) -> int:
    data: int = chunk.data_page_offset
    dictionary = chunk.dictionary_page_offset  # some writers say 0 where there is none
    return min(data, dictionary) if dictionary else data


def _share_namesakes(pair: tuple[Opened, Opened]) -> list[tuple[Piece, Piece]]:
    """The pieces that two shards of the same name share. The same file is not read."""
    one, other = pair
    if one.shard.fingerprint == other.shard.fingerprint and len(one.pieces) == len(other.pieces):
        return list(zip(one.pieces, other.pieces, strict=True))
    found = []
    candidates = _by_signature(other.pieces)
    for signature, pieces in _by_signature(one.pieces).items():
        # Those of one signature follow each other in both files as they stand, most often.
        for piece, candidate in zip(pieces, candidates.get(signature, ()), strict=False):
            if _same_bytes(piece, candidate):
                found.append((piece, candidate))
    if len(found) == len(one.pieces) == len(other.pieces):
        return found
    # Row groups without a signature tell nothing by themselves, but they are what the whole file is.
    whole, across = _whole(one), _whole(other)
    if any(piece.signature is None for piece in one.pieces) and whole.signature == across.signature:
        return list(zip(one.pieces, other.pieces, strict=True)) if _same_bytes(whole, across) else found
    return found


def _whole(entry: Opened) -> Piece:
    """A shard as one piece, whatever is in it."""
    size = entry.shard.fingerprint[0]
    form = row_format(entry.file.name)
    return Piece(entry.side, entry.place, entry.file.path, None, 0, 0, (form, size), ((0, size),))


def _find_renamed(
    old: Sequence[Opened],
    new: Sequence[Opened],
    pairs: Sequence[tuple[Piece, Piece]],
    threads: ThreadPoolExecutor,
) -> list[tuple[Opened, Opened]]:
    """The shards that are byte for byte in both versions, but not under the same name."""
    shared = {id(piece) for pair in pairs for piece in pair}
    by_path = {}
    sides: tuple[list[Piece], list[Piece]] = ([], [])
    for side, entries in enumerate((old, new)):
        for entry in entries:
            if not all(id(piece) in shared for piece in entry.pieces):
                whole = _whole(entry)
                by_path[id(whole)] = entry
                sides[side].append(whole)
    return [(by_path[id(one)], by_path[id(other)]) for one, other in _match(*sides, threads)]


def _match(
    old: Sequence[Piece], new: Sequence[Piece], threads: ThreadPoolExecutor
) -> list[tuple[Piece, Piece]]:
    """Pair pieces with the same bytes, in order where there are several."""
    ones, others = _by_signature(old), _by_signature(new)
    buckets = [(ones[signature], others[signature]) for signature in ones if signature in others]
    single = [(a[0], b[0]) for a, b in buckets if len(a) == len(b) == 1]
    found = [
        pair
        for pair, same in zip(single, threads.map(lambda pair: _same_bytes(*pair), single), strict=True)
        if same
    ]
    crowded = [bucket for bucket in buckets if len(bucket[0]) + len(bucket[1]) > 2]
    pieces = [piece for bucket in crowded for side in bucket for piece in side]
    digests = {id(piece): digest for piece, digest in zip(pieces, threads.map(_digest, pieces), strict=True)}
    for a, b in crowded:
        waiting: dict[bytes, list[Piece]] = defaultdict(list)
        for piece in reversed(b):
            waiting[digests[id(piece)]].append(piece)
        found += [(piece, waiting[digests[id(piece)]].pop()) for piece in a if waiting[digests[id(piece)]]]
    return found


def _unshared(entries: Sequence[Opened], pairs: Sequence[tuple[Piece, Piece]]) -> list[Piece]:
    shared = {id(piece) for pair in pairs for piece in pair}
    return [piece for entry in entries for piece in entry.pieces if id(piece) not in shared]


def _by_signature(pieces: Sequence[Piece]) -> dict[Hashable, list[Piece]]:
    found: dict[Hashable, list[Piece]] = defaultdict(list)
    for piece in pieces:
        if piece.signature is not None:
            found[piece.signature].append(piece)
    return found


def _same_bytes(one: Piece, other: Piece) -> bool:
    """Whether two pieces of one signature hold the same bytes. Ends at the first difference."""
    a, b = os.open(one.path, os.O_RDONLY), os.open(other.path, os.O_RDONLY)
    try:
        if os.path.samestat(os.fstat(a), os.fstat(b)) and one.extents == other.extents:
            return True
        for (start, length), (across, _) in zip(one.extents, other.extents, strict=True):
            for done in range(0, length, _BLOCK_BYTES):
                size = min(_BLOCK_BYTES, length - done)
                block = os.pread(a, size, start + done)
                # A block cut short belongs to a file that changed meanwhile, which the reader will tell.
                if len(block) != size or block != os.pread(b, size, across + done):
                    return False
        return True
    finally:
        os.close(a)
        os.close(b)


def _digest(piece: Piece) -> bytes:
    digest = hashlib.sha256()
    handle = os.open(piece.path, os.O_RDONLY)
    try:
        for start, length in piece.extents:
            for done in range(0, length, _BLOCK_BYTES):
                digest.update(os.pread(handle, min(_BLOCK_BYTES, length - done), start + done))
    finally:
        os.close(handle)
    return digest.digest()
