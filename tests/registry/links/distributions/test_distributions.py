"""Places that serve a version: registered by a maintainer, checked like links, and flagged where they should not serve it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.db import IntegrityError, transaction
from django.urls import reverse
from django.utils import timezone

from registry.accounts.models import Role
from registry.auditlog.models import AuditEntry
from registry.datasets.models import VersionStatus
from registry.hooks import hooks
from registry.lib.errors import NotAllowed, Refused
from registry.links import services
from registry.links.distributions.models import Distribution, DistributionKind
from registry.links.distributions.selectors import places, warnings
from registry.links.distributions.services import (
    distribution_add,
    distribution_remove,
    distributions_check_now,
)
from registry.links.history import partition_make
from registry.links.models import Host, Link, LinkPolicy, Observation
from registry.links.schedule import NOW, batch_claim, is_anything_due
from registry.links.states import LinkState
from tests.factories import make_member, make_organisation, make_user, make_version
from tests.registry.lib.safe_http.servers import answers

if TYPE_CHECKING:
    from django.test import Client

    from registry.accounts.models import User
    from registry.datasets.models import Version
    from tests.registry.links.conftest import Town

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store_folder")]

URL = "https://mirror.a.com/laion.parquet"
A = "127.0.0.2"


def add(actor: User, version: Version, url: str = URL, digest: str = "") -> Distribution:
    return distribution_add(
        actor=actor, version=version, url=url, kind=DistributionKind.MIRROR, digest=digest
    )


def stands(version: Version, state: LinkState, status: VersionStatus = VersionStatus.WITHDRAWN) -> None:
    type(version).objects.filter(pk=version.pk).update(status=status)
    due = None if state in {LinkState.EXCLUDED, LinkState.DOMAIN_GONE} else timezone.now()
    Link.objects.update(state=state, failures=3, due_at=due)


def address(version: Version, name: str = "version_distributions") -> str:
    return reverse(name, args=[version.dataset.slug, version.name])


def test_a_place_is_due_at_once_and_its_audit_entry_names_no_url(version: Version, maintainer: User) -> None:
    add(maintainer, version, digest=version.root)
    link = Link.objects.get()
    assert (link.url, link.due_at, link.host.name) == (URL, NOW, "mirror.a.com")
    assert Host.objects.get().due_at == NOW
    assert LinkPolicy.objects.filter(dataset=version.dataset).exists()
    entry = AuditEntry.objects.get(action="distribution_add")
    assert entry.data == {"version": version.name, "kind": "mirror"}


def test_it_is_handed_out_on_the_datasets_budget(version: Version, maintainer: User) -> None:
    add(maintainer, version)
    assert is_anything_due()
    batch = batch_claim()
    assert batch is not None
    assert [link.url for link in batch.links] == [URL]
    assert LinkPolicy.objects.get().spent == 1


def test_a_paused_dataset_is_not_asked_for(version: Version, maintainer: User) -> None:
    add(maintainer, version)
    services.links_pause(actor=maintainer, dataset=version.dataset)
    assert not is_anything_due()
    assert batch_claim() is None


@pytest.mark.django_db(transaction=True)
def test_it_is_asked_for_headers_after_robots_and_shown(town: Town, client: Client) -> None:
    version = make_version(status=VersionStatus.WITHDRAWN)
    maintainer = make_member(version.dataset.organisation, Role.MAINTAINER)
    town.pages[A, "/gone"] = answers(b"", status="404 No")
    add(maintainer, version, town.url(A, "/there"))
    add(maintainer, version, town.url(A, "/gone"))
    assert services.links_check() == 2
    assert town.paths(A)[:2] == ["GET /robots.txt", "HEAD /there"]
    client.force_login(maintainer)
    page = client.get(address(version)).content.decode()
    assert f"{version.name} is withdrawn and still served at 1 place." in page
    assert town.url(A, "/there") in page
    assert "404" in page


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ftp://a.com/x",
        "http://user:pass@a.com/",
        "http://localhost/",
        "not a url",
        "http://a.com:22/",
    ],
)
def test_an_address_that_the_door_refuses_is_refused(version: Version, maintainer: User, url: str) -> None:
    with pytest.raises(Refused):
        add(maintainer, version, url)
    assert not Link.objects.exists()


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("nonsense", "scheme"),
        ("ftp://mirror.example.org/x", "scheme"),
        ("https://me:secret@mirror.example.org/x", "user info"),
        ("https://mirror.example.org:22/x", "port"),
    ],
)
def test_an_address_that_is_none_is_refused_with_what_one_looks_like(
    version: Version, maintainer: User, url: str, rule: str
) -> None:
    with pytest.raises(Refused, match="Give one that begins with https://") as refused:
        add(maintainer, version, url)
    assert f"({rule})" in str(refused.value)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/x",
        "http://10.0.0.1/",
        "https://169.254.169.254/",
        "http://[::1]/",
        "http://[fd00::1]:8080/x",
    ],
)
def test_an_address_that_is_not_public_is_refused_in_words(
    version: Version, maintainer: User, client: Client, url: str
) -> None:
    with pytest.raises(Refused, match="is no public address, so it is never asked"):
        add(maintainer, version, url)
    assert not Link.objects.exists()
    client.force_login(maintainer)
    answer = client.post(address(version, "distribution_create"), {"url": url, "kind": "mirror"})
    assert answer.status_code == 409
    assert "is no public address" in answer.content.decode()
    client.force_login(make_user())
    assert (
        client.post(address(version, "distribution_create"), {"url": url, "kind": "mirror"}).status_code
        == 403
    )


def test_a_public_address_may_be_named(version: Version, maintainer: User) -> None:
    assert add(maintainer, version, "http://9.9.9.9/x").link.host.name == "9.9.9.9"


@pytest.mark.parametrize("digest", ["x" * 64, "ab" * 32, "ab"])
def test_a_digest_of_something_else_is_refused(version: Version, maintainer: User, digest: str) -> None:
    with pytest.raises(Refused, match="digest"):
        add(maintainer, version, digest=digest)


def test_a_shard_may_be_what_is_served(version: Version, maintainer: User) -> None:
    digest = version.version_shards.get().shard_id
    assert add(maintainer, version, digest=digest.upper()).digest == digest


def test_a_place_is_watched_once_for_each_version(version: Version, maintainer: User) -> None:
    add(maintainer, version)
    with pytest.raises(Refused, match="already"):
        add(maintainer, version)
    add(maintainer, make_version(version.dataset))
    assert Link.objects.count() == 1


def test_a_draft_has_no_places(maintainer: User, version: Version) -> None:
    draft = make_version(version.dataset, status=VersionStatus.DRAFT)
    with pytest.raises(Refused, match="draft"):
        add(maintainer, draft)


def test_only_maintainers_act(version: Version, maintainer: User) -> None:
    one = add(maintainer, version)
    for actor in (make_user(), make_member(version.dataset.organisation, Role.STAFF)):
        with pytest.raises(NotAllowed):
            add(actor, version, "https://b.com/")
        with pytest.raises(NotAllowed):
            distribution_remove(actor=actor, distribution=one)
        with pytest.raises(NotAllowed):
            distributions_check_now(actor=actor, dataset=version.dataset)


def test_a_removed_place_is_asked_no_more(version: Version, maintainer: User) -> None:
    distribution_remove(actor=maintainer, distribution=add(maintainer, version))
    assert not Distribution.objects.exists()
    assert batch_claim() is None
    assert AuditEntry.objects.filter(action="distribution_remove").count() == 1


def test_all_places_can_be_checked_now(version: Version, maintainer: User) -> None:
    with pytest.raises(Refused):
        distributions_check_now(actor=maintainer, dataset=version.dataset)
    add(maintainer, version)
    Link.objects.update(due_at=timezone.now())
    assert distributions_check_now(actor=maintainer, dataset=version.dataset) == 1
    assert Link.objects.get().due_at == NOW


@pytest.mark.parametrize("status", [VersionStatus.WITHDRAWN, VersionStatus.QUARANTINED])
def test_a_version_out_of_use_that_is_served_is_flagged_and_strangers_are_not_led_there(
    version: Version, maintainer: User, client: Client, status: VersionStatus
) -> None:
    add(maintainer, version)
    stands(version, LinkState.ALIVE, status)
    [place] = places(None, version.dataset)
    assert place.is_flagged
    assert place.url is None
    assert warnings([place]) == [f"{version.name} is {status.label.lower()} and still served at 1 place."]
    page = client.get(reverse("dataset_detail", args=[version.dataset.slug])).content.decode()
    assert "still served at 1 place." in page
    assert URL not in page
    told = client.get(reverse("api-dataset-distributions", args=[version.dataset.slug])).json()
    assert told["places"][0]["url"] is None
    assert told["places"][0]["is_flagged"] is True
    client.force_login(make_user())
    assert URL not in client.get(address(version)).content.decode()
    client.force_login(maintainer)
    assert URL in client.get(reverse("dataset_detail", args=[version.dataset.slug])).content.decode()


@pytest.mark.parametrize(
    "state",
    [LinkState.DEAD, LinkState.DOMAIN_GONE, LinkState.UNVERIFIABLE, LinkState.UNCHECKED, LinkState.FAILING],
)
def test_what_is_not_known_to_be_served_is_not_flagged(
    version: Version, maintainer: User, state: LinkState
) -> None:
    add(maintainer, version)
    stands(version, state)
    [place] = places(maintainer, version.dataset)
    assert (place.is_flagged, place.state, warnings([place])) == (False, state, [])


def test_an_excluded_place_looks_like_one_that_cannot_be_told(version: Version, maintainer: User) -> None:
    add(maintainer, version)
    stands(version, LinkState.EXCLUDED)
    [place] = places(maintainer, version.dataset)
    assert (place.state, place.history) == (LinkState.UNVERIFIABLE, [])


def test_a_time_tells_strangers_no_excluded_place_from_one_that_refuses_us(
    client: Client, version: Version, maintainer: User
) -> None:
    """What is excluded keeps no time; so nobody but members sees that of what cannot be told."""
    reported = add(maintainer, version).link
    refuses = add(maintainer, version, "https://mirror.b.com/laion.parquet").link
    Link.objects.filter(pk=reported.pk).update(state=LinkState.EXCLUDED, due_at=None)
    Link.objects.filter(pk=refuses.pk).update(state=LinkState.UNVERIFIABLE, checked_at=timezone.now())
    told = client.get(reverse("api-dataset-distributions", args=[version.dataset.slug])).json()
    assert {(one["state"], one["url"], one["checked_at"]) for one in told["places"]} == {
        ("unverifiable", None, None)
    }
    page = client.get(address(version)).content.decode()
    assert page.count('data-label="Checked">\N{EN DASH}<') == 2
    assert page.count("Not shown while it cannot be told") == 2
    assert "laion.parquet" not in page
    client.force_login(maintainer)
    told = client.get(reverse("api-dataset-distributions", args=[version.dataset.slug])).json()
    assert sum(one["checked_at"] is not None for one in told["places"]) == 1
    assert [one["url"] for one in told["places"]] == [URL, "https://mirror.b.com/laion.parquet"]
    assert client.get(address(version)).content.decode().count("laion.parquet") == 4


def test_a_place_that_was_reported_a_moment_ago_is_masked_before_a_batch_meets_it(
    client: Client, version: Version, maintainer: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(maintainer, version)
    stands(version, LinkState.ALIVE, VersionStatus.ACTIVE)
    Link.objects.update(checked_at=timezone.now())
    assert URL in client.get(address(version)).content.decode()
    monkeypatch.setattr(
        hooks, "keys_excluded", [lambda keys: {key for key in keys if key == ("host.c1", b"mirror.a.com")}]
    )
    for stranger in (None, make_user()):
        if stranger:
            client.force_login(stranger)
        for path in (address(version), reverse("dataset_detail", args=[version.dataset.slug])):
            page = client.get(path).content.decode()
            assert URL not in page
            assert "Cannot be told" in page
        [told] = client.get(reverse("api-dataset-distributions", args=[version.dataset.slug])).json()[
            "places"
        ]
        assert (told["url"], told["state"], told["checked_at"]) == (None, "unverifiable", None)
    client.force_login(maintainer)
    assert URL in client.get(address(version)).content.decode()


def test_members_read_that_a_place_which_cannot_be_told_was_still_served(
    client: Client, version: Version, maintainer: User
) -> None:
    link = add(maintainer, version).link
    stands(version, LinkState.UNVERIFIABLE)
    now = timezone.now()
    for days, outcome in ((9, "not_found"), (5, "ok"), (1, "forbidden")):
        at = now - timedelta(days=days)
        partition_make(at)
        Observation.objects.create(link=link, at=at, outcome=outcome, status=200, milliseconds=1)
    words = "Cannot be told; still served when it last could"
    assert words not in client.get(address(version)).content.decode()
    client.force_login(make_member(make_organisation(), Role.APPROVER))
    assert words not in client.get(address(version)).content.decode()
    client.force_login(maintainer)
    assert words in client.get(address(version)).content.decode()
    [told] = client.get(reverse("api-dataset-distributions", args=[version.dataset.slug])).json()["places"]
    assert told["was_served"] is True
    Observation.objects.filter(outcome="ok").delete()
    assert words not in client.get(address(version)).content.decode()


def test_a_version_in_use_shows_its_places_to_everybody(
    client: Client, version: Version, maintainer: User
) -> None:
    add(maintainer, version)
    stands(version, LinkState.ALIVE, VersionStatus.ACTIVE)
    page = client.get(address(version)).content.decode()
    assert URL in page
    assert "Still served" not in page
    assert "Watch a place" not in page


def test_a_maintainer_adds_and_removes_on_the_page(
    client: Client, version: Version, maintainer: User
) -> None:
    client.force_login(maintainer)
    data = {"url": URL, "kind": "mirror", "digest": ""}
    assert client.post(address(version, "distribution_create"), data).status_code == 302
    answer = client.post(address(version, "distribution_create"), data)
    assert answer.status_code == 409
    assert "watched already" in answer.content.decode()
    assert client.post(address(version, "distribution_create"), {"url": ""}).status_code == 400
    one = Distribution.objects.get()
    forget = reverse("distribution_forget", args=[version.dataset.slug, version.name, one.pk])
    client.force_login(make_user())
    assert client.post(forget).status_code == 403
    client.force_login(maintainer)
    assert client.post(forget).status_code == 302
    assert not Distribution.objects.exists()


def test_the_database_refuses_a_digest_that_is_none(version: Version, maintainer: User) -> None:
    one = add(maintainer, version)
    with pytest.raises(IntegrityError, match="distribution_digest_is_sha256"), transaction.atomic():
        Distribution.objects.filter(pk=one.pk).update(digest="x")
