"""Every address of the site, tried by everybody; a route without a line in `doors.py` fails.

Whoever adds a route decides there who may go in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.test import Client
from django.urls import URLPattern, get_resolver

from registry.accounts.services import api_key_create
from tests.project.doors import DOORS, OTHER_METHODS, PEOPLE, REFUSED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registry.accounts.models import User
    from tests.project.world import World


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
