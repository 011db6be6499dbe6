"""Nothing that is not public is told to anybody from outside, whatever he asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.test import Client
from django.urls import reverse
from django.utils.http import urlencode

from tests.factories import make_user
from tests.project.doors import DOORS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.project.world import World


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
