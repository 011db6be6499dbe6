"""A domain that is gone or changed hands becomes a case about every row on it, in the sample or not."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import pytest
from django.utils import timezone

from registry.accounts.models import Role
from registry.auditlog.models import AuditEntry
from registry.lib.errors import NotAllowed, Refused
from registry.links.domains.models import Domain, DomainHost
from registry.links.models import Link, PanelRow
from registry.links.panel import panel_draw
from takedowns.cases.models import Case
from takedowns.cases.own_initiative.selectors import domain_preview, finding_domains
from takedowns.cases.own_initiative.services import own_initiative_open_domain
from takedowns.reports.models import Report, Source
from tests.factories import make_dataset, make_member, make_organisation, make_user, make_version, run_jobs
from tests.factories_takedowns import make_category, make_proposed, make_report, make_team

if TYPE_CHECKING:
    from django.test import Client

    from registry.datasets.models import Version
    from takedowns.cases.own_initiative.selectors import Preview
    from tests.factories_takedowns import Team

pytestmark = pytest.mark.django_db

OTHER = "https://b.com/1"


@pytest.fixture
def team() -> Team:
    make_category("dead_link")
    make_category("poisoning")
    return make_team()


@pytest.fixture
def version(team: Team) -> Version:
    """Of its four rows on `a.com` one is in the panel; an older version has two more, and no panel."""
    dataset = make_dataset(team.organisation)
    rows = [{"url": url} for url in (*(f"https://x{n}.a.com/{n}" for n in range(4)), OTHER)]
    version = make_version(dataset, "2025", {"0.csv": rows}, columns={"url": "url"}, dated=date(2025, 3, 1))
    old = [{"url": "http://a.com/old"}, {"url": "http://www.a.com/older"}, {"url": OTHER}]
    make_version(dataset, "2024", {"0.csv": old}, columns={"url": "url"}, dated=date(2024, 3, 1))
    panel_draw(actor=team.maintainer, version=version, size=100)
    run_jobs()
    kept = Link.objects.filter(url__in=["https://x0.a.com/0", OTHER])
    PanelRow.objects.exclude(link__in=kept).delete()
    Link.objects.filter(pk__in=kept).update(state="alive", checked_at=timezone.now())
    a = Domain.objects.create(name="a.com", suffix="com", registered_at=datetime(2025, 6, 1, tzinfo=UTC))
    b = Domain.objects.create(name="b.com", suffix="com", registered_at=datetime(2001, 6, 1, tzinfo=UTC))
    for link in kept:
        DomainHost.objects.create(host=link.host, domain=b if link.url == OTHER else a)
    return version


def page(version: Version, domain: str = "a.com") -> str:
    return f"/datasets/{version.dataset.slug}/versions/{version.name}/links/domains/{domain}/case/"


def seen_of(team: Team, version: Version) -> Preview:
    return domain_preview(version, finding_domains(team.staff, version).get(name="a.com"))


def test_the_preview_counts_rows_that_are_in_no_sample(team: Team, version: Version) -> None:
    seen = seen_of(team, version)
    assert (seen.lines, seen.category) == (["domain:a.com"], "poisoning")
    assert {one.version.name: one.rows for one in seen.versions} == {"2025": 4, "2024": 2}
    assert seen.rows == 6


def test_two_clicks_open_a_case_about_all_of_them(client: Client, team: Team, version: Version) -> None:
    client.force_login(team.staff)
    links = f"/datasets/{version.dataset.slug}/versions/{version.name}/links/"
    for start in (links, "/hosts/x0.a.com/"):
        shown = client.get(start).content.decode()
        assert f'href="{page(version)}"' in shown
        assert page(version, "b.com") not in shown
    assert page(version, "b.com") not in client.get("/hosts/b.com/").content.decode()
    shown = client.get(page(version)).content.decode()
    assert "<strong>6 rows of a.com in 2 versions.</strong>" in shown
    seen = seen_of(team, version)
    done = client.post(page(version), {"reason": "It was sold.", "preview": seen.digest})
    case = Case.objects.get()
    assert done["Location"] == f"/cases/{case.number}/"
    report = case.reports.get()
    assert (report.source, report.category_id) == (Source.OWN_INITIATIVE, "poisoning")
    entry = AuditEntry.objects.get(action="own_initiative_open")
    assert entry.data == {"finding": "ownership_changed", "domains": 1, "version": str(version)}
    run_jobs()
    assert "1 domain of" in client.get(f"/cases/{case.number}/").content.decode()
    assert make_proposed(team, case).rows == 6


def test_a_domain_that_is_gone_is_a_matter_of_dead_links(team: Team, version: Version) -> None:
    Domain.objects.filter(name="a.com").update(
        registered_at=None, state="domain_gone", missed_at=timezone.now()
    )
    seen = seen_of(team, version)
    case = own_initiative_open_domain(
        actor=team.staff, version=version, name="a.com", reason="Gone", seen=seen.digest
    )
    assert case.category_id == "dead_link"


def test_a_domain_that_was_reported_already_is_not_reported_again(team: Team, version: Version) -> None:
    before = seen_of(team, version)
    make_report(version.dataset, ["domain:a.com"], category="opt_out")
    with pytest.raises(Refused, match="changed since you looked"):
        own_initiative_open_domain(
            actor=team.staff, version=version, name="a.com", reason="Sold", seen=before.digest
        )
    now = seen_of(team, version)
    assert (now.lines, now.versions) == ([], [])
    with pytest.raises(Refused, match="reported already"):
        own_initiative_open_domain(
            actor=team.staff, version=version, name="a.com", reason="Sold", seen=now.digest
        )
    assert Report.objects.count() == 1


def test_it_is_refused_when_another_version_came_since_the_preview(team: Team, version: Version) -> None:
    seen = seen_of(team, version)
    make_version(version.dataset, "2023", {"b.csv": [{"url": "https://a.com/9"}]}, columns={"url": "url"})
    with pytest.raises(Refused, match="changed since you looked"):
        own_initiative_open_domain(
            actor=team.staff, version=version, name="a.com", reason="Sold", seen=seen.digest
        )
    with pytest.raises(Refused, match="Say why"):
        own_initiative_open_domain(
            actor=team.staff, version=version, name="a.com", reason=" ", seen=seen.digest
        )
    assert not Report.objects.exists()


def test_only_domains_that_are_gone_or_changed_hands_are_offered(
    client: Client, team: Team, version: Version
) -> None:
    client.force_login(team.staff)
    for domain in ("b.com", "nowhere.com", "x0.a.com"):
        for path in (page(version, domain), f"/api/v1{page(version, domain)}"):
            assert client.get(path).status_code == 404
            data = {"reason": "Sold", "preview": "0" * 64}
            assert client.post(path, data, content_type="application/json").status_code == 404
    with pytest.raises(Domain.DoesNotExist):
        own_initiative_open_domain(actor=team.staff, version=version, name="b.com", reason="x", seen="")
    assert not Case.objects.exists()


def test_a_program_opens_one_in_two_requests(client: Client, team: Team, version: Version) -> None:
    path = f"/api/v1{page(version)}"
    client.force_login(team.staff)
    seen = client.get(path).json()
    assert (seen["finding"], seen["links"], seen["rows"]) == ("ownership_changed", 1, 6)
    data = {"reason": "It was sold.", "preview": seen["preview"]}
    assert client.post(path, {"reason": "x"}, content_type="application/json").status_code == 400
    opened = client.post(path, data, content_type="application/json")
    assert (opened.status_code, opened.json()) == (201, {"number": Case.objects.get().number})
    assert client.post(path, data, content_type="application/json").status_code == 409


def test_nobody_else_opens_one(client: Client, team: Team, version: Version) -> None:
    data = {"reason": "Sold", "preview": seen_of(team, version).digest}
    assert client.post(page(version), data).status_code == 302
    assert client.post(f"/api/v1{page(version)}", data, content_type="application/json").status_code == 401
    for user in (make_user(), *(make_member(make_organisation(), role) for role in Role)):
        client.force_login(user)
        for path in (page(version), f"/api/v1{page(version)}"):
            assert client.get(path).status_code == 403
            assert client.post(path, data, content_type="application/json").status_code == 403
        with pytest.raises(NotAllowed):
            own_initiative_open_domain(
                actor=user, version=version, name="a.com", reason="Sold", seen=data["preview"]
            )
        assert page(version) not in client.get("/hosts/x0.a.com/").content.decode()
    assert not Case.objects.exists()
