"""Hosts on 127.0.0.x with a log of what they were asked, and panels whose links lead to them."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from django.utils import timezone

from registry.links.models import Host, Link, LinkPolicy, Panel, PanelRow, RobotsFile
from registry.links.robots import origin_of
from tests.factories import make_version
from tests.registry.lib.safe_http.servers import NameServer, WebServer, answers

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator, Sequence

    from pytest_django import Settings

    from registry.datasets.models import Version
    from tests.registry.lib.safe_http.servers import Handler, Record


@dataclass(frozen=True)
class Asked:
    """One request as the server saw it."""

    at: float
    done: float
    host: str
    method: str
    path: str
    head: str


@dataclass
class Town:
    """Several hosts with one log. `pages` maps (host, path) to what answers there; the rest is a plain 200."""

    pages: dict[tuple[str, str], Handler] = field(default_factory=dict)
    log: list[Asked] = field(default_factory=list)
    ports: dict[str, int] = field(default_factory=dict)

    def url(self, host: str, path: str) -> str:
        return f"http://{host}:{self.ports[host]}{path}"

    def paths(self, host: str) -> list[str]:
        return [f"{one.method} {one.path}" for one in self.log if one.host == host]

    def handler(self, host: str) -> Handler:
        def handle(connection: socket.socket, request: bytes) -> None:
            began = time.monotonic()
            head = request.decode()
            method, path, _ = head.split(" ", 2)
            default = answers(b"", status="404 No") if path == "/robots.txt" else answers(b"x")
            try:
                self.pages.get((host, path), default)(connection, request)
            finally:
                self.log.append(Asked(began, time.monotonic(), host, method, path, head))

        return handle


HOSTS = ("127.0.0.2", "127.0.0.3", "127.0.0.4")


@pytest.fixture
def town(settings: Settings) -> Iterator[Town]:
    """Three hosts that links may lead to."""
    town = Town()
    with ExitStack() as stack:
        for host in HOSTS:
            server = stack.enter_context(WebServer(town.handler(host), host=host))
            town.ports[host] = server.port
        settings.LINKS_TEST_TARGETS = [f"{host}:{port}" for host, port in town.ports.items()]
        yield town


@dataclass(frozen=True)
class Names:
    """Two resolvers with a zone each, as the census asks them."""

    first: NameServer
    second: NameServer

    def know(
        self, domain: str, *, servers: Sequence[str] = ("ns1.host.net",), address: str = "9.9.9.9"
    ) -> None:
        records: list[Record] = [(domain, "NS", server, 60) for server in servers]
        for one in (self.first, self.second):
            one.zone[domain] = [*records, (domain, "A", address, 60)]

    def forget(self, domain: str) -> None:
        for one in (self.first, self.second):
            one.zone.pop(domain, None)


@pytest.fixture
def resolvers(settings: Settings) -> Iterator[Names]:
    """The two resolvers of the census."""
    with NameServer() as first, NameServer() as second:
        settings.NAME_SERVERS = [first.address]
        settings.NAME_SERVERS_SECOND = [second.address]
        yield Names(first, second)


def no_robots() -> None:
    """As if the origins of all links had been asked for their robots.txt just now, and had none."""
    now = timezone.now()
    origins = {(host, origin_of(url)) for host, url in Link.objects.values_list("host", "url")}
    RobotsFile.objects.bulk_create(
        RobotsFile(host_id=host, origin=origin, status=404, asked_at=now) for host, origin in origins
    )


@pytest.fixture
def make_panel() -> Callable[[Sequence[str]], Version]:
    """Make a version with these URLs, every one of them in its panel and due."""

    def make(urls: Sequence[str], version: Version | None = None) -> Version:
        from expunge.keys import keys_of_url

        version = version or make_version(
            shards={"0.csv": [{"url": url} for url in urls]}, columns={"url": "url"}
        )
        LinkPolicy.objects.get_or_create(dataset=version.dataset)
        panel, _ = Panel.objects.get_or_create(version=version, size=len(urls), drawn_at=timezone.now())
        shard = version.shards.get()
        for row, url in enumerate(urls):
            keys = {kind.value: text for kind, text in keys_of_url(url).items()}
            host, _ = Host.objects.get_or_create(name=keys["host.c1"])
            link, _ = Link.objects.get_or_create(
                key=bytes.fromhex(keys["url.raw.sha256"]), defaults={"url": url, "host": host}
            )
            PanelRow.objects.create(panel=panel, link=link, shard=shard, row=row)
            Host.objects.filter(pk=host.pk).update(due_at=timezone.now())
        return version

    return make
