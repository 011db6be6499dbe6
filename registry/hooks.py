"""Where `registry` must ask upward. `takedowns` fills these in its `AppConfig.ready()`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from pyroaring import BitMap

    from expunge.keyed import KeyedBatch
    from expunge.shards import Binding
    from registry.accounts.models import User
    from registry.datasets.models import Dataset, Version


@dataclass(frozen=True, slots=True)
class VersionStanding:
    """How one version stands before the public: by published advisories and published releases alone."""

    affected: bool
    # Distinct rows that must go; where it is not exact, at most that many.
    rows_affected: int
    rows_affected_exact: bool
    # Id of each advisory that affects it, with the rows that it takes out.
    advisories: Sequence[tuple[str, int]]
    # Name and root of the clean release made of it; None where it is not affected or there is none yet.
    fixed: str | None
    fixed_root: str | None
    # Name of the version of its dataset to use instead; None where it may be used itself or none is known.
    use: str | None
    # The answer that its page begins with, in words.
    answer: str


@dataclass(frozen=True, slots=True)
class DatasetStanding:
    """What its page says of a dataset before all: which version to use (its name), in words, and how many advisories."""

    use: str | None
    answer: str
    advisories: int


@dataclass(frozen=True, slots=True)
class RowsFirst:
    """Rows of one shard whose links are to be checked before others, because of what happened to the rows at `at`."""

    why: Literal["triaged", "released"]
    at: datetime
    shard: str  # digest
    rows: BitMap  # indexes, at least one


@dataclass(frozen=True, slots=True)
class WorkedOn:
    """A case about something that checks of links found, as members of the dataset's organisation may see it.

    `items` are those that it names of what was asked about, without what its decision kept; `is_kept`: it kept all of them.
    """

    number: str
    url: str  # of its page
    state: str  # in words
    items: int
    is_kept: bool


class RowReader(Protocol):
    """Somebody who wants to see the rows of a version while ingest reads them, so that nobody has to read them again."""

    def columns(self, binding: Binding) -> list[str]:
        """Which columns of a shard, bound like this, each batch must bring."""

    def add(self, place: int, binding: Binding, keyed: KeyedBatch) -> None:
        """Take the next rows of the version's shard at `place`; the keys that the key index needs are there already."""

    def settle(self, version: Version) -> None:
        """Every row was read and every shard stored; do what takes long."""

    def keep(self, version: Version, actor: User | None) -> None:
        """Write what was learned, in the transaction that gives the version its status.

        An ingest that goes on after a kill may not have read the rows again: then nothing was added.
        """


@dataclass(slots=True)
class Hooks:
    """Each hook is a list of callables; `registry` calls them all."""

    # Returns why this ingested version may not become active (one sentence each), or nothing.
    version_objections: list[Callable[[Version], list[str]]] = field(default_factory=list)
    # Return how each of these stands, by primary key, in as many queries for many as for one.
    version_standings: list[Callable[[Sequence[Version]], Mapping[UUID, VersionStanding]]] = field(
        default_factory=list
    )
    dataset_standings: list[Callable[[Sequence[Dataset]], Mapping[UUID, DatasetStanding]]] = field(
        default_factory=list
    )
    # Of these keys, as (kind, key), or rows, as (shard digest, row index), return those that were reported or removed
    # such that a link of theirs is never contacted. Asked before every single request, so they must be quick.
    keys_excluded: list[Callable[[Collection[tuple[str, bytes]]], set[tuple[str, bytes]]]] = field(
        default_factory=list
    )
    rows_excluded: list[Callable[[Collection[tuple[str, int]]], set[tuple[str, int]]]] = field(
        default_factory=list
    )
    # Asked for each version that is ingested: who wants to see its rows meanwhile.
    row_readers: list[Callable[[Version], RowReader | None]] = field(default_factory=list)
    # Return rows to which something happened since then that makes their links worth a look.
    rows_first: list[Callable[[datetime], Iterable[RowsFirst]]] = field(default_factory=list)
    # Told of domains of one dataset that changed hands after its rows were collected, by primary key of their `Takeover`:
    # each once, in the transaction that notes that it was told.
    domain_taken_over: list[Callable[[Sequence[int]], None]] = field(default_factory=list)
    # Return the cases about a version's dataset that name these domains, by domain, and those that name links of the
    # version which its checks found, by what they found ("dead", "replaced"). For members alone: who else is told that
    # there is a case learns what was reported.
    domains_worked_on: list[Callable[[Version, Collection[str]], Mapping[str, WorkedOn]]] = field(
        default_factory=list
    )
    links_worked_on: list[Callable[[Version], Mapping[str, Sequence[WorkedOn]]]] = field(default_factory=list)


hooks = Hooks()
