from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from registry.accounts.models import Role
from registry.auditlog.models import AuditEntry
from registry.hooks import hooks
from registry.lib.errors import NotAllowed, Refused
from registry.links import due, schedule, services
from registry.links.history import (
    observations_expire,
    observations_write,
    partition_make,
    partitions_ahead,
)
from registry.links.models import Host, Link, LinkPolicy, Observation, PanelRow
from registry.links.opt_outs.services import host_opt_out
from registry.links.outcomes import Outcome, Seen
from registry.links.schedule import Attempt, batch_claim, batch_record
from registry.links.states import LinkState, Standing, after
from registry.links.tasks import links_tidy
from tests.factories import make_dataset, make_member, make_user, make_version

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pytest_django import DjangoAssertNumQueries, Settings

    from registry.datasets.models import Version
    from registry.links.schedule import Batch

    MakePanel = Callable[[Sequence[str]], Version]

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store_folder")]


def urls(host: str, count: int) -> list[str]:
    return [f"https://{host}/{number}" for number in range(count)]


def claim() -> Batch:
    batch = batch_claim()
    assert batch is not None
    return batch


def attempts(batch: Batch, outcome: Outcome = Outcome.OK) -> list[Attempt]:
    now = timezone.now()
    return [
        Attempt(link.pk, now, Seen(outcome, 200, "", ("noai",)), after(Standing(), outcome, now), 12)
        for link in batch.links
    ]


@pytest.fixture
def many(settings: Settings) -> None:
    settings.LINKS_BATCHES = 10


def test_a_link_is_handed_out_once(make_panel: MakePanel, many: None) -> None:
    make_panel([*urls("a.example.com", 3), *urls("b.example.com", 2)])
    batch = claim()
    assert len(batch.links) == 5
    assert batch_claim() is None


def test_nobody_else_asks_a_host_that_a_batch_holds(
    make_panel: MakePanel, many: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(due, "PER_HOST", 2)
    make_panel(urls("a.example.com", 5))
    first = claim()
    assert len(first.links) == 2
    assert batch_claim() is None
    assert batch_record(first, attempts(first)) == 2
    assert len(claim().links) == 2


def test_a_batch_has_a_limit(make_panel: MakePanel, many: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(due, "LINKS_AT_ONCE", 3)
    make_panel([f"https://h{number}.example.com/" for number in range(5)])
    assert [len(claim().links), len(claim().links)] == [3, 2]


def test_a_lease_that_ran_out_is_handed_out_again_and_the_late_result_is_dropped(
    make_panel: MakePanel, many: None
) -> None:
    make_panel(urls("a.example.com", 3))
    lost = claim()
    Host.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    again = claim()
    assert {link.pk for link in again.links} == {link.pk for link in lost.links}
    assert batch_record(lost, attempts(lost, Outcome.NOT_FOUND)) == 0
    assert set(Link.objects.values_list("state", flat=True)) == {"unchecked"}
    assert batch_record(again, attempts(again)) == 3
    assert Observation.objects.count() == 3
    assert set(Link.objects.values_list("state", "opt_outs__0")) == {("alive", "noai")}


def test_results_are_written_in_a_handful_of_statements(
    make_panel: MakePanel, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    make_panel([f"https://h{number}.example.com/" for number in range(40)])
    batch = claim()
    done = attempts(batch)
    partition_make(timezone.now())
    with django_assert_num_queries(9):  # savepoints included, COPY is not counted
        batch_record(batch, done)
    assert not Host.objects.exclude(lease=None).exists()


def test_only_so_many_batches_are_under_way(make_panel: MakePanel, settings: Settings) -> None:
    make_panel(urls("a.example.com", 1))
    settings.LINKS_BATCHES = 0
    assert batch_claim() is None
    assert not schedule.is_anything_due()
    settings.LINKS_BATCHES = 1
    assert schedule.is_anything_due()
    claim()
    make_panel(urls("b.example.com", 1))
    assert batch_claim() is None


def test_a_days_budget_holds_and_the_next_day_has_its_own(make_panel: MakePanel, many: None) -> None:
    version = make_panel([f"https://h{number}.example.com/" for number in range(6)])
    LinkPolicy.objects.update(daily_budget=4)
    first = claim()
    assert len(first.links) == 4
    assert batch_claim() is None
    assert LinkPolicy.objects.get(dataset=version.dataset).spent == 4
    assert len(batch_claim(timezone.now() + timedelta(days=1)).links) >= 2  # type: ignore[union-attr]


def test_a_paused_dataset_hands_out_nothing_and_another_that_shares_the_link_does(
    make_panel: Any, many: None
) -> None:
    version = make_panel(urls("a.example.com", 2))
    maintainer = make_member(version.dataset.organisation, Role.MAINTAINER)
    services.links_pause(actor=maintainer, dataset=version.dataset)
    services.links_pause(actor=maintainer, dataset=version.dataset)
    assert batch_claim() is None
    assert AuditEntry.objects.filter(action="links_pause").count() == 1
    other = make_version(make_dataset(), shards={"0.csv": [{"url": urls("a.example.com", 1)[0]}]})
    make_panel(urls("a.example.com", 1), other)
    assert len(claim().links) == 1
    services.links_resume(actor=maintainer, dataset=version.dataset)
    Host.objects.update(lease=None, lease_until=None)
    assert len(claim().links) == 2


def test_what_somebody_asks_for_comes_first(
    make_panel: Any, many: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(due, "LINKS_AT_ONCE", 2)
    old = make_panel([f"https://old{number}.example.com/" for number in range(4)])
    new = [f"https://new{number}.example.com/" for number in range(2)]
    wanted = make_panel(new, make_version(old.dataset, shards={"0.csv": [{"url": url} for url in new]}))
    Link.objects.filter(url__contains="new").update(due_at=timezone.now() + timedelta(days=3))
    maintainer = make_member(wanted.dataset.organisation, Role.MAINTAINER)
    assert services.links_check_now(actor=maintainer, version=wanted) == (2, 0)
    assert {link.url for link in claim().links} == set(new)


def test_a_host_that_rests_is_not_asked_however_much_somebody_wants(make_panel: MakePanel) -> None:
    version = make_panel(urls("a.example.com", 1))
    Host.objects.update(next_at=timezone.now() + timedelta(hours=1))
    services.links_check_now(
        actor=make_member(version.dataset.organisation, Role.MAINTAINER), version=version
    )
    assert batch_claim() is None


def test_excluded_links_are_taken_off_the_schedule_when_links_are_handed_out(
    make_panel: MakePanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_panel([*urls("bad.example.com", 3), *urls("good.example.com", 1)])
    rows = {(row.shard_id, row.row) for row in PanelRow.objects.filter(link__host__name="good.example.com")}
    monkeypatch.setattr(hooks, "keys_excluded", [lambda keys: {("host.c1", b"bad.example.com")} & set(keys)])
    monkeypatch.setattr(hooks, "rows_excluded", [lambda asked: rows & set(asked)])
    assert batch_claim() is None
    assert set(Link.objects.values_list("state", "due_at", "outcome")) == {
        ("excluded", None, "policy_no_fetch")
    }
    assert set(Host.objects.values_list("due_at", "lease")) == {(None, None)}
    assert LinkPolicy.objects.get().spent == 0
    monkeypatch.setattr(hooks, "rows_excluded", [])
    assert services.links_review() == 1
    assert len(claim().links) == 1


def test_the_database_refuses_what_must_not_be() -> None:
    host = Host.objects.create(name="a.example.com")
    link = Link.objects.create(key=b"1" * 32, url="https://a.example.com/", host=host)
    changes: list[tuple[type[Link | Host], dict[str, Any]]] = [
        (Link, {"state": LinkState.EXCLUDED}),
        (Link, {"state": LinkState.DEAD, "failures": 2}),
        (Link, {"state": "odd"}),
        (Link, {"outcome": "odd"}),
        (Host, {"delay": 0.5}),
        (Host, {"lease_until": timezone.now()}),
    ]
    for table, change in changes:
        with pytest.raises(IntegrityError), transaction.atomic():
            table._default_manager.update(**change)
    assert Link.objects.get(pk=link.pk).state == "unchecked"


def test_months_of_observations_are_made_and_dropped(make_panel: MakePanel, settings: Settings) -> None:
    settings.LINKS_KEEP_MONTHS = 2
    make_panel(urls("a.example.com", 1))
    batch = claim()
    [link] = batch.links
    now = timezone.now().replace(year=2026, month=12, day=31)
    for month in (9, 10, 11, 12):
        at = now.replace(month=month, day=30)
        batch_record(batch, [Attempt(link.pk, at, Seen(Outcome.OK), after(Standing(), Outcome.OK, at), 1)])
        Host.objects.update(lease=batch.lease, lease_until=at)
    assert Observation.objects.count() == 4
    connection.check_constraints()  # in one transaction with what they check, as no other than a test has it
    assert observations_expire(now) == ["registry_observation_2026_09"]
    assert observations_expire(now) == []
    assert Observation.objects.count() == 3
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_inherits WHERE inhparent = 'registry_observation'::regclass")
        assert cursor.fetchone() == (3,)


def test_a_beat_whose_clock_is_ahead_drops_no_month_that_is_to_be_kept(make_panel: MakePanel) -> None:
    make_panel(urls("a.example.com", 1))
    now = timezone.now()
    with transaction.atomic():
        observations_write([(Link.objects.get().pk, now, "ok", 200, 1)], now)
    connection.check_constraints()
    partitions_ahead(now + timedelta(days=800))
    assert f"registry_observation_{now:%Y_%m}" not in observations_expire(now + timedelta(days=800))
    assert Observation.objects.count() == 1


def test_a_worker_whose_clock_is_ahead_drops_no_month_that_is_to_be_kept(
    make_panel: MakePanel, settings: Settings
) -> None:
    """Not even where it writes observations of years that are to come."""
    settings.LINKS_KEEP_MONTHS = 2
    make_panel(urls("a.example.com", 1))
    link = Link.objects.get().pk
    now = datetime(2026, 12, 15, tzinfo=UTC)
    ahead = now + timedelta(days=800)
    with transaction.atomic():
        for at in (now.replace(month=11), now, ahead):
            observations_write([(link, at, "ok", 200, 1)], at)
    connection.check_constraints()
    assert observations_expire(ahead) == []
    assert Observation.objects.count() == 3
    with transaction.atomic():
        observations_write([(link, at := now.replace(month=10), "ok", 200, 1)], at)
    connection.check_constraints()
    assert observations_expire(now) == []  # once its clock is right again, all of them are kept
    assert observations_expire(ahead) == ["registry_observation_2026_10"]


def test_what_leaves_the_schedule_under_a_batch_stays_as_it_is(make_panel: MakePanel) -> None:
    make_panel(urls("a.example.com", 3))
    batch = claim()
    gone, waits, asked = batch.links
    off = Link.objects.filter(pk__in=[gone.pk, waits.pk])
    schedule.links_set(off, state=LinkState.DOMAIN_GONE, due_at=None)
    done = [one for one in attempts(batch) if one.link != waits.pk]
    assert batch_record(batch, done, waiting=[waits.pk]) == 1
    assert set(off.values_list("state", "due_at")) == {("domain_gone", None)}
    assert list(Observation.objects.values_list("link", flat=True)) == [asked.pk]


def test_services_refuse_strangers_staff_and_nonsense(make_panel: MakePanel) -> None:
    version = make_panel(urls("a.example.com", 1))
    dataset = version.dataset
    maintainer = make_member(dataset.organisation, Role.MAINTAINER)
    for actor in (make_user(), make_member(dataset.organisation, Role.STAFF)):
        for act in (
            lambda a=actor: services.links_pause(actor=a, dataset=dataset),
            lambda a=actor: services.links_resume(actor=a, dataset=dataset),
            lambda a=actor: services.links_budget(actor=a, dataset=dataset, daily_budget=5),
            lambda a=actor: services.links_check_now(actor=a, version=version),
        ):
            with pytest.raises(NotAllowed):
                act()
    for budget in (0, services.MAX_BUDGET + 1):
        with pytest.raises(Refused, match="between 1 and"):
            services.links_budget(actor=maintainer, dataset=dataset, daily_budget=budget)
    with pytest.raises(Refused, match="Draw its panel"):
        services.links_check_now(actor=maintainer, version=make_version(dataset))
    with pytest.raises(NotAllowed):
        host_opt_out(actor=maintainer, name="nowhere.example.org")
    assert LinkPolicy.objects.get().daily_budget == 20_000


@pytest.mark.parametrize(
    ("day", "months"),
    [
        (datetime(2031, 4, 30, 23, 59, tzinfo=UTC), ["2031_04", "2031_05"]),
        (datetime(2031, 12, 31, tzinfo=UTC), ["2031_12", "2032_01"]),
    ],
)
def test_the_next_month_has_its_place_before_it_begins(day: datetime, months: list[str]) -> None:
    partitions_ahead(day)
    partitions_ahead(day)
    with connection.cursor() as cursor:
        for month in months:
            cursor.execute("SELECT to_regclass(%s) IS NOT NULL", [f"registry_observation_{month}"])
            assert cursor.fetchone() == (True,)


def test_beat_makes_the_next_month_and_drops_the_old_ones() -> None:
    old = timezone.now() - timedelta(days=600)
    partition_make(old)
    links_tidy()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'registry_observation'::regclass"
        )
        names = {name for (name,) in cursor.fetchall()}
    now = timezone.now()
    following = (now.replace(day=28) + timedelta(days=4)).strftime("%Y_%m")
    assert f"registry_observation_{old:%Y_%m}" not in names
    assert {f"registry_observation_{now:%Y_%m}", f"registry_observation_{following}"} <= names
