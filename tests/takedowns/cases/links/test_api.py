from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.utils import timezone

from registry.accounts.models import Role
from registry.links.models import Link
from tests.factories import make_member, make_organisation
from tests.factories_takedowns import make_case, make_category, make_watched

if TYPE_CHECKING:
    from django.test import Client

    from registry.datasets.models import Version
    from tests.factories_takedowns import Team

pytestmark = pytest.mark.django_db

DEAD = "https://img.example.com/1.jpg"


@pytest.fixture
def version(team: Team) -> Version:
    make_category("dead_link")
    version = make_watched(team)
    Link.objects.filter(url=DEAD).update(
        state="dead", failures=3, outcome="gone", status=410, checked_at=timezone.now()
    )
    return version


def test_the_links_of_a_case_are_paged_by_item_and_masked(
    client: Client, team: Team, version: Version
) -> None:
    case = make_case(version.dataset, ["https://img.example.com/0.jpg", DEAD])
    path = f"/api/v1/cases/{case.number}/links/"
    client.force_login(make_member(make_organisation(), Role.APPROVER))
    assert client.get(path).status_code == 404
    client.force_login(team.staff)
    first, second = (client.get(f"{path}?page_size=1&page={page}").json() for page in (1, 2))
    assert first["count"] == second["count"] == 2
    assert [line["state"] for line in first["results"] + second["results"]] == ["Not checked yet", "Dead"]
    assert second["results"][0]["evidence"].startswith("Gone (410), before it was reported.")
    assert DEAD not in str(second)
    assert client.get(f"{path}?show=unlocated").json()["results"] == []
