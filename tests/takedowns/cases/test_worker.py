"""A real worker locates what a report names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.factories_takedowns import make_dataset_of, make_report, make_team

if TYPE_CHECKING:
    from tests.processes import Worker


@pytest.mark.django_db(transaction=True)
def test_a_worker_locates_the_items_of_a_new_report(worker: Worker) -> None:
    dataset, version = make_dataset_of(make_team())
    report, _ = make_report(dataset, ["host:img.example.com"])
    case = report.cases.get()

    def located() -> bool:
        case.refresh_from_db()
        return case.located_at is not None

    worker.wait_for(located)
    assert [(one.version, one.rows) for one in case.consequences.all()] == [(version, 10)]
