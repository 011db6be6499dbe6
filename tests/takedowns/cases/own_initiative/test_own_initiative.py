from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.utils import timezone

from registry.accounts.models import Role
from registry.auditlog.models import AuditEntry
from registry.lib.errors import NotAllowed, Refused
from registry.links.content.models import LinkContent
from registry.links.content.states import ContentChecks, ContentState
from registry.links.exclusion import excluded_urls
from registry.links.models import Link, LinkPolicy, PanelRow
from registry.links.panel import panel_draw
from takedowns.cases import services
from takedowns.cases.models import Case
from takedowns.cases.own_initiative.selectors import Finding, preview
from takedowns.cases.own_initiative.services import own_initiative_open
from takedowns.reports.models import Report, Source
from tests.factories import make_dataset, make_member, make_organisation, make_user, make_version, run_jobs
from tests.factories_takedowns import make_category, make_proposed, make_report, make_team

if TYPE_CHECKING:
    from django.test import Client

    from registry.datasets.models import Version
    from tests.factories_takedowns import Team

pytestmark = pytest.mark.django_db

DEAD = ["https://img.example.com/1.jpg", "https://img.example.com/2.jpg"]


@pytest.fixture
def team() -> Team:
    make_category("dead_link")
    return make_team()


@pytest.fixture
def version(team: Team) -> Version:
    """Ten rows whose links are in the panel, two of them dead; another version has one of these rows twice."""
    dataset = make_dataset(team.organisation)
    version = make_version(dataset, "2025")
    make_version(
        dataset, "2024", {"a.csv": [{"url": DEAD[0], "text": str(row), "md5": ""} for row in (1, 2)]}
    )
    panel_draw(actor=team.maintainer, version=version, size=100)
    run_jobs()
    Link.objects.update(state="alive", checked_at=timezone.now())
    Link.objects.filter(url__in=DEAD).update(state="dead", failures=3)
    return version


def page(version: Version, finding: str = "dead") -> str:
    return f"/datasets/{version.dataset.slug}/versions/{version.name}/links/cases/{finding}/"


def test_the_preview_counts_links_rows_and_versions(version: Version) -> None:
    seen = preview(version, Finding.DEAD)
    assert seen.lines == DEAD
    assert {one.version.name: one.rows for one in seen.versions} == {"2025": 2, "2024": 2}
    assert seen.rows == 4


def test_two_clicks_open_a_case_that_goes_the_way_of_every_other(
    client: Client, team: Team, version: Version
) -> None:
    client.force_login(team.staff)
    links = client.get(f"/datasets/{version.dataset.slug}/versions/{version.name}/links/").content.decode()
    assert page(version) in links
    shown = client.get(page(version)).content.decode()
    assert "<strong>2 links, 4 rows in 2 versions.</strong>" in shown
    seen = preview(version, Finding.DEAD)
    assert seen.digest in shown
    done = client.post(page(version), {"reason": "Nobody can use them.", "preview": seen.digest})
    case = Case.objects.get()
    assert done["Location"] == f"/cases/{case.number}/"
    report = case.reports.get()
    assert (report.source, report.category_id) == (Source.OWN_INITIATIVE, "dead_link")
    assert report.description.startswith("Nobody can use them.")
    assert list(report.versions.all()) == [version]
    entry = AuditEntry.objects.get(action="own_initiative_open")
    assert (entry.actor, entry.data["links"]) == (team.staff, 2)
    run_jobs()
    assert "Opened on our own initiative" in client.get(f"/cases/{case.number}/").content.decode()
    decision = make_proposed(team, case)
    assert decision.rows == 4
    assert services.case_approve(actor=team.approver, case=case, preview=decision.preview).removal


def test_it_is_refused_when_anything_changed_since_the_preview(team: Team, version: Version) -> None:
    seen = preview(version, Finding.DEAD)
    Link.objects.filter(url=DEAD[0]).update(state="alive")
    with pytest.raises(Refused, match="changed since you looked"):
        own_initiative_open(
            actor=team.staff, version=version, finding=Finding.DEAD, reason="Gone", seen=seen.digest
        )
    Link.objects.filter(url=DEAD[0]).update(state="dead", failures=3)
    make_version(version.dataset, "2023", {"b.csv": [{"url": DEAD[1], "text": "", "md5": ""}]})
    with pytest.raises(Refused, match="changed since you looked"):
        own_initiative_open(
            actor=team.staff, version=version, finding=Finding.DEAD, reason="Gone", seen=seen.digest
        )
    assert not Report.objects.exists()


def test_the_page_shows_what_is_so_now_when_something_changed(
    client: Client, team: Team, version: Version
) -> None:
    client.force_login(team.staff)
    old = preview(version, Finding.DEAD).digest
    Link.objects.filter(url=DEAD[0]).update(state="alive")
    answer = client.post(page(version), {"reason": "Gone", "preview": old})
    assert answer.status_code == 409
    text = answer.content.decode()
    assert "changed since you looked" in text
    assert preview(version, Finding.DEAD).digest in text
    assert "Gone</textarea>" in text


@pytest.mark.parametrize("data", [{}, {"reason": " "}, {"reason": "x" * 5_001}, {"preview": "x"}])
def test_bad_input_opens_nothing(client: Client, team: Team, version: Version, data: dict[str, str]) -> None:
    client.force_login(team.staff)
    assert client.post(page(version), data).status_code == 400
    assert not Case.objects.exists()


def test_a_second_time_there_is_nothing_left_to_report(team: Team, version: Version) -> None:
    digest = preview(version, Finding.DEAD).digest
    own_initiative_open(actor=team.staff, version=version, finding=Finding.DEAD, reason="Gone", seen=digest)
    again = preview(version, Finding.DEAD)
    assert again.lines == []
    with pytest.raises(Refused, match="not reported already"):
        own_initiative_open(
            actor=team.staff, version=version, finding=Finding.DEAD, reason="Gone", seen=again.digest
        )


def test_links_that_somebody_reported_are_left_out(version: Version) -> None:
    make_report(version.dataset, DEAD[:1], category="opt_out")
    assert preview(version, Finding.DEAD).lines == DEAD[1:]


def test_links_whose_recorded_content_somebody_reported_are_left_out(version: Version) -> None:
    """A reported hash names them whatever their URL is, in any dataset, and before its rows are located."""
    md5 = "0cc175b9c0f1b6a831c399e269772661"
    PanelRow.objects.filter(panel__version=version, link__url=DEAD[0]).update(hashes={"content.md5": md5})
    make_report(make_dataset(version.dataset.organisation), [f"md5:{md5}"])
    assert preview(version, Finding.DEAD).lines == DEAD[1:]


def test_replaced_content_is_reported_as_such(team: Team, version: Version) -> None:
    make_category("poisoning")
    link = Link.objects.get(url="https://img.example.com/3.jpg")
    LinkContent.objects.create(link=link, state=ContentState.REPLACED, suspect_at=timezone.now())
    assert preview(version, Finding.REPLACED).lines == []  # another dataset had it read
    LinkPolicy.objects.filter(dataset=version.dataset).update(content=ContentChecks.BYTES)
    seen = preview(version, Finding.REPLACED)
    assert seen.lines == [link.url]
    case = own_initiative_open(
        actor=team.staff, version=version, finding=Finding.REPLACED, reason="Swapped", seen=seen.digest
    )
    assert case.category_id == "poisoning"
    assert excluded_urls([link.url]) == {link.url}


def test_dead_links_are_still_checked_and_may_come_back(team: Team, version: Version) -> None:
    digest = preview(version, Finding.DEAD).digest
    own_initiative_open(actor=team.staff, version=version, finding=Finding.DEAD, reason="Gone", seen=digest)
    assert excluded_urls(DEAD) == set()
    make_report(version.dataset, DEAD[:1], category="dead_link")  # somebody else's report is not triaged
    assert excluded_urls(DEAD) == set(DEAD[:1])


def test_nobody_else_opens_one(client: Client, team: Team, version: Version) -> None:
    digest = preview(version, Finding.DEAD).digest
    data = {"reason": "Gone", "preview": digest}
    assert client.post(page(version), data).status_code == 302
    others = make_organisation()
    for user in (make_user(), *(make_member(others, role) for role in Role)):
        client.force_login(user)
        assert client.get(page(version)).status_code == 403
        assert client.post(page(version), data).status_code == 403
        with pytest.raises(NotAllowed):
            own_initiative_open(actor=user, version=version, finding=Finding.DEAD, reason="Gone", seen=digest)
    with pytest.raises(NotAllowed):
        own_initiative_open(actor=None, version=version, finding=Finding.DEAD, reason="Gone", seen=digest)
    client.force_login(team.staff)
    assert client.get(page(version, "alive")).status_code == 404
    assert not Case.objects.exists()
