"""A version with a link in every state, and members of its organisation."""

from __future__ import annotations

import csv
import io
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.utils import timezone

from registry.accounts.models import Role, User
from registry.links.history import observations_write, partitions_ahead
from registry.links.models import Link
from tests.factories import make_member

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from django.test import Client

    from registry.datasets.models import Version

STATES = ("alive", "moved", "failing", "dead", "domain_gone", "unverifiable", "unchecked", "excluded")


def url(state: str) -> str:
    return f"https://{state.replace('_', '-')}.example.com/{state}.jpg"


def urls_in_csv(client: Client, rows: str, query: str = "") -> list[str]:
    """The URLs in the file for members; `rows` is the address of the page."""
    answer: Any = client.get(f"{rows.removesuffix('/')}.csv{query}")
    assert answer.status_code == 200
    return [line["url"] for line in csv.DictReader(io.StringIO(answer.getvalue().decode()))]


@pytest.fixture
def version(make_panel: Callable[[Sequence[str]], Version]) -> Version:
    """One link in each state, of a host of its own, in the order of STATES; a week of history for the dead one."""
    version = make_panel([url(state) for state in STATES])
    now = timezone.now()
    outcomes = {"dead": ("not_found", 404), "alive": ("ok", 200), "moved": ("redirect_cross_site", 200)}
    for state in STATES:
        outcome, status = outcomes.get(state, ("", 0))
        is_off = state in {"excluded", "domain_gone"}
        Link.objects.filter(url=url(state)).update(
            state=state,
            outcome="policy_no_fetch" if state == "excluded" else outcome,
            status=status,
            failures=3 if state == "dead" else 1 if state == "failing" else 0,
            failed_at=now if state in {"dead", "failing"} else None,
            checked_at=now if status else None,
            due_at=None if is_off else now + timedelta(days=7),
        )
    partitions_ahead(now)
    dead = Link.objects.get(url=url("dead"))
    for days, outcome, status in ((0, "not_found", 404), (1, "server_error", 500), (2, "ok", 200)):
        at = now - timedelta(minutes=days)
        observations_write([(dead.pk, at, outcome, status, 1_234)], at)
    return version


@pytest.fixture
def staff(version: Version) -> User:
    return make_member(version.dataset.organisation, Role.STAFF)


@pytest.fixture
def rows(version: Version) -> str:
    """The address of the page; the API has the same one under /api/v1."""
    return f"/datasets/{version.dataset.slug}/versions/{version.name}/links/rows/"
