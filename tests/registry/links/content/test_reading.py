"""Content is read politely, only where it may be, and of nothing that was reported or that objects."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.utils import timezone

from registry.datasets.models import Version, VersionStatus
from registry.hooks import hooks
from registry.links import services
from registry.links.content.models import LinkContent, OriginSignature
from registry.links.models import Host, Link, LinkPolicy, PanelRow
from registry.links.robots import origin_of
from registry.links.schedule import NOW
from tests.registry.lib.safe_http.servers import answers, redirects
from tests.registry.links.conftest import no_robots
from tests.registry.links.content.pictures import encoded, on_get, picture, serves
from tests.registry.links.test_checker import polite

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Collection, Sequence

    from tests.registry.lib.safe_http.servers import Handler
    from tests.registry.links.conftest import Town

    MakePanel = Callable[[Sequence[str]], Version]
    Key = tuple[str, bytes]

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("store_folder")]
A, B, C = "127.0.0.2", "127.0.0.3", "127.0.0.4"
JPEG = encoded(picture(1))
DIGEST = bytes(range(32))


@pytest.fixture
def read(make_panel: MakePanel) -> MakePanel:
    """Make a panel whose dataset has its content read, pictures too; its hosts have no robots.txt."""

    def make(urls: Sequence[str]) -> Version:
        version = make_panel(urls)
        LinkPolicy.objects.update(content="images")
        no_robots()
        return version

    return make


def known_hosts() -> None:
    """As if every origin had been probed, and reserved nothing."""
    now = timezone.now()
    for host, origin in {(link.host_id, origin_of(link.url)) for link in Link.objects.all()}:
        OriginSignature.objects.create(host_id=host, origin=origin, probed_at=now, tdm_at=now)


def check_again() -> int:
    Link.objects.filter(due_at__isnull=False).update(due_at=NOW)
    Host.objects.update(due_at=NOW, next_at=timezone.now())
    return services.links_check()


def content(url: str) -> str:
    found = LinkContent.objects.filter(link__url=url).first()
    return f"{found.state}/{found.evidence}" if found else "none"


def on_head(act: Callable[[], object]) -> Handler:
    """A picture on a server where something happens as its headers are asked for."""

    def head(connection: socket.socket, request: bytes) -> None:
        act()
        serves(JPEG)(connection, request)

    return on_get(serves(JPEG), head)


def test_content_is_not_asked_for_unless_a_maintainer_says_so(town: Town, make_panel: MakePanel) -> None:
    make_panel([town.url(A, "/1.jpg")])
    assert services.links_check() == 1
    assert town.paths(A) == ["GET /robots.txt", "HEAD /1.jpg"]
    assert not LinkContent.objects.exists()


def test_content_is_asked_for_politely_and_after_what_its_host_reserves(town: Town, read: MakePanel) -> None:
    big = serves(bytes(70_000) + b"x", "application/octet-stream")
    town.pages |= {
        (A, "/1.jpg"): serves(JPEG),
        (A, "/2.bin"): big,
        (A, "/.well-known/tdmrep.json"): answers(b"no"),
    }
    read([town.url(A, "/1.jpg"), town.url(A, "/2.bin")])
    PanelRow.objects.filter(link__url=town.url(A, "/2.bin")).update(hashes={"content.sha256": DIGEST.hex()})
    assert services.links_check() == 2
    asked = town.paths(A)
    assert asked[:2] == ["HEAD /1.jpg", "GET /.well-known/tdmrep.json"]
    assert asked[2].endswith(".jpg")
    assert len(asked[2]) == len("GET /.jpg") + 32
    assert asked[3:] == ["GET /1.jpg", "HEAD /2.bin", "GET /2.bin", "GET /2.bin"]
    assert polite(town.log)
    ranges = [one.head.lower().count("range: bytes=0-65535") for one in town.log if one.method == "GET"]
    assert ranges == [0, 1, 1, 1, 0]
    assert content(town.url(A, "/2.bin")) == "changed/recorded_hash"
    town.log.clear()
    assert check_again() == 2
    assert [path for path in town.paths(A) if "tdmrep" in path] == []
    assert len(town.log) == 5


def test_what_a_host_reserves_is_not_read(town: Town, read: MakePanel) -> None:
    rules = b'[{"location": "/art/*", "tdm-reservation": 1}, {"location": "/", "tdm-reservation": 0}]'
    town.pages[A, "/.well-known/tdmrep.json"] = answers(rules)
    art, other = town.url(A, "/art/1.jpg"), town.url(A, "/2.jpg")
    town.pages |= {(A, "/art/1.jpg"): serves(JPEG), (A, "/2.jpg"): serves(JPEG)}
    read([art, other])
    assert services.links_check() == 2
    assert "GET /art/1.jpg" not in town.paths(A)
    assert (content(art), content(other)) == ("unknown/opted_out", "unknown/first_sight")
    assert dict(Link.objects.values_list("url", "opt_outs")) == {art: ["tdm-reservation"], other: []}
    assert set(Link.objects.values_list("state", flat=True)) == {"alive"}


def test_a_host_that_cannot_say_what_it_reserves_is_not_read(town: Town, read: MakePanel) -> None:
    town.pages[A, "/.well-known/tdmrep.json"] = answers(b"", status="500 No")
    read([town.url(A, "/1.jpg")])
    assert services.links_check() == 1
    assert town.paths(A) == ["HEAD /1.jpg", "GET /.well-known/tdmrep.json"]
    assert content(town.url(A, "/1.jpg")) == "none"


def test_what_a_host_answers_everywhere_is_no_content(town: Town, read: MakePanel) -> None:
    """It answers 200 to a random path: a link that gives the same is not there."""
    lost = serves(b"<html>Sorry", "text/html")
    handle = town.handler

    def everywhere(host: str) -> Handler:
        found = handle(host)
        return lambda connection, request: (lost if b"/1.jpg" not in request.split(b"\r\n")[0] else found)(
            connection, request
        )

    from tests.registry.lib.safe_http.servers import WebServer

    town.pages[B, "/1.jpg"] = serves(JPEG)
    with WebServer(everywhere(B), host=B) as server:
        from django.conf import settings

        settings.LINKS_TEST_TARGETS = [f"{B}:{server.port}"]
        there, gone = f"http://{B}:{server.port}/1.jpg", f"http://{B}:{server.port}/2.jpg"
        read([there, gone])
        assert services.links_check() == 2
    states = {one.url: (one.state, one.outcome) for one in Link.objects.all()}
    assert states == {there: ("alive", "ok"), gone: ("failing", "soft_404")}
    assert content(there) == "unknown/first_sight"
    assert OriginSignature.objects.get().missing_body


def test_a_redirect_to_where_random_paths_lead_is_a_soft_404(town: Town, read: MakePanel) -> None:
    """Learnt from the first link of the host that answers."""
    town.pages |= {
        (C, "/1.jpg"): serves(JPEG),
        (C, "/lost-property"): serves(b"<html>", "text/html"),
        (C, "/2.jpg"): redirects("/lost-property"),
    }
    read([town.url(C, "/1.jpg"), town.url(C, "/2.jpg")])
    known_hosts()
    OriginSignature.objects.update(missing_target=town.url(C, "/lost-property"))
    assert services.links_check() == 2
    assert Link.objects.get(url=town.url(C, "/2.jpg")).outcome == "soft_404"
    assert Link.objects.get(url=town.url(C, "/1.jpg")).outcome == "ok"


def test_a_random_path_that_redirects_is_remembered(
    town: Town, read: MakePanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("registry.links.content.reading.secrets.token_hex", lambda _bytes: "random")
    town.pages |= {(A, "/1.jpg"): serves(JPEG), (A, "/random.jpg"): redirects("/lost-property")}
    read([town.url(A, "/1.jpg")])
    assert services.links_check() == 1
    assert OriginSignature.objects.get().missing_target == town.url(A, "/lost-property")
    assert "GET /lost-property" not in town.paths(A)


def test_the_same_body_under_many_urls_of_a_host_is_a_placeholder(town: Town, read: MakePanel) -> None:
    urls = [town.url(A, f"/{number}.jpg") for number in range(5)]
    elsewhere = town.url(B, "/0.jpg")
    town.pages |= {(A, f"/{number}.jpg"): serves(JPEG) for number in range(4)}
    town.pages |= {(A, "/4.jpg"): serves(encoded(picture(4))), (B, "/0.jpg"): serves(JPEG)}
    read([*urls[:2], urls[4], elsewhere])
    known_hosts()
    assert services.links_check() == 4
    assert {content(url) for url in (*urls[:2], urls[4], elsewhere)} == {"unknown/first_sight"}
    for url in urls[2:4]:  # two more are drawn
        host = Host.objects.get(name=A)
        from expunge.keys import keys_of_url

        key = bytes.fromhex(keys_of_url(url)["url.raw.sha256"])  # type: ignore[index]  # kinds are str
        link = Link.objects.create(key=key, url=url, host=host)
        row = PanelRow.objects.first()
        assert row is not None
        PanelRow.objects.create(panel=row.panel, shard=row.shard, row=9, link=link)
    Link.objects.exclude(url__in=urls[2:4]).update(due_at=timezone.now() + timedelta(days=7))
    Host.objects.update(due_at=NOW, next_at=timezone.now())
    assert services.links_check() == 2
    assert {content(url) for url in urls[:4]} == {"unknown/placeholder"}
    assert (content(urls[4]), content(elsewhere)) == ("unknown/first_sight",) * 2
    assert set(LinkContent.objects.filter(evidence="placeholder").values_list("first", flat=True)) == {None}
    assert not LinkContent.objects.exclude(suspect_at=None).exists()
    assert check_again() == 6
    assert {content(url) for url in urls[:4]} == {
        "unknown/placeholder"
    }  # nothing else is known to have been there
    assert (content(urls[4]), content(elsewhere)) == ("identical/whole",) * 2


def test_what_looks_replaced_is_looked_at_again_after_three_days(town: Town, read: MakePanel) -> None:
    url = town.url(A, "/1.jpg")
    town.pages[A, "/1.jpg"] = serves(b"<!doctype html><p>", "text/html")
    read([url])
    known_hosts()
    assert services.links_check() == 1
    assert content(url) == "changed/kind"
    due = Link.objects.get().due_at
    assert due is not None
    assert timedelta(hours=71) < due - timezone.now() <= timedelta(hours=72)


@pytest.mark.parametrize("stop", ["off", "paused", "quarantined", "withdrawn", "row"])
def test_content_is_not_read_where_that_changed_a_moment_before(
    town: Town, read: MakePanel, monkeypatch: pytest.MonkeyPatch, stop: str
) -> None:
    acts: dict[str, Callable[[], object]] = {
        "off": lambda: LinkPolicy.objects.update(content="off"),
        "paused": lambda: LinkPolicy.objects.update(paused_at=timezone.now()),
        "quarantined": lambda: Version.objects.update(status=VersionStatus.QUARANTINED),
        "withdrawn": lambda: Version.objects.update(status=VersionStatus.WITHDRAWN),
        "row": lambda: monkeypatch.setattr(hooks, "rows_excluded", [set]),
    }

    def act() -> None:
        from django.db import connection

        acts[stop]()
        connection.close()

    town.pages[A, "/1.jpg"] = on_head(act)
    read([town.url(A, "/1.jpg")])
    known_hosts()
    assert services.links_check() == 1
    assert town.paths(A) == ["HEAD /1.jpg"]
    assert not LinkContent.objects.exists()


def test_a_link_that_is_reported_after_its_headers_came_is_excluded_and_forgotten(
    town: Town, read: MakePanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = town.url(A, "/1.jpg")
    town.pages[A, "/1.jpg"] = serves(JPEG)
    read([url])
    known_hosts()
    assert services.links_check() == 1
    assert content(url) == "unknown/first_sight"
    town.log.clear()

    def urls_of(keys: Collection[Key]) -> set[Key]:
        return {key for key in keys if key[0].startswith("url.")}

    town.pages[A, "/1.jpg"] = on_head(lambda: monkeypatch.setattr(hooks, "keys_excluded", [urls_of]))
    assert check_again() == 1
    assert town.paths(A) == ["HEAD /1.jpg"]
    link = Link.objects.get()
    assert (link.state, link.outcome, link.due_at) == ("excluded", "policy_no_fetch", None)
    assert content(url) == "none"


def test_a_link_whose_recorded_content_is_excluded_is_never_contacted(
    town: Town, make_panel: MakePanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a hash that was reported, at the claim and immediately before the dial, also where content is not read."""
    known, late = town.url(A, "/1.jpg"), town.url(B, "/2.jpg")
    make_panel([known, late])
    PanelRow.objects.filter(link__url=known).update(hashes={"content.sha256": DIGEST.hex()})
    PanelRow.objects.filter(link__url=late).update(hashes={"content.md5": DIGEST[:16].hex()})
    asked: list[int] = []

    def ask(keys: Collection[Key]) -> set[Key]:
        asked.append(1)
        out: set[Key] = {("content.sha256", DIGEST)}
        if len(asked) > 1:  # after the claim
            out.add(("content.md5", DIGEST[:16]))
        return out & set(keys)

    monkeypatch.setattr(hooks, "keys_excluded", [ask])
    assert services.links_check() == 1
    assert set(Link.objects.values_list("state", flat=True)) == {"excluded"}
    assert [one.path for one in town.log] == [
        "/robots.txt"
    ]  # of the host whose link was excluded too late for that
    assert services.links_review() == 0
    monkeypatch.setattr(hooks, "keys_excluded", [])
    assert services.links_review() == 2


def test_a_host_that_limits_us_is_left_alone_before_anything_is_read(town: Town, read: MakePanel) -> None:
    limit = answers(b"", status="429 No", headers="Retry-After: 7200\r\n")
    town.pages[A, "/1.jpg"] = on_get(limit, serves(JPEG))
    read([town.url(A, "/1.jpg"), town.url(A, "/2.jpg")])
    known_hosts()
    assert services.links_check() == 1
    assert town.paths(A) == ["HEAD /1.jpg", "GET /1.jpg"]
    assert Host.objects.get().next_at > timezone.now() + timedelta(hours=1)
    assert content(town.url(A, "/1.jpg")) == "unknown/no_content"
    assert Link.objects.get(url=town.url(A, "/1.jpg")).state == "alive"
