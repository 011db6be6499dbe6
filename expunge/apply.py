"""Bring somebody's own copy to a release, with nothing but the release's diff."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from expunge.errors import UsageError
from expunge.files import building
from expunge.judge import Judged, KnownAs, judge
from expunge.manifest import read_keys
from expunge.progress import Progress, quiet
from expunge.rewrite import Piece, verify_shards, write_shards
from expunge.shards import BLANKED_ROLES, Cut, bind_columns, open_shard
from expunge.verify import trusted_diff

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from expunge.manifest import Release
    from expunge.shards import ShardFile


@dataclass(frozen=True, slots=True)
class Applied:
    """What was done to a copy. `undetermined` names shards that could not be judged in full, with the reason."""

    release: Release
    path: Path
    rows_before: int
    rows_removed: int
    rows_after: int
    shards: int
    shards_changed: int
    undetermined: dict[str, tuple[str, ...]]


def apply(
    folder: Path,
    shards: Sequence[ShardFile],
    output: Path,
    *,
    columns: Mapping[str, str] | None = None,
    minisign_pub: Path | None = None,
    oms_pub: Path | None = None,
    workers: int = 1,
    progress: Progress = quiet,
) -> Applied:
    """Write `shards` (a copy in any order or format, or a part of one) to the new folder `output`, as the release has it.

    Shards whose digest is the base's are cut by position and come out byte for byte as the release's; all others by
    key. Names stay as they are. A copy that is at the release already comes out unchanged.

    Raises `UsageError`, `BadShard`, `BadRelease` or `VerificationFailed`; then nothing is left behind.
    """
    release = trusted_diff(folder, minisign_pub=minisign_pub, oms_pub=oms_pub)
    with building(output) as target:
        judged = judge(shards, folder, release, columns=columns, workers=workers, progress=progress)
        pieces = [
            Piece(
                one.file,
                target / one.file.name,
                one.rows,
                Cut.of_rows(one.positions, _blank(one, release, columns)),
                one.fingerprint,
            )
            for one in judged
        ]
        made = write_shards(pieces, workers=workers, progress=progress)
        verify_shards(
            pieces,
            made,
            read_keys(folder),
            columns=columns,
            hints=release.columns,
            blanked=release.blanked if release.form == "aligned" else None,
            workers=workers,
            progress=progress,
        )
    removed = sum(len(piece.cut.touched) for piece in pieces)
    before = sum(piece.rows for piece in pieces)
    return Applied(
        release=release,
        path=output,
        rows_before=before,
        rows_removed=removed,
        rows_after=before if release.form == "aligned" else before - removed,
        shards=len(pieces),
        shards_changed=sum(bool(piece.cut) for piece in pieces),
        undetermined={one.file.name: one.undetermined for one in judged if one.undetermined},
    )


def _blank(one: Judged, release: Release, columns: Mapping[str, str] | None) -> tuple[str, ...] | None:
    """The columns to leave empty in one shard of this copy, whose names may be others than the base's."""
    if release.form == "compact" or one.known_as is not KnownAs.KEYS:
        return release.blanked if release.form == "aligned" else None
    here = open_shard(one.file).columns
    binding = bind_columns(here, columns, release.columns)
    names = {column.name for column in here}.intersection(release.blanked)
    names.update(binding[role] for role in BLANKED_ROLES if role in binding)
    if len(one.positions) and not names:
        raise UsageError(
            f"{one.file.name}: the release leaves columns empty, but none is known by name here. "
            "Name them with --column."
        )
    return tuple(sorted(names))
