"""Registries are asked for candidates only, politely, and whatever they write does no harm."""

from __future__ import annotations

import json
import time
import uuid
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.utils import timezone

from registry.hooks import hooks
from registry.lib.safe_http import Headers, Response
from registry.links.domains.census import domains_census, hosts_enrol
from registry.links.domains.models import Domain, Registry
from registry.links.domains.registrations import (
    Registration,
    _bootstrap,
    read_answer,
    read_bootstrap,
    registries_ask,
)
from registry.links.domains.states import FIRST
from registry.links.models import Host
from registry.links.schedule import batch_claim
from registry.links.tasks import takeovers_sweep
from takedowns.cases.models import Case
from takedowns.reports.models import Report
from tests.factories import make_version
from tests.registry.lib.safe_http.servers import WebServer, answers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pytest_django import Settings

    from registry.datasets.models import Version
    from tests.registry.links.conftest import Names

HOST = "127.0.0.5"


def rdap(name: str = "a.com", **events: str) -> dict[str, Any]:
    return {
        "objectClassName": "domain",
        "ldhName": name.upper(),
        "status": ["active"],
        "events": [
            {"eventAction": action.replace("_", " "), "eventDate": at} for action, at in events.items()
        ],
    }


def response(body: object, status: int = 200, *, cut: bool = False) -> Response:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Response("", status, Headers(b""), data, cut, HOST, (), 0.0)


class RegistryServer:
    """Answers `/domain/<name>` with what `pages` says, and `/dns.json` with itself as the registry of com and net."""

    def __init__(self) -> None:
        self.pages: dict[str, bytes] = {}
        self.refuses = ""
        self.asked: list[tuple[float, str]] = []
        self.web = WebServer(self._answer, host=HOST)
        self.url = f"http://{HOST}:{self.web.port}/"

    def _answer(self, connection: Any, request: bytes) -> None:
        path = request.split(b" ")[1].decode()
        self.asked.append((time.monotonic(), path))
        if path == "/dns.json":
            body = json.dumps({"services": [[["com", "NET"], [self.url]]]}).encode()
            answers(body)(connection, request)
        elif self.refuses:
            answers(b"", status="429 Slow", headers=self.refuses)(connection, request)
        elif path.removeprefix("/domain/") in self.pages:
            answers(self.pages[path.removeprefix("/domain/")])(connection, request)
        else:
            answers(b"{}", status="404 No")(connection, request)

    @property
    def paths(self) -> list[str]:
        return [path for _, path in self.asked]


@pytest.fixture
def registry(settings: Settings) -> Iterator[RegistryServer]:
    server = RegistryServer()
    with server.web:
        settings.LINKS_TEST_TARGETS = [f"{HOST}:{server.web.port}"]
        settings.RDAP_BOOTSTRAP = f"{server.url}dns.json"
        yield server


def candidate(name: str, at: datetime | None = FIRST, **fields: Any) -> Domain:
    return Domain.objects.create(name=name, suffix=name.rpartition(".")[2], asks_registry_at=at, **fields)


@pytest.mark.django_db
def test_a_candidate_is_asked_for_and_its_answer_kept(registry: RegistryServer) -> None:
    registry.pages["a.com"] = json.dumps(
        rdap(registration="2024-05-06T07:08:09Z", expiration="2027-05-06T07:08:09Z")
    ).encode()
    candidate("a.com")
    candidate("never.com", at=None)
    rested()
    assert registries_ask() == 1
    domain = Domain.objects.get(name="a.com")
    assert domain.registered_at == datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)
    assert domain.expires_at == datetime(2027, 5, 6, 7, 8, 9, tzinfo=UTC)
    assert (domain.registry_answer, domain.registry_statuses, domain.asks_registry_at) == (
        "ok",
        ["active"],
        None,
    )
    assert registry.paths == ["/dns.json", "/domain/a.com"]
    assert not Host.objects.exclude(lease=None).exists()
    # Within a week neither the registry nor the list of registries is asked again, even for a candidate.
    Domain.objects.update(asks_registry_at=FIRST, registry_at=timezone.now() - timedelta(days=6))
    Domain.objects.filter(name="never.com").delete()
    assert registries_ask() == 0
    assert len(registry.asked) == 2


def rested() -> None:
    """The list of registries and the registry are one host here, which would pause between the two."""
    _bootstrap(timezone.now())
    Host.objects.update(next_at=timezone.now() - timedelta(seconds=1))


@pytest.mark.django_db
def test_changed_domains_come_first_and_a_second_lies_between_two_questions(registry: RegistryServer) -> None:
    candidate("baseline.com", timezone.now())
    candidate("changed.com", FIRST)
    rested()
    assert registries_ask() == 2
    assert registry.paths[1:] == ["/domain/changed.com", "/domain/baseline.com"]
    assert registry.asked[2][0] - registry.asked[1][0] >= 1
    assert set(Domain.objects.values_list("registry_answer", flat=True)) == {"not_found"}


@pytest.mark.django_db
def test_a_registry_that_asks_for_rest_gets_it_in_the_database(registry: RegistryServer) -> None:
    registry.refuses = "Retry-After: 7200\r\n"
    candidate("a.com")
    candidate("b.com")
    rested()
    assert registries_ask() == 0
    assert len(registry.paths) == 2
    assert Host.objects.get(name=HOST).next_at > timezone.now() + timedelta(seconds=7100)
    asked = Domain.objects.get(name="a.com")
    assert asked.registry_answer == "refused"
    assert asked.asks_registry_at is not None
    assert asked.asks_registry_at > timezone.now() + timedelta(hours=23)
    assert registries_ask() == 0
    assert len(registry.paths) == 2


@pytest.mark.django_db
def test_a_host_that_another_worker_holds_is_not_asked(registry: RegistryServer) -> None:
    candidate("a.com")
    rested()
    Host.objects.update(lease=uuid.uuid4(), lease_until=timezone.now() + timedelta(minutes=9))
    assert registries_ask() == 0
    assert registry.paths == ["/dns.json"]
    # Its lease runs out when it dies.
    Host.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    assert registries_ask() == 1


@pytest.mark.django_db(transaction=True)  # the last look has a connection of its own
@pytest.mark.parametrize("why", ["excluded", "opted out above"])
def test_a_registry_that_must_not_be_contacted_is_not(
    registry: RegistryServer, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    candidate("a.com")
    rested()
    if why == "excluded":
        monkeypatch.setattr(hooks, "keys_excluded", [set])
    else:
        above = HOST.partition(".")[2]
        Host.objects.create(name=above, opted_out_at=timezone.now(), covers_subdomains=True)
    assert registries_ask() == 0
    assert registry.paths == ["/dns.json"]
    assert Domain.objects.get().registry_answer == "no_answer"


@pytest.mark.django_db
def test_a_domain_without_a_registry_is_told_so(registry: RegistryServer) -> None:
    candidate("a.xx")
    assert registries_ask() == 0
    domain = Domain.objects.get()
    assert (domain.registry_answer, domain.asks_registry_at) == ("no_registry", None)


@pytest.mark.django_db
def test_the_list_of_registries_may_be_a_file(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "dns.json"
    file.write_text(json.dumps({"services": [[["xx"], ["https://rdap.nic.xx"]]]}))
    settings.RDAP_BOOTSTRAP = str(file)
    candidate("a.yy")
    registries_ask()
    assert list(Registry.objects.values_list("suffix", "url")) == [("xx", "https://rdap.nic.xx/")]


@pytest.mark.django_db
def test_no_registry_is_asked_where_none_is_set(settings: Settings) -> None:
    settings.RDAP_BOOTSTRAP = ""
    candidate("a.com")
    assert registries_ask() == 0
    assert Domain.objects.get().asks_registry_at == FIRST


@pytest.mark.parametrize(
    "body",
    [
        b"", b"<html>", b"[]", b"null", b"[" * 100_000, b"\xff\xfe", {"objectClassName": "error"},
        rdap("other.com", registration="2020-01-01T00:00:00Z"),
    ],
)  # fmt: skip
def test_what_is_no_answer_about_the_domain_says_nothing(body: object) -> None:
    assert read_answer("a.com", response(body)) == Registration("unreadable")


@pytest.mark.parametrize(
    ("events", "registered"),
    [
        ({"registration": "2020-01-01T00:00:00Z"}, datetime(2020, 1, 1, tzinfo=UTC)),
        ({"registration": "2020-01-01T02:00:00+02:00"}, datetime(2020, 1, 1, tzinfo=UTC)),
        ({"registration": "2001-01-01T00:00:00Z", "reregistration": "2023-01-01T00:00:00Z"}, datetime(2023, 1, 1, tzinfo=UTC)),
        ({"last_changed": "2024-01-01T00:00:00Z"}, None),
        ({"registration": "yesterday"}, None),
        ({"registration": "9998-01-01T00:00:00Z"}, None),  # nobody registered it in the future
        ({"registration": "2020-01-01T00:00:00Z", "reregistration": "9998-01-01T00:00:00Z"}, datetime(2020, 1, 1, tzinfo=UTC)),
        ({"registration": "9999-12-31T23:59:59-23:00"}, None),
        ({"registration": "2020-13-45T00:00:00Z"}, None),
    ],
)  # fmt: skip
def test_the_latest_registration_counts(events: dict[str, str], registered: datetime | None) -> None:
    assert read_answer("a.com", response(rdap(**events))).registered_at == registered


def test_odd_values_are_left_out() -> None:
    told = rdap() | {
        "events": ["x", None, {"eventAction": 3, "eventDate": []}],
        "status": [1, "ok", "a\x00b", "y" * 99] * 20,
    }
    said = read_answer("a.com", response(told))
    assert said.registered_at is None
    assert len(said.statuses) == 20
    assert set(said.statuses) == {"ok", "y" * 60}


@pytest.mark.parametrize(
    ("status", "answer"), [(404, "not_found"), (429, "refused"), (500, "no_answer"), (301, "no_answer")]
)
def test_a_status_says_why_there_is_nothing(status: int, answer: str) -> None:
    assert read_answer("a.com", response(b"{}", status)).answer == answer


def test_an_answer_that_was_cut_is_not_half_believed() -> None:
    assert read_answer("a.com", response(rdap(), cut=True)).answer == "no_answer"


@pytest.mark.parametrize(
    "text", [b"", b"{}", b"[]", b"[" * 100_000, b'{"services": [[["com"], ["ftp:x", 7]], 3, [[1]]]}']
)
def test_a_list_without_registries_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"Expecting value|nested too deeply|no registry"):
        read_bootstrap(text)


def test_https_is_preferred() -> None:
    text = json.dumps({"services": [[["com"], ["http://a.example/", "https://b.example/x"]]]}).encode()
    assert read_bootstrap(text) == {"com": "https://b.example/x/"}


@pytest.mark.django_db
@pytest.mark.usefixtures("store_folder")
def test_a_domain_that_was_registered_anew_ends_in_the_queue(
    registry: RegistryServer, resolvers: Names, make_panel: Callable[..., Version]
) -> None:
    urls = ["https://x.a.com/1", "https://y.a.com/2", "https://b.com/3"]
    version = make_version(
        shards={"0.csv": [{"url": url} for url in urls]}, columns={"url": "url"}, dated=date(2023, 1, 1)
    )
    make_panel(urls, version)
    for name, registered in (("a.com", "2024-05-06T07:08:09Z"), ("b.com", "2001-01-01T00:00:00Z")):
        resolvers.know(name)
        registry.pages[name] = json.dumps(rdap(name, registration=registered)).encode()
    hosts_enrol()
    assert domains_census() == 2
    rested()
    assert registries_ask() == 2
    for _ in range(2):
        takeovers_sweep()
    report = Report.objects.get()
    assert (report.dataset, report.source) == (version.dataset, "own_initiative")
    assert [bytes(item.key or b"") for item in report.items.all()] == [b"a.com"]
    assert Case.objects.filter(reports=report).count() == 1
    batch = batch_claim()
    assert batch is not None
    assert [link.url for link in batch.links] == ["https://b.com/3"]
