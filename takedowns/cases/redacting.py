"""What a proposal redacts: whether the named columns exist and may be null, and which versions lack them."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from expunge.keys import ROLE_OF, KeyKind
from registry.datasets.models import VersionShard
from registry.lib.errors import Refused
from takedowns.removals.columns import ShardColumns, dataset_names
from takedowns.reports.models import Outcome
from takedowns.reports.targets import MOST_COLUMN

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from expunge.shards import Column
    from registry.datasets.models import Version
    from takedowns.cases.models import Case
    from takedowns.removals.columns import Names

MOST_COLUMNS = 50  # that one item may name; a row that loses more is better removed


def columns_named(given: Iterable[str]) -> list[str]:
    """The names of columns to redact, each once. Raises Refused for too many, and for one that is too long."""
    columns = list(dict.fromkeys(name for one in given if (name := one.strip())))
    if len(columns) > MOST_COLUMNS:
        raise Refused(f"At most {MOST_COLUMNS} columns of a row can be redacted. Remove the row instead.")
    if any(len(name) > MOST_COLUMN or "\0" in name for name in columns):
        raise Refused(f"The name of a column is at most {MOST_COLUMN} characters long.")
    return columns


def require_redactable(case: Case) -> None:
    """Refuse what no release could carry out, before anybody stands behind it.

    Raises Refused for a column that no version has where its rows are, one that is called as another in its shard, and
    one that may not be null (REQUIRED in Parquet).
    """
    missing = _Missing()
    for version, shard, asked, kind in _asked(case):
        if not asked:
            columns = shard.carrying(ROLE_OF[kind])
            _check(version, [column for column in columns if not column.type.startswith(_LISTS)])
            continue
        for name in asked:
            columns = shard.find(name, missing.names(case))
            _check(version, columns)
            missing.note(name, version, found=bool(columns))
    if unknown := missing.everywhere():
        raise Refused(
            f"No version that holds these rows has a column “{unknown[0]}”, so nothing of it can be redacted. "
            "Name columns as the dataset does."
        )


def redaction_gaps(case: Case) -> list[str]:
    """Say which versions lack a column that is to be redacted: nothing of it is there, and their rows stay as they are."""
    missing = _Missing()
    for version, shard, asked, _ in _asked(case):
        for name in asked:
            missing.note(name, version, found=bool(shard.find(name, missing.names(case))))
    return [
        f"{version} has no column “{name}”, so nothing of it is redacted there."
        for name, version in missing.somewhere()
    ]


_LISTS = ("list<", "large_list<")


class _Missing:
    """In which versions each asked column was found, and in which it was looked for."""

    def __init__(self) -> None:
        self._seen: dict[str, dict[Version, bool]] = defaultdict(dict)
        self._names: Names | None = None

    def names(self, case: Case) -> Names:
        """What the case's dataset calls its key columns."""
        if self._names is None:
            self._names = dataset_names([case.dataset])[case.dataset_id]
        return self._names

    def note(self, name: str, version: Version, *, found: bool) -> None:
        """A shard of the version has the column, or has it not."""
        self._seen[name][version] = self._seen[name].get(version, False) or found

    def everywhere(self) -> list[str]:
        """The columns that no version has."""
        return sorted(name for name, versions in self._seen.items() if not any(versions.values()))

    def somewhere(self) -> list[tuple[str, Version]]:
        """Each column with each version that lacks it."""
        return [
            (name, version)
            for name, versions in sorted(self._seen.items())
            for version, found in versions.items()
            if not found
        ]


def _asked(case: Case) -> Iterator[tuple[Version, ShardColumns, Sequence[str], KeyKind]]:
    """Every shard that holds rows to redact, in every version in scope, with the columns asked for and the kind of key."""
    located = case.locations.filter(item__outcome=Outcome.REDACT).order_by()
    asked: dict[str, set[tuple[tuple[str, ...], str]]] = defaultdict(set)
    pairs = located.values_list("shard_id", "item__redacted", "item__kind").distinct()
    for shard_id, columns, kind in pairs.iterator():
        asked[shard_id].add((tuple(columns), kind))
    held = (
        VersionShard.objects.filter(version__in=case.scope, shard__in=asked)
        .select_related("version__dataset", "shard")
        .order_by("version__dataset__slug", "version__name", "position")
    )
    for one in held:
        shard = ShardColumns.of(one.shard.schema, one.version.columns)
        for names, key_kind in sorted(asked[one.shard_id]):
            yield one.version, shard, names, KeyKind(key_kind)


def _check(version: Version, columns: Sequence[Column]) -> None:
    if len(columns) > 1:
        raise Refused(
            f"Several columns of {version} are called “{columns[0].name}”, so it does not name one. Remove the rows instead."
        )
    if columns and columns[0].required:
        raise Refused(
            f"Column “{columns[0].name}” of {version} is REQUIRED, so no cell of it can be null. Remove the rows instead."
        )
