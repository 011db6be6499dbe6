"""What a proposal redacts: whether the named columns exist and may be null, and which versions lack them."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from expunge.keys import ROLE_OF, KeyKind
from registry.datasets.models import VersionShard
from registry.lib.errors import Refused
from takedowns.removals.columns import ShardColumns, dataset_names
from takedowns.reports.models import MOST_COLUMN, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from expunge.shards import Column
    from registry.datasets.models import Version
    from takedowns.cases.models import Case

MOST_COLUMNS = 50  # that one item may name; a row that loses more is better removed
_LISTS = ("list<", "large_list<")  # how the types of columns that hold lists begin


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
    asked = list(_asked(case))
    for version, _, columns in asked:
        _check(version, columns)
    for name, versions in _found(asked).items():
        if not any(versions.values()):
            raise Refused(
                f"No version that holds these rows has a column “{name}”, so nothing of it can be redacted. "
                "Name columns as the dataset does."
            )


def redaction_gaps(case: Case) -> list[str]:
    """Say which versions lack a column that is to be redacted: nothing of it is there, and their rows stay as they are."""
    return [
        f"{version} has no column “{name}”, so nothing of it is redacted there."
        for name, versions in _found(_asked(case)).items()
        for version, found in versions.items()
        if not found
    ]


def _found(asked: Iterable[tuple[Version, str, list[Column]]]) -> dict[str, dict[Version, bool]]:
    """By each column that is named, in order, whether any shard of a version with such rows has it."""
    found: dict[str, dict[Version, bool]] = defaultdict(dict)
    for version, name, columns in asked:
        if name:
            found[name][version] = found[name].get(version, False) or bool(columns)
    return dict(sorted(found.items()))


def _asked(case: Case) -> Iterator[tuple[Version, str, list[Column]]]:
    """What is redacted in every shard of every version in scope: a column as it is asked for, and those that this means there.

    The name is empty for what the key matched itself; that is a cell, which has a column, unless its column holds lists.
    """
    located = case.locations.filter(item__outcome=Outcome.REDACT).order_by()
    asked: dict[str, set[tuple[str, str]]] = defaultdict(set)
    pairs = located.values_list("shard_id", "item__redacted", "item__kind").distinct()
    for shard_id, columns, kind in pairs.iterator():
        asked[shard_id] |= {(name, kind) for name in columns or [""]}
    if not asked:
        return
    names = dataset_names([case.dataset])[case.dataset_id]
    held = (
        VersionShard.objects.filter(version__in=case.scope, shard__in=asked)
        .select_related("version__dataset", "shard")
        .order_by("version__dataset__slug", "version__name", "position")
    )
    for one in held:
        shard = ShardColumns.of(one.shard.schema, one.version.columns)
        for name, kind in sorted(asked[one.shard_id]):
            if name:
                yield one.version, name, shard.find(name, names)
            else:
                matched = shard.carrying(ROLE_OF[KeyKind(kind)])
                yield one.version, "", [one for one in matched if not one.type.startswith(_LISTS)]


def _check(version: Version, columns: Sequence[Column]) -> None:
    if len(columns) > 1:
        raise Refused(
            f"Several columns of {version} are called “{columns[0].name}”, so it does not name one. Remove the rows instead."
        )
    if columns and columns[0].required:
        raise Refused(
            f"Column “{columns[0].name}” of {version} is REQUIRED, so no cell of it can be null. Remove the rows instead."
        )
