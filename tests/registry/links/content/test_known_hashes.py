"""A link is known by every hash of its content that is on record, also by one that we read ourselves."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from registry.accounts.models import Role
from registry.hooks import hooks
from registry.links import services
from registry.links.content.models import LinkContent
from registry.links.content.states import ContentChecks
from registry.links.content.store import recorded_keys
from registry.links.models import Link, PanelRow
from tests.factories import make_member
from tests.registry.links.content.pictures import encoded, picture, serves
from tests.registry.links.content.test_reading import check_again, known_hosts, read

if TYPE_CHECKING:
    from collections.abc import Collection

    from tests.registry.links.conftest import Town
    from tests.registry.links.content.test_reading import Key, MakePanel

__all__ = ["read"]  # a fixture
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("store_folder")]
A = "127.0.0.2"
OLD, NEW = encoded(picture(1)), encoded(picture(2))


def sha256(body: bytes) -> Key:
    return "content.sha256", hashlib.sha256(body).digest()


def excludes(*excluded: Key) -> list[object]:
    """A hook that excludes these keys."""

    def ask(keys: Collection[Key]) -> set[Key]:
        return set(excluded) & set(keys)

    return [ask]


@pytest.fixture
def url(town: Town, read: MakePanel) -> str:
    """A link that gave one picture when it was read first, and another one since."""
    url = town.url(A, "/1.jpg")
    read([url])
    known_hosts()
    for body in (OLD, NEW):
        town.pages[A, "/1.jpg"] = serves(body)
        assert check_again() == 1
    town.log.clear()
    return url


def md5(body: bytes) -> Key:
    return "content.md5", hashlib.md5(body, usedforsecurity=False).digest()


@pytest.mark.parametrize("reported", [sha256(OLD), sha256(NEW), md5(OLD), md5(NEW)])
def test_a_link_that_gave_what_is_reported_is_never_contacted_again(
    town: Town, url: str, monkeypatch: pytest.MonkeyPatch, reported: Key
) -> None:
    monkeypatch.setattr(hooks, "keys_excluded", excludes(reported))
    assert check_again() == 0
    assert town.log == []
    assert Link.objects.get(url=url).state == "excluded"
    for _ in range(2):
        assert services.links_review() == 0
        assert check_again() == 0
    assert town.log == []


def test_a_report_after_the_claim_is_heeded_by_what_was_read_too(
    town: Town, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def ask(keys: Collection[Key]) -> set[Key]:
        asked.append(1)
        return {sha256(OLD)} & set(keys) if len(asked) > 1 else set()

    monkeypatch.setattr(hooks, "keys_excluded", [ask])
    assert check_again() == 1
    assert town.log == []
    assert Link.objects.get(url=url).state == "excluded"


def test_of_an_excluded_link_no_more_is_kept_than_the_hash_that_excludes_it(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hooks, "keys_excluded", excludes(sha256(OLD)))
    check_again()
    kept = LinkContent.objects.get()
    assert kept.first == {"digests": {"content.sha256": sha256(OLD)[1].hex()}}
    assert (kept.last, kept.body, kept.read_at, kept.suspect_at) == (None, None, None, None)
    assert (kept.state, kept.evidence) == ("unknown", "")
    monkeypatch.setattr(hooks, "keys_excluded", [])
    assert services.links_review() == 1
    assert not LinkContent.objects.exists()
    assert check_again() == 1  # and it is read as if for the first time
    found = LinkContent.objects.get()
    assert (found.state, found.evidence, found.reads) == ("unknown", "first_sight", 1)


def test_who_turns_the_reading_off_forgets_no_hash_that_is_reported(
    town: Town, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = town.url(A, "/2.jpg")
    town.pages[A, "/2.jpg"] = serves(encoded(picture(3)))
    row = PanelRow.objects.get()
    host = Link.objects.get(url=url).host
    link = Link.objects.create(key=bytes(32), url=other, host=host)
    PanelRow.objects.create(panel=row.panel, link=link, shard=row.shard, row=7)
    assert check_again() == 2
    town.log.clear()
    monkeypatch.setattr(hooks, "keys_excluded", excludes(sha256(OLD)))
    dataset = row.panel.version.dataset
    maintainer = make_member(dataset.organisation, Role.MAINTAINER)
    services.links_content(actor=maintainer, dataset=dataset, checks=ContentChecks.OFF, links=2)
    assert [one.link.url for one in LinkContent.objects.all()] == [url]
    assert check_again() == 1
    assert town.paths(A) == ["HEAD /2.jpg"]


def test_what_we_read_is_not_taken_for_what_a_version_recorded(town: Town, url: str) -> None:
    assert {sha256(OLD), sha256(NEW)} < recorded_keys([Link.objects.get()])[Link.objects.get().pk]
    town.pages[A, "/1.jpg"] = serves(NEW)
    check_again()
    assert LinkContent.objects.get().evidence != "recorded_hash"
