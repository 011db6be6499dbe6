"""Make a clean release: a base without the rows that a removal list names and the cells that a redaction list names.

1. Locate the entries of both lists in every shard of the base.
2. Work out the cut of each shard: rows that go or are left empty, cells that become null, elements that leave a list.
3. Write each shard: one of which nothing is cut is copied or linked, the others are spliced or rewritten.
4. Work out the keys by which somebody finds in a copy what was cut.
5. Read everything back: every row that is not cut is there, unchanged and in order, and nothing that is there matches
   an entry.
6. Write `release.json`, `diff/` and `SHA256SUMS`, and sign.

The folder is built aside and appears whole or not at all. A run that was stopped goes on from the shards it finished.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from expunge.diffkeys import DiffKeys, diff_keys
from expunge.errors import UsageError
from expunge.files import building, write_file
from expunge.keys import Role
from expunge.manifest import (
    KEYS_FILE,
    REDACTED_FILE,
    REDACTED_KEYS_FILE,
    REMOVED_FILE,
    Form,
    Release,
    ReleaseShard,
    diff_files,
    file_digest,
    format_sums,
    version_root,
    write_keys,
    write_positions,
    write_redacted,
    write_redacted_keys,
)
from expunge.progress import Progress, quiet
from expunge.redactions import check_redactions, joined, locate_both, verify_redactions
from expunge.rewrite import Made, Piece, verify_shards, write_shards
from expunge.shards import BLANKED_ROLES, Cut, ShardFile, open_shard
from expunge.shards.source import DATA_FOLDER, RELEASE_FILE, SUMS_FILE, row_format
from expunge.signing import OMS_SIGNATURE, SUMS_SIGNATURE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from expunge.lists import Entry, Redaction
    from expunge.locate import Located
    from expunge.redactions import Cells
    from expunge.signing import Signer


@dataclass(frozen=True, slots=True)
class CleanResult:
    """A finished release.

    `hits` counts the rows that each entry names, in the order of the entries; `unredacted` are the redactions that took
    nothing, because nothing matched or a removal took it. `rewritten` says by name why Parquet shards could not be
    spliced. `kept` counts the shards that an interrupted run had finished.
    """

    path: Path
    root: str
    release: Release
    hits: list[int]
    unmatched: list[Entry]
    unredacted: list[Redaction]
    rewritten: dict[str, str]
    kept: int

    @property
    def rows_before(self) -> int:
        """Rows of the base."""
        return self.release.rows_before

    @property
    def rows_removed(self) -> int:
        """Rows removed, or blanked in the aligned form."""
        return self.release.rows_removed

    @property
    def rows_after(self) -> int:
        """Rows of the release."""
        return self.release.rows_after

    @property
    def shards(self) -> tuple[ReleaseShard, ...]:
        """The shards of the release, in name order."""
        return self.release.shards


def clean(
    shards: Sequence[ShardFile],
    entries: Sequence[Entry],
    output: Path,
    *,
    dataset: str,
    version: str,
    serial: int = 1,
    redactions: Sequence[Redaction] = (),
    created: datetime | None = None,
    base_version: str = "base",
    previous: str | None = None,
    form: Form = "compact",
    columns: Mapping[str, str] | None = None,
    sensitive: Sequence[str] = (),
    link: bool = False,
    signer: Signer | None = None,
    workers: int = 1,
    progress: Progress = quiet,
) -> CleanResult:
    """Write the release of `shards` without the rows that `entries` name to the new folder `output`.

    `redactions` name cells that become null, or elements that leave a list, in rows that stay; both are distinct.
    `form` is `compact` (the rows are gone) or `aligned` (they stay; their URL, text, hash and `sensitive` columns are
    null). `columns` names columns by role; `link` hard-links untouched shards instead of copying them, for a base that
    nobody writes to. The same arguments, `created` included, give the same bytes, also after an interruption.

    Raises `UsageError`, `BadShard` or `VerificationFailed`; then nothing is left behind. Raises `Interrupted` when the
    disk is full or a worker was lost; then, and after a kill, the next run with the same shards goes on.
    """
    _check_names(dataset, version, serial)
    with building(output) as folder:
        located, found = locate_both(
            shards, entries, redactions, columns=columns, workers=workers, progress=progress
        )
        blank = _blanked(located, form, sensitive)
        _check_blank(shards, located, blank)
        check_redactions(shards, found, redactions)
        removals = [Cut.of_rows(hits.positions, blank) for hits in located.shards]
        cells = [one.beside(removal) for one, removal in zip(found, removals, strict=True)]
        pieces = _pieces(shards, located, removals, cells, folder)
        made = write_shards(pieces, folder=folder, link=link, workers=workers, progress=progress)
        names = _columns(located)
        keys = diff_keys(
            shards,
            located,
            redactions,
            cells,
            names,
            dropped=blank is None,
            columns=columns,
            workers=workers,
            progress=progress,
        )
        release = Release(
            dataset=dataset,
            version=version,
            serial=serial,
            created=created or datetime.now(UTC),
            form=form,
            base_version=base_version,
            base_root=version_root(
                {piece.source.name: one.base_sha256 for piece, one in zip(pieces, made, strict=True)}
            ),
            previous=previous,
            columns=names,
            blanked=blank or (),
            shards=_release_shards(pieces, made, located, cells),
            hidden=keys.hidden,
            redacted=keys.redacted,
        )
        verify_shards(
            pieces, made, entries, columns=columns, blanked=blank, workers=workers, progress=progress
        )
        verify_redactions(
            [piece.written for piece in pieces if piece.cut],
            redactions,
            columns=columns,
            workers=workers,
            progress=progress,
        )
        _check_formats(pieces, made)
        _write_diff(folder, release, located, cells, keys)
        root = _write_sums(folder, release, signer)
    taken = {which for one in cells for which in one.found[:, 3].tolist()}
    return CleanResult(
        path=output,
        root=root,
        release=release,
        hits=located.counts.tolist(),
        unmatched=located.unmatched,
        unredacted=[one for which, one in enumerate(redactions) if which not in taken],
        rewritten={
            piece.source.name: one.reason for piece, one in zip(pieces, made, strict=True) if one.reason
        },
        kept=sum(one.kept for one in made),
    )


def _check_names(dataset: str, version: str, serial: int) -> None:
    for what, name in (("dataset", dataset), ("version", version)):
        if not name or not name.isascii() or not name.isprintable() or name != name.strip():
            raise UsageError(
                f"{name!r} is not a name for a {what}. Use printable ASCII without spaces around it."
            )
    if serial < 1:
        raise UsageError(f"The serial is {serial}; serials count from 1.")


def _columns(located: Located) -> dict[Role, str]:
    """The column of each role, as the first shard that has one names it."""
    columns: dict[Role, str] = {}
    for shard in located.shards:
        for role, name in shard.binding.items():
            columns.setdefault(role, name)
    return {role: columns[role] for role in Role if role in columns}


def _blanked(located: Located, form: Form, sensitive: Sequence[str]) -> tuple[str, ...] | None:
    if form == "compact":
        if sensitive:
            raise UsageError("--sensitive names columns to leave empty, which only the aligned form does.")
        return None
    names = {
        shard.binding[role] for shard in located.shards for role in BLANKED_ROLES if role in shard.binding
    }
    return tuple(sorted(names | set(sensitive)))


def _check_blank(shards: Sequence[ShardFile], located: Located, blank: Sequence[str] | None) -> None:
    """Refuse early what rewriting would refuse late: a column that may not be null, or that no shard has."""
    if blank is None:
        return
    known: set[str] = set()
    for shard, hits in zip(shards, located.shards, strict=True):
        columns = open_shard(shard).columns
        known.update(column.name for column in columns)
        required = [column.name for column in columns if column.required and column.name in blank]
        if required and len(hits.rows):
            raise UsageError(
                f"{shard.name}: column {required[0]!r} is REQUIRED, so the aligned form cannot leave it empty. "
                "Use --form compact."
            )
    if unknown := [name for name in blank if name not in known]:
        raise UsageError(f"There is no column {unknown[0]!r} to leave empty.")


def _pieces(
    shards: Sequence[ShardFile],
    located: Located,
    removals: Sequence[Cut],
    cells: Sequence[Cells],
    folder: Path,
) -> list[Piece]:
    return [
        Piece(
            source=shard,
            target=folder / DATA_FOLDER / shard.name,
            rows=hits.total,
            cut=joined(removal, redacted.cut),
            fingerprint=hits.fingerprint,
        )
        for shard, hits, removal, redacted in zip(shards, located.shards, removals, cells, strict=True)
    ]


def _check_formats(pieces: Sequence[Piece], made: Sequence[Made]) -> None:
    """Refuse shards of the same bytes whose rows are not the same: the diff names rows by the digest of their shard."""
    first: dict[str, str] = {}
    for piece, one in zip(pieces, made, strict=True):
        other = first.setdefault(one.base_sha256, piece.source.name)
        if row_format(other) != row_format(piece.source.name):
            raise UsageError(
                f"{piece.source.name} and {other} hold the same bytes, which as another format are other rows. "
                "Leave one of them out."
            )


def _release_shards(
    pieces: Sequence[Piece], made: Sequence[Made], located: Located, cells: Sequence[Cells]
) -> tuple[ReleaseShard, ...]:
    return tuple(
        ReleaseShard(
            path=f"{DATA_FOLDER}/{piece.source.name}",
            sha256=one.sha256,
            bytes=one.bytes,
            rows=one.rows,
            base_sha256=one.base_sha256,
            base_rows=piece.rows,
            removed=len(hits.positions),
            redacted=redacted.count,
            method=one.method,
        )
        for piece, one, hits, redacted in zip(pieces, made, located.shards, cells, strict=True)
    )


def _write_diff(
    folder: Path, release: Release, located: Located, cells: Sequence[Cells], keys: DiffKeys
) -> None:
    """Write the diff's files, by the digests of the base's shards."""
    digests = [shard.base_sha256 for shard in release.shards]
    positions = {
        digest: hits.positions for digest, hits in zip(digests, located.shards, strict=True) if len(hits.rows)
    }
    write_positions(folder / REMOVED_FILE, positions.items())
    write_keys(folder / KEYS_FILE, keys.removing)
    if release.redacted:
        cuts = {digest: one.cut for digest, one in zip(digests, cells, strict=True) if len(one.found)}
        write_redacted(folder / REDACTED_FILE, cuts)
        write_redacted_keys(folder / REDACTED_KEYS_FILE, keys.redacting)


def _write_sums(folder: Path, release: Release, signer: Signer | None) -> str:
    """Write what says what the release is, and sign it; returns its root."""
    write_file(folder / RELEASE_FILE, release.to_json())
    digests = {shard.path: shard.sha256 for shard in release.shards}
    digests |= {name: file_digest(folder / name) for name in (RELEASE_FILE, *diff_files(release))}
    sums = format_sums(digests)
    root = hashlib.sha256(sums).hexdigest()
    write_file(folder / SUMS_FILE, sums)
    if signer is not None:
        _sign(folder, signer, release, digests | {SUMS_FILE: root}, sums)
    return root


def _sign(folder: Path, signer: Signer, release: Release, digests: Mapping[str, str], sums: bytes) -> None:
    if signer.minisign_public is not None:
        comment = f"{release.dataset}@{release.version} serial {release.serial}"
        write_file(folder / SUMS_SIGNATURE, signer.sign_sums(sums, comment))
    if signer.oms_public is not None:
        write_file(folder / OMS_SIGNATURE, signer.sign_files(digests, f"{release.dataset}@{release.version}"))
