"""Three states of a real collection of link lists, registered as versions of one dataset."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from registry.accounts.models import Role
from registry.datasets.models import Version, VersionDiff, VersionShard
from registry.datasets.services import version_register
from tests.factories import make_dataset, make_member, run_jobs

if TYPE_CHECKING:
    from pytest_django import Settings

LISTS = Path(__file__).parents[4] / "shared" / "data" / "test-lists"
ROWS = {"2021-01-01": 35_735, "2023-01-01": 36_961, "2025-01-01": 38_167}
CHANGES = {"2023-01-01": (7_337, 8_563), "2025-01-01": (1_444, 2_650)}


@pytest.mark.skipif(not LISTS.is_dir(), reason="the real lists are not beside the repository")
@pytest.mark.django_db
@pytest.mark.usefixtures("store_folder")
def test_versions_hold_the_rows_and_changes_that_are_known_of_them(settings: Settings) -> None:
    settings.IMPORT_ROOTS = [LISTS]
    dataset = make_dataset(slug="test-lists")
    maintainer = make_member(dataset.organisation, Role.MAINTAINER)
    for name in ROWS:
        version_register(
            actor=maintainer, dataset=dataset, name=name, dated=date.fromisoformat(name), source=name
        )
    assert {job.error for job in run_jobs()} == {""}
    assert dict(Version.objects.values_list("name", "rows")) == ROWS
    assert set(Version.objects.values_list("status", flat=True)) == {"active"}
    changes = VersionDiff.objects.values_list("new__name", "removed", "added")
    assert {name: (removed, added) for name, removed, added in changes} == CHANGES
    # Lists that did not change are kept once.
    places = VersionShard.objects.count()
    assert VersionShard.objects.values("shard").distinct().count() < places
