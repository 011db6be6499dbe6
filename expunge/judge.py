"""Hold somebody's copy against a release, to tell which of its rows the release removes, and which cells it redacts.

A shard whose digest is known needs no reading: it is a shard of the base (rows and cells are at the diff's positions) or
of the release (none). The rows and cells of any other are found by the diff's keys.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from expunge.hashing import hash_files
from expunge.keys import ROLE_OF, KeyKind, Role
from expunge.manifest import read_keys, read_positions, read_redacted, read_redacted_keys
from expunge.redactions import column_named, locate_both
from expunge.shards import NO_ROWS, Binding, Cut, Fingerprint, Positions, ShardFile, open_shard
from expunge.shards.source import row_format

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from expunge.manifest import Release
    from expunge.progress import Progress


class KnownAs(StrEnum):
    """How a shard of a copy was recognised."""

    BASE = "base"
    RELEASE = "release"
    KEYS = "keys"


@dataclass(frozen=True, slots=True)
class Judged:
    """One shard of a copy: how it was recognised, its rows, and those that the release removes.

    `redacted` are the cells of other rows that are to be made null, and the elements that go; `named` are, by column, the
    rows that stay and of which redactions name that cell, whatever it still holds. `undetermined` says what could not be
    judged, empty if nothing.
    """

    file: ShardFile
    known_as: KnownAs
    rows: int
    positions: Positions
    fingerprint: Fingerprint
    undetermined: tuple[str, ...] = ()
    redacted: Cut = field(default_factory=Cut)
    named: Mapping[str, Positions] = field(default_factory=dict)


def judge(
    shards: Sequence[ShardFile],
    folder: Path,
    release: Release,
    *,
    columns: Mapping[str, str] | None,
    workers: int,
    progress: Progress,
) -> list[Judged]:
    """Judge each shard of a copy against the release in `folder`, whose diff was verified. Same order as `shards`.

    An empty text shard is one without rows: applying a release may leave it so.
    """
    if not shards:
        return []
    shards = [replace(file, may_be_empty=True) for file in shards]
    hashed = hash_files(shards, workers=workers, stage="Hashing shards", progress=progress)
    removed = read_positions(folder)
    redacted = read_redacted(folder) if release.redacted else {}
    # The same bytes are other rows under another format.
    base = {(shard.base_sha256, row_format(shard.name)): shard.base_rows for shard in release.shards}
    clean = {(shard.sha256, row_format(shard.name)): shard.rows for shard in release.shards}
    judged: dict[str, Judged] = {}
    for file, one in zip(shards, hashed, strict=True):
        digest, state = one.sha256, one.fingerprint
        known = digest, row_format(file.name)
        if known in base and (digest in removed or digest in redacted or known not in clean):
            positions, lost = removed.get(digest, NO_ROWS), redacted.get(digest, Cut())
            judged[file.name] = Judged(
                file,
                KnownAs.BASE,
                base[known],
                positions,
                state,
                redacted=lost,
                named=lost.null,
            )
        elif known in clean:
            judged[file.name] = Judged(file, KnownAs.RELEASE, clean[known], NO_ROWS, state)
    unknown = [file for file in shards if file.name not in judged]
    if unknown:
        located, found = locate_both(
            unknown,
            read_keys(folder),
            read_redacted_keys(folder) if release.redacted else [],
            columns=columns,
            hints=release.columns,
            blanked=release.blanked if release.form == "aligned" else None,
            workers=workers,
            progress=progress,
        )
        for file, hits, cells in zip(unknown, located.shards, found, strict=True):
            gone = Cut(drop=hits.positions) if release.form == "compact" else Cut()
            judged[file.name] = Judged(
                file,
                KnownAs.KEYS,
                hits.total,
                hits.positions,
                hits.fingerprint,
                _undetermined(release, file, hits.binding) if hits.total else (),
                redacted=cells.beside(gone).cut,
                named={name: np.setdiff1d(rows, hits.positions) for name, rows in cells.named.items()},
            )
    return [judged[file.name] for file in shards]


def _undetermined(release: Release, file: ShardFile, binding: Binding) -> tuple[str, ...]:
    """What a shard that carries only these roles cannot be judged on."""
    roles = set(binding)
    reasons: list[str] = []
    if Role.URL not in roles and release.rows_removed > sum(part.rows for part in release.hidden):
        reasons.append(f"it has no column for {KeyKind.URL_RAW}, by which most removed rows are found")
    for part in release.hidden:
        if not any(ROLE_OF[kind] in roles for kind in part.kinds):
            kinds = " or ".join(part.kinds)
            reasons.append(
                f"{part.rows:,} removed rows can only be found by {kinds}, for which it has no column"
            )
    if release.redacted:
        columns = open_shard(file).columns
        for cells in release.redacted:
            name = column_named(cells.column, columns, binding, release.columns)
            if name is not None and not any(ROLE_OF[kind] in roles for kind in cells.kinds):
                kinds = " or ".join(cells.kinds)
                reasons.append(
                    f"{cells.cells:,} redacted cells of {name!r} can only be found by {kinds}, for which it has no column"
                )
    return tuple(reasons)
