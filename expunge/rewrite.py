"""Write shards without some rows, and read them back.

The unit of work is a pure function of one shard: the same function runs here, in a pool of processes or in any other
engine that maps over shards, and gives the same bytes.
"""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import orjson
import pyarrow as pa

from expunge import __version__
from expunge.errors import VerificationFailed
from expunge.journal import Finished, append_finished, keep_finished, read_finished
from expunge.locate import locate
from expunge.manifest import file_digest
from expunge.pool import Advance, map_shards, map_threads
from expunge.shards import Cut, Fingerprint, Method, Shard, ShardFile, check_name, open_shard
from expunge.shards.source import TABLE_EXTENSION, split_extension

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from expunge.keys import Role
    from expunge.lists import Entry
    from expunge.progress import Progress


@dataclass(frozen=True, slots=True)
class Piece:
    """One shard to write: where it is, where it goes, its rows, and what is taken out of it.

    `fingerprint` is that of the file in which the rows of the cut were found, so that a file which has changed since is
    not cut by them.
    """

    source: ShardFile
    target: Path
    rows: int
    cut: Cut
    fingerprint: Fingerprint

    def open(self) -> Shard:
        """The shard in which the rows were found. Raises `BadShard` if it has changed since."""
        shard = open_shard(self.source)
        shard.expect(self.fingerprint)
        return shard

    @property
    def written(self) -> ShardFile:
        """The file that is written, of which all rows may be gone."""
        return replace(self.source, path=self.target, may_be_empty=True, sha256=None)

    def recipe(self, *, link: bool) -> str:
        """A digest of all that decides what is written: file, cut, and the versions of the code that writes."""
        made_of = [__version__, pa.__version__, self.source.name, self.rows, self.fingerprint, link]
        return hashlib.sha256(orjson.dumps([*made_of, self.cut.digest()])).hexdigest()


@dataclass(frozen=True, slots=True)
class Made:
    """One shard as written, and the shard it was made of. `kept` is one that an interrupted run had finished.

    `reason` is why a Parquet shard was rewritten and not spliced.
    """

    sha256: str
    bytes: int
    rows: int
    base_sha256: str
    method: Method
    reason: str | None = None
    kept: bool = False


def write_shards(
    pieces: Sequence[Piece],
    *,
    folder: Path | None = None,
    link: bool = False,
    workers: int,
    progress: Progress,
    stage: str = "Writing shards",
) -> list[Made]:
    """Write every piece; each is a pure function of its shard and cut. `link` has whole ones linked, not copied.

    With `folder`, the unfinished one that all targets are in, each shard is noted there once it is on disk. Those that
    an interrupted run noted are kept, if they would be made of the same again; all else in the folder is removed.
    """
    for piece in pieces:
        check_name(piece.source.name)
    before = {} if folder is None else read_finished(folder)
    work: list[tuple[Piece, Finished | None]] = []
    for piece in pieces:
        earlier = before.get(piece.target.relative_to(folder).as_posix()) if folder else None
        work.append((piece, earlier if earlier and earlier.recipe == piece.recipe(link=link) else None))
    if folder is not None:
        keep_finished(folder, {earlier.path for _, earlier in work if earlier})
    return map_shards(
        _write_or_keep,
        (folder, link),
        work,
        workers=workers,
        stage=stage,
        total=sum(piece.rows for piece in pieces),
        progress=progress,
    )


def _write_or_keep(
    shared: tuple[Path | None, bool], item: tuple[Piece, Finished | None], advance: Advance
) -> Made:
    folder, link = shared
    piece, earlier = item
    if earlier is not None:
        if piece.target.is_file() and file_digest(piece.target) == earlier.sha256:
            advance(piece.rows)
            return replace(Made(**earlier.facts), kept=True)
        piece.target.unlink(missing_ok=True)
    made = write_piece(piece, link=link, advance=advance)
    if folder is not None:
        path = piece.target.relative_to(folder).as_posix()
        append_finished(folder, Finished(path, piece.recipe(link=link), made.sha256, asdict(made)))
    return made


def write_piece(item: Piece, *, link: bool, advance: Advance) -> Made:
    """Write one piece. `link` has a whole one linked, not copied. Raises `BadShard` and `UsageError`."""
    shard = item.open()
    item.target.parent.mkdir(parents=True, exist_ok=True)
    if item.cut:
        with ThreadPoolExecutor(1) as beside:  # hashing leaves the interpreter to others
            base = beside.submit(_digest, shard)
            written = shard.rewrite(item.target, item.cut)
        made = Made(
            written.sha256, written.bytes, written.rows, base.result(), written.method, written.reason
        )
    elif link:
        digest = _digest(shard)
        os.link(item.source.path, item.target, follow_symlinks=True)
        made = Made(digest, item.target.stat().st_size, item.rows, digest, "whole")
    else:
        written = shard.copy(item.target)
        made = Made(written.sha256, written.bytes, item.rows, written.sha256, written.method)
    advance(item.rows)
    return made


def _digest(shard: Shard) -> str:
    """The digest of a base's shard; one that is known is believed until the release is verified."""
    return shard.file.sha256 or shard.digest()


def verify_shards(
    pieces: Sequence[Piece],
    made: Sequence[Made],
    entries: Sequence[Entry],
    *,
    columns: Mapping[str, str] | None = None,
    hints: Mapping[Role, str] | None = None,
    blanked: Sequence[str] | None = None,
    workers: int,
    progress: Progress,
) -> None:
    """Read the written shards back from disk and hold them against the base and the entries.

    Raises `VerificationFailed`: bytes that are not what was written, a row that changed or moved, or a rewritten shard
    in which an entry is still found. `columns`, `hints` and `blanked` are as in `locate`.
    """
    total = sum(piece.rows for piece in pieces)
    work = list(zip(pieces, made, strict=True))
    # Hashing and decoding Parquet leave the interpreter to other threads, reading text does not.
    parquet = all(split_extension(piece.source.name)[0] == TABLE_EXTENSION for piece in pieces)
    spread = map_threads if parquet else map_shards
    spread(_read_one, None, work, workers=workers, stage="Reading back", total=total, progress=progress)
    again = locate(
        [_fresh(piece, one.method) for piece, one in work if piece.cut],
        entries,
        columns=columns,
        hints=hints,
        blanked=blanked,
        workers=workers,
        progress=progress,
        stage="Looking again",
        checked=False,
    )
    for name, positions in again.positions.items():
        raise VerificationFailed(f"{name}: row {positions[0]} of the release still matches an entry.")


def _fresh(piece: Piece, method: Method) -> ShardFile:
    """The written shard, of which only rows that are not copied bytes need a second look: the others were looked at."""
    rows = piece.open().fresh_rows(piece.cut) if method == "spliced" else None
    return replace(piece.written, rows=rows)


def _read_one(_shared: None, item: tuple[Piece, Made], advance: Advance) -> None:
    piece, made = item
    if file_digest(piece.target) != made.sha256:
        raise VerificationFailed(f"{piece.source.name}: what is on disk is not what was written.")
    if piece.cut:
        base = piece.open()
        if piece.source.sha256 and base.digest() != made.base_sha256:
            raise VerificationFailed(f"{piece.source.name}: its base is not the file that its digest is of.")
        base.compare(open_shard(piece.written), piece.cut)
        expected = piece.rows - len(piece.cut.drop)
        if made.rows != expected:
            raise VerificationFailed(f"{piece.source.name}: {made.rows} rows were written, not {expected}.")
    elif made.sha256 != made.base_sha256:
        raise VerificationFailed(f"{piece.source.name}: an untouched shard differs from its base.")
    advance(piece.rows)
