from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from registry.accounts.models import Role
from registry.links.models import LinkPolicy
from tests.factories import make_member, make_organisation

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from django.test import Client

    from registry.datasets.models import Version

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store_folder")]


def test_a_maintainer_draws_checks_pauses_and_resumes(
    client: Client, make_panel: Callable[[Sequence[str]], Version]
) -> None:
    version = make_panel(["https://a.example.com/1", "https://b.example.com/2"])
    links = f"/api/v1/datasets/{version.dataset.slug}/versions/{version.name}/links/"
    client.force_login(make_member(version.dataset.organisation, Role.MAINTAINER))
    job = client.post(f"{links}draw/", {"size": 5}, content_type="application/json")
    assert (job.status_code, job.json()["kind"]) == (202, "panel_draw")
    assert client.post(f"{links}draw/", {"size": 0}, content_type="application/json").status_code == 400
    assert client.post(f"{links}check/").json() == {"links": 2, "recent": 0}
    assert client.get(links).json()["waiting"] == 2
    assert client.post(f"{links}pause/").json()["paused_at"] is not None
    assert LinkPolicy.objects.get().paused_at is not None
    assert client.post(f"{links}resume/").json()["paused_at"] is None


def test_a_maintainer_sets_the_days_budget_and_a_wrong_one_names_the_field(
    client: Client, make_panel: Callable[[Sequence[str]], Version]
) -> None:
    version = make_panel(["https://a.example.com/1"])
    budget = f"/api/v1/datasets/{version.dataset.slug}/versions/{version.name}/links/budget/"
    client.force_login(make_member(version.dataset.organisation, Role.MAINTAINER))
    for wrong in ({}, {"daily_budget": 0}, {"daily_budget": 1_000_001}, {"daily_budget": "many"}):
        refused = client.post(budget, wrong, content_type="application/json")
        assert (refused.status_code, list(refused.json())) == (400, ["daily_budget"])
    answer = client.post(budget, {"daily_budget": 5000}, content_type="application/json")
    assert (answer.status_code, answer.json()["daily_budget"]) == (200, 5000)
    assert LinkPolicy.objects.get().daily_budget == 5000


def test_nobody_else_does(client: Client, make_panel: Callable[[Sequence[str]], Version]) -> None:
    version = make_panel(["https://a.example.com/1"])
    links = f"/api/v1/datasets/{version.dataset.slug}/versions/{version.name}/links/"
    acts = ("draw", "check", "budget", "pause", "resume")
    assert {client.post(f"{links}{act}/").status_code for act in acts} == {401}
    for user in (
        make_member(version.dataset.organisation, Role.STAFF),
        make_member(make_organisation(), Role.APPROVER),
    ):
        client.force_login(user)
        data = {"size": 5, "daily_budget": 5}
        codes = {
            client.post(f"{links}{act}/", data, content_type="application/json").status_code for act in acts
        }
        assert codes == {403}
    assert LinkPolicy.objects.get().paused_at is None
