"""The answers of the pages of datasets and versions, for their JSON: `registry` asks for them through its hooks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from registry.hooks import DatasetStanding, VersionStanding
from takedowns.lookup.selectors import advisories_by_dataset, standings, version_recommended
from takedowns.transparency.selectors import public_standings
from takedowns.transparency.wording import dataset_answer, version_answer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from registry.datasets.models import Dataset, Version
    from takedowns.lookup.selectors import Standing


def version_standings(versions: Sequence[Version]) -> dict[UUID, VersionStanding]:
    """How each of the versions stands. Reads `base`."""
    public = public_standings({version.dataset_id for version in versions})
    recommended = {dataset: version_recommended(found) for dataset, found in public.items()}
    return {
        key: _standing(standing, recommended.get(standing.version.dataset_id))
        for key, standing in standings(versions).items()
    }


def dataset_standings(datasets: Sequence[Dataset]) -> dict[UUID, DatasetStanding]:
    """Which version of each dataset to use."""
    public = public_standings(dataset.pk for dataset in datasets)
    advisories = advisories_by_dataset(dataset.pk for dataset in datasets)
    answers = {dataset.pk: dataset_answer(public[dataset.pk]) for dataset in datasets}
    return {
        key: DatasetStanding(
            use=answer.use.name if answer.use else None,
            answer=answer.words,
            advisories=advisories.get(key, 0),
        )
        for key, answer in answers.items()
    }


def _standing(standing: Standing, recommended: Version | None) -> VersionStanding:
    answer = version_answer(standing, recommended)
    return VersionStanding(
        affected=standing.affected,
        rows_affected=standing.rows,
        rows_affected_exact=standing.exact,
        advisories=[(str(removal.advisory_id), rows) for removal, rows in standing.advisories],
        fixed=standing.fix.version.name if standing.fix else None,
        fixed_root=standing.fix.root if standing.fix else None,
        use=answer.use.name if answer.use else None,
        answer=answer.words,
    )
