from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from registry.accounts.models import Role, User
from registry.auditlog.models import AuditEntry
from registry.links.content.models import LinkContent
from registry.links.content.selectors import version_content
from registry.links.models import Link, LinkPolicy, Panel
from tests.factories import make_member, make_user

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

    from registry.datasets.models import Version

    MakePanel = Callable[..., Version]

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store_folder")]

STATES = ["identical"] * 3 + ["revalidated", "near_identical", "changed", "replaced", "identical", "replaced"]


@pytest.fixture
def version(make_panel: MakePanel) -> Version:
    """Ten links: five give the same, one changed, one replaced; one that was so is dead, one excluded, one not read."""
    urls = [f"https://h{number % 5}.example.com/{number}" for number in range(10)]
    version = make_panel(urls)
    now = timezone.now()
    Link.objects.update(state="alive", outcome="ok", checked_at=now)
    Link.objects.filter(url=urls[7]).update(state="dead", failures=3)
    for url, state in zip(urls[:8], STATES, strict=False):
        LinkContent.objects.create(
            link=Link.objects.get(url=url), state=state, evidence="whole", read_at=now, suspect_at=now
        )
    Link.objects.filter(url=urls[8]).update(state="excluded", due_at=None)
    return version


@pytest.fixture
def maintainer(version: Version) -> User:
    return make_member(version.dataset.organisation, Role.MAINTAINER)


def page(version: Version, act: str = "") -> str:
    return f"/datasets/{version.dataset.slug}/versions/{version.name}/links/{act}"


def api(version: Version, rest: str = "") -> str:
    return f"/api/v1{page(version)}{rest}"


def turn(level: str) -> None:
    LinkPolicy.objects.update(content=level)


def test_nothing_is_told_of_content_where_its_maintainer_did_not_turn_it_on(
    client: Client, version: Version, maintainer: User
) -> None:
    """Even where another dataset has the same links read."""
    client.force_login(maintainer)
    assert 'id="content"' not in client.get(page(version)).content.decode()
    assert client.get(api(version)).json()["content"] is None
    told = client.get(api(version, "rows/")).json()["results"]
    assert {(row["content"], row["content_evidence"]) for row in told} == {("unknown", "")}


def test_no_time_tells_when_what_cannot_be_told_was_read(version: Version) -> None:
    """What is excluded keeps none."""
    turn("bytes")
    Link.objects.exclude(state="excluded").update(state="unverifiable", outcome="forbidden")
    found = version_content(Panel.objects.get(version=version), LinkPolicy.objects.get())
    assert found is not None
    assert (found.read_first, found.read_last) == (None, None)
    Link.objects.filter(content__isnull=False, url__endswith="/0").update(state="alive")
    found = version_content(Panel.objects.get(version=version), LinkPolicy.objects.get())
    assert found is not None
    assert found.read_first is not None


def test_everybody_sees_the_figures_and_only_maintainers_the_control(
    client: Client, version: Version, maintainer: User
) -> None:
    turn("bytes")
    public = client.get(page(version)).content.decode()
    assert "of its links had their content replaced." in public
    assert "50.0% are known to give the same as before." in public
    assert "Reading content" not in public
    assert "Only headers are asked for" not in public
    client.force_login(maintainer)
    shown = client.get(page(version)).content.decode()
    assert "This concerns 10 links on 5 hosts, in 1 version" in shown
    assert "Change what is read of 10 links" in shown


def test_what_does_not_answer_or_is_excluded_is_not_known(version: Version) -> None:
    turn("images")
    LinkContent.objects.create(
        link=Link.objects.get(state="excluded"), state="replaced", suspect_at=timezone.now()
    )
    found = version_content(Panel.objects.get(), LinkPolicy.objects.get())
    assert found is not None
    assert {state.value: count for state, count in found.counts.items()} == {
        "unknown": 3, "identical": 3, "revalidated": 1, "near_identical": 1, "changed": 1, "replaced": 1,
    }  # fmt: skip
    assert found.same.value == 0.5
    assert found.same.low < 0.5 < found.same.high
    assert found.replaced_at_least <= 0.1
    assert found.replaced_at_most >= 0.4
    Panel.objects.update(size=11)
    whole = version_content(Panel.objects.get(), LinkPolicy.objects.get())
    assert whole is not None
    assert (whole.replaced_at_least, whole.replaced_at_most) == (0.1, 0.4)


def test_a_panel_of_unusable_urls_alone_is_not_known(version: Version) -> None:
    turn("bytes")
    Panel.objects.update(urls_unusable=10)
    found = version_content(Panel.objects.get(), LinkPolicy.objects.get())
    assert found is not None
    assert found.unknown.value == 13 / 20


def test_the_api_tells_and_filters(client: Client, version: Version, maintainer: User) -> None:
    turn("bytes")
    told = client.get(api(version)).json()["content"]
    assert (told["checks"], told["counts"]["identical"], told["same"]["value"]) == ("bytes", 3, 0.5)
    client.force_login(maintainer)
    for query, count in [("content=identical", 3), ("content=replaced", 1), ("content=unknown", 2)]:
        assert client.get(api(version, f"rows/?{query}")).json()["count"] == count, query
    assert client.get(api(version, "rows/?content=other")).status_code == 400


def test_a_maintainer_turns_it_on_and_off(client: Client, version: Version, maintainer: User) -> None:
    client.force_login(maintainer)
    shown = client.post(page(version, "content/"), {"content": "images", "links": "10"}, follow=True)
    assert "From now on: compare bytes, and pictures by how they look." in shown.content.decode()
    assert LinkPolicy.objects.get().content == "images"
    client.post(page(version, "content/"), {"content": "images", "links": "10"})
    client.post(page(version, "content/"), {"content": "off", "links": "10"})
    assert not LinkContent.objects.exists()
    entries = AuditEntry.objects.filter(action="links_content").order_by("pk").values_list("data", flat=True)
    assert list(entries) == [
        {"content": "images", "links": 10, "forgotten": 0},
        {"content": "off", "links": 10, "forgotten": 8},
    ]


def test_what_another_dataset_reads_is_not_forgotten(
    client: Client, version: Version, maintainer: User, make_panel: MakePanel
) -> None:
    make_panel([f"https://h{number}.example.com/{number}" for number in range(2)])
    turn("bytes")
    client.force_login(maintainer)
    client.post(page(version, "content/"), {"content": "off", "links": "10"})
    assert LinkContent.objects.count() == 2


@pytest.mark.parametrize(
    "data", [{}, {"content": "all", "links": "10"}, {"content": "bytes"}, {"content": "bytes", "links": "-1"}]
)
def test_bad_input_changes_nothing(
    client: Client, version: Version, maintainer: User, data: dict[str, str]
) -> None:
    client.force_login(maintainer)
    assert client.post(page(version, "content/"), data).status_code == 400
    assert client.post(api(version, "content/"), json.dumps(data), "application/json").status_code == 400
    assert LinkPolicy.objects.get().content == "off"


def test_it_is_refused_when_the_links_changed_since_they_were_looked_at(
    client: Client, version: Version, maintainer: User
) -> None:
    client.force_login(maintainer)
    answer = client.post(page(version, "content/"), {"content": "bytes", "links": "9"})
    assert answer.status_code == 409
    assert "now it concerns 10. Look again." in answer.content.decode()
    assert LinkPolicy.objects.get().content == "off"


def test_without_links_there_is_nothing_to_turn_on(
    client: Client, version: Version, maintainer: User
) -> None:
    Panel.objects.all().delete()
    LinkPolicy.objects.all().delete()
    client.force_login(maintainer)
    assert "Reading content" not in client.get(page(version)).content.decode()
    assert client.post(page(version, "content/"), {}).status_code == 400
    answer = client.post(page(version, "content/"), {"content": "bytes", "links": "0"})
    assert answer.status_code == 409
    assert "Draw those of a version first." in answer.content.decode()
    assert client.get(api(version, "content/")).json() == {
        "content": "off",
        "links": 0,
        "hosts": 0,
        "versions": 0,
    }


def test_staff_and_strangers_change_and_see_nothing_of_it(client: Client, version: Version) -> None:
    data = {"content": "bytes", "links": "10"}
    assert client.post(page(version, "content/"), data).status_code == 302  # to sign in
    assert client.get(api(version, "content/")).status_code == 401
    for user in (make_user(), make_member(version.dataset.organisation, Role.STAFF)):
        client.force_login(user)
        assert client.post(page(version, "content/"), data).status_code == 403
        assert client.post(api(version, "content/"), json.dumps(data), "application/json").status_code == 403
        assert client.get(api(version, "content/")).status_code == 403
        assert "Reading content" not in client.get(page(version)).content.decode()
    assert LinkPolicy.objects.get().content == "off"


def test_the_api_shows_the_consequence_and_takes_the_act(
    client: Client, version: Version, maintainer: User
) -> None:
    client.force_login(maintainer)
    read = client.get(api(version, "content/")).json()
    assert read == {"content": "off", "links": 10, "hosts": 5, "versions": 1}
    body = json.dumps({"content": "bytes", "links": read["links"]})
    assert client.post(api(version, "content/"), body, "application/json").json()["content"] == "bytes"


def test_the_database_knows_no_other_states(version: Version) -> None:
    for change in ({"state": "fine"}, {"evidence": "gut feeling"}, {"state": "replaced", "suspect_at": None}):
        with pytest.raises(IntegrityError), transaction.atomic():
            LinkContent.objects.update(**change)
    with pytest.raises(IntegrityError), transaction.atomic():
        turn("all")
