from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from registry.lib.safe_http.records import Presence, Records
from registry.links.domains.models import ChangeKind, Domain, DomainState
from registry.links.domains.states import AGAIN, APART, FIRST, Found, after_census, is_parked

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
ABSENT = Records(Presence.ABSENT)
SERVERS, ADDRESSES = ["ns1.host.net", "ns2.host.net"], ["9.9.9.9"]


def there(servers: list[str] | None = None, addresses: list[str] | None = None) -> Records:
    return Records(
        Presence.THERE,
        tuple(SERVERS if servers is None else servers),
        tuple(ADDRESSES if addresses is None else addresses),
    )


def known(**fields: object) -> Domain:
    return Domain(
        **{
            "name": "a.com",
            "state": "present",
            "name_servers": SERVERS,
            "addresses": ADDRESSES,
            "seen_at": NOW,
        }
        | fields
    )


def kinds(found: Found) -> list[ChangeKind]:
    return [change.kind for change in found.changes]


def test_a_domain_is_gone_after_two_resolvers_said_so_twice_a_day_apart() -> None:
    first = after_census(known(), ABSENT, Presence.ABSENT, NOW)
    assert (first.state, first.missed_at, first.due_at, kinds(first)) == (
        DomainState.MISSING,
        NOW,
        NOW + APART,
        [],
    )
    domain = known(state=first.state, missed_at=first.missed_at)
    soon = after_census(domain, ABSENT, Presence.ABSENT, NOW + APART - timedelta(seconds=1))
    assert soon.state == DomainState.MISSING
    later = after_census(domain, ABSENT, Presence.ABSENT, NOW + APART)
    assert later.state == DomainState.GONE
    assert kinds(later) == [ChangeKind.GONE]
    assert later.changes[0].before == SERVERS
    assert later.due_at == NOW + APART + AGAIN


@pytest.mark.parametrize("second", [None, Presence.THERE, Presence.UNKNOWN])
def test_one_resolver_alone_ends_no_domain(second: Presence | None) -> None:
    for domain in (known(), known(state="missing", missed_at=NOW - timedelta(days=9))):
        found = after_census(domain, ABSENT, second, NOW)
        assert found.state == domain.state
        assert not found.changes


def test_no_answer_changes_nothing() -> None:
    domain = known(state="missing", missed_at=NOW - timedelta(days=9))
    found = after_census(domain, Records(Presence.UNKNOWN), None, NOW)
    assert (found.state, found.missed_at, found.name_servers) == (
        DomainState.MISSING,
        domain.missed_at,
        SERVERS,
    )


def test_one_answer_that_it_is_there_forgets_what_was_missed() -> None:
    found = after_census(known(state="missing", missed_at=NOW - timedelta(days=9)), there(), None, NOW)
    assert (found.state, found.missed_at, kinds(found)) == (DomainState.PRESENT, None, [])
    assert found.asks_registry is None


def test_a_gone_domain_stays_gone_and_is_told_of_once() -> None:
    found = after_census(
        known(state="domain_gone", missed_at=NOW - timedelta(days=9)), ABSENT, Presence.ABSENT, NOW
    )
    assert (found.state, kinds(found), found.asks_registry) == (DomainState.GONE, [], None)


def test_a_domain_that_comes_back_is_a_candidate() -> None:
    found = after_census(known(state="domain_gone", missed_at=NOW), there(), None, NOW)
    assert kinds(found) == [ChangeKind.BACK]
    assert found.asks_registry == FIRST


def test_a_domain_that_came_back_before_it_was_ever_seen_is_a_candidate_too() -> None:
    domain = Domain(name="a.com", state="domain_gone", missed_at=NOW)
    assert kinds(after_census(domain, there(), None, NOW)) == [ChangeKind.BACK]


def test_the_first_census_compares_nothing_and_leaves_the_past_to_the_registry() -> None:
    found = after_census(Domain(name="a.com"), there(), None, NOW)
    assert (found.changes, found.asks_registry, found.name_servers) == ([], NOW, tuple(SERVERS))


def test_another_operator_of_name_servers_is_a_change() -> None:
    found = after_census(known(), there(["ns1.other.org"]), None, NOW)
    assert kinds(found) == [ChangeKind.NAME_SERVERS]
    assert (found.changes[0].before, found.changes[0].after) == (SERVERS, ("ns1.other.org",))
    assert found.asks_registry == FIRST


@pytest.mark.parametrize("servers", [["ns3.host.net"], ["ns1.host.net"], [], ["NS9.host.net", "a.other.org"]])
def test_a_server_more_or_less_of_the_same_operator_is_none(servers: list[str]) -> None:
    assert not after_census(known(), there([one.lower() for one in servers]), None, NOW).changes


def test_a_question_that_was_not_answered_keeps_what_is_known() -> None:
    found = after_census(known(), Records(Presence.THERE, None, None), None, NOW)
    assert (found.name_servers, found.addresses, found.changes) == (SERVERS, ADDRESSES, [])


@pytest.mark.parametrize(
    ("addresses", "count"),
    [(["9.9.1.1"], 0), (["8.8.8.8"], 1), ([], 0), (["8.8.8.8", "9.9.0.1"], 0)],
)
def test_addresses_change_only_when_the_whole_network_does(addresses: list[str], count: int) -> None:
    assert len(after_census(known(), there(None, addresses), None, NOW).changes) == count


def test_a_change_to_a_resellers_name_servers_is_parking() -> None:
    found = after_census(known(), there(["ns1.sedoparking.com", "ns2.sedoparking.com"]), None, NOW)
    assert kinds(found) == [ChangeKind.PARKED]


def test_a_change_to_a_company_that_hosts_sites_is_no_parking_whatever_its_servers_are_called() -> None:
    found = after_census(known(), there(["ns1.dns-parking.com", "ns2.dns-parking.com"]), None, NOW)
    assert kinds(found) == [ChangeKind.NAME_SERVERS]


def test_a_domain_that_was_always_parked_did_not_change_hands() -> None:
    found = after_census(known(name_servers=["ns1.bodis.com"]), there(["ns1.sedoparking.com"]), None, NOW)
    assert kinds(found) == [ChangeKind.NAME_SERVERS]
    assert is_parked(["ns1.bodis.com"])
    assert not is_parked(["ns1.notbodis.com"])


UNUSABLE = [Records(Presence.UNKNOWN), Records(Presence.THERE), Records(Presence.THERE, None, ("9.9.9.9",))]


@pytest.mark.parametrize("answer", UNUSABLE)
def test_who_answers_three_times_in_a_row_what_cannot_be_compared_is_a_candidate(answer: Records) -> None:
    domain = known()
    for asks in (None, None, NOW, None, None, NOW):
        found = after_census(domain, answer, None, NOW)
        assert (found.asks_registry, found.state) == (asks, DomainState.PRESENT)
        domain.unusable = found.unusable


@pytest.mark.parametrize("answer", [there(), ABSENT])
def test_one_answer_that_can_be_compared_begins_anew(answer: Records) -> None:
    found = after_census(known(unusable=2), answer, None, NOW)
    assert (found.unusable, found.asks_registry) == (0, None)


@pytest.mark.parametrize(("ago", "asks"), [(timedelta(hours=23), None), (timedelta(days=1), NOW)])
def test_a_registration_that_ran_out_a_day_ago_makes_a_candidate(
    ago: timedelta, asks: datetime | None
) -> None:
    """Who registers it next may use the same name servers, and the same addresses."""
    assert after_census(known(expires_at=NOW - ago), there(), None, NOW).asks_registry == asks
    assert after_census(known(expires_at=NOW - ago), ABSENT, Presence.ABSENT, NOW).asks_registry is None
