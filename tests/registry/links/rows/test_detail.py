from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.utils import timezone

from registry.accounts.models import Membership, Role, User
from registry.links.models import Host, Link, LinkPolicy, PanelRow
from registry.links.rows import next_check
from registry.links.schedule import NOW
from tests.factories import make_dataset, make_member, make_organisation, make_version
from tests.registry.links.rows.conftest import url

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from django.test import Client

    from registry.accounts.models import Organisation
    from registry.datasets.models import Version

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store_folder")]


@pytest.fixture
def dead(version: Version) -> Link:
    return Link.objects.get(url=url("dead"))


@pytest.fixture
def held_elsewhere(version: Version, dead: Link, make_panel: Callable[..., Version]) -> Organisation:
    """Another dataset of the organisation has the link in a sample, and one of the organisation returned here."""
    others = make_organisation()
    for organisation, name in ((version.dataset.organisation, "ours"), (others, "theirs")):
        dataset, shards = make_dataset(organisation, name), {"part.csv": [{"url": dead.url}]}
        make_panel([dead.url], make_version(dataset, "2025-01-01", shards, columns={"url": "url"}))
    return others


def test_it_tells_how_a_link_stands_and_its_history_newest_first(
    client: Client, rows: str, staff: User, dead: Link
) -> None:
    client.force_login(staff)
    shown = client.get(f"{rows}{dead.pk}/").content.decode()
    assert "0.csv, row 3" in shown
    assert dead.url in shown
    assert "failed three times, each at least 72 hours after the one before" in shown
    assert shown.index("Fails inside (5xx)") < shown.index("Answers</td>")
    assert "1,234 ms" in shown
    told = client.get(f"/api/v1{rows}{dead.pk}/").json()
    assert (told["id"], told["url"], told["state"], told["failures"]) == (dead.pk, dead.url, "dead", 3)
    assert [(one["outcome"], one["status"]) for one in told["history"]] == [
        ("not_found", 404),
        ("server_error", 500),
        ("ok", 200),
    ]
    assert told["history"][0]["milliseconds"] == 1_234


def test_history_is_paged(
    client: Client, rows: str, staff: User, dead: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    from registry.links import link_views

    monkeypatch.setattr(link_views, "HISTORY", 2)
    client.force_login(staff)
    first = client.get(f"{rows}{dead.pk}/").content.decode()
    assert 'href="?history=2#history" rel="next"' in first
    assert "Answers</td>" not in first
    assert "Answers</td>" in client.get(f"{rows}{dead.pk}/?history=2").content.decode()


@pytest.mark.usefixtures("held_elsewhere")
def test_it_names_the_versions_of_its_own_organisation(
    client: Client, rows: str, version: Version, staff: User, dead: Link
) -> None:
    client.force_login(staff)
    assert (
        "/datasets/ours/versions/2025-01-01/links/rows/" in client.get(f"{rows}{dead.pk}/").content.decode()
    )
    told = client.get(f"/api/v1{rows}{dead.pk}/").json()["versions"]
    assert sorted((one["dataset"], one["path"], one["row"]) for one in told) == sorted(
        [("ours", "part.csv", 0), (version.dataset.slug, "0.csv", 3)]
    )


def test_it_names_no_other_organisations_version_even_to_whoever_is_a_member_of_both(
    client: Client, rows: str, held_elsewhere: Organisation, staff: User, dead: Link
) -> None:
    Membership.objects.create(user=staff, organisation=held_elsewhere, role=Role.STAFF)
    client.force_login(staff)
    assert "theirs" not in client.get(f"{rows}{dead.pk}/").content.decode()
    assert "theirs" not in client.get(f"/api/v1{rows}{dead.pk}/").content.decode()


def test_a_link_that_the_version_does_not_hold_is_not_found(
    client: Client, rows: str, staff: User, make_panel: Callable[[Sequence[str]], Version]
) -> None:
    other = make_panel(["https://other.example.com/1"])
    client.force_login(staff)
    for pk in (Link.objects.get(url="https://other.example.com/1").pk, 0, 10**30):
        assert client.get(f"{rows}{pk}/").status_code == 404
        assert client.get(f"/api/v1{rows}{pk}/").status_code == 404
    assert PanelRow.objects.filter(panel__version=other).exists()


def test_every_opt_out_that_is_known_is_evidence(client: Client, rows: str, staff: User, dead: Link) -> None:
    client.force_login(staff)
    page = f"{rows}{dead.pk}/"
    assert "None is known" in client.get(page).content.decode()
    assert client.get(f"/api/v1{page}").json()["opt_out_evidence"] == []
    Link.objects.filter(pk=dead.pk).update(opt_outs=["noai", "tdm-reservation"], outcome="robots_disallowed")
    Host.objects.filter(pk=dead.host_id).update(opted_out_at=timezone.now())
    shown = client.get(page).content.decode()
    for what in (
        "noai",
        "tdm-reservation",
        "robots.txt does not allow",
        "Its host opted out of all requests",
    ):
        assert what in shown
    assert len(client.get(f"/api/v1{page}").json()["opt_out_evidence"]) == 4


Fields = dict[str, Any]
# Words: what is so of the link, of its host, of the policy of its dataset.
NEXT: dict[str, tuple[Fields, Fields, Fields]] = {
    "It is due": ({}, {}, {}),
    "Its host opted out": ({}, {"opted_out_at": timezone.now()}, {}),
    "Its domain has to be there": ({"state": "domain_gone", "due_at": None}, {}, {}),
    "It is not on the schedule": ({"due_at": None}, {}, {}),
    "Checks of its dataset are paused": ({}, {}, {"paused_at": timezone.now()}),
    "Its host is left alone until": ({}, {"next_at": timezone.now() + timedelta(days=30)}, {}),
    "A worker asks its host": ({}, {"lease_until": timezone.now() + timedelta(days=1)}, {}),
    "It is due, but the day's budget": (
        {"due_at": NOW},
        {},
        {"daily_budget": 5, "spent": 5, "day": timezone.now().date()},
    ),
    "Somebody asked for it": ({"due_at": NOW}, {}, {}),
    "It waits for a free worker": ({"due_at": NOW + timedelta(days=1)}, {}, {}),
}


@pytest.mark.parametrize("words", NEXT)
def test_it_says_what_the_next_check_waits_for(words: str) -> None:
    of_link, of_host, of_policy = NEXT[words]
    now = timezone.now()
    host = Host(name="a.example.com", **({"next_at": now - timedelta(days=1)} | of_host))
    link = Link(host=host, **({"due_at": now + timedelta(days=2)} | of_link))
    told = next_check(link, LinkPolicy(**({"daily_budget": 10} | of_policy)), now)
    assert told.why.startswith(words)
    # Words that lead up to a time have one, whole sentences have none.
    assert told.why.endswith(".") == (told.at is None)


def test_without_a_policy_nothing_is_asked() -> None:
    assert next_check(Link(host=Host(name="a.example.com"), due_at=timezone.now()), None).at is None


def test_a_member_of_the_organisation_reads_it_in_any_role(
    client: Client, rows: str, version: Version, dead: Link
) -> None:
    for role in Role:
        client.force_login(make_member(version.dataset.organisation, role))
        assert client.get(f"{rows}{dead.pk}/").status_code == 200
