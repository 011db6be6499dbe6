from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from django.utils import timezone

from registry.accounts.models import Role, User
from registry.datasets.models import VersionStatus
from registry.jobs.models import Job
from registry.links.models import Host, Link, LinkPolicy, Panel
from registry.links.schedule import NOW
from tests.factories import make_member, make_organisation, make_user, make_version

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from django.test import Client

    from registry.datasets.models import Version

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store_folder")]

ACTS = ("draw", "budget", "check", "pause", "resume")


@pytest.fixture
def version(make_panel: Callable[[Sequence[str]], Version]) -> Version:
    """Ten links: four alive, one moved, two dead, one that cannot be told, one excluded, one failing."""
    urls = [f"https://h{number % 5}.example.com/{number}" for number in range(10)]
    version = make_panel(urls)
    now = timezone.now()
    states = [
        *[("alive", "ok")] * 4,
        ("moved", "redirect_cross_site"),
        *[("dead", "gone")] * 2,
        ("unverifiable", "forbidden"),
        ("excluded", "policy_no_fetch"),
        ("failing", "not_found"),
    ]
    for url, (state, outcome) in zip(urls, states, strict=True):
        due = None if state == "excluded" else now
        failures = 3 if state == "dead" else 0
        Link.objects.filter(url=url).update(
            state=state,
            outcome=outcome,
            checked_at=now - timedelta(hours=2),
            due_at=due,
            failures=failures,
        )
    Link.objects.filter(url=urls[0]).update(opt_outs=["noai"])
    return version


@pytest.fixture
def maintainer(version: Version) -> User:
    return make_member(version.dataset.organisation, Role.MAINTAINER)


def page(version: Version, act: str = "") -> str:
    return f"/datasets/{version.dataset.slug}/versions/{version.name}/links/" + (f"{act}/" if act else "")


def api(version: Version, rest: str = "") -> str:
    return f"/api/v1{page(version)}{rest}"


def test_everybody_sees_the_figures_and_only_members_the_hosts(
    client: Client, version: Version, maintainer: User
) -> None:
    public = client.get(page(version)).content.decode()
    assert "of its links are dead." in public
    assert "<strong>Between" in public
    assert "excluded" not in public.lower()
    assert "h1.example.com" not in public
    assert "Pause checking" not in public
    client.force_login(maintainer)
    shown = client.get(page(version)).content.decode()
    assert "h1.example.com" in shown
    assert "Check 9 links now" in shown  # the excluded one is never asked for


def test_a_page_costs_the_same_whatever_the_panel(
    client: Client, version: Version, maintainer: User, django_assert_max_num_queries: Callable[..., object]
) -> None:
    client.force_login(maintainer)
    with django_assert_max_num_queries(20):  # type: ignore[attr-defined]
        client.get(page(version))


def test_a_version_that_is_small_is_counted_and_not_estimated(client: Client, version: Version) -> None:
    Panel.objects.update(size=11)
    assert "Between 20.0% and 50.0% of its links are dead." in client.get(page(version)).content.decode()
    told = client.get(api(version)).json()
    assert (told["is_whole"], told["estimate"]["dead"]) == (True, {"value": 0.2, "low": 0.2, "high": 0.2})


def test_a_version_without_a_panel_says_so(client: Client) -> None:
    version = make_version()
    assert "No links of this version are checked." in client.get(page(version)).content.decode()
    assert client.get(api(version)).status_code == 404


def test_a_version_without_urls_says_why_nothing_is_checked(client: Client) -> None:
    version = make_version(columns={"text": "caption"})
    shown = client.get(page(version)).content.decode()
    assert "No links of this version can be checked." in shown
    assert "A maintainer draws" not in shown


def test_what_a_reader_may_not_see_is_not_found(client: Client, version: Version) -> None:
    type(version).objects.filter(pk=version.pk).update(status=VersionStatus.DRAFT)
    client.force_login(make_member(make_organisation(), Role.APPROVER))
    assert client.get(page(version)).status_code == 404
    assert client.get(api(version)).status_code == 404
    assert client.get(api(version, "rows/")).status_code == 404
    assert {client.post(page(version, act)).status_code for act in ACTS} == {404}


def test_staff_and_strangers_change_nothing(client: Client, version: Version) -> None:
    assert {client.post(page(version, act)).status_code for act in ACTS} == {302}  # to sign in
    for user in (make_user(), make_member(version.dataset.organisation, Role.STAFF)):
        client.force_login(user)
        data = {"size": 5, "daily_budget": 5}
        assert {client.post(page(version, act), data).status_code for act in ACTS} == {403}
    policy = LinkPolicy.objects.get()
    assert (policy.paused_at, policy.daily_budget, Job.objects.count()) == (None, 20_000, 0)
    assert not Link.objects.filter(due_at=NOW).exists()


def test_a_maintainer_pauses_resumes_checks_and_draws(
    client: Client, version: Version, maintainer: User
) -> None:
    client.force_login(maintainer)
    assert client.post(page(version, "pause"), follow=True).status_code == 200
    assert "Paused" in client.get(page(version)).content.decode()
    client.post(page(version, "resume"))
    assert LinkPolicy.objects.get().paused_at is None
    shown = client.post(page(version, "check"), follow=True).content.decode()
    assert "9 links come first now." in shown
    assert "1 of 10 links" in shown
    # What was done is not offered again.
    assert "9 links come first already; no other can be asked for now" in shown
    assert page(version, "check") not in shown
    assert Host.objects.filter(due_at=NOW).count() == 5
    client.post(page(version, "budget"), {"daily_budget": "70"})
    assert LinkPolicy.objects.get().daily_budget == 70
    drawn = client.post(page(version, "draw"), {"size": "5"})
    assert drawn["Location"] == f"/jobs/{Job.objects.get().pk}/"
    shown = client.get(page(version)).content.decode()
    assert "They can be drawn anew once that is done." in shown
    assert page(version, "draw") not in shown


def test_the_answer_says_from_what_when_and_from_where(client: Client, version: Version) -> None:
    Link.objects.filter(state="alive").update(checked_at=datetime(2026, 3, 1, 8, 30, tzinfo=UTC))
    opening = client.get(page(version)).content.decode().partition('id="states"')[0]
    assert "Estimated from 10 links drawn at random, checked <time" in opening
    assert "2026-03-01 08:30 UTC" in opening
    assert "asked from this site" in opening


def test_before_the_first_check_nothing_is_claimed(
    client: Client, make_panel: Callable[..., Version]
) -> None:
    one = make_panel(["https://a.example.com/1"])
    shown = client.get(page(one)).content.decode()
    assert "Nothing is known of its links yet." in shown
    assert "The only one waits for its first check." in shown
    assert "% of its links are dead" not in shown
    two = make_panel(["https://b.example.com/1", "https://b.example.com/2"])
    assert "All 2 of the sample wait for their first check." in client.get(page(two)).content.decode()


def test_the_page_of_a_dataset_leads_to_its_links_and_lets_maintainers_act(
    client: Client, version: Version, maintainer: User
) -> None:
    home = f"/datasets/{version.dataset.slug}/"
    public = client.get(home).content.decode()
    assert f'href="{page(version)}"' in public
    assert "checking links" not in public
    assert "checking-progress" not in public
    client.force_login(maintainer)
    assert f"Check 9 links of {version.name} now" in client.get(home).content.decode()
    sent = client.post(page(version, "check"), {"page": "dataset"})
    assert sent["Location"] == f"{home}#links"
    shown = client.get(home).content.decode()
    assert "1 of 10 links" in shown
    assert f'hx-get="{page(version, "progress")}"' in shown
    assert page(version, "check") not in shown
    client.post(page(version, "pause"), {"page": "dataset"})
    assert "Resume checking links" in client.get(home).content.decode()
    type(version).objects.filter(pk=version.pk).update(status=VersionStatus.WITHDRAWN)
    client.logout()
    assert 'id="links"' not in client.get(home).content.decode()


@pytest.mark.parametrize(
    ("act", "data"),
    [("draw", {}), ("draw", {"size": "0"}), ("draw", {"size": "x"}), ("budget", {"daily_budget": "-1"})],
)
def test_bad_input_is_said_in_the_form(
    client: Client, version: Version, maintainer: User, act: str, data: dict[str, str]
) -> None:
    client.force_login(maintainer)
    answer = client.post(page(version, act), data)
    assert answer.status_code == 400
    assert "1 thing to correct" in answer.content.decode()


def test_the_api_gives_the_figures_to_everybody(client: Client, version: Version) -> None:
    told = client.get(api(version)).json()
    assert told["counts"] == {
        "unchecked": 0,
        "alive": 4,
        "moved": 1,
        "failing": 1,
        "dead": 2,
        "domain_gone": 0,
        "unverifiable": 2,
    }
    assert told["estimate"]["n"] == 10
    assert told["estimate"]["alive"]["value"] == 0.5
    assert told["estimate"]["dead_at_least"] <= 0.2
    assert told["estimate"]["dead_at_most"] >= 0.5
    assert (told["opted_out"], told["vantage"]) == (1, "this site's server")


def test_the_api_lists_links_with_their_urls_to_members_but_not_the_excluded(
    client: Client, version: Version, maintainer: User
) -> None:
    assert client.get(api(version, "rows/")).status_code == 401
    client.force_login(make_user())
    assert client.get(api(version, "rows/")).status_code == 403
    client.force_login(maintainer)
    answer = client.get(api(version, "rows/"))
    assert answer.json()["count"] == 9
    assert "https://h3.example.com/8" not in answer.content.decode()
    for query, count in [
        ("state=dead", 2),
        ("state=unverifiable", 1),
        ("outcome=gone", 2),
        ("host=h1.example.com", 2),
        ("opted_out=true", 1),
        ("opted_out=false", 8),
    ]:
        assert client.get(api(version, f"rows/?{query}")).json()["count"] == count, query
    assert client.get(api(version, "rows/?state=excluded")).status_code == 400


def test_who_asks_is_explained_to_whoever_looks(client: Client) -> None:
    text = client.get("/about/links/").content.decode()
    assert "User-agent: Expunge" in text
    assert "at least one second apart" in text


def test_an_operator_opts_a_host_out_in_the_admin(client: Client, version: Version) -> None:
    client.force_login(make_user(is_superuser=True, is_staff=True))
    host = Host.objects.get(name="h1.example.com")
    assert client.get("/admin/registry/host/?q=h1").status_code == 200
    data = {"action": "opt_out", "_selected_action": [host.pk]}
    client.post("/admin/registry/host/", data)
    host.refresh_from_db()
    assert host.opted_out_at
    assert set(host.links.values_list("state", flat=True)) == {"unverifiable"}


def test_members_see_how_far_the_checks_are(client: Client, version: Version, maintainer: User) -> None:
    progress = page(version, "progress")
    assert client.get(progress).status_code == 302
    client.force_login(make_member(make_organisation(), Role.APPROVER))
    assert client.get(progress).status_code == 403
    client.force_login(maintainer)
    done = client.get(progress)
    assert (done.status_code, "HX-Refresh" in done) == (286, False)
    client.post(page(version, "check"))
    going = client.get(progress)
    assert going.status_code == 200
    text = going.content.decode()
    assert "1 of 10 links" in text  # the excluded one waits for nothing
    assert "about 2 s left" in text  # of two links on one host, a second apart
    whole = client.get(page(version)).content.decode()
    assert f'hx-get="{progress}"' in whole
    assert 'http-equiv="refresh"' not in whole  # there are forms in it
    Link.objects.filter(due_at=NOW, host__name="h1.example.com").update(due_at=timezone.now())
    assert "3 of 10 links" in client.get(progress).content.decode()


def test_whoever_asks_again_is_told_what_was_checked_a_moment_ago(
    client: Client, version: Version, maintainer: User
) -> None:
    client.force_login(maintainer)
    Link.objects.filter(state="alive").update(checked_at=timezone.now())
    shown = client.post(page(version, "check"), follow=True).content.decode()
    assert "5 links come first now." in shown
    assert "4 were checked within the last hour, and are not asked again yet." in shown
    Link.objects.update(checked_at=timezone.now())
    assert client.post(f"/api/v1{page(version, 'check')}").json() == {"links": 0, "recent": 9}


def test_what_keeps_the_checks_is_said(client: Client, version: Version, maintainer: User) -> None:
    client.force_login(maintainer)
    client.post(page(version, "check"))
    client.post(page(version, "pause"))
    text = client.get(page(version)).content.decode()
    assert "Paused: nothing is asked before somebody resumes it." in text
    assert "hx-get" not in text
    assert client.get(page(version, "progress")).status_code == 286
    client.post(page(version, "resume"))
    LinkPolicy.objects.update(day=timezone.now().date(), spent=20_000)
    assert "budget is spent" in client.get(page(version)).content.decode()
