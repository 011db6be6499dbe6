"""Write shards without some rows, and read them back.

The unit of work is a pure function of one shard: the same function runs here, in a pool of processes or in any other
engine that maps over shards, and gives the same bytes.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from expunge.errors import VerificationFailed
from expunge.locate import locate
from expunge.manifest import file_digest
from expunge.pool import Advance, map_shards
from expunge.shards import Cut, Fingerprint, Method, Shard, ShardFile, check_name, open_shard

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

    def open_written(self) -> Shard:
        """What was written of it."""
        return open_shard(replace(self.source, path=self.target, may_be_empty=True))


@dataclass(frozen=True, slots=True)
class Made:
    """One shard as written, and the shard it was made of."""

    sha256: str
    bytes: int
    rows: int
    base_sha256: str
    method: Method


def write_shards(
    pieces: Sequence[Piece],
    *,
    link: bool = False,
    workers: int,
    progress: Progress,
    stage: str = "Writing shards",
) -> list[Made]:
    """Write every piece; each is a pure function of its shard and cut. `link` has whole ones linked, not copied."""
    for piece in pieces:
        check_name(piece.source.name)
    total = sum(piece.rows for piece in pieces)
    return map_shards(_write_one, link, pieces, workers=workers, stage=stage, total=total, progress=progress)


def _write_one(link: bool, item: Piece, advance: Advance) -> Made:  # noqa: FBT001  what all calls of a pool share
    shard = item.open()
    item.target.parent.mkdir(parents=True, exist_ok=True)
    if item.cut:
        base = shard.digest()
        written = shard.rewrite(item.target, item.cut)
        made = Made(written.sha256, written.bytes, written.rows, base, written.method)
    elif link:
        digest = shard.digest()
        os.link(item.source.path, item.target, follow_symlinks=True)
        made = Made(digest, item.target.stat().st_size, item.rows, digest, "whole")
    else:
        written = shard.copy(item.target)
        made = Made(written.sha256, written.bytes, item.rows, written.sha256, written.method)
    advance(item.rows)
    return made


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
    map_shards(_read_one, None, work, workers=workers, stage="Reading back", total=total, progress=progress)
    rewritten = [
        ShardFile(piece.target, piece.source.name, may_be_empty=True) for piece in pieces if piece.cut
    ]
    again = locate(
        rewritten,
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


def _read_one(_shared: None, item: tuple[Piece, Made], advance: Advance) -> None:
    piece, made = item
    if file_digest(piece.target) != made.sha256:
        raise VerificationFailed(f"{piece.source.name}: what is on disk is not what was written.")
    if piece.cut:
        piece.open().compare(piece.open_written(), piece.cut)
        expected = piece.rows - len(piece.cut.drop)
        if made.rows != expected:
            raise VerificationFailed(f"{piece.source.name}: {made.rows} rows were written, not {expected}.")
    elif made.sha256 != made.base_sha256:
        raise VerificationFailed(f"{piece.source.name}: an untouched shard differs from its base.")
    advance(piece.rows)
