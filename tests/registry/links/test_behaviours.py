"""Three looks at servers that really behave so, by the checker itself, each 72 hours after the one before."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from registry.lib.safe_http import Limits
from registry.links import services, turns
from registry.links.models import Link, Observation, RobotsFile
from registry.links.outcomes import Outcome
from registry.links.states import LinkState
from tests.registry.lib.safe_http.servers import WebServer
from tests.registry.links.behaviours import ELSEWHERE, GOOD, PATH, behaviours, paths, says
from tests.registry.links.conftest import no_robots
from tests.registry.links.test_hostile_answers import time_passes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pytest_django import Settings

    from registry.datasets.models import Version

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("store_folder")]

# Whoever answers so has blocked, limited or challenged us, or wants a login: named here and not read from the code.
BLOCKED = {
    "auth_required", "forbidden", "legal_block", "bot_challenge", "rate_limited", "client_error", "robots_disallowed",
}  # fmt: skip
REFUSES_CONNECTIONS = "127.0.1.1"
QUICK = Limits(total_seconds=2, slow_seconds=1, connect_seconds=1, redirects=0, body_bytes=0)


def test_every_server_is_told_for_what_it_is_and_none_that_refuses_us_is_ever_dead(
    make_panel: Callable[[Sequence[str]], Version], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "_LIMITS", QUICK)
    monkeypatch.setattr(turns, "MAX_HOPS", 3)
    other = paths(missing=says("404 Not Found"))
    with ExitStack() as stack:
        elsewhere = [
            stack.enter_context(WebServer(other, host=f"127.0.3.{place}"))
            for place in range(1, ELSEWHERE + 1)
        ]
        with WebServer(GOOD, host=REFUSES_CONNECTIONS) as closed:
            shut = f"http://{REFUSES_CONNECTIONS}:{closed.port}{PATH}"
        known = behaviours([server.url.removesuffix("/") for server in elsewhere])
        servers = {
            name: stack.enter_context(WebServer(one.handler, host=f"127.0.2.{place}"))
            for place, (name, one) in enumerate(known.items(), 1)
        }
        open_to_us = [*elsewhere, closed, *servers.values()]
        settings.LINKS_TEST_TARGETS = [f"{server.host}:{server.port}" for server in open_to_us]
        asked = {name: f"{server.url.removesuffix('/')}{PATH}" for name, server in servers.items()}
        good = [f"{servers[name].url}good" for name, one in known.items() if one.beside_a_good_one]
        make_panel([*asked.values(), *good, shut])
        no_robots()
        RobotsFile.objects.filter(origin=asked["robots.txt says no"].removesuffix(PATH)).delete()
        for look in range(3):
            assert services.links_check() == len(known) + len(good) + 1, look
            time_passes()
    links = {link.url: link for link in Link.objects.all()}
    told = {name: (Outcome(links[url].outcome), LinkState(links[url].state)) for name, url in asked.items()}
    assert told == {name: (one.outcome, one.state) for name, one in known.items()}
    assert len(known) >= 60
    seen = Observation.objects.filter(link__in=[link.pk for link in links.values()])
    for name, one in known.items():
        outcomes = list(seen.filter(link=links[asked[name]]).values_list("outcome", flat=True))
        assert outcomes == [one.outcome] * 3, name
    # A host that lets nobody in failed as a whole, and of that one failure counts.
    assert (links[shut].outcome, links[shut].state) == ("connect_refused", "failing")
    assert [links[url].state for url in good] == ["alive"] * len(good)
    dead = {link.outcome for link in links.values() if link.state == LinkState.DEAD}
    assert dead.isdisjoint(BLOCKED)
    blocked = seen.filter(outcome__in=BLOCKED).values("link")
    assert not Link.objects.filter(pk__in=blocked, state__in=["dead", "failing"]).exists()
    assert not Link.objects.filter(pk__in=blocked, failures__gt=0).exists()
    assert set(Link.objects.filter(pk__in=blocked).values_list("outcome", flat=True)) == BLOCKED
