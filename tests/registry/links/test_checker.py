"""Batches against hosts that this test starts, and what these say of us afterwards."""

from __future__ import annotations

import socket
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from django.db import ProgrammingError
from django.utils import timezone

from registry.hooks import hooks
from registry.lib.safe_http import Client, Headers, Refused, Request, Response
from registry.links import checker, services
from registry.links.models import Host, Link, Observation
from registry.links.opt_outs.services import host_opt_out
from registry.links.turns import retry_after
from tests.registry.lib.safe_http.servers import answers, redirects
from tests.registry.links.conftest import no_robots

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from pytest_django import Settings

    from registry.datasets.models import Version
    from registry.lib.safe_http.results import Method
    from tests.registry.links.conftest import Asked, Town

    MakePanel = Callable[[Sequence[str]], Version]

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("store_folder")]
A, B, C = "127.0.0.2", "127.0.0.3", "127.0.0.4"


def link(url: str) -> Link:
    return Link.objects.get(url=url)


def polite(log: Sequence[Asked]) -> bool:
    """Whether each host was asked one thing at a time, a second apart."""
    by_host: dict[str, list[Asked]] = {}
    for one in sorted(log, key=lambda asked: asked.at):
        by_host.setdefault(one.host, []).append(one)
    return all(
        later.at - earlier.at >= 0.99 and later.at >= earlier.done
        for asked in by_host.values()
        for earlier, later in pairwise(asked)
    )


def test_a_host_keeps_no_connection_of_ours_after_its_last_link(
    town: Town, make_panel: MakePanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[tuple[Method, bool]] = []
    ask = Client.fetch

    async def noting(client: Client, request: Request) -> Response | Refused:
        kept.append((request.method, request.keeps))
        return await ask(client, request)

    monkeypatch.setattr(Client, "fetch", noting)
    town.pages |= {(A, path): answers(b"", status="404 Not Found") for path in ("/1", "/2")}
    make_panel([town.url(A, "/1"), town.url(A, "/2")])
    assert services.links_check() == 2
    assert kept == [("GET", True), ("HEAD", True), ("GET", True), ("HEAD", True), ("GET", False)]


def test_nobody_is_asked_where_nothing_could_be_written(
    town: Town, make_panel: MakePanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by a role that does not own the table, in a month whose part nobody has made yet."""

    def refused(_at: object) -> None:
        raise ProgrammingError("must be owner of table registry_observation")

    monkeypatch.setattr("registry.links.services.partition_make", refused)
    make_panel([town.url(A, "/1")])
    with pytest.raises(ProgrammingError):
        services.links_check()
    assert not town.log
    assert not Host.objects.exclude(lease=None).exists()


def test_links_are_asked_politely_and_get_their_states(town: Town, make_panel: MakePanel) -> None:
    town.pages |= {
        (A, "/gone"): answers(b"", status="404 Not Found"),
        (A, "/here"): answers(b"x" * 9, headers="X-Robots-Tag: noai\r\n"),
        (B, "/moved"): redirects(town.url(C, "/new"), "301 Moved"),
        (B, "/home"): redirects(town.url(B, "/"), "302 Found"),
        (C, "/robots.txt"): answers(b"User-agent: *\nDisallow: /private\n"),
        (C, "/wall"): answers(b"", status="403 Forbidden", headers="cf-mitigated: challenge\r\n"),
    }
    urls = [(A, "/gone"), (A, "/here"), (B, "/moved"), (B, "/home"), (C, "/private/1"), (C, "/wall")]
    make_panel([town.url(*where) for where in urls])
    assert services.links_check() == 6
    found = {
        (one.host.name, one.url.partition(one.host.name)[2].partition("/")[2]): one
        for one in Link.objects.select_related("host")
    }
    assert {key: (one.state, one.outcome) for key, one in found.items()} == {
        (A, "gone"): ("failing", "not_found"),
        (A, "here"): ("alive", "ok"),
        (B, "moved"): ("moved", "redirect_cross_site"),
        (B, "home"): ("failing", "soft_404"),
        (C, "private/1"): ("unverifiable", "robots_disallowed"),
        (C, "wall"): ("unverifiable", "bot_challenge"),
    }
    assert found[A, "here"].opt_outs == ["noai"]
    assert found[B, "moved"].target == town.url(C, "/new")
    assert polite(town.log)
    assert town.paths(A) == ["GET /robots.txt", "HEAD /gone", "GET /gone", "HEAD /here"]
    assert "GET /private/1" not in town.paths(C)
    assert "HEAD /private/1" not in town.paths(C)
    assert all(
        "range: bytes=0-0" in one.head.lower()
        for one in town.log
        if one.method == "GET" and "robots" not in one.path
    )
    assert all("Expunge (+http" in one.head and "/about/links/)" in one.head for one in town.log)
    assert Observation.objects.count() == 6
    assert not Host.objects.exclude(lease=None).exists()
    assert services.links_check() == 0


def test_a_host_that_limits_us_is_left_alone_for_as_long_as_it_says(
    town: Town, make_panel: MakePanel
) -> None:
    town.pages[A, "/1"] = answers(b"", status="429 Too Many", headers="Retry-After: 7200\r\n")
    make_panel([town.url(A, f"/{number}") for number in range(1, 4)])
    assert services.links_check() == 1
    host = Host.objects.get(name=A)
    assert timedelta(seconds=7100) < host.next_at - timezone.now() <= timedelta(seconds=7200)
    assert host.delay == 2.0
    assert town.paths(A) == ["GET /robots.txt", "HEAD /1"]
    assert link(town.url(A, "/1")).state == "unverifiable"
    assert link(town.url(A, "/2")).state == "unchecked"
    assert services.links_check() == 0
    assert len(town.log) == 2


def test_a_silent_host_is_left_alone(make_panel: MakePanel, town: Town) -> None:
    urls = [town.url(A, f"/{number}") for number in range(5)]
    make_panel(urls)
    town.ports[A] = 0
    from tests.registry.lib.safe_http.servers import WebServer, writes

    with WebServer(writes(), host=A) as closed:
        port = closed.port
    from django.conf import settings

    settings.LINKS_TEST_TARGETS = [f"{A}:{port}"]
    for one in Link.objects.all():
        Link.objects.filter(pk=one.pk).update(url=f"http://{A}:{port}/{one.pk}")
    no_robots()
    assert services.links_check() == 3
    assert set(Link.objects.exclude(outcome="").values_list("state", "outcome")) == {
        ("failing", "connect_refused")
    }
    host = Host.objects.get(name=A)
    assert (host.fails, host.next_at > timezone.now() + timedelta(minutes=14)) == (1, True)


def test_an_excluded_link_is_never_contacted(
    town: Town, make_panel: MakePanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the claim, just before the dial, and at the end of a redirect."""
    town.pages[B, "/leads"] = redirects(town.url(C, "/secret"))
    urls = {name: town.url(host, f"/{name}") for name, host in [("known", A), ("late", A), ("leads", B)]}
    make_panel(list(urls.values()))
    from expunge.keys import keys_of_url

    def raw(url: str) -> tuple[str, bytes]:
        return next(
            (kind.value, bytes.fromhex(text))
            for kind, text in keys_of_url(url).items()
            if kind == "url.raw.sha256"
        )

    out = {raw(urls["known"]), raw(town.url(C, "/secret"))}
    claims: list[int] = []

    def ask(keys: Collection[tuple[str, bytes]]) -> set[tuple[str, bytes]]:
        claims.append(1)
        late = {raw(urls["late"])} if len(claims) > 1 else set()  # reported after the claim
        return (out | late) & set(keys)

    monkeypatch.setattr(hooks, "keys_excluded", [ask])
    assert services.links_check() == 2
    assert set(Link.objects.values_list("state", "due_at")) == {("excluded", None)}
    assert [one.path for one in town.log if one.path in {"/known", "/late", "/secret"}] == []
    assert town.paths(B) == ["GET /robots.txt", "HEAD /leads"]
    assert Observation.objects.count() == 0
    monkeypatch.setattr(hooks, "keys_excluded", [])
    assert services.links_review() == 2  # the one that leads elsewhere waits
    assert services.links_check() == 2
    assert "HEAD /known" in town.paths(A)


def test_an_opted_out_host_is_not_asked_even_by_a_redirect(town: Town, make_panel: MakePanel) -> None:
    from tests.factories import make_user

    town.pages[B, "/leads"] = redirects(town.url(C, "/new"))
    make_panel([town.url(B, "/leads"), town.url(C, "/own")])
    host_opt_out(actor=make_user(is_superuser=True), name=C)
    assert services.links_check() == 1
    assert town.paths(C) == []
    assert set(Link.objects.values_list("state", "outcome")) == {("unverifiable", "opted_out")}


def test_a_link_that_leads_to_a_resting_host_waits_without_being_asked_again(
    town: Town, make_panel: MakePanel
) -> None:
    town.pages[B, "/leads"] = redirects(town.url(C, "/new"))
    make_panel([town.url(B, "/leads")])
    Host.objects.create(name=C, next_at=timezone.now() + timedelta(hours=1))
    assert services.links_check() == 0
    assert Link.objects.get(due_at__gt=timezone.now() + timedelta(minutes=50)).state == "unchecked"
    assert town.paths(C) == []
    assert services.links_check() == 0
    assert town.paths(B) == ["GET /robots.txt", "HEAD /leads"]


def test_time_over_leaves_links_due(
    town: Town, make_panel: MakePanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checker, "BATCH_SECONDS", 1.5)
    make_panel([town.url(A, f"/{number}") for number in range(5)])
    assert services.links_check() == 1
    assert Link.objects.filter(state="unchecked", due_at__lte=timezone.now()).count() == 4
    assert not Host.objects.exclude(lease=None).exists()


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("5", 5), ("0", 1), ("999999999999", 86400), ("-3", None), ("soon", None), ("", None), ("Wed, 21 Oct 2015 07:28:00 GMT", 1)],
)  # fmt: skip
def test_retry_after_is_read_within_a_second_and_a_day(written: str, seconds: int | None) -> None:
    answer = Response(
        "http://a.example/", 429, Headers(f"Retry-After: {written}".encode()), b"", False, "a", (), 0
    )
    assert retry_after(answer) == (None if seconds is None else timedelta(seconds=seconds))


def test_a_resolver_that_is_gone_says_nothing_of_the_links(make_panel: MakePanel, settings: Settings) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
    settings.NAME_SERVERS = [f"127.0.0.1:{port}"]
    make_panel([f"http://h{n}.example.com/" for n in range(checker.MANY_HOSTS)])
    with pytest.raises(checker.NoResolverError):
        services.links_check()
    assert not Host.objects.exclude(lease=None, fails=0, next_at__lte=timezone.now()).exists()
    assert Link.objects.filter(state="unchecked", due_at__lte=timezone.now()).count() == checker.MANY_HOSTS
    assert not Observation.objects.exists()


def test_a_few_names_that_cannot_be_looked_up_are_the_links_own(
    make_panel: MakePanel, settings: Settings
) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
    settings.NAME_SERVERS = [f"127.0.0.1:{port}"]
    make_panel(["http://a.example.com/", "http://b.example.com/"])
    assert services.links_check() == 2
    assert set(Link.objects.values_list("outcome", flat=True)) == {"dns_failure"}
