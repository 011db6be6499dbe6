"""Answers that we cannot cope with, and walls that only look like trouble: neither ends a batch nor makes a link dead."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from django.db import OperationalError
from django.utils import timezone

from registry.lib.safe_http import Outcome as Failure
from registry.lib.safe_http import Refused
from registry.links import checker, outcomes, services, turns
from registry.links.content.models import OriginSignature
from registry.links.content.store import signatures_record
from registry.links.models import Host, Link, RobotsFile
from registry.links.outcomes import Outcome, seen
from registry.links.states import APART, LinkState, Standing, after
from tests.factories_takedowns import make_report
from tests.registry.lib.safe_http.servers import answers, redirects, writes
from tests.registry.links.conftest import HOSTS
from tests.registry.links.test_checker import link

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from registry.datasets.models import Version
    from registry.lib.safe_http import Response
    from registry.links.outcomes import Seen
    from tests.registry.lib.safe_http.servers import Handler
    from tests.registry.links.conftest import Town

    MakePanel = Callable[[Sequence[str]], Version]

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("store_folder")]
A, B = "127.0.0.2", "127.0.0.3"
START = datetime(2026, 1, 1, tzinfo=UTC)
FAR = "Wed, 21 Oct 999999999999999999999 07:28:00 GMT"  # no calendar has it


def time_passes() -> None:
    """As if it were long enough later for the next failure to count."""
    now = timezone.now()
    Link.objects.filter(due_at__isnull=False).update(due_at=now)
    Link.objects.filter(failed_at__isnull=False).update(failed_at=now - APART - timedelta(hours=1))
    Link.objects.filter(checked_at__isnull=False).update(checked_at=now - APART - timedelta(hours=1))
    Host.objects.update(due_at=now, next_at=now, delay=1.0)


def checked(times: int = 3) -> None:
    """Look so often, each time long after the one before."""
    for _ in range(times):
        services.links_check()
        time_passes()


def test_a_retry_after_in_no_calendar_is_none(town: Town, make_panel: MakePanel) -> None:
    town.pages[A, "/1"] = answers(b"", status="429 Too Many", headers=f"Retry-After: {FAR}\r\n")
    make_panel([town.url(A, "/1"), town.url(B, "/ok")])
    assert services.links_check() == 2
    assert link(town.url(A, "/1")).outcome == "rate_limited"
    assert Host.objects.get(name=A).next_at > timezone.now() + timedelta(minutes=14)


def test_what_one_host_breaks_ends_no_batch(
    town: Town, make_panel: MakePanel, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def breaks(answer: Response) -> None:
        raise LookupError(answer.url)

    monkeypatch.setattr(turns, "retry_after", breaks)
    town.pages[A, "/secret-1"] = answers(b"", status="429 Too Many")
    make_panel([town.url(A, "/secret-1"), town.url(A, "/2"), town.url(B, "/ok")])
    with caplog.at_level(logging.INFO):
        assert services.links_check() == 2
    assert (link(town.url(A, "/secret-1")).state, link(town.url(B, "/ok")).state) == ("unverifiable", "alive")
    assert link(town.url(A, "/2")).state == "unchecked"
    host = Host.objects.get(name=A)
    assert (host.fails, host.lease, host.next_at > timezone.now() + timedelta(minutes=14)) == (1, None, True)
    assert "LookupError in " in caplog.text
    assert "secret" not in caplog.text
    assert A not in caplog.text
    asked = len(town.log)
    assert services.links_check() == 0
    assert len(town.log) == asked


def test_such_a_link_is_never_dead(
    town: Town, make_panel: MakePanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(answer: Response) -> None:
        raise LookupError(answer.url)

    monkeypatch.setattr(turns, "retry_after", breaks)
    town.pages[A, "/1"] = answers(b"", status="429 Too Many")
    make_panel([town.url(A, "/1")])
    checked(4)
    assert (link(town.url(A, "/1")).state, link(town.url(A, "/1")).failures) == ("unverifiable", 0)


def test_an_answer_that_cannot_be_named_is_in_doubt(
    town: Town, make_panel: MakePanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = outcomes.seen

    def breaks(url: str, result: Response) -> Seen:
        if url.endswith("/1"):
            raise ValueError(url)
        return real(url, result)

    monkeypatch.setattr(checker, "seen", breaks)
    make_panel([town.url(A, "/1"), town.url(A, "/2")])
    assert services.links_check() == 2
    assert link(town.url(A, "/1")).state == "unverifiable"
    assert link(town.url(A, "/2")).state == "alive"


def test_a_database_that_is_gone_still_ends_the_batch(
    town: Town, make_panel: MakePanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(_names: object) -> set[str]:
        raise OperationalError("gone")

    monkeypatch.setattr(checker, "hosts_opted_out", gone)
    make_panel([town.url(A, "/1")])
    with pytest.raises(OperationalError):
        services.links_check()
    assert town.log == []
    assert Link.objects.get().state == "unchecked"


def test_what_the_database_refuses_of_one_host_costs_no_batch(make_panel: MakePanel) -> None:
    make_panel(["http://a.example.com/", "http://b.example.com/"])
    hosts = Host.objects.values_list("pk", "name")
    bad = [["/\0", True]]
    signatures_record(
        OriginSignature(host_id=pk, origin=f"http://{name}", tdm_rules=bad, tdm_at=START)
        for pk, name in hosts
    )
    assert not OriginSignature.objects.exists()


@pytest.mark.parametrize(
    "wall",
    [
        answers(b"", status="503 Service Temporarily Unavailable", headers="Server: nginx\r\n"),
        answers(b"", status="500 Oops"),
        writes(),
        answers(b"", status="302 Found", headers="Set-Cookie: ok=1\r\nLocation: /1\r\n"),
    ],
    ids=["a limit of nginx", "a server that fails", "a connection that is closed", "a wall of cookies"],
)
def test_a_wall_before_the_only_link_of_a_host_makes_it_not_dead(
    town: Town, make_panel: MakePanel, wall: Handler
) -> None:
    town.pages[A, "/1"] = wall
    make_panel([town.url(A, "/1")])
    checked(4)
    assert Link.objects.get().state in {"failing", "unverifiable"}


def test_a_redirect_that_goes_round_without_cookies_is_the_links_own(
    town: Town, make_panel: MakePanel
) -> None:
    town.pages[A, "/1"] = redirects("/2")
    town.pages[A, "/2"] = redirects("/1")
    make_panel([town.url(A, "/1")])
    checked()
    assert (Link.objects.get().state, Link.objects.get().outcome) == ("dead", "redirect_loop")


def test_a_wall_of_cookies_is_a_challenge(town: Town, make_panel: MakePanel) -> None:
    town.pages[A, "/1"] = answers(b"", status="307 Go", headers="Set-Cookie: a=1\r\nLocation: /check\r\n")
    town.pages[A, "/check"] = redirects("/1")
    make_panel([town.url(A, "/1")])
    services.links_check()
    assert (Link.objects.get().state, Link.objects.get().outcome) == ("unverifiable", "bot_challenge")


def test_a_plain_503_is_a_limit(town: Town, make_panel: MakePanel) -> None:
    town.pages[A, "/1"] = answers(b"", status="503 Service Temporarily Unavailable")
    make_panel([town.url(A, "/1")])
    services.links_check()
    assert (Link.objects.get().state, Link.objects.get().outcome) == ("unverifiable", "rate_limited")
    assert town.paths(A) == ["GET /robots.txt", "HEAD /1"]


def test_the_trouble_of_one_link_is_its_own_where_another_of_its_host_answered(
    town: Town, make_panel: MakePanel
) -> None:
    town.pages[A, "/1"] = answers(b"", status="500 Oops")
    make_panel([town.url(A, "/1"), town.url(A, "/2")])
    for _ in range(3):
        services.links_check()
        time_passes()
        Link.objects.filter(url=town.url(A, "/2")).update(
            due_at=timezone.now() + timedelta(days=7), checked_at=timezone.now()
        )
    assert (link(town.url(A, "/1")).state, link(town.url(A, "/1")).host_failures) == ("dead", 0)
    assert town.paths(A).count("HEAD /2") == 1


def test_a_report_of_robots_txt_says_nothing_of_the_links(town: Town, make_panel: MakePanel) -> None:
    version = make_panel([town.url(A, "/1"), town.url(A, "/2")])
    services.links_check()
    time_passes()
    RobotsFile.objects.all().delete()
    make_report(version.dataset, [town.url(A, "/robots.txt")])
    asked = len(town.log)
    assert services.links_check() == 2
    assert set(Link.objects.values_list("state", "outcome")) == {("unverifiable", "robots_disallowed")}
    assert len(town.log) == asked


def test_a_report_of_the_whole_host_while_it_is_asked_excludes_its_links(
    town: Town, make_panel: MakePanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_panel([town.url(A, "/1"), town.url(A, "/2")])
    monkeypatch.setattr(checker, "LastLook", lambda *_: _all_excluded)
    assert services.links_check() == 2
    assert set(Link.objects.values_list("state", flat=True)) == {"excluded"}
    assert town.log == []


async def _all_excluded(_url: str) -> str:
    return "excluded"


NOWHERE = [
    "http://" + ".".join(["a" * 60] * 6) + ".com/",
    "http://" + "a" * 300 + ".com/",
    "http://" + "b." * 130 + "com/x",
    "http://[::1",
    "http://a[@b/x",
    "//\x80\xff/",
    "http://xn--a/",
    "https://u:p@h.com/",
    "http://h.com:99999/",
    "http://%00.com/",
    "javascript:alert(1)",
]


def test_a_redirect_to_no_url_ends_no_batch_and_leaves_no_host(town: Town, make_panel: MakePanel) -> None:
    for number, location in enumerate(NOWHERE):
        host = HOSTS[number % len(HOSTS)]
        town.pages[host, f"/{number}"] = answers(b"", status="302 Found", headers=f"Location: {location}\r\n")
    make_panel([town.url(HOSTS[number % len(HOSTS)], f"/{number}") for number in range(len(NOWHERE))])
    assert services.links_check() == len(NOWHERE)
    assert set(Link.objects.values_list("state", "outcome")) == {("unverifiable", "invalid_url")}
    assert set(Host.objects.values_list("name", flat=True)) == set(HOSTS)


def test_a_name_and_password_in_one_url_say_nothing_of_its_host(town: Town, make_panel: MakePanel) -> None:
    bad = f"http://u:p@{A}:{town.ports[A]}/x"
    make_panel([bad, town.url(A, "/ok")])
    assert services.links_check() == 2
    assert (link(bad).outcome, link(town.url(A, "/ok")).state) == ("invalid_url", "alive")


@pytest.mark.parametrize("rule", ["incomplete_chain", "fault"])
def test_trouble_that_may_be_ours_is_never_the_links(rule: str) -> None:
    standing, at = Standing(failures=2, failed_at=START), START
    one = seen("https://site.example/1", Refused(Failure.TLS_ERROR, rule, (), 0.1))
    for _ in range(9):
        at += 2 * APART
        standing = after(standing, one.outcome, at, in_doubt=one.in_doubt)
        assert (standing.state, standing.failures) == (LinkState.UNVERIFIABLE, 2)


@pytest.mark.parametrize("outcome", [Outcome.CONNECT_REFUSED, Outcome.TLS_ERROR, Outcome.RESET])
def test_a_host_whose_every_link_cannot_be_reached_counts_once(outcome: Outcome) -> None:
    standing, alone, at = Standing(), Standing(), START
    for _ in range(9):
        at += 2 * APART
        standing = after(standing, outcome, at, whole_host=True)
        alone = after(alone, outcome, at)
    assert (standing.state, alone.state) == (LinkState.FAILING, LinkState.DEAD)


def test_an_expired_certificate_is_not_in_doubt() -> None:
    assert not seen("https://site.example/1", Refused(Failure.TLS_ERROR, "curl_60", (), 0.1)).in_doubt
