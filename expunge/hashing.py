"""Hash many files at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from expunge.pool import Advance, map_threads
from expunge.progress import Progress, quiet
from expunge.shards import ShardBytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from expunge.shards import Fingerprint, ShardFile


@dataclass(frozen=True, slots=True)
class Hashed:
    """The SHA-256 of a file, in hex, and the state of the file that has it."""

    sha256: str
    fingerprint: Fingerprint


def hash_files(
    files: Sequence[ShardFile], *, workers: int = 1, stage: str = "Hashing files", progress: Progress = quiet
) -> list[Hashed]:
    """Hash these files, in their order; progress counts bytes. Raises `BadShard` for the first that cannot be read."""
    opened = [ShardBytes(file) for file in files]
    total = sum(one.fingerprint[0] for one in opened)
    return map_threads(_hash, None, opened, workers=workers, stage=stage, total=total, progress=progress)


def _hash(_shared: None, item: ShardBytes, advance: Advance) -> Hashed:
    return Hashed(item.digest(advance), item.fingerprint)
