"""Folders of samples: one file for each ending, all of one key."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from expunge.copies.cells import redacted_meta
from expunge.copies.part import Change, Sample, Samples
from expunge.copies.tar import META, MOST_META_BYTES, TEXT, content_digests, sample_key
from expunge.errors import VerificationFailed
from expunge.shards.shard import finish
from expunge.shards.source import split_extension

if TYPE_CHECKING:
    from collections.abc import Container, Iterator
    from pathlib import Path

    from expunge.copies.cells import SampleCells
    from expunge.copies.part import Digest, Going
    from expunge.copies.targets import Target
    from expunge.keys import KeyKind


@dataclass(frozen=True)
class FolderSamples(Samples):
    """The samples of one folder; folders in it are not its own."""

    def samples(self, vouched: Container[str], hashing: frozenset[KeyKind]) -> Iterator[Sample]:
        """Every sample in the order of the keys."""
        grouped: dict[str, list[tuple[str, Path]]] = {}
        for path in self._files():
            key, ending = sample_key(path.name)
            if key:
                grouped.setdefault(key, []).append((ending, path))
        for key, files in sorted(grouped.items()):
            meta: bytes | None = None
            digests: frozenset[Digest] = frozenset()
            captioned = False
            for ending, path in files:
                if ending == META:
                    meta = None if key in vouched else _read_meta(path)
                elif ending == TEXT:
                    captioned = path.stat().st_size > 0
                elif hashing:
                    with path.open("rb") as source:
                        digests |= content_digests(source, path.stat().st_size, hashing)
            yield Sample(key, meta, digests, captioned)

    def changes(self, going: Going) -> list[Change]:
        """The files that would go, and those that would be written anew."""
        files = [(sample_key(path.name)[0], path) for path in self._files()]
        gone = [(key, path.name) for key, path in files if key in going.keys]
        anew = [
            (key, path)
            for key, path in files
            if key not in going.keys and _redacted(path, going.cells.get(key)) is not None
        ]
        found: list[Change] = []
        if gone:
            keys = sorted({key for key, _ in gone})
            found.append(Change(self.name, "samples", 0, keys=keys, members=[name for _, name in gone]))
        if anew:
            keys = sorted({key for key, _ in anew})
            size = sum(path.stat().st_size for _, path in anew)
            found.append(Change(self.name, "cells", size, keys=keys, members=[path.name for _, path in anew]))
        return found

    def write(self, going: Going, target: Target) -> None:
        """Keep the files of the samples that stay, redacted where that is asked for, and drop the others."""
        for path in self._files():
            name = f"{self.name}/{path.name}"
            key, _ = sample_key(path.name)
            if key in going.keys:
                target.drop(path, name)
            elif (content := _redacted(path, going.cells.get(key))) is None:
                target.keep(path, name)
            else:
                new = target.new(path, name)
                with new.open("xb") as sink:
                    sink.write(content)
                    finish(sink)
                if new.read_bytes() != content:
                    raise VerificationFailed(f"{name}: what is on disk is not what was written.")

    def _files(self) -> list[Path]:
        """The files of the folder, in the order of their names. Raises `BadShard` for links and the like."""
        found: list[Path] = []
        for path in sorted(self.path.iterdir()):
            mode = path.lstat().st_mode
            if stat.S_ISDIR(mode) or path.name.startswith("."):
                continue
            if split_extension(path.name)[0] not in {"", f".{TEXT}"}:  # a manifest beside the samples
                continue
            if not stat.S_ISREG(mode):
                raise self.bad(
                    f"{path.name!r} is no file of its own but a link or the like, which cannot be cut safely."
                )
            found.append(path)
        return found


def _read_meta(path: Path) -> bytes:
    with path.open("rb") as source:
        return source.read(MOST_META_BYTES)


def _redacted(path: Path, cells: SampleCells | None) -> bytes | None:
    """The new content of a sample's file, or None where it stays as it is."""
    _, ending = sample_key(path.name)
    if cells is None or ending not in {META, TEXT}:
        return None
    if ending == TEXT:
        return b"" if cells.text and path.stat().st_size else None
    meta = _read_meta(path)
    if len(meta) == MOST_META_BYTES:  # there is more of it
        return None
    redacted = redacted_meta(meta, cells)
    return None if redacted == meta else redacted
