from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.utils import timezone

from registry.accounts.models import Role
from registry.links.models import Link
from takedowns.cases import services
from takedowns.cases.links.selectors import MOST_SHOWN, case_links
from takedowns.cases.selectors import case_items
from tests.factories import make_member, make_organisation
from tests.factories_takedowns import make_case, make_dataset_of, make_proposed, make_watched

if TYPE_CHECKING:
    from django.test import Client

    from registry.datasets.models import Version
    from takedowns.cases.links.selectors import CaseLinks
    from takedowns.cases.models import Case
    from tests.factories_takedowns import Team

pytestmark = pytest.mark.django_db

URL = "https://img.example.com/{}.jpg"


@pytest.fixture
def version(team: Team) -> Version:
    """Ten rows of one host, all of them in the panel: all dead but the first, which is alive."""
    version = make_watched(team)
    now = timezone.now()
    Link.objects.update(state="dead", failures=3, outcome="not_found", status=404, checked_at=now)
    Link.objects.filter(url=URL.format(0)).update(state="alive", failures=0, outcome="ok", status=200)
    return version


def links_of(case: Case) -> CaseLinks:
    return case_links(case, list(case_items(case).select_related("report")))


def test_the_link_of_an_item_is_found_by_its_url_and_says_why_nothing_is_asked(version: Version) -> None:
    case = make_case(version.dataset, [URL.format(1), "https://elsewhere.example.com/1.jpg"])
    links = links_of(case)
    assert [(line.state, line.meaning) for line in links.lines] == [("Dead", "danger")]
    assert links.lines[0].evidence == (
        "Not found (404), before it was reported. Nothing is asked of it: it is reported, and the case is not decided."
    )
    assert (links.more, links.unknown) == (0, 1)


def test_links_of_a_host_or_another_spelling_are_found_by_the_rows(version: Version) -> None:
    spelled = make_case(version.dataset, ["HTTPS://IMG.example.com/0.jpg"])
    assert [line.state for line in links_of(spelled).lines] == ["Alive"]
    host = links_of(make_case(version.dataset, ["host:img.example.com"]))
    assert (len(host.lines), host.more, host.unknown) == (MOST_SHOWN, 10 - MOST_SHOWN, 0)


def test_after_an_open_decision_the_link_is_asked_again(team: Team, version: Version) -> None:
    case = make_case(version.dataset, [URL.format(1)])
    decision = make_proposed(team, case)
    case = services.case_approve(actor=team.approver, case=case, preview=decision.preview)
    assert links_of(case).lines[0].evidence == (
        "Not found (404); failed 3 times, each at least 72 hours after the one before"
    )


def test_an_excluded_link_keeps_no_evidence(version: Version) -> None:
    Link.objects.filter(url=URL.format(1)).update(
        state="excluded", outcome="policy_no_fetch", due_at=None, failures=0, status=0
    )
    line = links_of(make_case(version.dataset, [URL.format(1)])).lines[0]
    assert (line.state, line.meaning) == ("Excluded", "quiet")
    assert line.evidence == "Nothing is asked of it: it is reported, and the case is not decided."


def test_the_case_page_shows_them_masked_and_to_members_alone(
    client: Client, team: Team, version: Version
) -> None:
    case = make_case(version.dataset, [URL.format(1)])
    page = f"/cases/{case.number}/"
    client.force_login(make_member(make_organisation(), Role.APPROVER))
    assert client.get(page).status_code == 404
    client.force_login(team.staff)
    shown = client.get(page).content.decode()
    assert "Links of these items" in shown
    assert "before it was reported" in shown
    assert URL.format(1) not in shown


def test_a_case_without_known_links_has_no_such_table(client: Client, team: Team) -> None:
    dataset, _ = make_dataset_of(team)
    case = make_case(dataset, [URL.format(1)])
    client.force_login(team.staff)
    assert "Links of these items" not in client.get(f"/cases/{case.number}/").content.decode()
