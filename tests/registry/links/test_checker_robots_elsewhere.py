"""A robots.txt that redirects to another host is fetched in that host's turn, and holds for the origin that led there."""

from __future__ import annotations

import uuid
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from django.utils import timezone

from registry.hooks import hooks
from registry.links import services
from registry.links.models import Host, Link, RobotsFile
from registry.links.opt_outs.services import host_opt_out
from tests.factories import make_user
from tests.registry.lib.safe_http.servers import NameServer, WebServer, answers, redirects, writes
from tests.registry.links.test_checker import polite
from tests.registry.links.test_checker_robots import (
    SECOND,
    WALL,
    ask_again,
    one_after_the_other,
    outcomes,
    second_port,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from pytest_django import Settings

    from registry.datasets.models import Version
    from tests.registry.links.conftest import Town

    MakePanel = Callable[[Sequence[str]], Version]

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("store_folder")]
A, B, C = "127.0.0.2", "127.0.0.3", "127.0.0.4"
ROBOTS = "/robots.txt"
DENIES_ALL = answers(b"User-agent: *\nDisallow: /\n")


def leads(town: Town, host: str, onward: str, path: str = ROBOTS) -> None:
    """Let the robots.txt of a host redirect to another."""
    town.pages[host, ROBOTS] = redirects(town.url(onward, path), "301 Moved")


def waits(url: str) -> bool:
    """Whether the link was not asked for, nothing is said of it, and it is due again in an hour."""
    link = Link.objects.get(url=url)
    assert link.due_at
    in_an_hour = timedelta(minutes=59) < link.due_at - timezone.now() <= timedelta(hours=1)
    return (link.state, link.outcome, link.failures, in_an_hour) == ("unchecked", "", 0, True)


def cannot_be_told(url: str) -> bool:
    link = Link.objects.get(url=url)
    return (link.state, link.outcome, link.failures) == ("unverifiable", "robots_disallowed", 0)


def test_its_rules_and_its_pause_hold_for_the_origin_that_led_there(
    town: Town, make_panel: MakePanel
) -> None:
    leads(town, A, B)
    town.pages[B, ROBOTS] = answers(b"User-agent: *\nDisallow: /private\nCrawl-delay: 2\n")
    make_panel([town.url(A, path) for path in ("/private", "/1", "/2")])
    assert services.links_check() == 3
    assert outcomes() == {
        town.url(A, "/private"): "robots_disallowed",
        town.url(A, "/1"): "ok",
        town.url(A, "/2"): "ok",
    }
    assert town.paths(A) == ["GET /robots.txt", "HEAD /1", "HEAD /2"]
    assert town.paths(B) == ["GET /robots.txt"]
    assert polite(town.log)
    first, second = (one.at for one in town.log if one.method == "HEAD")
    assert second - first >= 1.99
    files = {file.origin: (file.host.name, file.status, file.text) for file in RobotsFile.objects.all()}
    assert files[town.url(A, "")] == (A, *files[town.url(B, "")][1:])
    assert not Host.objects.exclude(lease=None).exists()
    town.log.clear()
    assert ask_again() == 3
    assert [one.path for one in town.log] == ["/1", "/2"]


def test_links_that_go_the_same_way_do_not_have_it_read_twice(town: Town, make_panel: MakePanel) -> None:
    leads(town, A, B)
    town.pages |= {(A, "/1"): redirects(town.url(B, "/1"), "301 Moved"), (B, ROBOTS): WALL}
    make_panel([town.url(A, "/1"), town.url(B, "/own"), town.url(B, "/private")])
    assert services.links_check() == 3
    assert outcomes() == {
        town.url(A, "/1"): "redirect_cross_site",
        town.url(B, "/own"): "ok",
        town.url(B, "/private"): "robots_disallowed",
    }
    assert sorted(town.paths(B)) == ["GET /robots.txt", "HEAD /1", "HEAD /own"]
    assert polite(town.log)


def test_many_origins_that_lead_to_one_host_have_it_asked_once_a_day(
    town: Town, make_panel: MakePanel, settings: Settings
) -> None:
    with second_port(town, settings) as second:
        town.pages[SECOND, ROBOTS] = redirects(town.url(B, ROBOTS))
        leads(town, A, B)
        town.pages[B, ROBOTS] = WALL
        urls = [town.url(A, "/private"), f"{second}/private"]
        make_panel(urls)
        assert services.links_check() == 2
        assert outcomes() == dict.fromkeys(urls, "robots_disallowed")
        assert town.paths(B) == ["GET /robots.txt"]
        assert one_after_the_other(town)
        leads(town, C, B)
        read_at = timezone.now() - timedelta(hours=23)
        RobotsFile.objects.filter(host__name=B).update(asked_at=read_at)
        make_panel([town.url(C, "/private")])
        assert services.links_check() == 1
        assert outcomes()[town.url(C, "/private")] == "robots_disallowed"
        assert (town.paths(C), town.paths(B)) == (["GET /robots.txt"], ["GET /robots.txt"])
        # It is a day old when the other is.
        assert RobotsFile.objects.get(host__name=C).asked_at == read_at


def test_ways_that_meet_have_nobody_asked_twice(
    town: Town, make_panel: MakePanel, settings: Settings
) -> None:
    with second_port(town, settings) as second:
        leads(town, A, B, "/of-first")
        town.pages |= {
            (SECOND, ROBOTS): redirects(town.url(B, "/of-second")),
            (B, "/of-first"): redirects(town.url(C, "/rules")),
            (B, "/of-second"): redirects(town.url(C, "/rules")),
            (C, "/rules"): WALL,
        }
        urls = [town.url(A, "/private"), f"{second}/private"]
        make_panel(urls)
        assert services.links_check() == 2
        assert outcomes() == dict.fromkeys(urls, "robots_disallowed")
        assert town.paths(B) == ["GET /of-first", "GET /of-second"]
        assert town.paths(C) == ["GET /rules"]
        assert one_after_the_other(town)


@pytest.mark.parametrize(("steps", "outcome"), [(5, "robots_disallowed"), (6, "ok")])
def test_five_redirects_are_followed_over_hosts_and_a_sixth_is_not(
    town: Town, make_panel: MakePanel, steps: int, outcome: str
) -> None:
    way = [(A, ROBOTS), (B, ROBOTS), (C, "/a"), (B, "/b"), (B, "/c"), (A, "/d"), (C, "/e")][: steps + 1]
    for here, there in pairwise(way):
        town.pages[here] = redirects(town.url(*there))
    town.pages[way[-1]] = DENIES_ALL
    make_panel([town.url(A, "/1")])
    assert services.links_check() == 1
    assert outcomes() == {town.url(A, "/1"): outcome}
    robots = [(one.host, one.path) for one in town.log if one.method == "GET"]
    assert robots == way[:6]
    assert polite(town.log)


def test_two_hosts_that_lead_to_each_other_go_round_once_and_have_none(
    town: Town, make_panel: MakePanel
) -> None:
    leads(town, A, B)
    leads(town, B, A)
    make_panel([town.url(A, "/1"), town.url(B, "/1")])
    assert services.links_check() == 2
    assert set(outcomes().values()) == {"ok"}
    for host in (A, B):  # for itself, and for the other
        assert town.paths(host) == ["GET /robots.txt", "GET /robots.txt", "HEAD /1"]
    assert polite(town.log)


def test_two_hosts_whose_rules_are_on_each_other_do_not_wait_for_each_other(
    town: Town, make_panel: MakePanel
) -> None:
    leads(town, A, B, "/of-a")
    leads(town, B, A, "/of-b")
    town.pages |= {(B, "/of-a"): WALL, (A, "/of-b"): DENIES_ALL}
    make_panel([town.url(A, "/private"), town.url(A, "/1"), town.url(B, "/1")])
    assert services.links_check() == 3
    assert outcomes() == {
        town.url(A, "/private"): "robots_disallowed",
        town.url(A, "/1"): "ok",
        town.url(B, "/1"): "robots_disallowed",
    }
    assert polite(town.log)


@pytest.mark.parametrize("why", ["held", "rests", "limits"])
def test_a_host_that_another_worker_holds_or_that_rests_makes_them_wait(
    town: Town, make_panel: MakePanel, settings: Settings, why: str
) -> None:
    settings.LINKS_BATCHES = 2  # the other worker has one
    leads(town, A, B)
    later = timezone.now() + timedelta(minutes=10)
    if why == "held":
        Host.objects.create(name=B, lease=uuid.uuid4(), lease_until=later)
    elif why == "rests":
        Host.objects.create(name=B, next_at=later)
    else:
        town.pages[B, ROBOTS] = answers(b"", status="429 No", headers="Retry-After: 600\r\n")
    make_panel([town.url(A, "/1"), town.url(C, "/1")])
    assert services.links_check() == 1
    assert waits(town.url(A, "/1"))
    assert outcomes()[town.url(C, "/1")] == "ok"
    assert town.paths(A) == ["GET /robots.txt"]
    assert town.paths(B) == (["GET /robots.txt"] if why == "limits" else [])
    assert not RobotsFile.objects.filter(host__name=A).exists()
    town.pages[B, ROBOTS] = DENIES_ALL
    Host.objects.update(lease=None, lease_until=None)
    assert ask_again() == 2
    assert outcomes()[town.url(A, "/1")] == "robots_disallowed"


def test_a_held_host_whose_robots_txt_is_known_is_not_needed(
    town: Town, make_panel: MakePanel, settings: Settings
) -> None:
    settings.LINKS_BATCHES = 2
    leads(town, A, B)
    host = Host.objects.create(name=B, lease=uuid.uuid4(), lease_until=timezone.now() + timedelta(minutes=10))
    RobotsFile.objects.create(
        host=host,
        origin=town.url(B, ""),
        text="User-agent: *\nDisallow: /private",
        status=200,
        asked_at=timezone.now(),
    )
    make_panel([town.url(A, "/private"), town.url(A, "/1")])
    assert services.links_check() == 2
    assert outcomes() == {town.url(A, "/private"): "robots_disallowed", town.url(A, "/1"): "ok"}
    assert town.paths(B) == []


def test_a_host_that_opted_out_is_not_asked_and_so_the_origin_is_not_either(
    town: Town, make_panel: MakePanel
) -> None:
    leads(town, A, B)
    make_panel([town.url(A, "/1"), town.url(B, "/1")])
    host_opt_out(actor=make_user(is_superuser=True), name=B)
    assert services.links_check() == 1
    assert town.paths(B) == []
    assert town.paths(A) == ["GET /robots.txt"]
    assert cannot_be_told(town.url(A, "/1"))


def test_one_that_is_excluded_is_not_asked_for_and_so_the_origin_is_not_either(
    town: Town, make_panel: MakePanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    leads(town, A, B)

    def excluded(keys: Collection[tuple[str, bytes]]) -> set[tuple[str, bytes]]:
        return {key for key in keys if key == ("host.c1", B.encode())}

    monkeypatch.setattr(hooks, "keys_excluded", [excluded])
    make_panel([town.url(A, "/1")])
    assert services.links_check() == 1
    assert town.paths(B) == []
    assert town.paths(A) == ["GET /robots.txt"]
    assert cannot_be_told(town.url(A, "/1"))


def test_one_that_cannot_be_reached_makes_no_link_fail(
    town: Town, make_panel: MakePanel, settings: Settings
) -> None:
    with WebServer(writes(), host="127.0.0.9") as closed:
        gone = f"http://127.0.0.9:{closed.port}{ROBOTS}"
    settings.LINKS_TEST_TARGETS = [*settings.LINKS_TEST_TARGETS, f"127.0.0.9:{closed.port}"]
    town.pages |= {(A, ROBOTS): redirects(gone), (B, ROBOTS): answers(b"", status="500 Oops")}
    leads(town, C, B)
    make_panel([town.url(A, "/1"), town.url(A, "/2"), town.url(C, "/1")])
    assert services.links_check() == 3
    assert all(cannot_be_told(url) for url in (town.url(A, "/1"), town.url(A, "/2"), town.url(C, "/1")))
    assert town.paths(A) == town.paths(C) == ["GET /robots.txt"]
    # Who failed said so for a day; whom nobody reached said nothing.
    assert set(RobotsFile.objects.values_list("host__name", "status")) == {(B, 500), (C, 500)}


def test_where_the_door_does_not_go_there_is_no_robots_txt(
    town: Town, make_panel: MakePanel, settings: Settings
) -> None:
    with NameServer() as resolver:
        settings.NAME_SERVERS = [resolver.address]
        resolver.knows("inner.example.com", "10.0.0.1")
        town.pages |= {
            (A, ROBOTS): redirects(f"http://inner.example.com{ROBOTS}"),
            (B, ROBOTS): redirects(f"http://127.0.0.99{ROBOTS}"),
        }
        make_panel([town.url(A, "/1"), town.url(B, "/1")])
        assert services.links_check() == 2
    assert set(outcomes().values()) == {"ok"}
    assert set(RobotsFile.objects.values_list("host__name", "status")) == {(A, 302), (B, 302)}
