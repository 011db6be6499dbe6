from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.urls import reverse

from registry.accounts.models import Role
from takedowns.releases.files import release_files
from takedowns.releases.models import Release
from tests.factories import make_member, make_organisation, run_jobs

if TYPE_CHECKING:
    from django.test import Client

    from tests.takedowns.released import Setting


def detail(release: Release) -> str:
    return reverse("api-release-detail", args=[release.dataset.slug, release.version.name])


def test_it_shows_a_published_release_to_everybody(
    setting: Setting, published: Release, client: Client
) -> None:
    setting.removal.refresh_from_db()
    found: dict[str, Any] = client.get(detail(published)).json()
    for moment in ("created_at", "verified_at", "published_at"):
        assert found.pop(moment).endswith("Z")
    assert found == {
        "dataset": setting.dataset.slug,
        "version": "2025-01-01-r1",
        "base": "2025-01-01",
        "serial": 1,
        "form": "compact",
        "state": "published",
        "failure": "",
        "advisories": [setting.removal.advisory_id],
        "rows_before": 20,
        "rows_removed": 2,
        "rows_after": 18,
        "cells_redacted": 0,
        "root": published.root,
        "public_keys": published.public_keys,
    }


def test_a_stranger_knows_of_no_release_before_publication(verified: Release, client: Client) -> None:
    files = reverse("api-release-files", args=[verified.dataset.slug, verified.version.name])
    listed = reverse("api-release-list", args=[verified.dataset.slug])
    client.force_login(make_member(make_organisation(), Role.APPROVER))
    assert client.get(detail(verified)).status_code == 404
    assert client.get(files).status_code == 404
    assert client.get(listed).json()["count"] == 0


def test_a_member_sees_it_before(setting: Setting, verified: Release, client: Client) -> None:
    client.force_login(setting.team.staff)
    assert client.get(detail(verified)).json()["state"] == "verified"


def test_it_lists_files_with_addresses_that_work(published: Release, client: Client) -> None:
    url = reverse("api-release-files", args=[published.dataset.slug, published.version.name])
    found = client.get(url, {"page_size": 3}).json()
    assert (found["count"], len(found["results"])) == (len(release_files(published)), 3)
    download: Any = client.get(found["results"][0]["url"])
    assert len(b"".join(download.streaming_content)) == found["results"][0]["bytes"]


def test_a_maintainer_builds_and_publishes(setting: Setting, client: Client) -> None:
    client.force_login(setting.team.maintainer)
    build = reverse("api-release-build", args=[setting.dataset.slug, "2025-01-01"])
    answer = client.post(build, {"form": "compact"}, content_type="application/json")
    assert (answer.status_code, answer.json()["state"]) == (202, "building")
    run_jobs()
    release = Release.objects.get()
    publish = reverse("api-release-publish", args=[setting.dataset.slug, release.version.name])
    answer = client.post(publish, {"root": release.root}, content_type="application/json")
    assert answer.status_code == 202
    run_jobs()
    assert client.get(detail(release)).json()["state"] == "published"


def test_it_says_why_it_refuses(setting: Setting, verified: Release, client: Client) -> None:
    client.force_login(setting.team.maintainer)
    publish = reverse("api-release-publish", args=[setting.dataset.slug, verified.version.name])
    answer = client.post(publish, {"root": "0" * 64}, content_type="application/json")
    assert (answer.status_code, "built anew" in answer.json()["detail"]) == (409, True)


def test_a_body_of_the_wrong_shape_is_a_400(setting: Setting, client: Client) -> None:
    client.force_login(setting.team.maintainer)
    build = reverse("api-release-build", args=[setting.dataset.slug, "2025-01-01"])
    for wrong in ({"form": "round"}, ["compact"], {"form": None}):
        assert client.post(build, wrong, content_type="application/json").status_code == 400
    assert not Release.objects.exists()


def test_staff_may_not_and_strangers_find_nothing(
    setting: Setting, verified: Release, client: Client
) -> None:
    build = reverse("api-release-build", args=[setting.dataset.slug, "2025-01-01"])
    publish = reverse("api-release-publish", args=[setting.dataset.slug, verified.version.name])
    assert client.post(build, {}, content_type="application/json").status_code in (401, 403)
    client.force_login(setting.team.staff)
    assert client.post(build, {}, content_type="application/json").status_code == 403
    assert client.post(publish, {}, content_type="application/json").status_code == 403
    client.force_login(make_member(make_organisation(), Role.APPROVER))
    assert client.post(build, {}, content_type="application/json").status_code == 403  # the base is public
    assert client.post(publish, {}, content_type="application/json").status_code == 404
