"""Verify a release: every digest, count and signature, the arithmetic of its diff, and the rows that were written anew."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from expunge.errors import VerificationFailed
from expunge.hashing import Hashed, hash_files
from expunge.manifest import (
    KEYS_FILE,
    REDACTED_FILE,
    REDACTED_KEYS_FILE,
    REMOVED_FILE,
    BadRelease,
    Release,
    diff_files,
    file_digest,
    read_keys,
    read_positions,
    read_redacted,
    read_redacted_keys,
    read_release,
    read_sums,
    version_root,
)
from expunge.progress import Progress, quiet
from expunge.shards import NO_ROWS, Cut, Positions, ShardFile
from expunge.shards.source import DATA_FOLDER, RELEASE_FILE, SUMS_FILE, row_format
from expunge.signing import OMS_SIGNATURE, SIGNATURE_FILES, SUMS_SIGNATURE, verify_minisig, verify_oms
from expunge.verify_rows import row_differences

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from expunge.manifest import ReleaseShard

_MOST_DIFFERENCES = 20


@dataclass(frozen=True, slots=True)
class Verified:
    """What was verified: the release, its root, who signed it, and the files that were not there to be verified."""

    release: Release
    root: str
    trusted_comment: str | None
    signatures: tuple[str, ...]
    absent: tuple[str, ...]


def verify_release(
    folder: Path,
    *,
    minisign_pub: Path | None = None,
    oms_pub: Path | None = None,
    integrity_only: bool = False,
    partial: bool = False,
    thorough: bool = False,
    workers: int = 1,
    progress: Progress = quiet,
) -> Verified:
    """Verify every file of a release against the keys given.

    Without a key nothing proves who made the release: that is an error unless `integrity_only`. With `partial` files
    that were not downloaded are passed over; whatever is there is verified all the same. Rows that were written anew
    are held against the keys of the diff; with `thorough` all rows are, those that were copied from the base too.

    Raises `VerificationFailed` with the first differences.
    """
    if minisign_pub is None and oms_pub is None and not integrity_only:
        raise VerificationFailed(
            "Without a key nothing proves who made this release. Give --minisign-pub or --oms-pub, "
            "or ask for --integrity-only."
        )
    try:
        sums = read_sums(folder)
        root = file_digest(folder / SUMS_FILE)
        comment = _verify_signatures(folder, sums, minisign_pub, oms_pub)
        hashed, absent = _verify_files(folder, sums, partial=partial, workers=workers, progress=progress)
        release = read_release(folder)
        _verify_diff(folder, release, sums)
        _raise(
            row_differences(folder, release, hashed, thorough=thorough, workers=workers, progress=progress)
        )
    except BadRelease as error:
        raise VerificationFailed(str(error)) from error
    given = {SUMS_SIGNATURE: minisign_pub, OMS_SIGNATURE: oms_pub}
    return Verified(release, root, comment, tuple(name for name, key in given.items() if key), tuple(absent))


def trusted_diff(folder: Path, *, minisign_pub: Path | None, oms_pub: Path | None) -> Release:
    """Read the release whose diff is about to be applied: `release.json` and `diff/` must be what the sums say.

    The data need not be there, and the OMS signature needs every digest, which the sums give. Raises `BadRelease`
    or `VerificationFailed`.
    """
    sums = read_sums(folder)
    _verify_signatures(folder, sums, minisign_pub, oms_pub)
    _trust(folder, sums, RELEASE_FILE)
    release = read_release(folder)
    for name in diff_files(release):
        _trust(folder, sums, name)
    return release


def _trust(folder: Path, sums: Mapping[str, str], name: str) -> None:
    """Refuse a file that is not what the sums say."""
    if name not in sums:
        raise BadRelease(f"{folder / SUMS_FILE} does not list {name}.")
    if not (folder / name).is_file():
        raise BadRelease(f"{folder / name} is missing. Fetch it.")
    if file_digest(folder / name) != sums[name]:
        raise BadRelease(f"{folder / name} is not the file that was published. Fetch it again.")


def _verify_signatures(
    folder: Path, sums: Mapping[str, str], minisign_pub: Path | None, oms_pub: Path | None
) -> str | None:
    text = (folder / SUMS_FILE).read_bytes()
    comment = None
    if minisign_pub is not None:
        comment = verify_minisig(text, _signature(folder / SUMS_SIGNATURE), minisign_pub)
    if oms_pub is not None:
        digests = {**sums, SUMS_FILE: hashlib.sha256(text).hexdigest()}
        verify_oms(_signature(folder / OMS_SIGNATURE), digests, oms_pub)
    return comment


def _signature(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise VerificationFailed(
            f"{path} cannot be read: the release is not signed with this kind of key."
        ) from error


def _verify_files(
    folder: Path, sums: Mapping[str, str], *, partial: bool, workers: int, progress: Progress
) -> tuple[dict[str, Hashed], list[str]]:
    """Hash every file that the sums list; refuse files that they do not. Returns what is there and what is not."""
    links = {name for name in sums if _is_linked(folder, name)}
    there = [name for name in sums if name not in links and (folder / name).is_file()]
    files = [ShardFile(folder / name, name, may_be_empty=True) for name in there]
    found = dict(zip(there, hash_files(files, workers=workers, progress=progress), strict=True))
    absent = [name for name in sums if name not in links and name not in found]
    differences = [f"{name} is a link." for name in sums if name in links]
    differences += [
        f"{name} is not the file that was published: its SHA-256 differs."
        for name, hashed in found.items()
        if hashed.sha256 != sums[name]
    ]
    differences += [f"{name} is not listed in {SUMS_FILE}." for name in _extra_files(folder, sums)]
    if RELEASE_FILE not in sums:
        differences.append(f"{RELEASE_FILE} is not listed in {SUMS_FILE}.")
    if not partial:
        differences += [f"{name} is missing." for name in absent]
    _raise(differences)
    return found, absent


def _is_linked(folder: Path, name: str) -> bool:
    return (folder / name).is_symlink() or any(
        (folder / part).is_symlink() for part in Path(name).parents[:-1]
    )


def _extra_files(folder: Path, sums: Mapping[str, str]) -> list[str]:
    known = {*sums, SUMS_FILE, *SIGNATURE_FILES}
    found = [Path(here, name) for here, _, files in os.walk(folder) for name in files]
    found += [
        path
        for here, folders, _ in os.walk(folder)
        for path in (Path(here, n) for n in folders)
        if path.is_symlink()
    ]
    return sorted(name for path in found if (name := path.relative_to(folder).as_posix()) not in known)


def _verify_diff(folder: Path, release: Release, sums: Mapping[str, str]) -> None:
    """Hold `release.json`, the positions and the sums against one another."""
    differences: list[str] = []
    listed = {shard.path: shard.sha256 for shard in release.shards}
    summed = {name: digest for name, digest in sums.items() if name.startswith(f"{DATA_FOLDER}/")}
    for name in sorted(listed.keys() ^ summed.keys()):
        where = RELEASE_FILE if name in listed else SUMS_FILE
        differences.append(f"{name} is listed in {where} only.")
    differences += [
        f"{name} has one SHA-256 in {RELEASE_FILE} and another in {SUMS_FILE}."
        for name in sorted(listed.keys() & summed.keys())
        if listed[name] != summed[name]
    ]
    files = diff_files(release)
    differences += [f"{name} is not listed in {SUMS_FILE}." for name in files if name not in sums]
    differences += [
        f"{name} is listed in {SUMS_FILE}, but {RELEASE_FILE} tells of nothing redacted."
        for name in (REDACTED_FILE, REDACTED_KEYS_FILE)
        if name in sums and name not in files
    ]
    _raise(differences)
    positions = read_positions(folder)
    if not _counted_alike(
        release, {digest: len(rows) for digest, rows in positions.items()}, lambda shard: shard.removed
    ):
        differences.append(f"{REMOVED_FILE} and {RELEASE_FILE} count removed rows differently.")
    differences += [
        f"{REMOVED_FILE} names rows that the base of {shard.path} does not have."
        for shard in release.shards
        if len(rows := positions.get(shard.base_sha256, NO_ROWS))
        and not 0 <= rows[0] <= rows[-1] < shard.base_rows
    ]
    if release.redacted:
        differences += _redacted_differences(folder, release, positions)
    differences += _key_differences(folder, release)
    if version_root({shard.name: shard.base_sha256 for shard in release.shards}) != release.base_root:
        differences.append(f"{RELEASE_FILE} gives another root of the base than its shards have.")
    differences += [
        f"{shard.path} lost nothing, but is not its base's file."
        for shard in release.shards
        if not shard.changed and shard.sha256 != shard.base_sha256
    ]
    formats: dict[str, str] = {}
    differences += [
        f"{shard.path} is made of the same bytes as a shard of another format, in which they are other rows."
        for shard in release.shards
        if formats.setdefault(shard.base_sha256, form := row_format(shard.name)) != form
    ]
    for shard in release.shards:
        kept = shard.base_rows if release.form == "aligned" else shard.base_rows - shard.removed
        if shard.rows != kept:
            differences.append(f"{shard.path} has {shard.rows} rows where its base leaves {kept}.")
    _raise(differences)


def _counted_alike(release: Release, diff: Mapping[str, int], said: Callable[[ReleaseShard], int]) -> bool:
    """Whether the diff's counts, by digest of the base's shard, are those of every shard that was made of one."""
    return diff.keys() <= {shard.base_sha256 for shard in release.shards} and all(
        diff.get(shard.base_sha256, 0) == said(shard) for shard in release.shards
    )


def _redacted_differences(folder: Path, release: Release, positions: Mapping[str, Positions]) -> list[str]:
    """Hold the redacted cells against `release.json`: their number, their rows, and that no removal takes them anyhow."""
    cuts = read_redacted(folder)
    differences: list[str] = []
    if not _counted_alike(
        release, {digest: cut.cells for digest, cut in cuts.items()}, lambda shard: shard.redacted
    ):
        differences.append(f"{REDACTED_FILE} and {RELEASE_FILE} count redacted cells differently.")
    for shard in release.shards:
        cut = cuts.get(shard.base_sha256, Cut())
        rows = cut.touched
        if len(rows) and not 0 <= rows[0] <= rows[-1] < shard.base_rows:
            differences.append(f"{REDACTED_FILE} names rows that the base of {shard.path} does not have.")
        if any((pairs[:, 1] < 0).any() for pairs in cut.elements.values()):
            differences.append(f"{REDACTED_FILE} names elements of {shard.path} that no list can have.")
        gone = positions.get(shard.base_sha256, NO_ROWS)
        lost = cut if release.form == "compact" else cut.of_columns(release.blanked)
        if np.isin(lost.touched, gone).any():
            differences.append(f"{REDACTED_FILE} names cells of {shard.path} that {REMOVED_FILE} takes.")
    return differences


def _key_differences(folder: Path, release: Release) -> list[str]:
    """Hold the keys against `release.json`: without them a copy in another order would pass for not affected."""
    kinds = {entry.kind for entry in read_keys(folder)}
    differences = [
        f"{KEYS_FILE} has no key of {kind}, by which {RELEASE_FILE} says that removed rows are found."
        for part in release.hidden
        for kind in part.kinds
        if kind not in kinds
    ]
    if release.rows_removed and not kinds:
        differences.append(f"{KEYS_FILE} is empty, but {RELEASE_FILE} tells of removed rows.")
    if release.redacted:
        cells = {(one.entry.kind, one.column) for one in read_redacted_keys(folder)}
        differences += [
            f"{REDACTED_KEYS_FILE} has no key of {kind}, by which {RELEASE_FILE} says that cells of {part.column!r} are found."
            for part in release.redacted
            for kind in part.kinds
            if not cells & {(kind, part.column), (kind, None)}
        ]
    return differences


def _raise(differences: list[str]) -> None:
    if differences:
        shown = differences[:_MOST_DIFFERENCES]
        more = len(differences) - len(shown)
        text = "\n".join([*shown, *([f"… and {more} more."] if more else [])])
        raise VerificationFailed(text, shown)
