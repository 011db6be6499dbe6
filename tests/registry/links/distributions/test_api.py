"""A program adds and removes the places that serve a version, as far as its owner may."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from registry.accounts.models import Role, User
from registry.datasets.models import Version, VersionStatus
from registry.links.distributions.models import Distribution
from tests.factories import make_dataset, make_member, make_organisation, make_version

if TYPE_CHECKING:
    from django.test import Client

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store_folder")]

PLACE = {"url": "https://mirror.a.com/laion.parquet", "kind": "mirror"}


def address(version: Version) -> str:
    return f"/api/v1/datasets/{version.dataset.slug}/versions/{version.name}/distributions/"


def add(client: Client, version: Version, **given: object) -> Any:
    return client.post(address(version), PLACE | given, content_type="application/json")


def test_a_maintainer_adds_a_place_and_removes_it(client: Client, version: Version, maintainer: User) -> None:
    client.force_login(maintainer)
    added = add(client, version, digest=version.root.upper())
    one = Distribution.objects.get()
    assert (added.status_code, added.json()) == (
        201,
        {
            "id": one.pk,
            "version": version.name,
            "version_status": "active",
            "url": PLACE["url"],
            "kind": "mirror",
            "digest": version.root,
            "state": "unchecked",
            "is_flagged": False,
            "was_served": False,
            "checked_at": None,
        },
    )
    assert one.added_by == maintainer
    told = client.get(f"/api/v1/datasets/{version.dataset.slug}/distributions/").json()
    assert told["places"] == [added.json()]
    removed = client.delete(f"{address(version)}{one.pk}/")
    assert (removed.status_code, removed.content) == (204, b"")
    assert not Distribution.objects.exists()
    assert client.delete(f"{address(version)}{one.pk}/").status_code == 404


def test_strangers_and_staff_do_neither(client: Client, version: Version, maintainer: User) -> None:
    client.force_login(maintainer)
    place = f"{address(version)}{add(client, version).json()['id']}/"
    client.logout()
    assert (add(client, version).status_code, client.delete(place).status_code) == (401, 401)
    for user in (
        make_member(make_organisation(), Role.APPROVER),
        make_member(version.dataset.organisation, Role.STAFF),
    ):
        client.force_login(user)
        answers = add(client, version, url="https://b.com/"), client.delete(place)
        assert {answer.status_code for answer in answers} == {403}
    assert Distribution.objects.count() == 1


def test_a_draft_is_not_found_by_strangers_and_has_no_places(
    client: Client, version: Version, maintainer: User
) -> None:
    draft = make_version(version.dataset, status=VersionStatus.DRAFT)
    client.force_login(make_member(make_organisation(), Role.APPROVER))
    assert add(client, draft).status_code == 404
    client.force_login(maintainer)
    refused = add(client, draft)
    assert (refused.status_code, "draft" in refused.json()["detail"]) == (409, True)


def test_a_place_of_another_version_is_not_removed_by_this_ones_address(
    client: Client, version: Version, maintainer: User
) -> None:
    """Nor one of another dataset, of which the maintainer may know nothing."""
    client.force_login(maintainer)
    other = make_version(version.dataset)
    pk = add(client, version).json()["id"]
    assert client.delete(f"{address(other)}{pk}/").status_code == 404
    foreign = make_version(make_dataset())
    client.force_login(make_member(foreign.dataset.organisation, Role.MAINTAINER))
    assert client.delete(f"{address(foreign)}{pk}/").status_code == 404
    assert client.delete(f"{address(version)}{pk}/").status_code == 403
    assert Distribution.objects.count() == 1


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ({"url": ""}, 400),
        ({"url": None}, 400),
        ({"url": "https://a.com/\0"}, 400),
        ({"url": "x" * 9_000}, 400),
        ({"kind": "other"}, 400),
        ({"digest": "a" * 65}, 400),
        ({"digest": "ab"}, 409),
        ({"digest": "ab" * 32}, 409),
        ({"url": "ftp://a.com/x"}, 409),
        ({"url": "http://localhost/"}, 409),
        ({"url": "http://u:p@a.com/"}, 409),
        ({"url": "http://10.0.0.1/"}, 409),
    ],
)
def test_what_is_no_place_is_refused(
    client: Client, version: Version, maintainer: User, given: dict[str, object], status: int
) -> None:
    client.force_login(maintainer)
    assert add(client, version, **given).status_code == status
    assert not Distribution.objects.exists()


def test_a_place_is_watched_once(client: Client, version: Version, maintainer: User) -> None:
    client.force_login(maintainer)
    assert [add(client, version).status_code for _ in range(2)] == [201, 409]
