"""Whose links are handed out next: nobody waits without end, however much others have."""

from __future__ import annotations

import uuid
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection
from django.utils import timezone

from registry.accounts.models import Role
from registry.auditlog.models import AuditEntry
from registry.datasets.models import Version, VersionStatus
from registry.lib.errors import Refused
from registry.links import due, services
from registry.links.checking import version_checking
from registry.links.distributions.models import Distribution, DistributionKind
from registry.links.domains.census import domains_ready, hosts_enrol
from registry.links.domains.models import Domain
from registry.links.domains.registrations import candidates
from registry.links.models import OUT_OF_USE, Host, Link, LinkPolicy
from registry.links.schedule import (
    NOW,
    Batch,
    batch_claim,
    batch_release,
    hosts_due,
    hosts_take,
    is_anything_due,
)
from registry.links.tasks import links_tidy
from tests.factories import make_member

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from pytest_django import Settings

    MakePanel = Callable[..., Version]

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store_folder")]


@pytest.fixture(autouse=True)
def many_batches(settings: Settings) -> None:
    settings.LINKS_BATCHES = 100


def urls(name: str, hosts: int, each: int = 1) -> list[str]:
    return [f"https://{name}{host}.example.com/{number}" for host in range(hosts) for number in range(each)]


def due_since(at: datetime, name: str = "") -> None:
    """Let the links whose host begins so be due since that moment, all of them."""
    links = Link.objects.filter(host__name__startswith=name)
    links.update(due_at=at)
    hosts_due(links.values_list("host", flat=True))


def claim() -> list[str]:
    """The hosts of the links of the next batch, by the letters with which they begin."""
    batch = batch_claim()
    return (
        []
        if batch is None
        else [link.url.split("/")[2].split(".")[0].rstrip("0123456789") for link in batch.links]
    )


def ago(days: float) -> datetime:
    return timezone.now() - timedelta(days=days)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten links are a batch, and ten hosts all that is looked at."""
    for name in ("LINKS_AT_ONCE", "HOSTS_LOOKED_AT"):
        monkeypatch.setattr(due, name, 10)


@pytest.mark.usefixtures("small")
def test_a_dataset_with_very_much_that_is_urgent_leaves_others_their_part(make_panel: MakePanel) -> None:
    make_panel(urls("much", 60))
    due_since(NOW, "much")
    make_panel(urls("some", 8))
    make_panel(urls("few", 2))
    due_since(ago(3), "some")
    due_since(ago(2), "few")
    assert Counter(claim()) == {"much": 4, "some": 4, "few": 2}
    assert Counter(claim()) == {"much": 6, "some": 4}
    assert Counter(claim()) == {"much": 10}


@pytest.mark.usefixtures("small")
def test_within_a_dataset_the_most_urgent_come_first(make_panel: MakePanel) -> None:
    make_panel(urls("much", 60))
    due_since(NOW, "much")
    make_panel([*urls("later", 3), *urls("asked", 3), *urls("sooner", 3)])
    for name, at in (("later", ago(1)), ("asked", NOW), ("sooner", ago(2))):
        due_since(at, name)
    assert Counter(claim()) == {"much": 5, "asked": 3, "sooner": 2}
    assert Counter(claim()) == {"much": 6, "sooner": 1, "later": 3}


def test_small_hosts_do_not_wait_for_big_ones(make_panel: MakePanel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(due, "LINKS_AT_ONCE", 40)
    make_panel([*urls("big", 4, each=30), *urls("small", 10)])
    due_since(ago(1))
    assert Counter(claim()) == {"big": 30, "small": 10}


def test_a_batch_asks_a_host_for_some_links_together(
    make_panel: MakePanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(due, "LINKS_AT_ONCE", 2 * due.TOGETHER)
    make_panel(urls("big", 4, each=30))
    due_since(ago(1))
    batch = batch_claim()
    assert batch is not None
    assert Counter(link.host_id for link in batch.links) == dict.fromkeys(batch.hosts, due.TOGETHER)


def test_the_host_that_was_left_alone_for_longest_is_next(
    make_panel: MakePanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(due, "LINKS_AT_ONCE", 5)
    make_panel(urls("big", 3, each=30))
    due_since(ago(1))
    Host.objects.update(next_at=ago(0.5))
    asked = []
    for minutes in (3, 2, 1):
        batch = batch_claim()
        assert batch is not None
        [host] = batch.hosts.values()
        asked.append(host.name)
        host.next_at = timezone.now() - timedelta(minutes=minutes)
        batch_release(batch)
    Host.objects.filter(name=asked[0]).update(next_at=ago(1))
    assert len(set(asked)) == 3
    again = batch_claim()
    assert again is not None
    assert [host.name for host in again.hosts.values()] == asked[:1]


def test_the_dataset_with_most_left_pays_for_what_several_hold(make_panel: MakePanel) -> None:
    first = make_panel(urls("shared", 3))
    asking = make_panel(urls("shared", 3))
    LinkPolicy.objects.filter(dataset=first.dataset).update(daily_budget=100)
    actor = make_member(asking.dataset.organisation, Role.MAINTAINER)
    assert services.links_check_now(actor=actor, version=asking) == (3, 0)
    assert len(claim()) == 3
    spent = dict(LinkPolicy.objects.values_list("dataset", "spent"))
    assert spent == {asking.dataset_id: 3, first.dataset_id: 0}


def spent() -> dict[uuid.UUID, int]:
    """By dataset, what it spent today."""
    return dict(LinkPolicy.objects.values_list("dataset", "spent"))


def test_who_asks_for_links_that_others_hold_too_pays_until_his_budget_is_spent(
    make_panel: MakePanel,
) -> None:
    rich, asking = make_panel(urls("shared", 5)), make_panel(urls("shared", 5))
    LinkPolicy.objects.filter(dataset=asking.dataset).update(daily_budget=3)
    actor = make_member(asking.dataset.organisation, Role.MAINTAINER)
    assert services.links_check_now(actor=actor, version=asking) == (5, 0)
    assert len(claim()) == 3
    assert spent() == {asking.dataset_id: 3, rich.dataset_id: 0}
    assert len(claim()) == 2
    assert spent() == {asking.dataset_id: 3, rich.dataset_id: 2}


@pytest.mark.usefixtures("small")
def test_who_would_come_short_does_not_pay_for_what_another_asked_for(
    make_panel: MakePanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_panel(urls("much", 20))
    asking, short = make_panel(urls("shared", 3)), make_panel(urls("shared", 3))
    due_since(NOW, "much")
    due_since(ago(1), "shared")  # behind all that
    Link.objects.filter(url__contains="shared").update(asked_by=asking.dataset)
    monkeypatch.setattr(due, "_short", lambda *_: [short.dataset_id, asking.dataset_id])
    assert Counter(claim())["shared"] == 3
    assert spent().items() >= {asking.dataset_id: 3, short.dataset_id: 0}.items()


def rows_looked_at(plan: dict[str, Any], table: str) -> int:
    """How many rows of a table a query looked at, by what PostgreSQL counted."""
    own = plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0)
    here = own * plan["Actual Loops"] if plan.get("Relation Name") == table else 0
    return round(here) + sum(rows_looked_at(part, table) for part in plan.get("Plans", ()))


def test_of_what_a_paused_dataset_has_due_only_some_is_looked_at(
    make_panel: MakePanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"PER_HOST": 10, "LINKS_LOOKED_AT": 15, "WINDOW": 2}.items():
        monkeypatch.setattr(due, name, value)
    resting = make_panel(urls("host", 3, each=60))
    due_since(ago(9))
    LinkPolicy.objects.filter(dataset=resting.dataset).update(paused_at=timezone.now())
    make_panel(["https://host0.example.com/other"])
    queries: list[str] = []

    def kept(execute: Callable[..., object], sql: str, params: Any, many: bool, context: Any) -> object:  # noqa: FBT001  -- as Django calls it
        if "LATERAL" in sql:
            with connection.cursor() as cursor:
                queries.append(cursor.mogrify(sql, params))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(kept):
        assert is_anything_due()
    assert len(queries) == 2
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE registry_host, registry_link, registry_panelrow")
        # As where tables are large: one of some pages is read as a whole sooner than by its index.
        cursor.execute("SET LOCAL enable_seqscan = off")
    for query in queries:
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {query}")
            [[[found]]] = cursor.fetchall()
        for table in ("registry_link", "registry_panelrow"):
            assert rows_looked_at(found["Plan"], table) <= 31, found


def test_nobody_spends_more_than_is_left_and_the_rest_goes_to_others(
    make_panel: MakePanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(due, "LINKS_AT_ONCE", 10)
    poor = make_panel(urls("poor", 9))
    make_panel(urls("rich", 9))
    LinkPolicy.objects.filter(dataset=poor.dataset).update(daily_budget=2)
    assert Counter(claim()) == {"poor": 2, "rich": 8}
    assert Counter(claim()) == {"rich": 1}
    assert not is_anything_due()


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("change", [{"paused_at": timezone.now()}, {"daily_budget": 0}])
def test_what_a_paused_or_spent_dataset_has_due_hides_nothing(
    make_panel: MakePanel, change: dict[str, object]
) -> None:
    resting = make_panel(urls("resting", 50))
    due_since(ago(9), "resting")
    LinkPolicy.objects.filter(dataset=resting.dataset).update(**change)
    assert not is_anything_due()
    make_panel(urls("other", 3))
    assert is_anything_due()
    assert claim() == ["other"] * 3
    assert not is_anything_due()


def test_links_of_a_paused_dataset_hide_no_others_of_their_host(
    make_panel: MakePanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(due, "PER_HOST", 2)
    resting = make_panel(urls("host", 1, each=9))
    due_since(ago(9))
    LinkPolicy.objects.filter(dataset=resting.dataset).update(paused_at=timezone.now())
    make_panel(["https://host0.example.com/other"])
    assert claim() == ["host"]


def test_one_dataset_does_not_take_a_host_for_itself(
    make_panel: MakePanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(due, "PER_HOST", 4)
    make_panel(urls("host", 1, each=30))
    due_since(NOW)
    make_panel(["https://host0.example.com/other", "https://host0.example.com/another"])
    batch = batch_claim()
    assert batch is not None
    assert len(batch.links) == 4
    assert sum("other" in link.url for link in batch.links) == 2


@pytest.mark.usefixtures("small")
def test_of_a_very_large_panel_everything_is_found_in_time(
    make_panel: MakePanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(due, "WINDOW", 3)
    make_panel(urls("much", 40))
    due_since(NOW, "much")
    Host.objects.filter(name__startswith="much").update(next_at=timezone.now())
    make_panel(urls("large", 30))
    found: Counter[str] = Counter()
    for _ in range(200):
        batch = batch_claim()
        assert batch is not None
        large = {link.pk for link in batch.links if "large" in link.url}
        found["large"] += len(large)
        Link.objects.filter(pk__in=large).update(due_at=None)
        batch_release(batch)
        Host.objects.update(next_at=timezone.now())
        if found["large"] == 30:
            break
    assert found["large"] == 30


@pytest.mark.parametrize("status", OUT_OF_USE)
def test_links_and_domains_of_versions_out_of_use_are_not_asked_but_watched_places_are(
    make_panel: MakePanel, status: VersionStatus
) -> None:
    version = make_panel(urls("listed", 2))
    hosts_enrol()
    Domain.objects.update(due_at=ago(1), asks_registry_at=ago(1))
    assert domains_ready(timezone.now()).exists()
    assert candidates(timezone.now()).exists()
    Version.objects.filter(pk=version.pk).update(status=status)
    assert not is_anything_due()
    assert claim() == []
    assert not domains_ready(timezone.now()).exists()
    assert not candidates(timezone.now()).exists()
    assert not version_checking(version).why_not
    version.refresh_from_db()
    assert "its links are not asked any more" in version_checking(version).why_not
    with pytest.raises(Refused, match="its links are not checked"):
        services.links_check_now(
            actor=make_member(version.dataset.organisation, Role.MAINTAINER), version=version
        )
    host = Host.objects.create(name="place.example.com", due_at=ago(1))
    link = Link.objects.create(key=b"1" * 32, url="https://place.example.com/", host=host, due_at=ago(1))
    Distribution.objects.create(version=version, link=link, kind=DistributionKind.MIRROR)
    assert is_anything_due()
    assert claim() == ["place"]


def test_what_another_version_in_use_lists_is_asked(make_panel: MakePanel) -> None:
    version = make_panel(urls("listed", 2))
    Version.objects.filter(pk=version.pk).update(status=VersionStatus.WITHDRAWN)
    make_panel(urls("listed", 1))
    assert claim() == ["listed"]


def test_whoever_asks_a_registry_keeps_no_links_waiting(make_panel: MakePanel, settings: Settings) -> None:
    settings.LINKS_BATCHES = 1
    make_panel(urls("a", 1))
    assert hosts_take(Batch(uuid.uuid4()), {"rdap.registry.example"})
    assert is_anything_due()
    assert claim() == ["a"]
    make_panel(urls("b", 1))
    assert not is_anything_due()
    assert claim() == []


def test_times_that_a_clock_ahead_wrote_keep_nothing_away(make_panel: MakePanel) -> None:
    make_panel(urls("a", 2))
    Host.objects.update(next_at=ago(-800))
    batch = batch_claim()
    assert batch is not None
    assert len(batch.links) == 2
    assert all(host.next_at <= timezone.now() for host in batch.hosts.values())
    batch_release(batch)
    due_since(ago(-800))
    assert not is_anything_due()
    links_tidy()
    assert is_anything_due()
    assert claim() == ["a", "a"]


@pytest.mark.parametrize("days", [1, 180])
def test_a_host_that_rests_and_a_link_that_is_checked_seldom_are_left_alone(
    make_panel: MakePanel, days: int
) -> None:
    make_panel(urls("a", 1))
    if days == 1:
        Host.objects.update(next_at=ago(-days))
    else:
        due_since(ago(-days))
    assert not is_anything_due()
    assert claim() == []


def test_asking_again_within_the_hour_changes_nothing(make_panel: MakePanel) -> None:
    version = make_panel(urls("a", 3))
    actor = make_member(version.dataset.organisation, Role.MAINTAINER)
    checked = Link.objects.filter(url__contains="a0")
    checked.update(checked_at=ago(0.5 / 24), due_at=ago(-7))
    assert services.links_check_now(actor=actor, version=version) == (2, 1)
    assert set(checked.values_list("due_at", flat=True)) != {NOW}
    Link.objects.update(checked_at=ago(0.5 / 24), due_at=ago(-7))
    assert services.links_check_now(actor=actor, version=version) == (0, 3)
    assert not Link.objects.filter(due_at=NOW).exists()
    assert AuditEntry.objects.filter(action="links_check_now").count() == 1
    Link.objects.update(checked_at=ago(1.1 / 24))
    assert services.links_check_now(actor=actor, version=version) == (3, 0)
