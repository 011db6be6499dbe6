"""A registry's redirects are not followed, what it writes has a limit, and one that opted out is not asked."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.utils import timezone

from registry.links.domains.models import Domain, Registry
from registry.links.domains.registrations import _bootstrap, registries_ask
from registry.links.models import Host
from tests.registry.lib.safe_http.servers import WebServer, answers, redirects
from tests.registry.links.domains.test_registrations import RegistryServer, candidate, rdap, registry, rested

if TYPE_CHECKING:
    import socket

    from pytest_django import Settings

__all__ = ["registry"]  # a fixture
pytestmark = pytest.mark.django_db
DAY = "2024-05-06T07:08:09Z"


@pytest.mark.parametrize(("length", "answer"), [(256 * 1024, "ok"), (256 * 1024 + 1, "no_answer")])
def test_an_answer_has_256_kib_at_most(registry: RegistryServer, length: int, answer: str) -> None:
    written = json.dumps(rdap(registration=DAY)).encode()
    registry.pages["a.com"] = written + b" " * (length - len(written))
    candidate("a.com")
    rested()
    registries_ask()
    domain = Domain.objects.get()
    assert (domain.registry_answer, domain.registered_at is not None) == (answer, answer == "ok")


def test_nobody_is_asked_whom_a_registry_names_instead_of_itself(
    registry: RegistryServer, settings: Settings
) -> None:
    candidate("a.com")
    rested()
    with WebServer(answers(json.dumps(rdap(registration=DAY)).encode()), host="127.0.0.6") as other:
        settings.LINKS_TEST_TARGETS = [*settings.LINKS_TEST_TARGETS, f"{other.host}:{other.port}"]

        def leads(connection: socket.socket, request: bytes) -> None:
            redirects(f"{other.url}domain/a.com")(connection, request)

        registry.web.handler = leads
        assert registries_ask() == 0
        assert other.requests == []
    domain = Domain.objects.get()
    assert (domain.registry_answer, domain.registered_at) == ("no_answer", None)


def test_a_registry_that_opted_out_is_not_asked(registry: RegistryServer) -> None:
    candidate("a.com")
    rested()
    Host.objects.update(opted_out_at=timezone.now())
    assert registries_ask() == 0
    assert registry.paths == ["/dns.json"]
    assert not Host.objects.exclude(lease=None).exists()


@pytest.mark.parametrize(
    ("age", "fetched"),
    [(timedelta(days=7) - timedelta(minutes=1), False), (timedelta(days=7) + timedelta(minutes=1), True)],
)
def test_the_list_of_registries_is_fetched_once_a_week(
    registry: RegistryServer, age: timedelta, *, fetched: bool
) -> None:
    now = timezone.now()
    Registry.objects.create(suffix="com", url=registry.url, fetched_at=now - age)
    assert _bootstrap(now)
    assert registry.paths == (["/dns.json"] if fetched else [])
