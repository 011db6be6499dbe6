"""The days and hours of the census, in numbers that stand here and are not read from the code."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from django.utils import timezone

from registry.lib.safe_http.records import Presence, Records
from registry.links.domains.models import Domain, DomainState
from registry.links.domains.registrations import Registration as Said
from registry.links.domains.registrations import _write, candidates, read_answer
from registry.links.domains.states import after_census
from tests.registry.links.domains.test_registrations import rdap, response

if TYPE_CHECKING:
    from registry.links.domains.states import Found

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
A_SECOND = timedelta(seconds=1)
SERVERS, ADDRESSES = ("ns1.host.net",), ("9.9.9.9",)


def census(records: Records, second: Presence | None = None, **fields: object) -> Found:
    known = {"name_servers": list(SERVERS), "addresses": list(ADDRESSES), "seen_at": NOW, "state": "present"}
    return after_census(Domain(name="a.com", **(known | fields)), records, second, NOW)


@pytest.mark.parametrize(
    ("ago", "state"),
    [(timedelta(hours=24) - A_SECOND, DomainState.MISSING), (timedelta(hours=24), DomainState.GONE)],
)
def test_a_domain_is_gone_24_hours_after_it_was_first_missed(ago: timedelta, state: DomainState) -> None:
    found = census(Records(Presence.ABSENT), Presence.ABSENT, state="missing", missed_at=NOW - ago)
    assert found.state == state


def test_a_domain_is_looked_at_once_a_week_and_a_missing_one_a_day_later() -> None:
    there = census(Records(Presence.THERE, SERVERS, ADDRESSES))
    assert there.due_at == NOW + timedelta(days=7)
    assert census(Records(Presence.ABSENT), Presence.ABSENT).due_at == NOW + timedelta(hours=24)
    gone = census(Records(Presence.ABSENT), Presence.ABSENT, state="domain_gone", missed_at=NOW)
    assert gone.due_at == NOW + timedelta(days=7)
    assert census(Records(Presence.UNKNOWN)).due_at == NOW + timedelta(hours=24)


@pytest.mark.parametrize(
    ("before", "after", "moved"),
    [("9.9.9.9", "9.9.200.1", False), ("9.9.9.9", "9.10.9.9", True), ("9.9.9.9", "10.9.9.9", True)],
)
def test_an_address_moved_when_it_left_its_16(before: str, after: str, *, moved: bool) -> None:
    found = census(Records(Presence.THERE, SERVERS, (after,)), addresses=[before])
    assert bool(found.changes) is moved


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("age", "asked"),
    [(timedelta(days=7) - timedelta(minutes=1), False), (timedelta(days=7) + timedelta(minutes=1), True)],
)
def test_what_a_registry_said_counts_for_seven_days(age: timedelta, *, asked: bool) -> None:
    now = timezone.now()
    Domain.objects.create(name="a.com", suffix="com", asks_registry_at=now, registry_at=now - age)
    assert candidates(now).exists() is asked


@pytest.mark.django_db
def test_a_registry_that_said_nothing_is_asked_again_in_a_day_and_what_it_said_before_stays() -> None:
    domain = Domain.objects.create(
        name="a.com", suffix="com", asks_registry_at=timezone.now(), registered_at=NOW, expires_at=NOW
    )
    _write(domain, Said("refused"))
    domain.refresh_from_db()
    assert (domain.registered_at, domain.expires_at, domain.registry_at) == (NOW, NOW, None)
    assert domain.asks_registry_at is not None
    assert abs(domain.asks_registry_at - timezone.now() - timedelta(days=1)) < timedelta(minutes=1)
    assert not candidates(timezone.now() + timedelta(hours=23)).exists()


@pytest.mark.parametrize(
    ("status", "told"),
    [(404, "not_found"), (401, "refused"), (403, "refused"), (429, "refused"), (500, "no_answer"), (302, "no_answer")],
)  # fmt: skip
def test_an_answer_that_is_none_has_its_name(status: int, told: str) -> None:
    assert read_answer("a.com", response(rdap(), status)) == Said(told)


def test_an_answer_that_was_cut_or_is_of_another_name_says_nothing() -> None:
    whole = rdap(registration="2024-05-06T07:08:09Z")
    assert read_answer("a.com", response(whole)).registered_at == datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)
    assert read_answer("a.com", response(whole, cut=True)) == Said("no_answer")
    assert read_answer("b.com", response(whole)) == Said("unreadable")


def test_a_day_that_is_yet_to_come_accuses_nobody() -> None:
    later = (timezone.now() + timedelta(days=2)).isoformat()
    assert read_answer("a.com", response(rdap(registration=later))).registered_at is None
