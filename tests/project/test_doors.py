"""Every address of the site, tried by everybody.

`DOORS` says what each route answers to GET and to an empty POST, for five kinds of people. A route without a line fails
the test: whoever adds one decides here who may go in. 404 is for what somebody may not know of, 403 for what he may see
and not do, 302 and 401 lead to the sign-in; 400 and 409 mean that the door stood open and the empty body was refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from django.db import transaction
from django.test import Client
from django.urls import URLPattern, get_resolver, reverse
from django.utils.http import urlencode

from registry.accounts.models import Role, User
from registry.accounts.services import api_key_create
from registry.datasets.models import VersionStatus
from registry.jobs.models import Job
from takedowns.releases import services as releases
from tests.factories import (
    make_dataset,
    make_member,
    make_organisation,
    make_rows,
    make_user,
    make_version,
    run_jobs,
)
from tests.factories_takedowns import make_removal, make_report, make_team
from tests.takedowns.released import keys

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from django.conf import LazySettings

    from expunge.signing import KeyFiles

__all__ = ["keys"]  # a fixture

PEOPLE = ("anonymous", "stranger", "staff", "maintainer", "approver")

# The same answer to all five; a stranger is a member of another organisation, in any role, or of none.
FOUND = "200 200 200 200 200"
ABSENT = "404 404 404 404 404"
NO_SUCH_METHOD = "405 405 405 405 405"
# Pages of members.
MEMBERS = "302 404 200 200 200"
MEMBERS_API = "401 404 200 200 200"
# A POST to what only members know of, by what each role may do; 302 is also where an act that was done leads to.
PUBLIC_READ = (FOUND, NO_SUCH_METHOD)
PUBLIC_READ_API = (FOUND, "401 405 405 405 405")

# name of the route, which of the world's things it is asked for: answers to GET, answers to POST
DOORS: dict[tuple[str, str], tuple[str, str]] = {
    ("home", ""): PUBLIC_READ,
    ("healthz", ""): PUBLIC_READ,
    ("search", ""): PUBLIC_READ,
    ("sign_in", ""): ("200 302 302 302 302", "200 302 302 302 302"),
    ("sign_out", ""): (NO_SUCH_METHOD, "302 302 302 302 302"),
    ("account", ""): ("302 200 200 200 200", "302 400 400 400 400"),
    # The key is the staff member's.
    ("api_key_revoke", "key"): ("302 405 405 405 405", "302 404 302 404 404"),
    ("organisation_detail", "organisation"): (MEMBERS, "302 404 400 400 400"),
    ("member_role_change", "member"): ("302 405 405 405 405", "302 404 302 302 302"),
    # The member is the staff member: he leaves, the others may end his membership.
    ("member_remove", "member"): ("302 405 405 405 405", "302 404 302 302 302"),
    ("job_list", ""): ("302 200 200 200 200", "302 405 405 405 405"),
    ("job_detail", "job"): (MEMBERS, "302 405 405 405 405"),
    ("job_progress", "job"): ("302 404 286 286 286", "302 405 405 405 405"),
    # A stranger who is a maintainer elsewhere may create a dataset there.
    ("dataset_create", ""): ("302 403+200+200 403 200 200", "302 403+400+400 403 400 400"),
    ("version_create", "dataset"): ("302 403 403 200 200", "302 403 403 400 400"),
    ("version_create", "hidden"): ("302 404 403 200 200", "302 404 403 400 400"),
    ("version_retry", "draft"): ("302 403 403 200 200", "302 403 403 409 409"),
    ("version_retry", "hidden draft"): ("302 404 403 200 200", "302 404 403 409 409"),
    ("lineage_create", "dataset"): ("302 403 403 200 200", "302 403 403 400 400"),
    ("lineage_create", "hidden"): ("302 404 403 200 200", "302 404 403 400 400"),
    ("report_create", ""): (FOUND, "400 400 400 400 400"),
    ("report_received", "secret"): PUBLIC_READ,
    ("report_received", "wrong secret"): (ABSENT, NO_SUCH_METHOD),
    ("report_status", "secret"): PUBLIC_READ,
    ("report_status", "wrong secret"): (ABSENT, NO_SUCH_METHOD),
    # A stranger who is a member somewhere has a queue of his own; it is empty.
    ("queue", ""): ("302 200 200 200 200", NO_SUCH_METHOD),
    ("case_next", ""): (NO_SUCH_METHOD, "302 302 302 302 302"),
    ("case_detail", "case"): (MEMBERS, NO_SUCH_METHOD),
    ("case_claim", "case"): (NO_SUCH_METHOD, "302 404 302 302 302"),
    ("case_release_claim", "case"): (NO_SUCH_METHOD, "302 404 409 409 409"),
    ("case_locate", "case"): (NO_SUCH_METHOD, "302 404 302 302 302"),
    ("item_mark", "case"): (NO_SUCH_METHOD, "302 404 400 400 400"),
    ("case_propose", "case"): (NO_SUCH_METHOD, "302 404 400 400 400"),
    ("case_approve", "case"): (NO_SUCH_METHOD, "302 404 400 400 400"),
    ("case_return", "case"): (NO_SUCH_METHOD, "302 404 400 400 400"),
    ("case_merge", "case"): (NO_SUCH_METHOD, "302 404 400 400 400"),
    ("release_file", "release file"): PUBLIC_READ,
    ("release_file", "unpublished file"): ("404 404 200 200 200", NO_SUCH_METHOD),
    ("release_urls", "release"): PUBLIC_READ,
    ("release_urls", "unpublished"): ("404 404 200 200 200", NO_SUCH_METHOD),
    ("release_key", "release key"): PUBLIC_READ,
    ("release_key", "unpublished key"): ("404 404 200 200 200", NO_SUCH_METHOD),
    ("release_create", "version"): ("302 405 405 405 405", "302 302 302 302 302"),
    ("release_create", "draft"): ("302 405 405 405 405", "302 404 302 302 302"),
    ("release_publish", "release"): ("302 405 405 405 405", "302 403 403 302 302"),
    ("release_publish", "unpublished"): ("302 405 405 405 405", "302 404 403 302 302"),
    ("dataset_list", ""): PUBLIC_READ,
    ("dataset_detail", "dataset"): PUBLIC_READ,
    ("dataset_detail", "hidden"): ("404 404 200 200 200", NO_SUCH_METHOD),
    ("version_detail", "version"): PUBLIC_READ,
    ("version_detail", "draft"): ("404 404 200 200 200", NO_SUCH_METHOD),
    ("version_detail", "unpublished"): ("404 404 200 200 200", NO_SUCH_METHOD),
    ("release_detail", "release"): PUBLIC_READ,
    ("release_detail", "unpublished"): ("404 404 200 200 200", NO_SUCH_METHOD),
    ("advisory_list", ""): PUBLIC_READ,
    ("advisory_detail", "advisory"): PUBLIC_READ,
    ("advisory_detail", "unpublished removal"): (ABSENT, NO_SUCH_METHOD),
    ("transparency", ""): PUBLIC_READ,
    ("transparency_csv", ""): PUBLIC_READ,
    ("api-schema", ""): PUBLIC_READ,
    ("api-docs", ""): PUBLIC_READ,
    ("api-me", ""): ("401 200 200 200 200", "401 405 405 405 405"),
    ("api-organisation-list", ""): ("401 200 200 200 200", "401 405 405 405 405"),
    ("api-member-list", "organisation"): (MEMBERS_API, "401 405 405 405 405"),
    ("api-job-list", ""): ("401 200 200 200 200", "401 405 405 405 405"),
    ("api-job-detail", "job pk"): (MEMBERS_API, "401 405 405 405 405"),
    ("api-dataset-list", ""): (FOUND, "401 400 400 400 400"),
    ("api-dataset-detail", "dataset"): PUBLIC_READ_API,
    ("api-dataset-detail", "hidden"): ("404 404 200 200 200", "401 405 405 405 405"),
    ("api-version-list", "dataset"): (FOUND, "401 400 400 400 400"),
    ("api-version-list", "hidden"): ("404 404 200 200 200", "401 400 400 400 400"),
    ("api-version-detail", "version"): PUBLIC_READ_API,
    ("api-version-detail", "draft"): ("404 404 200 200 200", "401 405 405 405 405"),
    ("api-version-detail", "unpublished"): ("404 404 200 200 200", "401 405 405 405 405"),
    ("api-version-ingest", "draft"): ("401 405 405 405 405", "401 404 403 202 202"),
    ("api-version-ingest", "version"): ("401 405 405 405 405", "401 403 403 409 409"),
    ("api-version-shards", "version"): PUBLIC_READ_API,
    ("api-version-shards", "draft"): ("404 404 200 200 200", "401 405 405 405 405"),
    ("api-lineage-list", ""): (FOUND, "401 400 400 400 400"),
    ("api-shard-detail", "shard"): PUBLIC_READ_API,
    ("api-shard-detail", "draft shard"): ("404 404 200 200 200", "401 405 405 405 405"),
    ("api-report-create", ""): (NO_SUCH_METHOD, "400 400 400 400 400"),
    ("api-category-list", ""): PUBLIC_READ,
    ("api-advisory-list", ""): PUBLIC_READ,
    ("api-advisory-detail", "advisory"): PUBLIC_READ,
    ("api-advisory-detail", "unpublished removal"): (ABSENT, NO_SUCH_METHOD),
    # The secret travels in a header, which nobody sends here.
    ("api-report-status", ""): (ABSENT, NO_SUCH_METHOD),
    ("api-report-status-items", ""): (ABSENT, NO_SUCH_METHOD),
    ("api-case-list", ""): ("401 200 200 200 200", "401 405 405 405 405"),
    ("api-case-next", ""): ("401 405 405 405 405", "401 204 200 200 200"),
    ("api-case-detail", "case"): (MEMBERS_API, "401 405 405 405 405"),
    ("api-case-items", "case"): (MEMBERS_API, "401 405 405 405 405"),
    ("api-case-items-mark", "case"): ("401 405 405 405 405", "401 404 400 400 400"),
    ("api-case-locations", "case"): (MEMBERS_API, "401 405 405 405 405"),
    ("api-case-claim", "case"): ("401 405 405 405 405", "401 404 200 200 200"),
    ("api-case-locate", "case"): ("401 405 405 405 405", "401 404 200 200 200"),
    ("api-case-propose", "case"): ("401 405 405 405 405", "401 404 400 400 400"),
    ("api-case-approve", "case"): ("401 405 405 405 405", "401 404 400 400 400"),
    ("api-case-return", "case"): ("401 405 405 405 405", "401 404 400 400 400"),
    ("api-case-merge", "case"): ("401 405 405 405 405", "401 404 400 400 400"),
    ("api-release-list", "dataset"): PUBLIC_READ,
    ("api-release-list", "hidden"): ("404 404 200 200 200", NO_SUCH_METHOD),
    ("api-release-detail", "release"): PUBLIC_READ,
    ("api-release-detail", "unpublished"): ("404 404 200 200 200", NO_SUCH_METHOD),
    ("api-release-files", "release"): PUBLIC_READ,
    ("api-release-files", "unpublished"): ("404 404 200 200 200", NO_SUCH_METHOD),
    ("api-release-build", "version"): ("401 405 405 405 405", "401 403 403 409 409"),
    ("api-release-build", "draft"): ("401 405 405 405 405", "401 404 403 409 409"),
    ("api-release-publish", "release"): ("401 405 405 405 405", "401 403 403 409 409"),
    ("api-release-publish", "unpublished"): ("401 405 405 405 405", "401 404 403 202 202"),
    ("api-search", ""): PUBLIC_READ,
    ("api-query", ""): (NO_SUCH_METHOD, "400 400 400 400 400"),
    ("api-statistics", ""): PUBLIC_READ,
}  # fmt: skip

# PUT, PATCH and DELETE find no door, but for these.
REFUSED = [302, 401, 403, 404, 405]
OTHER_METHODS = {
    ("api-case-claim", "delete"): "401 404 409 409 409",
    ("sign_in", "put"): "200 302 302 302 302",  # Django's view takes it for a POST
}


@dataclass
class World:
    """One organisation with something of every kind, public and not, and everybody who may come."""

    args: dict[str, dict[str, Any]]
    # What must never be in an answer to somebody from outside: what it is -> how it would read.
    secrets: dict[str, str]
    people: dict[str, list[User | None]]

    def door(self, name: str, thing: str) -> str:
        return reverse(name, kwargs=self.args[thing])


@pytest.fixture
def world(db: None, settings: LazySettings, tmp_path: Path, keys: KeyFiles) -> World:
    settings.STORE = tmp_path / "store"
    team = make_team()
    dataset = make_dataset(team.organisation, "open-set", name="Open set")
    base = make_version(dataset, "2025-01-01", {"0.csv": make_rows()})
    published = make_removal(team, dataset)
    release = releases.release_build(actor=team.maintainer, base=base)
    run_jobs()
    releases.release_publish(actor=team.maintainer, release=release)
    published.refresh_from_db()
    # Decided and built, not published.
    later = make_version(dataset, "2025-02-01", {"1.csv": make_rows(host="later.example.com")})
    removal = make_removal(team, dataset, ["https://later.example.com/3.jpg"])
    unpublished = releases.release_build(actor=team.maintainer, base=later)
    run_jobs()
    unpublished.refresh_from_db()
    assert unpublished.state == "verified", unpublished.failure
    draft = make_version(
        dataset, "unborn", {"2.csv": make_rows(host="draft.example.com")}, VersionStatus.DRAFT
    )
    hidden = make_dataset(team.organisation, "hidden-set", name="Veiled collection")
    hidden_draft = make_version(
        hidden, "veiled", {"3.csv": make_rows(host="veiled.example.com")}, VersionStatus.DRAFT
    )
    report, secret = make_report(
        dataset,
        ["https://img.example.com/5.jpg", "md5:00112233445566778899aabbccddeeff", "not a url at all"],
        description="Described in confidence.",
        contact_name="Confidential Reporter",
        contact_email="reporter@confidential.example",
    )
    run_jobs()
    case = report.cases.get()
    job = Job.objects.get(subject_id=case.pk)
    key, _ = api_key_create(actor=team.staff, name="a program")
    own = {"slug": "open-set", "name": release.version.name}
    coming = {"slug": "open-set", "name": unpublished.version.name}
    others = make_organisation()
    return World(
        args={
            "": {},
            "key": {"key_id": key.pk},
            "organisation": {"slug": team.organisation.slug},
            "member": {"slug": team.organisation.slug, "member_id": team.staff.memberships.get().pk},
            "job": {"job_id": job.pk},
            "job pk": {"pk": job.pk},
            "dataset": {"slug": "open-set"},
            "hidden": {"slug": "hidden-set"},
            "version": {"slug": "open-set", "name": base.name},
            "draft": {"slug": "open-set", "name": draft.name},
            "hidden draft": {"slug": "hidden-set", "name": hidden_draft.name},
            "secret": {"token": secret},
            "wrong secret": {"token": secret[:-1]},
            "case": {"number": case.number},
            "release": own,
            "release file": own | {"path": "data/0.csv"},
            "release key": own | {"key": "minisign.pub"},
            "unpublished": coming,
            "unpublished file": coming | {"path": "release.json"},
            "unpublished key": coming | {"key": "minisign.pub"},
            "advisory": {"advisory_id": published.advisory_id},
            "unpublished removal": {"advisory_id": str(removal.pk)},
            "shard": {"digest": base.version_shards.get().shard_id},
            "draft shard": {"digest": draft.version_shards.get().shard_id},
        },
        secrets={
            "a draft": "unborn",
            "a dataset of drafts": "Veiled collection",
            "a draft of a hidden dataset": "veiled",
            "an unpublished release": unpublished.version.name,
            "its root": unpublished.root,
            "a removal that is not published": str(removal.pk),
            "a case": case.number,
            "a report": report.number,
            "a job": str(job.pk),
            "a description": report.description,
            "a contact": report.contact_email,
            "a name": report.contact_name,
            "an item": "img.example.com/5.jpg",
            "an item that is a hash": "00112233445566778899aabbccddeeff",
            "an item that could not be read": "not a url at all",
            "a draft's shard": draft.version_shards.get().shard_id,
            "somebody who works there": team.staff.username,
            "who decides": team.approver.username,
        },
        people={
            "anonymous": [None],
            "stranger": [make_member(others, role) for role in Role],
            "staff": [team.staff],
            "maintainer": [team.maintainer],
            "approver": [team.approver],
        },
    )


def routes() -> Iterator[str]:
    """Name of every route but the admin's, which is Django's own and opens for superusers alone."""
    found: list[Any] = list(get_resolver().url_patterns)
    for pattern in found:
        if isinstance(pattern, URLPattern):
            yield pattern.name or str(pattern.pattern)
        elif pattern.namespace != "admin":
            found.extend(pattern.url_patterns)


def knock(client: Client, method: str, address: str, headers: dict[str, str]) -> int:
    """Ask, undo whatever was done, and return the status."""
    # A browser sends at least its token.
    body: dict[str, Any] = {"data": {"csrfmiddlewaretoken": "x"}}
    if method == "get":
        body = {}
    elif "/api/" in address:
        body = {"data": {}, "content_type": "application/json"}
    session = client.cookies.get("sessionid")
    with transaction.atomic():
        response: Any = getattr(client, method)(address, headers=headers, **body)
        if response.streaming:
            response.getvalue()
        transaction.set_rollback(True)
    if session:
        client.cookies["sessionid"] = session.value
    return int(response.status_code)


def ways_in(user: User | None) -> list[tuple[Client, dict[str, str]]]:
    """Signed in on the site, and by a key, which is for the API."""
    client = Client()
    if user is None:
        return [(client, {})]
    client.force_login(user)
    _, key = api_key_create(actor=user, name="knocks")
    return [(client, {}), (Client(), {"Authorization": f"Bearer {key}"})]


def test_every_route_says_who_may_go_in() -> None:
    known = {name for name, _ in DOORS}
    found = set(routes())
    assert found - known == set(), "Say in DOORS who may use these routes."
    assert known - found == set(), "These routes are gone."


def test_every_door_opens_to_those_whom_its_line_names(world: World) -> None:
    ways = {
        (person, number): ways_in(user)
        for person, users in world.people.items()
        for number, user in enumerate(users)
    }
    wrong = []
    for (name, thing), answers in DOORS.items():
        address = world.door(name, thing)
        asked = [*zip(("get", "post"), answers, strict=True)]
        asked += [
            (method, OTHER_METHODS.get((name, method), "")) for method in ("put", "patch", "delete") if name
        ]
        for method, expected in asked:
            codes = dict(zip(PEOPLE, expected.split(), strict=True)) if expected else {}
            for (person, number), clients in ways.items():
                if not expected and person not in {"anonymous", "approver"}:
                    continue
                wanted = [int(code) for code in codes.get(person, "").split("+") if code]
                for client, headers in clients if name.startswith("api-") else clients[:1]:
                    if wanted == [405] and person not in {"anonymous", "approver"}:
                        continue
                    got = knock(client, method, address, headers)
                    allowed = [wanted[number % len(wanted)]] if wanted else REFUSED
                    if got not in allowed:
                        wrong.append(
                            f"{method} {name} ({thing}) by {person} {number} {headers}: {got}, not {allowed}"
                        )
    assert not wrong, "\n".join(wrong)


def pages(world: World) -> Iterator[str]:
    """Every address that answers GET to anybody, with whatever may be asked of its lists."""
    asked: list[dict[str, str]] = [
        {},
        {"status": "draft"},
        {"state": "verified"},
        {"q": "hidden"},
        {"q": "e"},
        {"q": "r"},
        {"q": "-"},
        {"q": "0"},
        {"dataset": "hidden-set"},
        {"organisation": world.args["organisation"]["slug"]},
        {"category": "opt_out"},
        {"ordering": "-status"},
        {"order_by": "status"},
        {"status__in": "draft"},
        {"dataset__reports__contact_email__startswith": "r"},
        {"page_size": "500"},
    ]
    for (name, thing), (answers, _) in DOORS.items():
        # The reporter's own pages, and the dataset itself, of which the item is a row.
        if name in {"report_received", "report_status", "release_file"}:
            continue
        if "200" in answers:
            for query in asked if name.endswith("list") else asked[:1]:
                yield f"{world.door(name, thing)}?{urlencode(query)}"
    root = world.secrets["its root"]
    for text in ("hidden", "veiled", "unborn", "2025-02-01-r", "CASE", "RPT", root[:10]):
        for search in ("search", "api-search"):
            yield f"{reverse(search)}?{urlencode({'q': text})}"


def test_nothing_that_is_not_public_is_told_to_anybody_from_outside(world: World) -> None:
    told = []
    clients = [Client(), Client()]
    clients[1].force_login(world.people["stranger"][-1] or make_user())
    for client in clients:
        for address in pages(world):
            response: Any = client.get(address)
            text = (response.getvalue() if response.streaming else response.content).decode(errors="replace")
            told += [
                f"{address} tells {what}: {secret}"
                for what, secret in world.secrets.items()
                # What somebody names himself may be repeated to him.
                if secret in text and secret not in address
            ]
    assert not told, "\n".join(told)


def test_a_search_for_what_is_hidden_counts_nothing(world: World) -> None:
    found = Client().get(reverse("api-search"), {"q": world.secrets["its root"]}).json()
    assert (found["exact"], found["matches"]) == (None, [])
    for address in (
        "/api/v1/datasets/?q=hidden",
        "/api/v1/datasets/open-set/versions/?status=draft",
        "/api/v1/advisories/?q=later",
    ):
        assert Client().get(address).json()["count"] == 0, address
    assert {
        one["state"] for one in Client().get("/api/v1/datasets/open-set/releases/").json()["results"]
    } == {"published"}


def test_every_act_asks_for_the_token_of_its_page(world: World) -> None:
    client = Client(enforce_csrf_checks=True)
    user = world.people["approver"][0]
    assert user is not None
    client.force_login(user)
    open_to_programs = {"api-query"}  # asks, changes nothing, and knows no session
    unguarded = []
    for (name, thing), (_, answers) in DOORS.items():
        if "405" in answers.split()[-1] or name in open_to_programs:
            continue
        got = knock(client, "post", world.door(name, thing), {})
        if got != 403:
            unguarded.append(f"{name} ({thing}): {got}")
    assert not unguarded, "\n".join(unguarded)
