"""The census: enrolment, claims, what is written, and what becomes of links."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import F
from django.utils import timezone

from registry.lib.safe_http.records import records_of
from registry.links.domains.census import (
    batch_record,
    changes_expire,
    domains_census,
    domains_claim,
    domains_ready,
    hosts_enrol,
)
from registry.links.domains.models import ChangeKind, Domain, DomainChange, DomainHost, DomainState
from registry.links.domains.states import after_census
from registry.links.models import Host, Link, LinkPolicy
from registry.links.schedule import batch_claim
from registry.links.states import LinkState
from tests.registry.lib.safe_http.servers import NameServer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pytest_django import DjangoAssertNumQueries, Settings

    from registry.datasets.models import Version
    from tests.registry.links.conftest import Names

    MakePanel = Callable[[Sequence[str]], Version]

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store_folder")]


def census() -> Domain:
    """A census of a.com now, whenever it is due."""
    hosts_enrol()
    Domain.objects.update(due_at=timezone.now())
    domains_census()
    return Domain.objects.get(name="a.com")


def passes(how_long: timedelta) -> None:
    """As if the last census had been that long ago."""
    Domain.objects.update(missed_at=F("missed_at") - how_long)


def gone(names: Names) -> Domain:
    names.forget("a.com")
    census()
    passes(timedelta(hours=25))
    return census()


def test_each_host_is_looked_at_once_and_addresses_have_no_domain(make_panel: MakePanel) -> None:
    make_panel(["https://x.a.com/1", "https://y.a.com/1", "https://b.co.uk/1", "http://9.9.9.9/1"])
    assert hosts_enrol() == 4
    assert hosts_enrol() == 0
    assert dict(Domain.objects.values_list("name", "suffix")) == {"a.com": "com", "b.co.uk": "uk"}
    assert DomainHost.objects.get(host__name="9.9.9.9").domain is None


def test_the_census_writes_what_the_resolvers_say(make_panel: MakePanel, resolvers: Names) -> None:
    make_panel(["https://x.a.com/1"])
    resolvers.know("a.com", servers=["ns1.host.net", "ns2.host.net"])
    domain = census()
    assert domain.state == DomainState.PRESENT
    assert (domain.name_servers, domain.addresses) == (["ns1.host.net", "ns2.host.net"], ["9.9.9.9"])
    assert domain.seen_at is not None
    assert domain.due_at > timezone.now() + timedelta(days=6)
    assert domain.asks_registry_at is not None
    assert domain.lease is None
    assert not DomainChange.objects.exists()
    assert not resolvers.second.asked


def test_answers_that_do_not_fit_into_a_packet_blind_nobody_for_ever(
    make_panel: MakePanel, resolvers: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_panel(["https://x.a.com/1"])
    resolvers.know("a.com")
    census()
    Domain.objects.update(asks_registry_at=None)
    answer = NameServer._answer

    def cut(server: NameServer, data: bytes) -> bytes | None:
        said = answer(server, data)
        return said and said[:2] + bytes([said[2] | 2]) + said[3:]

    monkeypatch.setattr(NameServer, "_answer", cut)
    assert [census().asks_registry_at for _ in range(2)] == [None, None]
    domain = census()
    assert domain.asks_registry_at is not None
    assert (domain.state, domain.unusable) == ("present", 0)


def test_a_domain_is_gone_and_its_links_with_it(make_panel: MakePanel, resolvers: Names) -> None:
    make_panel(["https://x.a.com/1", "https://y.a.com/2", "https://b.com/1"])
    resolvers.know("a.com")
    resolvers.know("b.com")
    census()
    domain = gone(resolvers)
    assert domain.state == DomainState.GONE
    assert list(DomainChange.objects.values_list("kind", "before")) == [("domain_gone", ["ns1.host.net"])]
    links = Link.objects.filter(host__name__endswith="a.com")
    assert set(links.values_list("state", "outcome", "due_at")) == {("domain_gone", "dns_nxdomain", None)}
    assert Host.objects.get(name="x.a.com").due_at is None
    assert Link.objects.get(host__name="b.com").state == LinkState.UNCHECKED
    batch = batch_claim()
    assert batch is not None
    assert [link.host.name for link in batch.links] == ["b.com"]


def test_without_a_second_resolver_no_domain_is_gone(
    make_panel: MakePanel, resolvers: Names, settings: Settings
) -> None:
    settings.NAME_SERVERS_SECOND = []
    make_panel(["https://x.a.com/1"])
    assert gone(resolvers).state == DomainState.UNCHECKED
    assert Link.objects.get().state == LinkState.UNCHECKED


def test_two_resolvers_that_disagree_end_no_domain(make_panel: MakePanel, resolvers: Names) -> None:
    make_panel(["https://x.a.com/1"])
    resolvers.know("a.com")
    resolvers.first.zone.pop("a.com")
    assert census().state == DomainState.UNCHECKED


def test_links_come_back_with_their_domain(make_panel: MakePanel, resolvers: Names) -> None:
    make_panel(["https://x.a.com/1"])
    resolvers.know("a.com")
    census()
    gone(resolvers)
    resolvers.know("a.com")
    domain = census()
    assert domain.state == DomainState.PRESENT
    link = Link.objects.get()
    assert link.state == LinkState.UNCHECKED
    assert link.due_at is not None
    assert Host.objects.get().due_at is not None
    assert [one.kind for one in DomainChange.objects.order_by("pk")] == [ChangeKind.GONE, ChangeKind.BACK]


def test_excluded_links_and_hosts_that_opted_out_are_left_alone(
    make_panel: MakePanel, resolvers: Names
) -> None:
    make_panel(["https://x.a.com/1", "https://y.a.com/2"])
    Link.objects.filter(host__name="x.a.com").update(state="excluded", due_at=None)
    Link.objects.filter(host__name="y.a.com").update(state="unverifiable", outcome="opted_out")
    Host.objects.filter(name="y.a.com").update(opted_out_at=timezone.now())
    gone(resolvers)
    assert list(Link.objects.order_by("pk").values_list("state", flat=True)) == ["excluded", "unverifiable"]


def test_a_link_that_was_written_meanwhile_goes_with_the_next_census(
    make_panel: MakePanel, resolvers: Names
) -> None:
    make_panel(["https://x.a.com/1"])
    gone(resolvers)
    Link.objects.update(state="failing", due_at=timezone.now())
    census()
    assert Link.objects.get().state == LinkState.DOMAIN_GONE
    assert DomainChange.objects.filter(kind=ChangeKind.GONE).count() == 1


def test_a_change_of_name_servers_lets_its_registry_be_asked_first(
    make_panel: MakePanel, resolvers: Names
) -> None:
    make_panel(["https://x.a.com/1"])
    resolvers.know("a.com")
    census()
    resolvers.know("a.com", servers=["ns1.other.org"])
    domain = census()
    change = DomainChange.objects.get()
    assert (change.kind, change.before, change.after) == ("name_servers", ["ns1.host.net"], ["ns1.other.org"])
    assert domain.asks_registry_at is not None
    assert domain.asks_registry_at.year == 1970


def test_parking_is_dated(make_panel: MakePanel, resolvers: Names) -> None:
    make_panel(["https://x.a.com/1"])
    resolvers.know("a.com")
    assert census().parked_at is None
    resolvers.know("a.com", servers=["ns1.bodis.com"])
    first = census().parked_at
    assert first is not None
    assert census().parked_at == first


def test_domains_of_no_panel_and_of_paused_datasets_are_not_asked_for(
    make_panel: MakePanel, resolvers: Names
) -> None:
    version = make_panel(["https://x.a.com/1"])
    LinkPolicy.objects.filter(dataset=version.dataset).update(paused_at=timezone.now())
    census()
    assert not resolvers.first.asked
    LinkPolicy.objects.update(paused_at=None)
    version.panel.panel_rows.all().delete()
    census()
    assert not resolvers.first.asked


def test_a_domain_is_claimed_once_until_its_lease_runs_out(make_panel: MakePanel) -> None:
    make_panel(["https://x.a.com/1"])
    hosts_enrol()
    now = timezone.now()
    assert domains_claim(now) is not None
    assert domains_claim(now) is None
    assert not domains_ready(now).exists()
    assert domains_claim(now + timedelta(minutes=16)) is not None


def test_who_lost_the_lease_writes_nothing(make_panel: MakePanel, resolvers: Names) -> None:
    make_panel(["https://x.a.com/1"])
    hosts_enrol()
    late = domains_claim()
    assert late is not None
    Domain.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    resolvers.know("a.com")
    assert census().state == DomainState.PRESENT
    found = [
        after_census(one, records_of(["b.com"], [resolvers.first.address])[0], None, timezone.now())
        for one in late.domains
    ]
    assert batch_record(late, found, timezone.now()) == 0


@pytest.mark.django_db(transaction=True)
def test_two_workers_never_claim_the_same_domain(
    make_panel: MakePanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("registry.links.domains.census.DOMAINS_AT_ONCE", 5)
    make_panel([f"https://d{number}.com/1" for number in range(20)])
    hosts_enrol()
    taken: list[int] = []

    def work() -> None:
        while batch := domains_claim():
            taken.extend(one.pk for one in batch.domains)
        connection.close()

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(taken) == len(set(taken)) == 20


def test_a_batch_takes_few_queries_whatever_its_size(
    make_panel: MakePanel, resolvers: Names, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    make_panel([f"https://d{number}.com/1" for number in range(60)])
    for number in range(60):
        resolvers.know(f"d{number}.com")
    hosts_enrol()
    with django_assert_max_num_queries(12):
        assert domains_census() == 60


def test_old_changes_are_forgotten(make_panel: MakePanel, settings: Settings) -> None:
    settings.LINKS_KEEP_MONTHS = 1
    domain = Domain.objects.create(name="a.com", suffix="com")
    now = timezone.now()
    for days in (2, 40):
        DomainChange.objects.create(domain=domain, kind="addresses", at=now - timedelta(days=days))
    assert changes_expire(now) == 1


def test_the_database_refuses_a_gone_domain_that_was_never_missed() -> None:
    with pytest.raises(IntegrityError, match="domain_gone_was_missed"), transaction.atomic():
        Domain.objects.create(name="a.com", suffix="com", state="domain_gone")
