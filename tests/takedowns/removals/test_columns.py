"""Which column a redaction means, in versions that name their columns differently and over time."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import pytest

from registry.datasets.models import VersionStatus
from takedowns.removals.selectors import removal_redactions
from tests.factories import make_dataset, make_version
from tests.factories_takedowns import make_removal, make_team

if TYPE_CHECKING:
    from registry.datasets.models import Dataset, Version
    from takedowns.removals.models import Removal
    from tests.factories_takedowns import Team

pytestmark = pytest.mark.django_db

URL = "https://img.example.com/{}.jpg"


def registered(dataset: Dataset, month: int, text: str, *others: str, draft: bool = False) -> Version:
    """A version of that month whose texts are in the column `text`; the others carry no key."""
    rows = [{"url": URL.format(n), **dict.fromkeys((text, *others), f"{month} {n}")} for n in range(4)]
    return make_version(
        dataset,
        shards={"0.parquet": rows},
        columns={"url": "url", "text": text},
        dated=date(2026, month, 1),
        status=VersionStatus.DRAFT if draft else VersionStatus.ACTIVE,
    )


def columns(removal: Removal, version: Version) -> list[str | None]:
    return [one.column for one in removal_redactions([removal], version)]


@pytest.fixture
def team() -> Team:
    return make_team()


@pytest.fixture
def dataset(team: Team) -> Dataset:
    return make_dataset(team.organisation)


def test_a_column_is_found_by_its_role_where_a_version_calls_it_otherwise(
    team: Team, dataset: Dataset
) -> None:
    old, new = registered(dataset, 1, "body"), registered(dataset, 2, "alt")
    removal = make_removal(team, dataset, [f"cell:alt {URL.format(1)}"])
    assert (columns(removal, old), columns(removal, new)) == (["body"], ["alt"])
    assert removal.affected.count() == 2


def test_a_version_that_comes_later_undoes_no_redaction(team: Team, dataset: Dataset) -> None:
    """The next release of the old version would bring the value back."""
    old = registered(dataset, 1, "body")
    registered(dataset, 2, "alt")
    removal = make_removal(team, dataset, [f"cell:alt {URL.format(1)}"])
    registered(dataset, 3, "caption")
    assert columns(removal, old) == ["body"]


def test_a_column_of_the_name_itself_is_meant_whatever_a_later_version_calls_so(
    team: Team, dataset: Dataset
) -> None:
    """Two people decided on the column that they saw."""
    old = registered(dataset, 1, "body", "caption")
    removal = make_removal(team, dataset, [f"cell:caption {URL.format(1)}"])
    registered(dataset, 2, "caption")
    assert columns(removal, old) == ["caption"]


def test_a_column_of_the_name_itself_is_meant_also_where_the_first_shard_lacks_it(
    team: Team, dataset: Dataset
) -> None:
    registered(dataset, 2, "caption")
    rows = [{"url": URL.format(n), "body": "b"} for n in range(4)]
    shards = {"0.parquet": rows[:1], "1.parquet": [{**row, "caption": "c"} for row in rows]}
    columns_of = {"url": "url", "text": "body"}
    mixed = make_version(dataset, shards=shards, columns=columns_of, dated=date(2026, 1, 1))
    removal = make_removal(team, dataset, [f"cell:caption {URL.format(1)}"])
    assert columns(removal, mixed) == ["caption"]


def test_a_draft_gives_no_column_its_name(team: Team, dataset: Dataset) -> None:
    old = registered(dataset, 1, "body")
    removal = make_removal(team, dataset, [f"cell:body {URL.format(1)}"])
    removal.redactions.update(column="alt")
    registered(dataset, 2, "alt", draft=True)
    assert columns(removal, old) == []
