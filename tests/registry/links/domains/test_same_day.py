"""A domain that was registered on a version's own day did not change hands by that, whatever else happened to it."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import pytest

from registry.links.domains.census import hosts_enrol
from registry.links.domains.models import Domain, Takeover
from registry.links.domains.takeovers import takeovers_find, with_takeovers
from registry.links.models import PanelRow
from tests.factories import make_version

if TYPE_CHECKING:
    from collections.abc import Callable

    from registry.datasets.models import Version

DAY = date(2023, 3, 1)
THAT_DAY, LATER = datetime(2023, 3, 1, 12, tzinfo=UTC), datetime(2024, 1, 1, tzinfo=UTC)


@pytest.mark.django_db
@pytest.mark.usefixtures("store_folder")
@pytest.mark.parametrize(
    ("registered", "parked", "kinds"),
    [
        (THAT_DAY, LATER, {"parked"}),
        (LATER, THAT_DAY, {"registered"}),
        (LATER, LATER, {"parked", "registered"}),
        (THAT_DAY, THAT_DAY, set()),
    ],
)
def test_each_of_the_two_counts_for_itself(
    make_panel: Callable[..., Version], registered: datetime, parked: datetime, kinds: set[str]
) -> None:
    url = "https://x.a.com/1"
    make_panel([url], make_version(shards={"0.csv": [{"url": url}]}, columns={"url": "url"}, dated=DAY))
    hosts_enrol()
    Domain.objects.update(registered_at=registered, parked_at=parked)
    assert takeovers_find() == len(kinds)
    row = with_takeovers(PanelRow.objects.all()).get()
    assert vars(row)["ownership_changed"] is bool(kinds)
    assert set(Takeover.objects.values_list("change__kind", flat=True)) == kinds
