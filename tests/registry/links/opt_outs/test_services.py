"""Opting out: by a file on the host, by hand, with what lies below it, and without anybody being hammered."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from registry.accounts.models import Role
from registry.auditlog.models import AuditEntry
from registry.hooks import hooks
from registry.lib.errors import NotAllowed, Refused
from registry.links import services
from registry.links.domains.census import hosts_enrol
from registry.links.last_look import hosts_opted_out
from registry.links.models import Host, Link, RobotsFile
from registry.links.opt_outs.files import PATH
from registry.links.opt_outs.services import (
    ASKED_AGAIN,
    GIVEN_UP,
    HOSTS_AT_ONCE,
    _addresses,
    host_opt_out,
    opt_out_ask,
    opt_outs_due,
    opt_outs_read,
    opt_outs_spread,
    opt_outs_waiting,
)
from tests.factories import make_member, make_organisation, make_user
from tests.registry.lib.safe_http.servers import NameServer, WebServer, answers, redirects
from tests.registry.links.conftest import no_robots
from tests.registry.links.test_crowds import Machine

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from pytest_django import Settings

    from registry.datasets.models import Version
    from tests.registry.links.conftest import Town

    MakePanel = Callable[[Sequence[str]], Version]

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("store_folder")]
A, B = "127.0.0.2", "127.0.0.3"


def again() -> None:
    """As if every host might be asked now, and every link were due."""
    Link.objects.filter(due_at__isnull=False).update(due_at=timezone.now())
    Host.objects.update(due_at=timezone.now(), next_at=timezone.now())


def said(*lines: str) -> bytes:
    return "\n".join(lines).encode()


def test_an_owner_opts_his_host_out_by_a_file(town: Town, make_panel: MakePanel) -> None:
    town.pages[A, PATH] = answers(said("expunge: opt-out"))
    make_panel([town.url(A, "/1"), town.url(A, "/2"), town.url(B, "/1")])
    opt_out_ask(A)
    assert town.log == []  # who is told contacts nobody
    assert opt_outs_read() == 1
    assert town.paths(A) == [f"GET {PATH}"]
    assert "/about/links/" in town.log[0].head
    host = Host.objects.get(name=A)
    assert host.opted_out_at
    assert not host.covers_subdomains
    assert host.lease is None
    assert set(host.links.values_list("state", "outcome")) == {("unverifiable", "opted_out")}
    entry = AuditEntry.objects.get(action="host_opt_out")
    assert (entry.actor_id, entry.data) == (None, {"by": "file", "subdomains": False, "hosts": 1})
    again()
    assert services.links_check() == 1
    assert town.paths(A) == [f"GET {PATH}"]
    assert "HEAD /1" in town.paths(B)


@pytest.mark.parametrize(
    "handler",
    [
        answers(b"", status="404 No"),
        answers(b"<html>expunge: opt-out</html>"),
        answers(said("expunge: opt-out"), status="403 No"),
        answers(said("expunge: opt-out") + b"\n" * 5_000),  # longer than we read
        redirects("http://127.0.0.3/out.txt"),
        redirects("http://10.0.0.1/"),
    ],
)
def test_nobody_opts_out_a_host_where_he_cannot_put_a_file(
    town: Town, make_panel: MakePanel, handler: Callable[..., None]
) -> None:
    town.pages[A, PATH] = handler
    make_panel([town.url(A, "/1")])
    opt_out_ask(A)
    assert opt_outs_read() == 0
    assert Host.objects.get(name=A).opted_out_at is None
    assert not opt_outs_waiting().exists()
    assert town.paths(A) == [f"GET {PATH}"]


def test_hosts_that_rest_or_are_asked_by_a_batch_keep_no_owner_waiting(
    town: Town, make_panel: MakePanel
) -> None:
    """Anybody may name as many of them as are read at once."""
    town.pages[A, PATH] = answers(said("expunge: opt-out"))
    now = timezone.now()
    resting = [f"h{number}.example.com" for number in range(HOSTS_AT_ONCE)]
    make_panel([*(f"https://{name}/1" for name in resting), town.url(A, "/1")])
    for name in resting:
        opt_out_ask(name)
    first = Host.objects.filter(name=resting[0])
    first.update(lease=uuid4(), lease_until=now + timedelta(minutes=10))
    Host.objects.filter(name__in=resting[1:]).update(next_at=now + timedelta(hours=24))
    opt_out_ask(A)
    assert opt_outs_read() == 1
    assert Host.objects.get(name=A).opted_out_at
    assert set(opt_outs_waiting().values_list("name", flat=True)) == set(resting)


BUSY = answers(b"", status="503 Busy", headers="Retry-After: 60\r\n")


@pytest.mark.parametrize("handler", [BUSY, answers(b"", status="500 No"), answers(b"", status="429 Slow")])
def test_a_file_that_nobody_could_read_is_asked_for_again_an_hour_later(
    town: Town, make_panel: MakePanel, handler: Callable[..., None]
) -> None:
    town.pages[A, PATH] = handler
    make_panel([town.url(A, "/1")])
    opt_out_ask(A)
    assert opt_outs_read() == 0
    town.pages[A, PATH] = answers(said("expunge: opt-out"))
    again()
    asked = len(town.log)
    assert asked
    assert opt_outs_read() == 0
    assert len(town.log) == asked  # within the hour, whatever else
    tried(timedelta(hours=1, seconds=1))
    assert opt_outs_read() == 1
    assert Host.objects.get(name=A).opted_out_at


def tried(ago: timedelta) -> None:
    """As if the files that nobody could read had been asked for so long ago."""
    Host.objects.update(opt_out_tried_at=timezone.now() - ago, next_at=timezone.now())


def test_it_is_given_up_after_days(town: Town, make_panel: MakePanel) -> None:
    town.pages[A, PATH] = BUSY
    make_panel([town.url(A, "/1")])
    opt_out_ask(A)
    opt_outs_read()
    tried(timedelta(hours=2))
    Host.objects.update(opt_out_asked_at=timezone.now() - GIVEN_UP + timedelta(minutes=1))
    assert opt_outs_due(timezone.now()).exists()
    Host.objects.update(opt_out_asked_at=timezone.now() - GIVEN_UP)
    assert not opt_outs_waiting().exists()
    opt_out_ask(A)
    assert opt_outs_due(timezone.now()).exists()


def test_a_host_with_long_pauses_is_asked_at_each_address_in_turn(town: Town, make_panel: MakePanel) -> None:
    """One request at a time: the next may only go out when nobody reads any more."""
    town.pages[A, PATH] = answers(b"", status="404 No")
    make_panel([town.url(A, "/1")])
    Host.objects.update(delay=60)
    opt_out_ask(A)
    asked_at, names = timezone.now(), []
    for hour in range(4):
        host = Host.objects.get(name=A)
        host.opt_out_asked_at = asked_at - timedelta(hours=hour, minutes=1)
        names.append(_addresses(host, asked_at)[0])
    assert names == [town.url(A, ""), f"https://{A}", f"http://{A}", town.url(A, "")]
    opt_outs_read()
    assert town.paths(A) == [f"GET {PATH}"]
    assert [host.name for host in opt_outs_waiting()] == [A]


def test_who_names_very_many_hosts_keeps_no_owner_waiting(make_panel: MakePanel) -> None:
    flood = [f"h{number}.example.com" for number in range(HOSTS_AT_ONCE)]
    mine, again_and_again, silent = "mine.example.com", "again.example.com", "silent.example.com"
    make_panel([f"https://{name}/1" for name in (*flood, mine, again_and_again, silent)])
    now = timezone.now()
    for name in (*flood, mine):
        opt_out_ask(name)
    for name, field in ((again_and_again, "opt_out_read_at"), (silent, "opt_out_tried_at")):
        opt_out_ask(name)
        Host.objects.filter(name=name).update(**{field: now - timedelta(hours=2)})
    names = list(opt_outs_due(timezone.now()).values_list("name", flat=True))
    assert names == [mine, *reversed(flood), again_and_again, silent]


def test_names_that_lead_to_one_address_are_not_asked_for_it_at_once(
    make_panel: MakePanel, settings: Settings
) -> None:
    machine = Machine(0.2)
    with NameServer() as names, WebServer(machine, host=A) as server:
        settings.NAME_SERVERS = [names.address]
        settings.LINKS_TEST_TARGETS = [f"{A}:{server.port}"]
        blogs = [f"blog{number}.shared.com" for number in range(20)]
        for name in blogs:
            names.knows(name, A)
        make_panel([f"http://{name}:{server.port}/1" for name in blogs])
        for name in blogs:
            opt_out_ask(name)
        opt_outs_read()
    assert len(machine.asked) == 20
    assert machine.most <= 4


def test_a_host_is_asked_once_an_hour_however_often_somebody_names_it(
    town: Town, make_panel: MakePanel
) -> None:
    make_panel([town.url(A, "/1")])
    for _ in range(5):
        opt_out_ask(A)
        again()
        opt_outs_read()
    assert town.paths(A) == [f"GET {PATH}"]
    Host.objects.update(opt_out_asked_at=timezone.now() - ASKED_AGAIN - timedelta(seconds=1))
    Host.objects.update(opt_out_read_at=timezone.now())
    opt_out_ask(A)
    again()
    opt_outs_read()
    assert len(town.log) == 2


@pytest.mark.parametrize(
    "name", ["nowhere.example.org", "10.0.0.1", "169.254.169.254", "com", "", "127.0.0.4"]
)
def test_a_host_that_no_link_leads_to_is_never_asked(town: Town, make_panel: MakePanel, name: str) -> None:
    make_panel([town.url(A, "/1")])
    opt_out_ask(name)
    assert opt_outs_read() == 0
    assert town.log == []
    assert list(Host.objects.values_list("name", flat=True)) == [A]


def test_a_host_that_is_leased_or_rests_is_not_asked_before_its_turn(
    town: Town, make_panel: MakePanel
) -> None:
    make_panel([town.url(A, "/1")])
    opt_out_ask(A)
    Host.objects.update(next_at=timezone.now() + timedelta(hours=3))
    assert opt_outs_read() == 0
    assert town.log == []
    assert opt_outs_waiting().count() == 1  # later


def test_where_no_link_is_checked_no_file_is_read(
    town: Town, make_panel: MakePanel, settings: Settings
) -> None:
    make_panel([town.url(A, "/1")])
    opt_out_ask(A)
    settings.LINKS_BATCHES = 0
    assert opt_outs_read() == 0
    assert town.log == []


def test_a_host_that_hangs_holds_up_nobody(
    town: Town, make_panel: MakePanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("registry.links.opt_outs.services.SECONDS", 0.5)
    town.pages |= {
        (A, PATH): lambda _connection, _request: time.sleep(3),
        (B, PATH): answers(said("expunge: opt-out")),
    }
    make_panel([town.url(A, "/1"), town.url(B, "/1")])
    opt_out_ask(A)
    opt_out_ask(B)
    began = time.monotonic()
    assert opt_outs_read() == 1
    assert time.monotonic() - began < 2.5
    assert hosts_opted_out({A, B}) == {B}
    assert [host.name for host in opt_outs_waiting()] == [A]
    assert not Host.objects.exclude(lease=None).exists()


def test_an_excluded_host_is_not_asked_even_for_that(
    town: Town, make_panel: MakePanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_panel([town.url(A, "/1")])

    def reported(keys: Collection[tuple[str, bytes]]) -> set[tuple[str, bytes]]:
        return {key for key in keys if key == ("host.c1", A.encode())}

    monkeypatch.setattr(hooks, "keys_excluded", [reported])
    opt_out_ask(A)
    assert opt_outs_read() == 0
    assert town.log == []


def test_robots_txt_is_read_again_before_anything_else(town: Town, make_panel: MakePanel) -> None:
    make_panel([town.url(A, "/1"), town.url(B, "/1")])
    no_robots()
    town.pages[A, "/robots.txt"] = answers(b"User-agent: Expunge\nDisallow: /")
    opt_out_ask(A)
    assert [file.host.name for file in RobotsFile.objects.all()] == [B]
    again()
    services.links_check()
    assert town.paths(A) == ["GET /robots.txt"]
    assert Link.objects.get(url=town.url(A, "/1")).outcome == "robots_disallowed"


def test_subdomains_come_along_where_the_owner_says_so_and_those_too_that_come_later(
    make_panel: MakePanel,
) -> None:
    make_panel(["https://img.example.com/1", "https://a.b.example.com/1", "https://notexample.com/1"])
    operator = make_user(is_superuser=True)
    host_opt_out(actor=operator, name="Example.com.", subdomains=True)
    out = Host.objects.filter(opted_out_at__isnull=False).order_by("name")
    assert list(out.values_list("name", flat=True)) == ["a.b.example.com", "example.com", "img.example.com"]
    make_panel(["https://new.example.com/1"])
    names = {"new.example.com", "new.example.com.", "x.y.example.com", "example.com", "notexample.com", "com"}
    assert hosts_opted_out(names) == names - {"notexample.com", "com"}
    assert Link.objects.get(url="https://new.example.com/1").state == "unchecked"
    assert opt_outs_spread() == 1
    assert opt_outs_spread() == 0
    assert Link.objects.get(url="https://new.example.com/1").state == "unverifiable"
    assert Link.objects.get(url="https://notexample.com/1").state == "unchecked"
    assert AuditEntry.objects.get().data == {"by": "hand", "subdomains": True, "hosts": 3}


def test_links_that_are_drawn_later_on_a_host_that_opted_out_do_not_wait_for_ever(
    make_panel: MakePanel,
) -> None:
    make_panel(["https://img.example.com/1"])
    host_opt_out(actor=make_user(is_superuser=True), name="img.example.com")
    make_panel(["https://img.example.com/2", "https://b.example.com/1"])
    opt_outs_spread()
    assert dict(Link.objects.values_list("url", "state")) == {
        "https://img.example.com/1": "unverifiable",
        "https://img.example.com/2": "unverifiable",
        "https://b.example.com/1": "unchecked",
    }


def test_an_excluded_link_stays_so_when_its_host_opts_out(make_panel: MakePanel) -> None:
    make_panel(["https://img.example.com/1"])
    Link.objects.update(state="excluded", due_at=None)
    host_opt_out(actor=make_user(is_superuser=True), name="img.example.com")
    assert Link.objects.get().state == "excluded"


def test_a_host_below_which_links_lead_may_speak_for_them(make_panel: MakePanel) -> None:
    make_panel(["https://img.example.com/1"])
    hosts_enrol()
    opt_out_ask("example.com")
    opt_out_ask("other.com")
    assert [host.name for host in opt_outs_waiting()] == ["example.com"]


def test_a_name_below_which_everybody_may_have_one_speaks_for_itself_alone(make_panel: MakePanel) -> None:
    make_panel(["https://alice.github.io/1"])
    operator = make_user(is_superuser=True)
    for name in ("github.io", "com", "co.uk"):
        with pytest.raises(Refused, match="cannot speak for them"):
            host_opt_out(actor=operator, name=name, subdomains=True)
    host_opt_out(actor=operator, name="github.io")
    assert hosts_opted_out({"alice.github.io"}) == set()


def test_who_was_out_alone_may_take_the_subdomains_along_later(make_panel: MakePanel) -> None:
    make_panel(["https://example.com/1", "https://img.example.com/1"])
    operator = make_user(is_superuser=True)
    first = host_opt_out(actor=operator, name="example.com")
    second = host_opt_out(actor=operator, name="example.com", subdomains=True)
    assert second.opted_out_at == first.opted_out_at
    assert hosts_opted_out({"img.example.com"}) == {"img.example.com"}
    host_opt_out(actor=operator, name="example.com")
    assert AuditEntry.objects.count() == 2  # the log holds changes only


def test_operators_opt_out_by_hand_and_nobody_else_does(make_panel: MakePanel) -> None:
    """It holds for every dataset of the site, and is not undone by any of its members."""
    version = make_panel(["https://img.example.com/1"])
    for actor in (
        make_user(),
        *(make_member(version.dataset.organisation, role) for role in Role),
        make_member(make_organisation(), Role.MAINTAINER),
    ):
        for name in ("img.example.com", "example.com", "elsewhere.example.org"):
            with pytest.raises(NotAllowed, match="operators of this site"):
                host_opt_out(actor=actor, name=name)
    assert not Host.objects.filter(opted_out_at__isnull=False).exists()
    assert host_opt_out(actor=make_user(is_superuser=True), name="img.example.com").opted_out_at


def test_the_database_knows_no_opt_out_of_subdomains_alone(make_panel: MakePanel) -> None:
    make_panel(["https://img.example.com/1"])
    with pytest.raises(IntegrityError, match="host_covers_when_out"), transaction.atomic():
        Host.objects.update(covers_subdomains=True)
