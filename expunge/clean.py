"""Make a clean release: a base without the rows that a removal list names.

1. Locate the entries in every shard of the base.
2. Work out the diff: the positions of the rows, and the keys by which somebody finds them in a copy.
3. Write each shard: one without a removed row is copied or linked, the others are rewritten.
4. Read everything back: every row that is not removed is there, unchanged and in order, and nothing that is there
   matches an entry.
5. Write `release.json`, `diff/` and `SHA256SUMS`, and sign.

The folder is built aside and appears whole or not at all.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from expunge.errors import UsageError
from expunge.files import building, write_file
from expunge.keys import ROLE_OF, KeyKind, Role
from expunge.lists import Entry
from expunge.locate import Located, locate
from expunge.manifest import (
    KEYS_FILE,
    REMOVED_FILE,
    Form,
    Hidden,
    Release,
    ReleaseShard,
    file_digest,
    format_sums,
    version_root,
    write_keys,
    write_positions,
)
from expunge.progress import Progress, quiet
from expunge.rewrite import Made, Piece, verify_shards, write_shards
from expunge.shards import BLANKED_ROLES, Cut, ShardFile, open_shard
from expunge.shards.source import DATA_FOLDER, RELEASE_FILE, SUMS_FILE
from expunge.signing import OMS_SIGNATURE, SUMS_SIGNATURE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from expunge.signing import Signer


@dataclass(frozen=True, slots=True)
class CleanResult:
    """A finished release. `hits` counts the rows that each entry names, in the order of the entries."""

    path: Path
    root: str
    release: Release
    hits: list[int]
    unmatched: list[Entry]

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
    """Write the release of `shards` without the rows that `entries` (distinct) name to the new folder `output`.

    `form` is `compact` (the rows are gone) or `aligned` (they stay; their URL, text, hash and `sensitive` columns are
    null). `columns` names columns by role; `link` hard-links untouched shards instead of copying them, for a base that
    nobody writes to. The same arguments, `created` included, give the same bytes.

    Raises `UsageError`, `BadShard`, `VerificationFailed` or `ExpungeError`; then nothing is left behind.
    """
    _check_names(dataset, version, serial)
    with building(output) as folder:
        located = locate(shards, entries, columns=columns, workers=workers, progress=progress)
        blank = _blanked(located, form, sensitive)
        _check_blank(shards, located, blank)
        pieces = [
            Piece(
                shard,
                folder / DATA_FOLDER / shard.name,
                hits.total,
                Cut.of_rows(hits.positions, blank),
                hits.fingerprint,
            )
            for shard, hits in zip(shards, located.shards, strict=True)
        ]
        made = write_shards(pieces, link=link, workers=workers, progress=progress)
        shared = _shared_raw_keys(shards, located, columns=columns, workers=workers, progress=progress)
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
            columns=_columns(located),
            blanked=blank or (),
            shards=tuple(_release_shard(piece, one) for piece, one in zip(pieces, made, strict=True)),
            hidden=_hidden(located, shared),
        )
        verify_shards(
            pieces, made, entries, columns=columns, blanked=blank, workers=workers, progress=progress
        )
        digests = {shard.path: shard.sha256 for shard in release.shards}
        digests |= _write_diff(folder, pieces, made, located, shared)
        write_file(folder / RELEASE_FILE, release.to_json())
        digests[RELEASE_FILE] = file_digest(folder / RELEASE_FILE)
        sums = format_sums(digests)
        root = hashlib.sha256(sums).hexdigest()
        write_file(folder / SUMS_FILE, sums)
        if signer is not None:
            _sign(folder, signer, release, digests | {SUMS_FILE: root}, sums)
    return CleanResult(output, root, release, located.counts.tolist(), located.unmatched)


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


def _release_shard(piece: Piece, made: Made) -> ReleaseShard:
    return ReleaseShard(
        path=f"{DATA_FOLDER}/{piece.source.name}",
        sha256=made.sha256,
        bytes=made.bytes,
        rows=made.rows,
        base_sha256=made.base_sha256,
        base_rows=piece.rows,
        removed=len(piece.cut.touched),
    )


def _shared_raw_keys(
    shards: Sequence[ShardFile],
    located: Located,
    *,
    columns: Mapping[str, str] | None,
    workers: int,
    progress: Progress,
) -> set[bytes]:
    """The raw keys of removed rows that a kept row has too.

    An entry for a URL, host or domain takes every row with the same URL, so only rows that were hit through another
    column need a second look.
    """
    doubtful = {
        key
        for kinds, key in _removed_rows(located)
        if key is not None and not any(ROLE_OF[kind] is Role.URL for kind in kinds)
    }
    if not doubtful:
        return set()
    entries = [Entry(KeyKind.URL_RAW, key, "", 0) for key in sorted(doubtful)]
    again = locate(
        shards,
        entries,
        columns=columns,
        workers=workers,
        progress=progress,
        stage="Comparing keys",
        checked=False,
    )
    shared: set[bytes] = set()
    for first, second in zip(located.shards, again.shards, strict=True):
        kept = ~np.isin(second.rows, first.positions)
        shared.update(entries[place].key for place in second.entries[kept].tolist())
    return shared


def _removed_rows(located: Located) -> list[tuple[frozenset[KeyKind], bytes | None]]:
    """For each removed row the kinds of entries that hit it, and its raw key."""
    rows: list[tuple[frozenset[KeyKind], bytes | None]] = []
    kinds = [entry.kind for entry in located.entries]
    for shard in located.shards:
        _, starts = np.unique(shard.rows, return_index=True)
        places = np.split(shard.entries, starts[1:]) if len(starts) else []
        for which, raw in zip(places, shard.raw_keys, strict=True):
            rows.append((frozenset(kinds[place] for place in which.tolist()), raw))
    return rows


def _hidden(located: Located, shared: set[bytes]) -> tuple[Hidden, ...]:
    """Counts of the removed rows that their raw key alone does not find, by the kinds that do."""
    counts = Counter(
        tuple(sorted(kinds))
        for kinds, raw in _removed_rows(located)
        if (raw is None or raw in shared) and not any(ROLE_OF[kind] is Role.URL for kind in kinds)
    )
    return tuple(Hidden(kinds, rows) for kinds, rows in sorted(counts.items()))


def _write_diff(
    folder: Path, pieces: Sequence[Piece], made: Sequence[Made], located: Located, shared: set[bytes]
) -> dict[str, str]:
    """Write the diff's files; returns their digests by path."""
    positions = {
        one.base_sha256: piece.cut.touched for piece, one in zip(pieces, made, strict=True) if piece.cut
    }
    write_positions(folder / REMOVED_FILE, positions.items())
    matched = [entry for entry, hits in zip(located.entries, located.counts, strict=True) if hits]
    raw = {key for _, key in _removed_rows(located) if key is not None} - shared
    write_keys(
        folder / KEYS_FILE,
        [(entry.kind, entry.key) for entry in matched] + [(KeyKind.URL_RAW, key) for key in raw],
    )
    return {name: file_digest(folder / name) for name in (REMOVED_FILE, KEYS_FILE)}


def _sign(folder: Path, signer: Signer, release: Release, digests: Mapping[str, str], sums: bytes) -> None:
    if signer.minisign_public is not None:
        comment = f"{release.dataset}@{release.version} serial {release.serial}"
        write_file(folder / SUMS_SIGNATURE, signer.sign_sums(sums, comment))
    if signer.oms_public is not None:
        write_file(folder / OMS_SIGNATURE, signer.sign_files(digests, f"{release.dataset}@{release.version}"))
