"""Which column of a shard a redaction means: versions of one dataset, and copies of it, may name their columns differently."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from expunge.keys import Role
from expunge.redactions import column_named
from expunge.shards import Column
from registry.datasets.models import Version, VersionStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from uuid import UUID

    from expunge.shards import Binding
    from registry.datasets.models import Dataset

Names = dict[str, Role]
"""The names by which any version of a dataset calls, or once called, a column that carries keys, each with its role."""


def dataset_names(datasets: Iterable[Dataset]) -> dict[UUID, Names]:
    """What each dataset calls its key columns; of one name in two roles its newest version has the last word.

    No name is ever forgotten: a version registered later must not undo what a decision redacts in an older one.
    """
    names: dict[UUID, Names] = {dataset.pk: {} for dataset in datasets}
    versions = (
        Version.objects.filter(dataset__in=list(names))
        .exclude(status=VersionStatus.DRAFT)  # whatever somebody said of a version that may never come to be
        .order_by("dated", "created_at")
    )
    for dataset, columns in versions.values_list("dataset_id", "columns"):
        names[dataset] |= {name: Role(role) for role, name in columns.items()}
    return names


@dataclass(frozen=True, slots=True)
class ShardColumns:
    """The columns of one shard, as one version binds them to roles."""

    columns: tuple[Column, ...]
    binding: Binding

    @classmethod
    def of(cls, schema: Iterable[Mapping[str, Any]], binding: Mapping[str, str]) -> ShardColumns:
        """From `Shard.schema` and `Version.columns`."""
        return cls(
            tuple(Column(one["name"], one["type"], required=one["required"]) for one in schema),
            {Role(role): name for role, name in binding.items()},
        )

    def find(self, asked: str, names: Names) -> list[Column]:
        """The columns that a redaction of `asked` means here: none, one, or several of one name.

        The name itself comes first, whatever other versions call so. Otherwise `names` are those of the dataset that
        decided: a column that carries keys there is found by its role.
        """
        if here := [column for column in self.columns if column.name == asked]:
            return here
        name = self.binding.get(names[asked]) if asked in names else None
        name = name or column_named(asked, self.columns, self.binding, {})
        return [column for column in self.columns if column.name == name]

    def carrying(self, role: Role) -> list[Column]:
        """The column that carries a role."""
        return [column for column in self.columns if column.name == self.binding.get(role)]
