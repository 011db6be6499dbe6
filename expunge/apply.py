"""Bring somebody's own copy to a release, with nothing but the release's diff.

1. The copy is judged: which rows, samples and vectors go (`expunge.copies`).
2. Each part is written, with all that follows its manifest, and read back; parts are independent of one another.
3. The cards that count the rows of several parts are written last.

Into a new folder, which appears whole or not at all; or in place, where each part changes whole or not at all, so that
a run that was stopped can be run again.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from expunge.check import release_dict
from expunge.copies import Change, Copy, JudgedPart, Source, judge_copy
from expunge.copies.card import Size
from expunge.copies.img2dataset import emptied_columns
from expunge.copies.resume import note_finished, part_recipe, still_there, take_over
from expunge.copies.targets import NewFolder, in_place
from expunge.errors import UsageError
from expunge.files import building
from expunge.judge import Judged, KnownAs
from expunge.manifest import file_digest, read_keys, read_redacted_keys
from expunge.pool import map_shards
from expunge.progress import Progress, quiet
from expunge.redactions import joined, verify_redactions
from expunge.rewrite import Piece, verify_shards, write_piece
from expunge.shards import BLANKED_ROLES, Cut, bind_columns, check_name, open_shard
from expunge.shards.source import SUMS_FILE
from expunge.verify import trusted_diff

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from expunge.copies.targets import Target
    from expunge.journal import Finished
    from expunge.lists import Entry, Redaction
    from expunge.manifest import Release
    from expunge.pool import Advance
    from expunge.shards import ShardFile


@dataclass(frozen=True, slots=True)
class Applied:
    """What was done to a copy. `undetermined` names parts that could not be judged in full, with the reason.

    Rows are those of the manifests, and samples that no row speaks for. `path` is None where it was done in place.
    """

    release: Release
    path: Path | None
    rows_before: int
    rows_removed: int
    rows_after: int
    shards: int
    shards_changed: int
    undetermined: dict[str, tuple[str, ...]]
    cells_redacted: int = 0

    def to_dict(self) -> dict[str, Any]:
        """What was done, for machines."""
        return {
            "release": release_dict(self.release),
            "output": None if self.path is None else str(self.path),
            "rows": self.rows_before,
            "removed": self.rows_removed,
            "redacted": self.cells_redacted,
            "left": self.rows_after,
            "shards": self.shards,
            "shards_changed": self.shards_changed,
            "undetermined": {name: list(reasons) for name, reasons in self.undetermined.items()},
        }


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be done to a copy, file by file."""

    release: Release
    parts: list[JudgedPart]
    changes: list[Change]

    @property
    def bytes(self) -> int:
        """The length of the files that would be written anew."""
        return sum(change.bytes for change in self.changes)

    def to_dict(self) -> dict[str, Any]:
        """The plan for machines. It names rows by their index and samples by their keys, never by their values."""
        return {
            "release": release_dict(self.release),
            "rows": sum(part.rows for part in self.parts),
            "affected": sum(part.affected for part in self.parts),
            "bytes": self.bytes,
            "changes": [
                {
                    "name": change.name,
                    "what": change.what,
                    "bytes": change.bytes,
                    "positions": change.positions,
                    "samples": change.keys,
                    "members": change.members,
                }
                for change in self.changes
            ],
            "undetermined": {part.name: list(part.undetermined) for part in self.parts if part.undetermined},
        }


def plan(
    folder: Path,
    copy: Copy,
    *,
    columns: Mapping[str, str] | None = None,
    source: Source | None = None,
    minisign_pub: Path | None = None,
    oms_pub: Path | None = None,
    workers: int = 1,
    progress: Progress = quiet,
) -> Plan:
    """What `apply` would do; nothing is written. Raises as `apply` does."""
    release = trusted_diff(folder, minisign_pub=minisign_pub, oms_pub=oms_pub)
    judged = judge_copy(
        copy, folder, release, columns=columns, source=source, workers=workers, progress=progress
    )
    changes: list[Change] = []
    for one in judged:
        if one.shard and (cut := _cut(one, one.shard, release, columns)):
            size = one.shard.file.path.stat().st_size
            changes.append(Change(one.shard.file.name, "rows", size, positions=cut.touched.tolist()))
        for follower in one.part.all_followers:
            changes += follower.changes(one.going)
    sizes = _sizes(judged)
    changes += [
        Change(card.name, "counts", card.path.stat().st_size)
        for card in copy.cards
        if card.corrected(sizes) is not None
    ]
    return Plan(release, judged, changes)


def apply(
    folder: Path,
    copy: Copy,
    output: Path | None,
    *,
    columns: Mapping[str, str] | None = None,
    source: Source | None = None,
    minisign_pub: Path | None = None,
    oms_pub: Path | None = None,
    workers: int = 1,
    progress: Progress = quiet,
) -> Applied:
    """Write a copy (in any order, format or layout, or a part of one) as the release in `folder` has it.

    It goes to the new folder `output`, or in place where that is None; then the caller holds `copies.targets.locked`.
    Shards whose digest is the base's are cut by position and come out byte for byte as the release's; all others by
    key. Names stay as they are. A copy that is at the release already comes out unchanged.

    Raises `UsageError`, `BadShard`, `BadRelease` or `VerificationFailed`; then no new folder is left behind, and in
    place every part is as it was or as it should be.
    """
    release = trusted_diff(folder, minisign_pub=minisign_pub, oms_pub=oms_pub)
    with _folder(output) as new:
        judged = judge_copy(
            copy, folder, release, columns=columns, source=source, workers=workers, progress=progress
        )
        _check(copy, judged, release, columns)
        redactions = tuple(read_redacted_keys(folder)) if release.redacted else ()
        work = _Work(release, tuple(read_keys(folder)), redactions, dict(columns or {}), new)
        items = _items(judged, f"{file_digest(folder / SUMS_FILE)} {sorted(work.columns.items())}", new)
        total = sum(one.rows for one in judged)
        map_shards(_write_part, work, items, workers=workers, stage="Writing", total=total, progress=progress)
        with work.target() as target:
            sizes = _sizes(judged, new)
            for card in copy.cards:
                card.write(sizes, target)
            for path, name in copy.carried:
                target.keep(path, name)
    removed = sum(one.affected for one in judged)
    before = sum(one.rows for one in judged)
    left = sum(len(one.lost) for one in judged) if release.form == "aligned" else removed
    return Applied(
        release=release,
        path=output,
        rows_before=before,
        rows_removed=removed,
        rows_after=before - left,
        shards=len(judged),
        shards_changed=sum(bool(one.going) or bool(one.redacted) for one in judged),
        cells_redacted=sum(one.cells for one in judged),
        undetermined={one.name: one.undetermined for one in judged if one.undetermined},
    )


def _check(
    copy: Copy, judged: Sequence[JudgedPart], release: Release, columns: Mapping[str, str] | None
) -> None:
    """Refuse what cannot be done before anything is written. Raises `UsageError` and `BadShard`."""
    for one in judged:
        if one.shard is not None:
            _cut(one, one.shard, release, columns).check(open_shard(one.shard.file).columns, one.name)
    sizes = _sizes(judged)
    for card in copy.cards:
        card.corrected(sizes)


@contextmanager
def _folder(output: Path | None) -> Iterator[Path | None]:
    """The folder to build in, which becomes `output`; None in place."""
    if output is None:
        yield None
        return
    with building(output) as new:
        yield new


@dataclass(frozen=True, slots=True)
class _Work:
    """What the writing of every part needs: the release and its keys, and the new folder, None in place."""

    release: Release
    entries: Sequence[Entry]
    redactions: Sequence[Redaction]
    columns: Mapping[str, str]
    new: Path | None

    @contextmanager
    def target(self) -> Iterator[Target]:
        """Where the files of one part go."""
        if self.new is not None:
            folder = NewFolder(self.new)
            yield folder
            folder.settle()
            return
        with in_place() as target:
            yield target


@dataclass(frozen=True, slots=True)
class _Item:
    """One part to write, its recipe, and the files of it that an interrupted run had finished."""

    judged: JudgedPart
    recipe: str
    earlier: tuple[Finished, ...]


def _items(judged: Sequence[JudgedPart], settings: str, new: Path | None) -> list[_Item]:
    """The parts to write; `settings` are the release and the arguments, in words."""
    parts = [one for one in judged if not one.part.unreadable]
    if new is None:
        return [_Item(one, "", ()) for one in parts]
    recipes = [part_recipe(one, settings) for one in parts]
    earlier = take_over(new, recipes)
    return [
        _Item(one, recipe, tuple(earlier.get(recipe, ()))) for one, recipe in zip(parts, recipes, strict=True)
    ]


def _write_part(work: _Work, item: _Item, advance: Advance) -> None:
    """Write a part and read it back, unless that was done before."""
    one = item.judged
    if work.new is None or not still_there(work.new, item.earlier):
        with work.target() as target:
            if one.shard is not None:
                _write_manifest(work, one, one.shard, target)
            for follower in one.part.all_followers:
                check_name(follower.name)
                follower.write(one.going, target)
        if work.new is not None and isinstance(target, NewFolder):
            note_finished(work.new, item.recipe, target.written)
    advance(one.rows)


def _write_manifest(work: _Work, item: JudgedPart, shard: Judged, target: Target) -> None:
    cut = _cut(item, shard, work.release, work.columns)
    file = shard.file
    if not cut and work.new is None:
        return
    check_name(file.name)
    piece = Piece(file, target.new(file.path, file.name), shard.rows, cut, shard.fingerprint)
    made = write_piece(piece, link=False, advance=_silently)
    verify_shards(
        [piece],
        [made],
        work.entries,
        columns=work.columns,
        hints=work.release.columns,
        blanked=work.release.blanked if work.release.form == "aligned" else None,
        workers=1,
        progress=quiet,
    )
    if cut:
        verify_redactions([piece.written], work.redactions, columns=work.columns, hints=work.release.columns)


def _silently(_rows: int) -> None:
    """A part tells that it is done when all of it is."""


def _cut(one: JudgedPart, shard: Judged, release: Release, columns: Mapping[str, str] | None) -> Cut:
    """What is taken out of a manifest."""
    redacted = one.redacted
    if len(one.going.emptied):
        about = emptied_columns(open_shard(shard.file).columns)
        redacted = joined(Cut(null=dict.fromkeys(about, one.going.emptied)), redacted)
    return joined(Cut.of_rows(one.positions, _blank(one, shard, release, columns)), redacted)


def _blank(
    one: JudgedPart, shard: Judged, release: Release, columns: Mapping[str, str] | None
) -> tuple[str, ...] | None:
    """The columns to leave empty in one shard of this copy, whose names may be others than the base's."""
    if release.form == "compact" or shard.known_as is not KnownAs.KEYS:
        return release.blanked if release.form == "aligned" else None
    here = open_shard(shard.file).columns
    binding = bind_columns(here, columns, release.columns)
    names = {column.name for column in here}.intersection(release.blanked) | emptied_columns(here)
    names.update(binding[role] for role in BLANKED_ROLES if role in binding)
    if len(one.positions) and not names:
        raise UsageError(
            f"{shard.file.name}: the release leaves columns empty, but none is known by name here. "
            "Name them with --column."
        )
    return tuple(sorted(names))


def _sizes(judged: Sequence[JudgedPart], new: Path | None = None) -> dict[str, Size]:
    """What the manifests hold when the parts are written, by name; their bytes as they are now, where none is given."""
    sizes: dict[str, Size] = {}
    for one in judged:
        if one.shard is not None:
            file: ShardFile = one.shard.file
            path = file.path if new is None else new / file.name
            gone = 0 if one.going.aligned else len(one.positions)
            sizes[file.name] = Size(one.shard.rows - gone, path.stat().st_size)
    return sizes
