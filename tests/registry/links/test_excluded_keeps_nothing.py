"""Of a link that is excluded nothing is kept that was seen of it: not when, and no attempt in the history."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.utils import timezone

from registry.hooks import hooks
from registry.links import services
from registry.links.models import Host, Link, Observation
from tests.registry.lib.safe_http.servers import redirects

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from registry.datasets.models import Version
    from tests.registry.links.conftest import Town

    MakePanel = Callable[[Sequence[str]], Version]
    Key = tuple[str, bytes]

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("store_folder")]
A, B = "127.0.0.2", "127.0.0.3"


def again() -> None:
    Link.objects.filter(due_at__isnull=False).update(due_at=timezone.now())
    Host.objects.update(due_at=timezone.now(), next_at=timezone.now())


def excludes_host(name: str) -> Callable[[Collection[Key]], set[Key]]:
    return lambda keys: {key for key in keys if key == ("host.c1", name.encode())}


def test_at_the_claim(town: Town, make_panel: MakePanel, monkeypatch: pytest.MonkeyPatch) -> None:
    make_panel([town.url(A, "/1"), town.url(B, "/1")])
    assert services.links_check() == 2
    assert Observation.objects.count() == 2
    monkeypatch.setattr(hooks, "keys_excluded", [excludes_host(A)])
    again()
    assert services.links_check() == 1
    link = Link.objects.get(url=town.url(A, "/1"))
    assert (link.state, link.checked_at, link.status, link.target) == ("excluded", None, 0, "")
    assert not link.observations.exists()
    assert Link.objects.get(url=town.url(B, "/1")).observations.count() == 2


def test_at_the_last_look(town: Town, make_panel: MakePanel, monkeypatch: pytest.MonkeyPatch) -> None:
    make_panel([town.url(A, "/1")])
    assert services.links_check() == 1

    asked: list[Collection[Key]] = []

    def reported_meanwhile(keys: Collection[Key]) -> set[Key]:
        asked.append(keys)
        return excludes_host(A)(keys) if len(asked) > 1 else set()  # first when it is handed out

    monkeypatch.setattr(hooks, "keys_excluded", [reported_meanwhile])
    again()
    services.links_check()
    link = Link.objects.get()
    assert (link.state, link.checked_at, link.status, link.target) == ("excluded", None, 0, "")
    assert not link.observations.exists()


def test_where_a_redirect_leads_to_what_is_excluded(
    town: Town, make_panel: MakePanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_panel([town.url(A, "/1")])
    assert services.links_check() == 1
    assert Observation.objects.count() == 1
    town.pages[A, "/1"] = redirects(town.url(B, "/1"))
    monkeypatch.setattr(hooks, "keys_excluded", [excludes_host(B)])
    again()
    services.links_check()
    assert Link.objects.get().state == "excluded"
    assert not Observation.objects.exists()
    assert town.paths(B) == []
