"""Each origin of a host has a robots.txt of its own, asked for in the host's one turn."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from django.utils import timezone

from registry.hooks import hooks
from registry.links import services
from registry.links.models import Host, Link, Observation, RobotsFile
from registry.links.schedule import NOW
from tests.factories_takedowns import make_report
from tests.registry.lib.safe_http.servers import WebServer, answers, redirects, writes
from tests.registry.links.test_checker import polite

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pytest_django import Settings

    from registry.datasets.models import Version
    from tests.registry.links.conftest import Town

    MakePanel = Callable[[Sequence[str]], Version]

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("store_folder")]
A, B = "127.0.0.2", "127.0.0.3"
SECOND = "the second port of A"
WALL = answers(b"User-agent: *\nDisallow: /private\n")


@contextmanager
def second_port(town: Town, settings: Settings) -> Iterator[str]:
    """Another server on host A; its pages and its log are those of SECOND. Gives how its URLs begin."""
    with WebServer(town.handler(SECOND), host=A) as server:
        town.ports[SECOND] = server.port
        settings.LINKS_TEST_TARGETS = [*settings.LINKS_TEST_TARGETS, f"{A}:{server.port}"]
        yield f"http://{A}:{server.port}"


def one_after_the_other(town: Town) -> bool:
    """Whether host A was asked politely, whatever the port."""
    return polite([replace(one, host=A) if one.host == SECOND else one for one in town.log])


def outcomes() -> dict[str, str]:
    return dict(Link.objects.values_list("url", "outcome"))


def ask_again() -> int:
    Link.objects.update(due_at=NOW)
    Host.objects.update(due_at=NOW, next_at=timezone.now())
    return services.links_check()


def test_each_origin_is_asked_for_its_own_and_only_that_holds_there(
    town: Town, make_panel: MakePanel, settings: Settings
) -> None:
    with second_port(town, settings) as second:
        town.pages[A, "/robots.txt"] = WALL
        first = town.url(A, "")
        make_panel([f"{first}/private", f"{second}/private", f"{first}/open", f"{second}/open"])
        assert services.links_check() == 4
        assert outcomes() == {
            f"{first}/private": "robots_disallowed",
            f"{second}/private": "ok",
            f"{first}/open": "ok",
            f"{second}/open": "ok",
        }
        assert town.paths(A) == ["GET /robots.txt", "HEAD /open"]
        assert town.paths(SECOND) == ["GET /robots.txt", "HEAD /private", "HEAD /open"]
        assert one_after_the_other(town)
        assert dict(RobotsFile.objects.values_list("origin", "status")) == {first: 200, second: 404}


def test_it_is_known_for_a_day_and_then_asked_for_anew(town: Town, make_panel: MakePanel) -> None:
    make_panel([town.url(A, "/1")])
    assert services.links_check() == 1
    assert ask_again() == 1
    assert town.paths(A) == ["GET /robots.txt", "HEAD /1", "HEAD /1"]
    RobotsFile.objects.update(asked_at=timezone.now() - timedelta(hours=25))
    town.pages[A, "/robots.txt"] = answers(b"User-agent: *\nDisallow: /\n")
    assert ask_again() == 1
    assert town.paths(A)[3:] == ["GET /robots.txt"]
    assert outcomes() == {town.url(A, "/1"): "robots_disallowed"}
    file = RobotsFile.objects.get()
    assert (file.status, file.asked_at > timezone.now() - timedelta(minutes=1)) == (200, True)


def test_a_port_that_is_closed_says_nothing_of_the_others(
    town: Town, make_panel: MakePanel, settings: Settings
) -> None:
    with WebServer(writes(), host=A) as closed:
        gone = f"http://{A}:{closed.port}"
    settings.LINKS_TEST_TARGETS = [*settings.LINKS_TEST_TARGETS, f"{A}:{closed.port}"]
    make_panel([f"{gone}/1", f"{gone}/2", town.url(A, "/1")])
    assert services.links_check() == 3
    assert outcomes() == {
        f"{gone}/1": "connect_refused",
        f"{gone}/2": "connect_refused",
        town.url(A, "/1"): "ok",
    }
    assert [file.origin for file in RobotsFile.objects.all()] == [town.url(A, "")]


def test_a_redirect_to_another_port_of_the_host_is_followed_in_its_turn(
    town: Town, make_panel: MakePanel, settings: Settings
) -> None:
    with second_port(town, settings) as second:
        town.pages[A, "/robots.txt"] = redirects(f"{second}/rules")
        town.pages[SECOND, "/rules"] = WALL
        make_panel([town.url(A, "/private")])
        assert services.links_check() == 1
        assert outcomes() == {town.url(A, "/private"): "robots_disallowed"}
        assert (town.paths(A), town.paths(SECOND)) == (["GET /robots.txt"], ["GET /rules"])
        assert one_after_the_other(town)
        assert [file.origin for file in RobotsFile.objects.all()] == [town.url(A, "")]


def test_the_longest_pause_that_an_origin_asks_for_holds_for_the_host(
    town: Town, make_panel: MakePanel, settings: Settings
) -> None:
    with second_port(town, settings) as second:
        town.pages[A, "/robots.txt"] = answers(b"User-agent: *\nCrawl-delay: 2\n")
        make_panel([town.url(A, "/1"), f"{second}/1", f"{second}/2"])
        assert services.links_check() == 3
        assert Host.objects.get(name=A).delay == 2.0
        times = [one.at for one in town.log if one.path in {"/1", "/2"}]
        # Between the two first links lie two pauses, for the second origin's robots.txt is asked for.
        assert [round(later - earlier) for earlier, later in pairwise(times)] == [
            4,
            2,
        ]


def test_links_whose_robots_txt_is_reported_cannot_be_told_and_are_not_taken_for_reported_themselves(
    town: Town, make_panel: MakePanel
) -> None:
    """A file that somebody reported is not contacted: nobody knows what may be asked for."""
    version = make_panel([town.url(A, "/1"), town.url(B, "/1")])
    make_report(version.dataset, [town.url(A, "/robots.txt")])
    assert hooks.keys_excluded
    assert services.links_check() == 2
    assert town.paths(A) == []
    link = Link.objects.get(url=town.url(A, "/1"))
    assert (link.state, link.outcome) == ("unverifiable", "robots_disallowed")
    assert link.due_at is not None
    assert Link.objects.get(url=town.url(B, "/1")).state == "alive"
    assert set(Observation.objects.values_list("outcome", flat=True)) == {"robots_disallowed", "ok"}


def test_a_link_that_is_reported_like_its_robots_txt_is_excluded_and_nothing_of_it_stays(
    town: Town, make_panel: MakePanel
) -> None:
    version = make_panel([town.url(A, "/1")])
    make_report(version.dataset, [town.url(A, "/robots.txt"), town.url(A, "/1")])
    assert services.links_check() == 0
    link = Link.objects.get()
    assert (link.state, link.due_at, town.paths(A)) == ("excluded", None, [])
    assert not Observation.objects.exists()
