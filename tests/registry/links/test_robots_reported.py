"""A robots.txt that somebody reported is not contacted, and of what it speaks for nobody knows what may be asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from registry.hooks import hooks
from registry.links import services
from registry.links.models import Link, Observation
from tests.factories_takedowns import make_report

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from registry.datasets.models import Version
    from tests.registry.links.conftest import Town

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("store_folder")]
A, B = "127.0.0.2", "127.0.0.3"


def test_its_links_cannot_be_told_and_are_not_taken_for_reported_themselves(
    town: Town, make_panel: Callable[[Sequence[str]], Version]
) -> None:
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


def test_where_the_link_is_reported_too_it_is_excluded_and_nothing_of_it_stays(
    town: Town, make_panel: Callable[[Sequence[str]], Version]
) -> None:
    version = make_panel([town.url(A, "/1")])
    make_report(version.dataset, [town.url(A, "/robots.txt"), town.url(A, "/1")])
    assert services.links_check() == 0
    link = Link.objects.get()
    assert (link.state, link.due_at, town.paths(A)) == ("excluded", None, [])
    assert not Observation.objects.exists()
