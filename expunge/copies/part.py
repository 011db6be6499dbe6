"""What a copy is made of: manifests, and what follows each of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from expunge.errors import BadShard
from expunge.keys import KeyKind
from expunge.shards import NO_ROWS

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Mapping
    from pathlib import Path

    from expunge.copies.cells import SampleCells
    from expunge.copies.targets import Target
    from expunge.shards import Positions, ShardFile

Digest = tuple[KeyKind, bytes]
"""A content hash: its kind and its bytes."""


@dataclass(frozen=True, slots=True)
class Going:
    """What goes from one part of a copy.

    `positions` are rows of the manifest, which has `rows`; `keys` name samples, with a row in the manifest or without.
    With `aligned` the rows stay and are emptied; samples go in either form, for nothing counts their places. `cells` are
    redacted in samples that stay, by key. `emptied` are rows that stay without their URL, and so without their sample.
    """

    rows: int
    positions: Positions
    keys: frozenset[str]
    aligned: bool
    cells: Mapping[str, SampleCells] = field(default_factory=dict)
    emptied: Positions = field(default_factory=lambda: NO_ROWS)

    def __bool__(self) -> bool:
        """Whether anything goes."""
        return bool(len(self.positions) or self.keys or self.cells)


@dataclass(frozen=True, slots=True)
class Change:
    """What would become of one file: what goes of it, and the bytes of the file to write anew.

    `positions` count from 0, `keys` are sample keys, `members` the names of files inside a tar or a folder: those that
    go or, where it is cells of samples that go, those that are written anew.
    """

    name: str
    what: Literal["rows", "samples", "cells", "vectors", "counts"]
    bytes: int
    positions: list[int] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    members: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample of a training set: its key, the bytes of its json, and the content hashes of its other files.

    The json is None where it was not asked for or is not there; `captioned` says whether there is a text that holds any.
    """

    key: str
    meta: bytes | None
    digests: frozenset[Digest]
    captioned: bool = False


@dataclass(frozen=True)
class Follower(ABC):
    """A file, or a folder of files, that changes with the rows of a manifest. `name` is its path inside the copy."""

    path: Path
    name: str

    def expect(self, rows: int, manifest: str) -> None:  # noqa: B027  most follow a manifest of any length
        """Refuse to follow a manifest of so many rows. Raises `BadShard`."""

    @abstractmethod
    def changes(self, going: Going) -> list[Change]:
        """What `write` would do, file by file; empty where nothing changes."""

    @abstractmethod
    def write(self, going: Going, target: Target) -> None:
        """Hand every file to `target`: as it is, written anew and read back, or gone.

        Raises `BadShard` and `VerificationFailed`.
        """

    def bad(self, what: str) -> BadShard:
        """The error that says what is wrong with this file."""
        return BadShard(f"{self.name}: {what}", str(self.path))


class Samples(Follower):
    """The samples of a training set: runs of files whose names are one key and different endings."""

    @abstractmethod
    def samples(self, vouched: Container[str], hashing: frozenset[KeyKind]) -> Iterator[Sample]:
        """Every sample in order; the json of those whose key is not `vouched` for, and hashes of these kinds.

        Raises `BadShard`, naming the file, for what cannot be cut safely: what is broken off, links, keys that come twice.
        """


@dataclass(frozen=True, slots=True)
class Part:
    """A manifest with all that follows it, or samples without one, or a file that cannot be looked into.

    `unreadable` says why the last is so.
    """

    name: str
    manifest: ShardFile | None = None
    samples: Samples | None = None
    followers: tuple[Follower, ...] = ()
    unreadable: str = ""

    @property
    def all_followers(self) -> tuple[Follower, ...]:
        """What follows the manifest, the samples included."""
        return (*((self.samples,) if self.samples else ()), *self.followers)
