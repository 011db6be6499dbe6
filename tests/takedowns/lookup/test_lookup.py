from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.urls import reverse

from registry.accounts.models import Role
from registry.datasets.models import VersionStatus
from takedowns.lookup.search import search
from tests.factories import make_dataset, make_member, make_organisation, make_version

if TYPE_CHECKING:
    from django.test import Client

    from takedowns.releases.models import Release
    from tests.takedowns.released import Setting

pytestmark = pytest.mark.django_db


def ask(client: Client, **body: Any) -> Any:
    return client.post(reverse("api-query"), body, content_type="application/json")


def test_the_one_match_is_where_the_search_leads(
    setting: Setting, published: Release, client: Client
) -> None:
    setting.removal.refresh_from_db()
    slug = setting.dataset.slug
    base = reverse("version_detail", args=[slug, "2025-01-01"])
    digest = setting.base.version_shards.get(path="a/0.parquet").shard_id
    for query, url in (
        (slug, reverse("dataset_detail", args=[slug])),
        (f"{slug}@2025-01-01", base),
        (f"  {slug.upper()}@2025-01-01 ", base),
        (str(setting.removal.advisory_id), reverse("advisory_detail", args=[setting.removal.advisory_id])),
        (
            str(setting.removal.advisory_id).lower(),
            reverse("advisory_detail", args=[setting.removal.advisory_id]),
        ),
        (digest, f"{base}?shard={digest}#shards"),
        (digest[:12], f"{base}?shard={digest}#shards"),
        (setting.base.root, base),
        (published.root, reverse("version_detail", args=[slug, "2025-01-01-r1"])),
    ):
        response = client.get(reverse("search"), {"q": query})
        assert (response.status_code, response.headers.get("Location")) == (302, url), query


def test_several_matches_are_shown_by_kind(setting: Setting, published: Release, client: Client) -> None:
    response = client.get(reverse("search"), {"q": "2025"})
    assert response.status_code == 200
    assert b"2025-01-01-r1" in response.content


@pytest.mark.parametrize(
    "query", ["", "   ", "\0", "nothing here", "%", "@", "<script>", "f" * 500, "abcdef"]
)
def test_what_matches_nothing_is_said_plainly(client: Client, query: str) -> None:
    make_version()
    response = client.get(reverse("search"), {"q": query})
    assert response.status_code in (200, 302)
    assert b"<script>" not in response.content.replace(b"<script src", b"")


def test_strangers_find_no_drafts_and_no_unpublished_removals(setting: Setting, verified: Release) -> None:
    hidden = make_dataset(setting.team.organisation, "hidden")
    draft = make_version(hidden, "draft-1", status=VersionStatus.DRAFT)
    stranger = make_member(make_organisation(), Role.APPROVER)
    only_there = draft.version_shards.first()
    assert only_there is not None
    for user in (None, stranger):
        for query in ("hidden", "draft-1", "2025-01-01-r1", verified.root, draft.root, "EXP-"):
            assert search(query, user).matches == [], query
    assert next(match.name for match in search("hidden", setting.team.staff).matches) == "hidden"


def test_the_api_shows_what_was_found(setting: Setting, published: Release, client: Client) -> None:
    slug = setting.dataset.slug
    found = client.get(reverse("api-search"), {"q": f"{slug}@2025-01-01"}).json()
    url = "http://testserver" + reverse("version_detail", args=[slug, "2025-01-01"])
    exact = {"kind": "version", "name": f"{slug}@2025-01-01", "about": "Deprecated, 20 rows", "url": url}
    assert found["query"] == f"{slug}@2025-01-01"
    assert found["exact"] == exact
    assert exact in found["matches"]


def test_a_version_is_answered_with_advisories_counts_and_the_fix(
    setting: Setting, published: Release, client: Client
) -> None:
    setting.removal.refresh_from_db()
    expected = {
        "known": True,
        "affected": True,
        "versions": [
            {
                "dataset": setting.dataset.slug,
                "version": "2025-01-01",
                "status": "deprecated",
                "affected": True,
                "rows": 20,
                "rows_affected": 2,
                "rows_affected_exact": True,
                "advisories": [{"id": setting.removal.advisory_id, "rows": 2}],
                "fixed": "2025-01-01-r1",
                "fixed_root": published.root,
            }
        ],
    }
    assert ask(client, dataset=setting.dataset.slug, version="2025-01-01").json() == expected
    assert ask(client, sha256=setting.base.root).json() == expected
    digest = setting.base.version_shards.get(path="a/0.parquet").shard_id
    assert ask(client, sha256=digest).json() == expected


def test_a_release_is_not_affected(setting: Setting, published: Release, client: Client) -> None:
    found = ask(client, sha256=published.root).json()
    assert (found["affected"], found["versions"][0]["version"]) == (False, "2025-01-01-r1")


def test_what_is_not_known_is_not_called_clean(client: Client) -> None:
    assert ask(client, sha256="0" * 64).json() == {"known": False, "affected": None, "versions": []}


def test_unpublished_removals_and_drafts_answer_nothing(
    setting: Setting, verified: Release, client: Client
) -> None:
    client.force_login(setting.team.staff)  # also not to members: the question is public
    assert ask(client, dataset=setting.dataset.slug, version="2025-01-01").json()["affected"] is False
    assert ask(client, dataset=setting.dataset.slug, version="2025-01-01-r1").json()["known"] is False
    assert ask(client, sha256=verified.root).json()["known"] is False


@pytest.mark.parametrize(
    "body",
    [{}, {"dataset": "a"}, {"version": "b"}, {"sha256": "xyz"}, {"sha256": "A" * 64}, {"sha256": None},
     {"dataset": "a", "version": "b", "sha256": "0" * 64}, {"dataset": ["a"], "version": "b"}],
)  # fmt: skip
def test_half_a_question_is_a_400(client: Client, body: dict[str, Any]) -> None:
    assert ask(client, **body).status_code == 400


def test_the_home_page_has_one_search_box(client: Client) -> None:
    response = client.get(reverse("home"))
    assert response.content.decode().count('role="search"') == 1
