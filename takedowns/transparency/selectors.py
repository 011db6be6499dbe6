"""What the public pages show."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from registry.datasets.models import LineageEdge, Version, VersionStatus
from registry.datasets.selectors import (
    dataset_list,
    diffs_by_version,
    lineage_down,
    lineage_up,
    version_list,
)
from takedowns.lookup.selectors import advisories_by_dataset, standings, state_date, version_recommended
from takedowns.transparency.drawing import Edge, lineage_drawing
from takedowns.transparency.wording import VERSION_MEANING, Answer, dataset_answer

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from uuid import UUID

    from django.utils.safestring import SafeString

    from registry.datasets.models import Dataset, DatasetQuerySet, VersionDiff, Viewer
    from registry.datasets.selectors import LineageStep
    from takedowns.lookup.selectors import Standing


@dataclass(frozen=True, slots=True)
class DatasetRow:
    """A dataset in the list: which version to use, and how many advisories affect it."""

    dataset: Dataset
    use: Version | None
    advisories: int


@dataclass(frozen=True, slots=True)
class VersionRow:
    """A version in a table: how it stands, and what changed since the version before."""

    standing: Standing
    diff: VersionDiff | None

    @property
    def version(self) -> Version:
        """The version itself."""
        return self.standing.version

    @property
    def meaning(self) -> str:
        """The meaning of its status."""
        return VERSION_MEANING[VersionStatus(self.version.status)]


@dataclass(frozen=True, slots=True)
class LineageRow:
    """An edge in a table."""

    parent: Version
    kind: str
    child: Version | None
    artifact: str


def datasets_shown(user: Viewer) -> DatasetQuerySet:
    """The datasets that the user may see, by name."""
    return dataset_list(user).order_by("name")


def dataset_rows(datasets: Sequence[Dataset]) -> list[DatasetRow]:
    """One page of the list, in as many queries for many as for one."""
    public = public_standings(dataset.pk for dataset in datasets)
    advisories = advisories_by_dataset(dataset.pk for dataset in datasets)
    return [
        DatasetRow(dataset, version_recommended(public[dataset.pk]), advisories.get(dataset.pk, 0))
        for dataset in datasets
    ]


def public_standings(dataset_ids: Iterable[UUID]) -> defaultdict[UUID, list[Standing]]:
    """How the public versions of each dataset stand; an empty list for a dataset that has none."""
    versions = (
        Version.objects.filter(dataset__in=list(dataset_ids))
        .exclude(status=VersionStatus.DRAFT)
        .select_related("dataset", "base")
    )
    by_dataset: defaultdict[UUID, list[Standing]] = defaultdict(list)
    for standing in standings(versions).values():
        by_dataset[standing.version.dataset_id].append(standing)
    return by_dataset


def dataset_standing(dataset: Dataset, user: Viewer) -> tuple[Answer, list[VersionRow]]:
    """The dataset's answer, and its versions that the user may see: newest state first, releases above their base."""
    versions = list(version_list(user).filter(dataset=dataset))
    found = standings(versions)
    public = [each for each in found.values() if each.version.status != VersionStatus.DRAFT]
    diffs = diffs_by_version(versions)
    rows = [VersionRow(found[version.pk], diffs.get(version.pk)) for version in versions]
    rows.sort(key=lambda row: (state_date(row.version), row.version.created_at), reverse=True)
    return dataset_answer(public), rows


def recommended(dataset: Dataset) -> Version | None:
    """The version of the dataset to use."""
    return version_recommended(public_standings([dataset.pk])[dataset.pk])


def dataset_lineage(dataset: Dataset, user: Viewer) -> tuple[list[LineageRow], SafeString | str]:
    """The edges that touch the dataset's versions, as rows and as a drawing; a release's edge to its base is implied."""
    seen = LineageEdge.objects.visible_to(user).select_related("parent__dataset", "child__dataset")
    edges = [
        *seen.filter(parent__dataset=dataset),
        *seen.filter(child__dataset=dataset).exclude(parent__dataset=dataset),
    ]
    rows = [_row(edge) for edge in edges]
    return rows, _draw(rows, f"Lineage of {dataset.name}: the table has the same edges")


def version_lineage(
    version: Version, user: Viewer
) -> tuple[list[LineageStep], list[LineageStep], SafeString | str]:
    """What the version was made of, what was made of it, and both as a drawing."""
    up, down = lineage_up(version, user), lineage_down(version, user)
    rows = [_row(step.edge) for step in (*up, *down)]
    return up, down, _draw(rows, f"Lineage of {version}: the tables have the same edges")


def _row(edge: LineageEdge) -> LineageRow:
    return LineageRow(edge.parent, edge.get_kind_display().lower(), edge.child, edge.artifact)


def _draw(rows: list[LineageRow], title: str) -> SafeString | str:
    edges = [Edge(str(row.parent), str(row.child) if row.child else row.artifact, row.kind) for row in rows]
    return lineage_drawing(edges, title=title)
