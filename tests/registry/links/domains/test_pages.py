"""What the page and the API say of the domains behind a version's links, and to whom."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import pytest
from django.urls import reverse
from django.utils import timezone

from registry.accounts.models import Role
from registry.links.domains.census import hosts_enrol
from registry.links.domains.models import Domain, DomainChange
from registry.links.domains.selectors import DomainKind, version_domains
from registry.links.models import Link
from tests.factories import make_member, make_organisation, make_user, make_version

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client
    from pytest_django import DjangoAssertNumQueries, Settings

    from registry.datasets.models import Version

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store_folder")]

NAMES = ["taken", "gone", "missing", "moved", "plain", "new"]
SHOWN_OF_TAKEN = {"Domains": 1, "Links": 2, "Alive": 1, "Dead": 0, "Not known": 1}
SINCE = datetime(2024, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def version(make_panel: Callable[..., Version], settings: Settings) -> Version:
    """A version with two links on each of six domains, one of each kind."""
    settings.NAME_SERVERS_SECOND, settings.RDAP_BOOTSTRAP = ["127.0.0.1:1"], "file"
    urls = [f"https://{sub}.{name}.com/1" for name in NAMES for sub in ("x", "y")]
    version = make_version(
        shards={"0.csv": [{"url": url} for url in urls]}, columns={"url": "url"}, dated=date(2023, 1, 1)
    )
    make_panel(urls, version)
    hosts_enrol()
    domains = Domain.objects.exclude(name="new.com")
    domains.update(state="present", checked_at=timezone.now())
    Domain.objects.filter(name="taken.com").update(registered_at=SINCE)
    Domain.objects.filter(name="gone.com").update(state="domain_gone", missed_at=SINCE)
    Domain.objects.filter(name="missing.com").update(state="missing", missed_at=SINCE)
    moved = Domain.objects.get(name="moved.com")
    DomainChange.objects.create(
        domain=moved, kind="name_servers", at=SINCE, before=["ns1.old.net"], after=["ns1.new.net"]
    )
    plain = Domain.objects.get(name="plain.com")
    DomainChange.objects.create(domain=plain, kind="addresses", at=datetime(2020, 1, 1, tzinfo=UTC))
    return version


def url(name: str, version: Version) -> str:
    return reverse(name, args=[version.dataset.slug, version.name])


def stand(domain: str, *states: str) -> None:
    """Let the two links on a domain be in these states."""
    for sub, state in zip("xy", states, strict=True):
        due = None if state in {"excluded", "domain_gone"} else timezone.now()
        Link.objects.filter(url=f"https://{sub}.{domain}/1").update(state=state, failures=3, due_at=due)


def test_each_domain_is_counted_once_with_its_links(
    version: Version, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    version = type(version).objects.select_related("base").get(pk=version.pk)
    with django_assert_num_queries(2):
        health = version_domains(version)
    assert health is not None
    assert health.domains == dict.fromkeys(DomainKind, 1) | {DomainKind.REGISTERED_LATER: 0}
    assert health.links == dict.fromkeys(DomainKind, 2) | {DomainKind.REGISTERED_LATER: 0}
    assert health.total == 6


def test_how_links_stand_is_told_by_what_became_of_their_domain(client: Client, version: Version) -> None:
    stand("taken.com", "alive", "excluded")
    stand("gone.com", "domain_gone", "domain_gone")
    stand("moved.com", "dead", "moved")
    stand("plain.com", "failing", "unverifiable")
    told = client.get(url("api-version-domains", version)).json()
    expected = {
        "ownership_changed": (1, 0, 1),
        "domain_gone": (0, 2, 0),
        "missing": (0, 0, 2),
        "moved": (1, 1, 0),
        "unchecked": (0, 0, 2),
        "present": (0, 0, 2),
    }
    assert {
        kind: tuple(told[of][kind] for of in ("alive", "dead", "unknown")) for kind in expected
    } == expected
    page = client.get(url("version_links", version)).content.decode()
    row = page[page.index("Changed hands") :].partition("</tr>")[0]
    shown = {name: f'data-label="{name}">{count}<' in row for name, count in SHOWN_OF_TAKEN.items()}
    assert shown == dict.fromkeys(SHOWN_OF_TAKEN, True)
    lines = client.get(url("version_links_csv", version)).content.decode().splitlines()
    for kind, counts in expected.items():
        assert f"domains,{kind},1,,," in lines
        assert f"domain_links,{kind},2,,," in lines
        for of, count in zip(("alive", "dead", "unknown"), counts, strict=True):
            assert f"domain_links,{kind}.{of},{count},,," in lines


def test_that_a_link_is_excluded_is_not_told_by_its_domain(client: Client, version: Version) -> None:
    """It counts as any other of which neither is known."""
    told = []
    for state in ("excluded", "failing"):
        stand("taken.com", "alive", state)
        told.append(client.get(url("api-version-domains", version)).json())
    assert told[0] == told[1]


def test_a_stranger_sees_counts_and_no_domain(client: Client, version: Version) -> None:
    page = client.get(url("version_links", version)).content.decode()
    assert "6 registrable domains" in page
    assert "Changed hands" in page
    assert "taken.com" not in page
    told = client.get(url("api-version-domains", version)).json()
    assert told["domains"]["ownership_changed"] == 1
    assert client.get(url("api-version-domain-rows", version)).status_code in {401, 403}
    client.force_login(make_user())
    assert client.get(url("api-version-domain-rows", version)).status_code == 403
    assert "taken.com" not in client.get(url("version_links", version)).content.decode()


def test_a_member_sees_the_domains_that_matter_with_their_evidence(client: Client, version: Version) -> None:
    client.force_login(make_member(version.dataset.organisation, Role.STAFF))
    page = client.get(url("version_links", version)).content.decode()
    for name in ("taken.com", "gone.com", "missing.com", "moved.com"):
        assert name in page
    assert "plain.com" not in page
    assert "ns1.old.net → ns1.new.net" in page


def test_the_list_is_ordered_and_filtered(client: Client, version: Version) -> None:
    client.force_login(make_member(version.dataset.organisation, Role.STAFF))
    rows = client.get(url("api-version-domain-rows", version)).json()["results"]
    there = [kind.value for kind in DomainKind if kind is not DomainKind.REGISTERED_LATER]
    assert [row["kind"] for row in rows] == there
    assert rows[3]["evidence"][0]["after"] == ["ns1.new.net"]
    assert rows[5]["evidence"] == []
    few = client.get(url("api-version-domain-rows", version), {"kind": ["domain_gone", "missing"]}).json()
    assert [row["name"] for row in few["results"]] == ["gone.com", "missing.com"]
    assert (
        client.get(url("api-version-domain-rows", version), {"name": "moved.com"}).json()["results"][0][
            "links"
        ]
        == 2
    )
    assert client.get(url("api-version-domain-rows", version), {"kind": "odd"}).status_code == 400


def test_links_say_whether_their_domain_changed_hands(client: Client, version: Version) -> None:
    client.force_login(make_member(version.dataset.organisation, Role.STAFF))
    rows = url("api-version-link-rows", version)
    found = client.get(rows, {"ownership_changed": "true"}).json()["results"]
    assert [row["host"] for row in found] == ["x.taken.com", "y.taken.com"]
    assert {row["ownership_changed"] for row in found} == {True}
    assert client.get(rows, {"ownership_changed": "false"}).json()["count"] == 10


def test_the_page_says_what_is_not_known(client: Client, version: Version, settings: Settings) -> None:
    settings.NAME_SERVERS_SECOND, settings.RDAP_BOOTSTRAP = [], ""
    page = client.get(url("version_links", version)).content.decode()
    assert "No second resolver is set up here" in page
    assert "Registries are not asked here" in page


def test_without_domains_there_is_nothing(client: Client, make_panel: Callable[..., Version]) -> None:
    version = make_panel(["http://9.9.9.9/1"])
    hosts_enrol()
    assert client.get(url("api-version-domains", version)).status_code == 404
    assert 'id="domains"' not in client.get(url("version_links", version)).content.decode()


@pytest.fixture
def plain(make_panel: Callable[..., Version]) -> Version:
    """A version with a link on each of twenty domains, of which nothing is known."""
    urls = [f"https://d{number}.com/1" for number in range(20)]
    rows = {"0.csv": [{"url": url} for url in urls]}
    version = make_version(shards=rows, columns={"url": "url"}, dated=date(2023, 1, 1))
    make_panel(urls, version)
    hosts_enrol()
    Domain.objects.update(state="present", checked_at=timezone.now())
    return version


def test_what_a_doubted_day_says_of_domains_is_no_finding(client: Client, plain: Version) -> None:
    """But for what the census saw itself."""
    names = [f"d{number}.com" for number in range(20)]
    Domain.objects.filter(name__in=names[:8]).update(registered_at=SINCE)
    Domain.objects.filter(name__in=names[:1]).update(parked_at=SINCE)
    told = client.get(url("api-version-domains", plain)).json()["domains"]
    assert (told["ownership_changed"], told["registered_later"], told["present"]) == (1, 7, 12)
    lines = client.get(url("version_links_csv", plain)).content.decode().splitlines()
    assert {"domains,ownership_changed,1,,,", "domains,registered_later,7,,,"} <= set(lines)

    client.force_login(make_member(plain.dataset.organisation, Role.STAFF))
    page = client.get(url("version_links", plain)).content.decode()
    row = page[: page.index("Registered later")].rpartition("<tr>")[2]
    assert 'data-meaning="neutral"' in row
    assert "d0.com" in page
    assert "d1.com" not in page  # not among what was found
    shown = client.get(url("version_link_domains", plain), {"kind": "registered_later"}).content.decode()
    assert "d1.com" in shown
    assert "Registered after the date of this version, which is doubted" in shown
    assert "Take out every row" not in shown
    assert "Take out every row" not in client.get("/hosts/d1.com/").content.decode()
    assert "Take out every row of d0.com" in client.get("/hosts/d0.com/").content.decode()
    rows = url("api-version-link-rows", plain)
    found = client.get(rows, {"ownership_changed": "true"}).json()["results"]
    assert [row["host"] for row in found] == ["d0.com"]
    assert [row["ownership_changed"] for row in client.get(rows).json()["results"]].count(True) == 1


def test_where_the_day_is_sound_nothing_is_said_of_doubt(client: Client, plain: Version) -> None:
    Domain.objects.filter(name__in=["d0.com", "d1.com"]).update(registered_at=SINCE)
    page = client.get(url("version_links", plain)).content.decode()
    assert "Registered later" not in page
    assert client.get(url("api-version-domains", plain)).json()["domains"]["ownership_changed"] == 2


def test_a_long_list_says_how_long_it_is_and_leads_to_all(client: Client, plain: Version) -> None:
    Domain.objects.filter(name__in=[f"d{number}.com" for number in range(15)]).update(
        state="missing", missed_at=SINCE
    )
    client.force_login(make_member(plain.dataset.organisation, Role.STAFF))
    page = client.get(url("version_links", plain)).content.decode()
    listed = page[page.index("The gravest of what was found") :].partition("</table>")[0]
    assert listed.count("<tr>") == 1 + 10
    assert "10 of 15 domains of which something was found." in page
    everything = url("version_link_domains", plain)
    assert f'href="{everything}"' in page
    assert "All 20 domains, with what was found" in page
    assert f'href="{everything}?kind=missing">15' in page
    shown = client.get(everything).content.decode()
    assert "20 registrable domains" in shown
    assert shown.count("<tr>") == 1 + 20
    for query, count in (({"kind": "missing"}, 15), ({"kind": "missing", "q": "d1"}, 6), ({"q": "zzz"}, 0)):
        few = client.get(everything, query).content.decode()
        assert f"{count} of 20 registrable domains" in few, query
    assert "No domain of the sample is like this." in client.get(everything, {"kind": "odd"}).content.decode()


def test_the_list_of_all_is_for_members(client: Client, plain: Version) -> None:
    everything = url("version_link_domains", plain)
    assert client.get(everything).status_code == 302
    for user in (make_user(), make_member(make_organisation(), Role.APPROVER)):
        client.force_login(user)
        assert client.get(everything).status_code == 403
        assert everything not in client.get(url("version_links", plain)).content.decode()


def test_a_list_of_no_domain_says_so(client: Client) -> None:
    version = make_version()
    client.force_login(make_member(version.dataset.organisation, Role.STAFF))
    shown = client.get(url("version_link_domains", version)).content.decode()
    assert "No domain is known behind the links of this version." in shown


def test_a_day_that_is_doubted_is_said_to_be(client: Client, plain: Version) -> None:
    version, sentence = plain, "The date of this version is doubted"
    for later, doubted in ((4, False), (5, True)):
        Domain.objects.filter(name__in=[f"d{number}.com" for number in range(later)]).update(
            registered_at=SINCE
        )
        assert client.get(url("api-version-domains", version)).json()["is_date_doubted"] is doubted
        assert (sentence in client.get(url("version_links", version)).content.decode()) is doubted
