from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.utils import timezone

from registry.accounts.models import Role
from registry.links.models import Link
from takedowns.cases.models import Case
from tests.factories import make_member, make_organisation
from tests.factories_takedowns import make_category, make_watched

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


def test_a_program_opens_a_case_in_two_requests(client: Client, team: Team, version: Version) -> None:
    path = f"/api/v1/datasets/{version.dataset.slug}/versions/{version.name}/links/cases/dead/"
    client.force_login(team.staff)
    seen = client.get(path).json()
    assert (seen["links"], seen["rows"]) == (1, 1)
    assert seen["versions"] == [
        {"dataset": version.dataset.slug, "version": version.name, "imported": True, "rows": 1}
    ]
    data = {"reason": "Gone for good.", "preview": seen["preview"]}
    opened = client.post(path, data, content_type="application/json")
    assert (opened.status_code, opened.json()) == (201, {"number": Case.objects.get().number})
    assert client.post(path, data, content_type="application/json").status_code == 409
    assert client.get(path).json()["links"] == 0
    assert client.get(path.replace("dead", "alive")).status_code == 404


def test_strangers_open_none_and_see_none(client: Client, team: Team, version: Version) -> None:
    path = f"/api/v1/datasets/{version.dataset.slug}/versions/{version.name}/links/cases/dead/"
    assert client.get(path).status_code == 401
    client.force_login(make_member(make_organisation(), Role.APPROVER))
    assert client.get(path).status_code == 403
    data = {"reason": "Gone", "preview": "0" * 64}
    assert client.post(path, data, content_type="application/json").status_code == 403
    assert not Case.objects.exists()
