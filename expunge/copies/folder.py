"""Folders of samples: one file for each ending, all of one key."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from expunge.copies.part import Change, Sample, Samples
from expunge.copies.tar import META, MOST_META_BYTES, TEXT, content_digests, sample_key
from expunge.shards.source import split_extension

if TYPE_CHECKING:
    from collections.abc import Container, Iterator
    from pathlib import Path

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
            for ending, path in files:
                if ending == META:
                    meta = None if key in vouched else _read_meta(path)
                elif hashing and ending != TEXT:
                    with path.open("rb") as source:
                        digests |= content_digests(source, path.stat().st_size, hashing)
            yield Sample(key, meta, digests)

    def changes(self, going: Going) -> list[Change]:
        """The files that would go."""
        gone = [path.name for path in self._files() if sample_key(path.name)[0] in going.keys]
        if not gone:
            return []
        keys = sorted({sample_key(name)[0] for name in gone})
        return [Change(self.name, "samples", 0, keys=keys, members=gone)]

    def write(self, going: Going, target: Target) -> None:
        """Keep the files of the samples that stay, and drop the others."""
        for path in self._files():
            gone = sample_key(path.name)[0] in going.keys
            (target.drop if gone else target.keep)(path, f"{self.name}/{path.name}")

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
