"""Pages lead members to the case that there is about what checks of links found, and nobody else learns of it."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import pytest
from django.utils import timezone

from registry.accounts.models import Role
from registry.links.domains.models import Domain, DomainHost
from registry.links.models import Link
from registry.links.panel import panel_draw
from takedowns.cases.own_initiative.selectors import Finding, preview
from takedowns.cases.own_initiative.services import own_initiative_open
from takedowns.cases.own_initiative.worked_on import domains_worked_on, links_worked_on
from takedowns.reports.models import Item, Outcome
from tests.factories import make_dataset, make_member, make_organisation, make_version, run_jobs
from tests.factories_takedowns import make_category, make_report, make_team

if TYPE_CHECKING:
    from django.test import Client

    from registry.datasets.models import Version
    from tests.factories_takedowns import Team

pytestmark = pytest.mark.django_db

GONE = "Take out every row"


@pytest.fixture
def team() -> Team:
    for category in ("dead_link", "poisoning"):
        make_category(category)
    return make_team()


@pytest.fixture
def version(team: Team) -> Version:
    """Three dead links on a domain that changed hands, all in the panel."""
    rows = [{"url": f"https://x{number}.a.com/{number}"} for number in range(3)]
    version = make_version(
        make_dataset(team.organisation),
        "2025",
        {"0.csv": rows},
        columns={"url": "url"},
        dated=date(2025, 3, 1),
    )
    panel_draw(actor=team.maintainer, version=version, size=100)
    run_jobs()
    Link.objects.update(state="dead", failures=3, status=404, outcome="not_found", checked_at=timezone.now())
    a = Domain.objects.create(name="a.com", suffix="com", registered_at=datetime(2025, 6, 1, tzinfo=UTC))
    DomainHost.objects.bulk_create(DomainHost(host=link.host, domain=a) for link in Link.objects.all())
    return version


def pages(version: Version) -> list[str]:
    links = f"/datasets/{version.dataset.slug}/versions/{version.name}/links/"
    return [links, f"{links}domains/", "/hosts/x0.a.com/"]


def test_members_are_led_to_the_case_about_a_domain(client: Client, team: Team, version: Version) -> None:
    assert domains_worked_on(version, ["a.com"]) == {}
    report, _ = make_report(version.dataset, ["domain:a.com"], category="opt_out")
    number = report.cases.get().number
    client.force_login(team.staff)
    for page in pages(version):
        shown = client.get(page).content.decode()
        assert f'href="/cases/{number}/"' in shown
        assert GONE not in shown, page
    preview_page = f"{pages(version)[1]}a.com/case/"
    shown = client.get(preview_page).content.decode()
    assert f'a.com is in <a href="/cases/{number}/">{number}</a> already, open.' in shown
    assert "Nothing to open about every row of a.com" in shown


def test_nobody_else_learns_that_there_is_a_case(client: Client, version: Version) -> None:
    def seen() -> list[str]:
        return [client.get(page).content.decode() for page in (pages(version)[0], pages(version)[2])]

    before = [text.count("CASE-") for text in seen()]
    report, _ = make_report(version.dataset, ["domain:a.com"], category="opt_out")
    number = report.cases.get().number
    assert [text.count("CASE-") for text in seen()] == before == [0, 0]
    for role in Role:
        client.force_login(make_member(make_organisation(), role))
        assert all(number not in text for text in seen())
        assert client.get(pages(version)[1]).status_code == 403


def test_a_domain_that_was_kept_may_be_asked_for_again(client: Client, team: Team, version: Version) -> None:
    report, _ = make_report(version.dataset, ["domain:a.com"], category="opt_out")
    Item.objects.update(outcome=Outcome.REJECT)
    number = report.cases.get().number
    assert domains_worked_on(version, ["a.com", "b.com"])["a.com"].is_kept
    client.force_login(team.staff)
    for page in pages(version):
        shown = client.get(page).content.decode()
        assert f"/cases/{number}/" in shown
        assert GONE in shown
    # A case that takes it out says more than one that kept it.
    other, _ = make_report(version.dataset, ["domain:a.com"], category="dead_link")
    assert domains_worked_on(version, ["a.com"])["a.com"].number == other.cases.get().number


def test_a_case_of_another_dataset_says_nothing_here(team: Team, version: Version) -> None:
    make_report(make_version(make_dataset(team.organisation)).dataset, ["domain:a.com"], category="opt_out")
    assert domains_worked_on(version, ["a.com"]) == {}


def test_what_a_case_of_ours_names_is_not_offered_again(client: Client, team: Team, version: Version) -> None:
    links = pages(version)[0]
    client.force_login(team.staff)
    assert "Open a case about 3 dead links" in client.get(links).content.decode()
    make_report(version.dataset, ["https://x0.a.com/0"], category="opt_out")
    case = own_initiative_open(
        actor=team.staff,
        version=version,
        finding=Finding.DEAD,
        reason="Dead",
        seen=preview(version, Finding.DEAD).digest,
    )
    (told,) = links_worked_on(version)["dead"]
    assert (told.number, told.items, told.state, told.is_kept) == (case.number, 2, "open", False)
    shown = client.get(links).content.decode()
    assert f'<a href="/cases/{case.number}/">{case.number}</a>, open, names 2 dead links already.' in shown
    assert "Open a case about 1 other dead link" in shown
    nothing = client.get(f"{links}cases/dead/").content.decode()
    assert f'2 such links are in <a href="/cases/{case.number}/">' in nothing
    assert "1 more link was found to be so and is left out here" in nothing
    client.logout()
    assert case.number not in client.get(links).content.decode()
