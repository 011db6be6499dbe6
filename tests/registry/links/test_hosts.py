from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.utils import timezone

from registry.accounts.models import Role, User
from registry.datasets.models import VersionStatus
from registry.links.hosts import host_facts
from registry.links.models import Host, Link, Panel, PanelRow, RobotsFile
from registry.links.schedule import link_excluded
from tests.factories import make_member, make_organisation, make_user

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from django.test import Client

    from registry.datasets.models import Version

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store_folder")]

A, B, C = "a.example.com", "b.example.com", "c.example.com"


@pytest.fixture
def version(make_panel: Callable[[Sequence[str]], Version]) -> Version:
    """Host a: two alive, one dead, one excluded; b: one failing; c: one excluded and nothing else, never asked."""
    urls = [*(f"https://{A}/{number}" for number in range(4)), f"https://{B}/0", f"https://{C}/0"]
    version = make_panel(urls)
    now = timezone.now()
    states = ["alive", "moved", "dead", "excluded", "failing", "excluded"]
    for url, state in zip(urls, states, strict=True):
        asked = state != "excluded"
        Link.objects.filter(url=url).update(
            state=state,
            failures=3,
            status=200 if asked else 0,
            checked_at=now if asked else None,
            due_at=now if asked else None,
        )
    Host.objects.filter(name=A).update(delay=2.5)
    RobotsFile.objects.create(host=Host.objects.get(name=A), origin=f"https://{A}", status=404, asked_at=now)
    return version


@pytest.fixture
def staff(version: Version) -> User:
    return make_member(version.dataset.organisation, Role.STAFF)


def test_everybody_sees_how_a_host_is_asked_and_no_more(
    client: Client, version: Version, staff: User
) -> None:
    shown = client.get(f"/hosts/{A}/").content.decode()
    assert "At least 2.5 s" in shown
    assert f"https://{A}/robots.txt" in shown
    assert "answered 404" in shown
    assert str(version) not in shown
    told = client.get(f"/api/v1/hosts/{A}/").json()
    assert (told["links"], told["alive"], told["dead"], told["unknown"]) == (4, 2, 1, 1)
    assert told["delay_seconds"] == 2.5
    assert [(one["origin"], one["status"]) for one in told["robots"]] == [(f"https://{A}", 404)]
    client.force_login(staff)
    assert str(version) in client.get(f"/hosts/{A}/").content.decode()


def test_that_a_link_is_excluded_is_in_no_word_and_no_number(client: Client, version: Version) -> None:
    for path in (f"/hosts/{A}/", f"/api/v1/hosts/{A}/"):
        assert "xcluded" not in client.get(path).content.decode()
    before = client.get(f"/api/v1/hosts/{A}/").json()
    Link.objects.filter(url=f"https://{A}/3").update(state="failing", due_at=timezone.now())
    assert client.get(f"/api/v1/hosts/{A}/").json() == before


def test_a_host_that_was_never_asked_is_not_shown_to_the_public(
    client: Client, version: Version, staff: User
) -> None:
    assert client.get(f"/hosts/{C}/").status_code == 404
    assert client.get(f"/api/v1/hosts/{C}/").status_code == 404
    client.force_login(make_member(make_organisation(), Role.APPROVER))
    assert client.get(f"/hosts/{C}/").status_code == 404
    client.force_login(staff)
    assert client.get(f"/hosts/{C}/").status_code == 200


def test_hosts_of_drafts_and_unknown_hosts_are_not_found(
    client: Client, version: Version, staff: User
) -> None:
    assert client.get("/hosts/nobody.example.com/").status_code == 404
    assert client.get("/hosts/%00/").status_code in {400, 404}
    type(version).objects.filter(pk=version.pk).update(status=VersionStatus.DRAFT)
    assert client.get(f"/hosts/{A}/").status_code == 404
    assert host_facts(make_user(), A) is None
    assert host_facts(staff, A) is not None


def test_an_opt_out_is_said_first(client: Client, version: Version) -> None:
    Host.objects.filter(name=A).update(opted_out_at=timezone.now())
    assert "It is not asked any more." in client.get(f"/hosts/{A}/").content.decode()


def test_members_page_through_the_hosts_worst_first(client: Client, version: Version, staff: User) -> None:
    hosts = f"/datasets/{version.dataset.slug}/versions/{version.name}/links/hosts/"
    assert client.get(hosts).status_code == 302
    client.force_login(make_user())
    assert client.get(hosts).status_code == 403
    assert client.get(f"/api/v1{hosts}").status_code == 403
    client.force_login(staff)
    shown = client.get(hosts).content.decode()
    assert shown.index(A) < shown.index(B)
    assert C not in shown  # its only link is excluded
    assert A not in client.get(f"{hosts}?with=failing").content.decode()
    assert "No host of the sample is like this." in client.get(f"{hosts}?q=zzz").content.decode()
    told = client.get(f"/api/v1{hosts}").json()
    assert told["results"][0] == {"host": A, "links": 3, "alive": 2, "failing": 0, "dead": 1}
    for query, names in [("q=b.", [B]), ("with=dead", [A]), ("with=failing", [B]), ("q=nothing", [])]:
        found = client.get(f"/api/v1{hosts}?{query}").json()["results"]
        assert [one["host"] for one in found] == names, query


def test_csv_holds_the_figures_and_every_link_without_a_url(client: Client, version: Version) -> None:
    links = f"/datasets/{version.dataset.slug}/versions/{version.name}/links/"
    figures = client.get(f"{links}figures.csv")
    assert figures["Content-Type"] == "text/csv; charset=utf-8"
    lines = figures.content.decode().splitlines()
    assert lines[0] == "kind,name,value,share,low,high"
    assert any(line.startswith("links,dead,1,0.16") for line in lines)
    states = client.get(f"{links}states.csv").content.decode()
    assert "excluded" not in states
    assert "example.com" not in states
    assert len(states.splitlines()) == 7


def test_the_public_states_name_no_row_and_stand_in_an_order_that_tells_nothing(
    client: Client, version: Version
) -> None:
    Link.objects.filter(state="excluded", url__contains=C).update(
        state="unverifiable", outcome="forbidden", status=403, checked_at=timezone.now()
    )
    Link.objects.filter(state="dead").update(outcome="not_found", status=404)
    Panel.objects.update(urls_unusable=1)
    told = client.get(
        f"/datasets/{version.dataset.slug}/versions/{version.name}/links/states.csv"
    ).content.decode()
    day = timezone.now().date().isoformat()
    assert told.splitlines() == [
        "kind,weight,state,content,outcome,status,checked_on",
        f"com,1.0,alive,unknown,,200,{day}",
        f"com,1.0,dead,unknown,not_found,404,{day}",
        f"com,1.0,failing,unknown,,200,{day}",
        f"com,1.0,moved,unknown,,200,{day}",
        "com,1.0,unverifiable,,,,",  # the one is excluded, the other refuses us
        "com,1.0,unverifiable,,,,",
        "none,1.0,unverifiable,,,,",  # leads to no host
    ]
    for row in PanelRow.objects.select_related("link"):
        assert row.shard_id not in told
        assert bytes(row.link.key).hex() not in told


def test_no_time_tells_a_link_that_refuses_us_from_one_that_is_excluded(
    client: Client, make_panel: Callable[[Sequence[str]], Version]
) -> None:
    """Two versions and two hosts with a link each: what is said of them is the same."""
    asked, now = timezone.now() - timedelta(minutes=3), timezone.now()
    told: list[object] = []
    for name in ("one.example.com", "two.example.com"):
        panel = make_panel([f"https://{name}/1"])
        Panel.objects.update(drawn_at=asked)
        link, host = Link.objects.filter(host__name=name), Host.objects.get(name=name)
        if told:
            link.update(**link_excluded())
        else:
            link.update(state="unverifiable", outcome="forbidden", status=403, checked_at=now, due_at=now)
        RobotsFile.objects.create(host=host, origin=f"https://{name}", status=404, asked_at=asked)
        links = f"/datasets/{panel.dataset.slug}/versions/{panel.name}/links/"
        answers = [client.get(f"{links}{file}").content.decode() for file in ("figures.csv", "states.csv")]
        shown = client.get(f"/api/v1/hosts/{name}/").json()
        assert shown["answered_at"] == shown["robots"][0]["asked_at"]
        health = client.get(f"/api/v1{links}").json()
        assert (health["checked_first"], health["checked_last"]) == (None, None)
        told.append((answers, health, "Not yet" in client.get(links).content.decode(), shown["unknown"]))
    assert told[0] == told[1]


@pytest.mark.parametrize("status", [VersionStatus.WITHDRAWN, VersionStatus.QUARANTINED])
def test_of_a_version_out_of_use_only_members_are_told_how_its_links_stand(
    client: Client, version: Version, staff: User, status: VersionStatus
) -> None:
    links = f"/datasets/{version.dataset.slug}/versions/{version.name}/links/"
    doors = (
        links,
        f"{links}figures.csv",
        f"{links}states.csv",
        f"/api/v1{links}",
        f"/hosts/{A}/",
        f"/api/v1/hosts/{A}/",
    )
    detail = f"/datasets/{version.dataset.slug}/versions/{version.name}/"
    assert {client.get(door).status_code for door in doors} == {200}
    assert links in client.get(detail).content.decode()
    type(version).objects.filter(pk=version.pk).update(status=status)
    for stranger in (None, make_user(), make_member(make_organisation(), Role.APPROVER)):
        client.logout()
        if stranger:
            client.force_login(stranger)
        assert {door: client.get(door).status_code for door in doors} == dict.fromkeys(doors, 404)
        assert links not in client.get(detail).content.decode()
        assert client.get(f"/api/v1{links}domains/").status_code == 404
    client.force_login(staff)
    assert {door: client.get(door).status_code for door in doors} == dict.fromkeys(doors, 200)
    assert links in client.get(detail).content.decode()


def test_csv_is_for_those_who_may_see_the_version(client: Client, version: Version, staff: User) -> None:
    links = f"/datasets/{version.dataset.slug}/versions/{version.name}/links/"
    type(version).objects.filter(pk=version.pk).update(status=VersionStatus.DRAFT)
    for name in ("figures.csv", "states.csv"):
        client.logout()
        assert client.get(links + name).status_code == 404
        client.force_login(make_member(make_organisation(), Role.APPROVER))
        assert client.get(links + name).status_code == 404
        client.force_login(staff)
        assert client.get(links + name).status_code == 200
