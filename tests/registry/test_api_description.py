"""The description of the API says who needs to sign in, and is right."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from drf_spectacular.generators import SchemaGenerator

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.test import Client

KEYLESS: dict[str, Any] = {}  # among the ways in: none is needed, though a key may show more
ABSENT = {"integer": "0", "uuid": "0190f5a4-0000-7000-8000-000000000000"}  # by type
ANYBODY = {"/api/v1/reports/", "/api/v1/query"}  # what strangers may POST to


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Method, address with every parameter filled in by something that is not there, and description."""
    schema: Any = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]  # the package has no types
    for path, described in schema["paths"].items():
        for method, operation in described.items():
            filled = path
            for one in operation.get("parameters", ()):
                if one["in"] == "path":
                    kind = one["schema"].get("format", one["schema"]["type"])
                    filled = filled.replace(f"{{{one['name']}}}", ABSENT.get(kind, "absent"))
            yield method, filled, operation


@pytest.mark.django_db
def test_what_asks_for_a_sign_in_says_so_and_nothing_else_does(client: Client) -> None:
    described = list(operations())
    assert {method for method, _, _ in described} == {"get", "post", "delete"}
    for method, address, operation in described:
        asked = getattr(client, method)(address, content_type="application/json")
        assert (asked.status_code == 401) == (KEYLESS not in operation["security"]), (method, address)


def test_every_public_read_is_open_and_every_act_but_two_is_not() -> None:
    keyless = {(method, path) for method, path, one in operations() if KEYLESS in one["security"]}
    assert {path for method, path in keyless if method != "get"} == ANYBODY
    assert ("get", "/api/v1/datasets/absent/versions/absent/") in keyless
