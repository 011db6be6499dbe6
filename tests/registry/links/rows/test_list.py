"""The list of a sample's links, for members: on a page, in the API and in a file, narrowed alike and without what is excluded."""

from __future__ import annotations

import re
from html import unescape
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from expunge.keys import KeyKind, keys_of_url
from registry.accounts.models import Role, User
from registry.auditlog.models import AuditEntry
from registry.datasets.models import VersionStatus
from registry.hooks import hooks
from registry.links.models import Host, Link, LinkPolicy
from registry.links.states import LinkState
from tests.factories import make_member, make_organisation, make_user
from tests.registry.links.rows.conftest import STATES, url, urls_in_csv

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from django.test import Client

    from registry.datasets.models import Version

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store_folder")]


def urls_of(html: str) -> list[str]:
    """The URLs of a list in its order."""
    return [unescape(one) for one in re.findall(r"<code>(https?://[^<]*)</code>", html)]


def urls_in_api(client: Client, rows: str, query: str = "") -> list[str]:
    return [one["url"] for one in client.get(f"/api/v1{rows}{query}").json()["results"]]


def test_members_see_each_link_as_text_worst_first(client: Client, rows: str, staff: User) -> None:
    client.force_login(staff)
    shown = client.get(rows).content.decode()
    order = ["domain_gone", "dead", "failing", "unverifiable", "unchecked", "moved", "alive"]
    assert urls_of(shown) == [url(state) for state in order]
    assert '0.csv, <span class="nowrap">row 3</span></a>' in shown
    assert "Not found (404)" in shown
    assert "7 links in the sample, worst first" in shown


def test_no_address_of_a_stranger_is_led_to_or_told_who_asks(
    client: Client, rows: str, version: Version, staff: User
) -> None:
    client.force_login(staff)
    link = Link.objects.get(url=url("moved"))
    Link.objects.filter(pk=link.pk).update(target="https://elsewhere.example.org/new")
    for path in (rows, f"{rows}{link.pk}/"):
        shown = client.get(path).content.decode()
        assert url("moved") in shown
        led = re.findall(r"""(?:href|src|action|srcset|content|poster|data)=["']([^"']*)""", shown)
        assert [
            one
            for one in led
            if not re.match(r"[/?#]|noindex|no-referrer|width=|light dark|A provenance", one)
        ] == []
        assert "prefetch" not in shown
        assert "preconnect" not in shown
        assert '<meta name="referrer" content="no-referrer">' in shown
        assert '<meta name="robots" content="noindex, nofollow">' in shown
    assert "<code>https://elsewhere.example.org/new</code>" in shown


def test_what_a_url_holds_is_never_markup(
    client: Client, make_panel: Callable[[Sequence[str]], Version]
) -> None:
    nasty = "https://a.example.com/<script>alert(1)</script>\"'><img src=x>"
    version = make_panel([nasty])
    client.force_login(make_member(version.dataset.organisation, Role.STAFF))
    rows = f"/datasets/{version.dataset.slug}/versions/{version.name}/links/rows/"
    for path in (rows, f"{rows}{Link.objects.get().pk}/"):
        shown = client.get(path).content.decode()
        assert "<script>alert" not in shown
        assert "<img" not in shown
    assert urls_of(client.get(rows).content.decode()) == [nasty]
    assert urls_in_csv(client, rows) == [nasty]


def test_strangers_are_refused_everywhere(client: Client, rows: str, version: Version, staff: User) -> None:
    link = Link.objects.get(url=url("dead")).pk
    pages = [rows, f"{rows}{link}/", f"{rows.removesuffix('/')}.csv"]
    programs = [f"/api/v1{rows}", f"/api/v1{rows}{link}/"]
    assert {client.get(path).status_code for path in pages} == {302}
    assert {client.get(path).status_code for path in programs} == {401}
    for user in (make_user(), make_member(make_organisation(), Role.APPROVER), make_user(is_superuser=True)):
        client.force_login(user)
        for path in pages + programs:
            answer = client.get(path)
            assert answer.status_code == 403, path
            assert "example.com" not in answer.content.decode()
    type(version).objects.filter(pk=version.pk).update(status=VersionStatus.DRAFT)
    assert {client.get(path).status_code for path in pages + programs} == {404}
    client.force_login(staff)
    assert {client.get(path).status_code for path in pages + programs} == {200}
    assert {client.post(path).status_code for path in pages + programs} == {405}


def test_an_excluded_link_is_in_no_list(client: Client, rows: str, staff: User) -> None:
    client.force_login(staff)
    excluded = Link.objects.get(state=LinkState.EXCLUDED)
    shown = client.get(rows).content.decode()
    for text in (shown, client.get(f"/api/v1{rows}").content.decode()):
        assert "excluded" not in text.lower()
    assert url("excluded") not in urls_in_csv(client, rows)
    assert len(urls_in_csv(client, rows)) == len(STATES) - 1
    for query in ("?state=excluded", "?host=excluded.example.com", "?q=excluded", "?state=unverifiable"):
        for told in (
            urls_of(client.get(rows + query).content.decode()),
            urls_in_api_or_none(client, rows, query),
        ):
            assert url("excluded") not in told
    assert client.get(f"{rows}{excluded.pk}/").status_code == 404
    assert client.get(f"/api/v1{rows}{excluded.pk}/").status_code == 404


def urls_in_api_or_none(client: Client, rows: str, query: str) -> list[str]:
    """As urls_in_api; none where the filter is refused."""
    answer = client.get(f"/api/v1{rows}{query}")
    assert answer.status_code in {200, 400}
    return [one["url"] for one in answer.json().get("results", [])] if answer.status_code == 200 else []


def test_a_link_that_was_reported_a_moment_ago_is_in_no_list_either(
    client: Client, rows: str, staff: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.force_login(staff)
    key = (KeyKind.URL_RAW.value, bytes.fromhex(keys_of_url(url("dead"))[KeyKind.URL_RAW]))
    pk = Link.objects.get(url=url("dead")).pk
    Link.objects.filter(url=url("moved")).update(target=url("dead"))
    moved = Link.objects.get(url=url("moved")).pk
    assert client.get(f"/api/v1{rows}{moved}/").json()["target"] == url("dead")

    def ask(keys: Collection[tuple[str, bytes]]) -> set[tuple[str, bytes]]:
        return {key} & set(keys)

    monkeypatch.setattr(hooks, "keys_excluded", [ask])
    assert Link.objects.get(pk=pk).state == "dead"
    told = [
        urls_of(client.get(rows).content.decode()),
        urls_of(client.get(f"{rows}?state=dead").content.decode()),
        urls_in_api(client, rows),
        urls_in_csv(client, rows),
    ]
    assert all(url("dead") not in urls for urls in told)
    assert [len(urls) for urls in told] == [6, 0, 6, 6]
    assert client.get(f"{rows}{pk}/").status_code == 404
    assert client.get(f"/api/v1{rows}{pk}/").status_code == 404
    # Nor as where another one leads.
    assert client.get(f"/api/v1{rows}{moved}/").json()["target"] == ""
    assert url("dead") not in client.get(f"{rows}{moved}/").content.decode()


@pytest.mark.parametrize(
    ("query", "states"),
    [
        ("state=dead", ["dead"]),
        ("state=dead&state=domain_gone", ["domain_gone", "dead"]),
        ("host=alive.example.com", ["alive"]),
        ("outcome=not_found", ["dead"]),
        ("q=ALIVE.example", ["alive"]),
        ("q=/moved.jp", ["moved"]),
        ("q=domain-gone.example.com", ["domain_gone"]),
        ("opted_out=true", ["moved"]),
        ("ownership_changed=true", []),
        ("content=replaced", []),
        ("q=zzz", []),
        ("state=nonsense", []),
        ("q=%00", []),
    ],
)
def test_it_is_narrowed_alike_on_the_page_in_the_file_and_by_programs(
    client: Client, rows: str, staff: User, query: str, states: list[str]
) -> None:
    Link.objects.filter(url=url("moved")).update(opt_outs=["noai"])
    client.force_login(staff)
    shown = client.get(f"{rows}?{query}")
    assert shown.status_code == 200
    assert urls_of(shown.content.decode()) == [url(state) for state in states]
    if not states:
        assert "No link of the sample is like this." in shown.content.decode()
    if "nonsense" in query or "%00" in query:
        assert client.get(f"/api/v1{rows}?{query}").status_code == 400
        assert client.get(f"{rows.removesuffix('/')}.csv?{query}").status_code == 404
        return
    assert sorted(urls_in_api(client, rows, f"?{query}")) == sorted(url(state) for state in states)
    assert sorted(urls_in_csv(client, rows, f"?{query}")) == sorted(url(state) for state in states)


def test_its_chips_count_and_keep_what_else_was_asked_for(
    client: Client, rows: str, version: Version, staff: User
) -> None:
    client.force_login(staff)
    shown = unescape(client.get(f"{rows}?q=a&state=dead").content.decode())
    assert (
        '<a href="?q=a&state=dead" aria-current="true">Dead <span class="chips-count">1</span></a>' in shown
    )
    assert '<a href="?q=a&state=alive">Alive <span class="chips-count">1</span></a>' in shown
    assert '<a href="?q=a">All <span class="chips-count">7</span></a>' in shown
    assert '<input type="hidden" name="state" value="dead">' in shown
    assert 'rows.csv?q=a&state=dead"' in shown
    assert '?q=a&state=dead&ownership_changed=true">Domain changed hands</a>' in shown
    assert "Content: replaced" not in shown  # content is not read
    LinkPolicy.objects.update(content="bytes")
    assert "Content: replaced" in client.get(rows).content.decode()


def test_paging_keeps_its_place(
    client: Client, rows: str, staff: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    from registry.links import link_views

    monkeypatch.setattr(link_views, "PAGE_SIZE", 2)
    client.force_login(staff)
    seen: list[str] = []
    for page in range(1, 5):
        shown = unescape(client.get(f"{rows}?q=example&page={page}").content.decode())
        seen += urls_of(shown)
        assert page == 4 or f'href="?q=example&page={page + 1}" rel="next"' in shown
    assert len(seen) == len(set(seen)) == 7
    assert urls_of(client.get(f"{rows}?page=99").content.decode()) == seen[-1:]


def test_it_asks_the_same_number_of_queries_for_many_links(
    client: Client, staff: User, version: Version, rows: str, make_panel: Callable[..., Version]
) -> None:
    client.force_login(staff)
    paths = (
        rows,
        f"/api/v1{rows}",
        f"{rows.removesuffix('/')}.csv",
        f"{rows}{Link.objects.get(url=url('dead')).pk}/",
    )

    def queries() -> list[int]:
        counts = []
        for path in paths:
            with CaptureQueriesContext(connection) as asked:
                answer: Any = client.get(path)
                assert answer.getvalue() if answer.streaming else answer.content
            counts.append(len(asked))
        return counts

    few = queries()
    panel, shard = version.panel, version.shards.get()
    host = Host.objects.create(name="many.example.com")
    links = Link.objects.bulk_create(
        Link(
            key=bytes([number]) * 32,
            url=f"https://many.example.com/{number}",
            host=host,
            checked_at=timezone.now(),
        )
        for number in range(40)
    )
    panel.panel_rows.bulk_create(
        panel.panel_rows.model(panel=panel, link=link, shard=shard, row=100 + number)
        for number, link in enumerate(links)
    )
    assert len(urls_in_api(client, rows)) == 47
    assert queries() == few
    assert max(few) <= 20


def test_reading_leaves_no_entry_in_the_log(client: Client, rows: str, staff: User) -> None:
    client.force_login(staff)
    before = AuditEntry.objects.count()
    link = Link.objects.get(url=url("dead")).pk
    for path in (rows, f"{rows}{link}/", f"{rows.removesuffix('/')}.csv"):
        assert client.get(path).status_code == 200
    assert AuditEntry.objects.count() == before


def test_a_version_without_a_panel_has_an_empty_list(client: Client) -> None:
    from tests.factories import make_version

    version = make_version()
    client.force_login(make_member(version.dataset.organisation, Role.STAFF))
    rows = f"/datasets/{version.dataset.slug}/versions/{version.name}/links/rows/"
    assert "No links of this version are checked." in client.get(rows).content.decode()
    assert urls_in_csv(client, rows) == []


def test_figures_lead_to_the_links_behind_them(
    client: Client, rows: str, version: Version, staff: User
) -> None:
    links, host = rows.removesuffix("rows/"), "/hosts/dead.example.com/"
    for path in (links, host):
        assert "links/rows/" not in client.get(path).content.decode()
    client.force_login(staff)
    shown = unescape(client.get(links).content.decode())
    assert f'<a href="{rows}?state=dead&state=domain_gone">2 dead links</a>' in shown
    assert f'{rows}?host=dead.example.com"' in client.get(host).content.decode()
    assert f'{rows}?host=dead.example.com"' in client.get(f"{links}hosts/").content.decode()


def test_what_is_not_shown_is_not_looked_up(
    client: Client, rows: str, staff: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where tens of thousands of links are counted and sorted, nothing is joined that only the shown ones need."""
    from registry.links import link_views

    monkeypatch.setattr(link_views, "PAGE_SIZE", 2)
    client.force_login(staff)
    with CaptureQueriesContext(connection) as asked:
        assert len(urls_of(client.get(f"{rows}?page=3").content.decode())) == 2
    of_rows = [one["sql"] for one in asked if 'FROM "registry_panelrow"' in one["sql"]]
    whole = [sql for sql in of_rows if "ANY(" not in sql.replace(" ", "")]
    assert len(whole) == 2  # one count by state, and the page cut from ids
    for sql in whole:
        assert "registry_linkcontent" not in sql
        assert "registry_domain" not in sql
        assert "registry_versionshard" not in sql
    (cut,) = [sql for sql in whole if "OFFSET 4" in sql]
    assert "url" not in cut


@pytest.mark.parametrize(
    ("query", "counts"),
    [
        ("", (7, 7)),
        ("?state=dead&state=alive", (2, 7)),
        ("?state=dead&q=zzz", (0, 0)),
        ("?state=dead&state=x", (0, 7)),
    ],
)
def test_what_is_counted_is_what_is_listed(
    client: Client, rows: str, staff: User, query: str, counts: tuple[int, int]
) -> None:
    """`counts`: links that the page says there are, and those of the chip for all states."""
    client.force_login(staff)
    page: Any = client.get(rows + query)
    assert (page.context["page"].paginator.count, page.context["states"][0]["count"]) == counts
    assert page.context["total"] == 7
    assert len(urls_of(page.content.decode())) == counts[0]
