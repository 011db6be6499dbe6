from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.test import RequestFactory
from django.utils import timezone

from registry.accounts.models import FailedSignIn
from registry.accounts.sign_in import LIMIT, client_address
from tests.factories import PASSWORD, make_member, make_organisation, make_user

if TYPE_CHECKING:
    from django.test import Client
    from pytest_django import Settings

pytestmark = pytest.mark.django_db


def sign_in(client: Client, username: str, password: str, address: str = "192.0.2.1") -> int:
    return client.post(
        "/sign-in/", {"username": username, "password": password}, REMOTE_ADDR=address
    ).status_code


def test_the_right_password_signs_in_and_signing_out_ends_it(client: Client) -> None:
    make_user("ada")
    assert sign_in(client, "ada", PASSWORD) == 302
    assert client.get("/account/").status_code == 200
    client.post("/sign-out/")
    assert client.get("/account/").status_code == 302


def test_a_member_comes_to_the_queue_and_anybody_else_home(client: Client) -> None:
    make_user("ada")
    make_member(make_organisation(), username="grace")
    for name, place in (("ada", "/"), ("grace", "/queue/")):
        answer = client.post("/sign-in/", {"username": name, "password": PASSWORD})
        assert answer["Location"] == place
        client.post("/sign-out/")
    asked = client.post("/sign-in/", {"username": "grace", "password": PASSWORD, "next": "/jobs/"})
    assert asked["Location"] == "/jobs/"


def test_a_wrong_password_says_so_without_saying_which_part_was_wrong(client: Client) -> None:
    make_user("ada")
    wrong_password = client.post("/sign-in/", {"username": "ada", "password": "wrong"}).content
    nobody = client.post("/sign-in/", {"username": "nobody", "password": "wrong"}).content
    assert b"do not go together" in wrong_password
    assert b"do not go together" in nobody


def test_it_refuses_even_the_right_password_after_too_many_wrong_ones(client: Client) -> None:
    make_user("ada")
    for _ in range(LIMIT):
        sign_in(client, "ada", "wrong")
    assert sign_in(client, "ADA", PASSWORD) == 200
    assert (
        b"Too many wrong passwords"
        in client.post(
            "/sign-in/", {"username": "ada", "password": PASSWORD}, REMOTE_ADDR="192.0.2.1"
        ).content
    )
    # Nobody locks another out: from another address the right password is looked at.
    assert sign_in(client, "ada", PASSWORD, "192.0.2.2") == 302


def test_the_block_ends_after_the_window(client: Client) -> None:
    make_user("ada")
    for _ in range(LIMIT):
        sign_in(client, "ada", "wrong")
    FailedSignIn.objects.update(at=timezone.now() - timedelta(minutes=16))
    assert sign_in(client, "ada", PASSWORD) == 302
    assert not FailedSignIn.objects.exists()


def test_it_keeps_neither_name_nor_address_nor_what_is_older_than_a_day(client: Client) -> None:
    FailedSignIn.objects.create(key=b"old", at=timezone.now() - timedelta(days=2))
    sign_in(client, "ada", "wrong")
    row = FailedSignIn.objects.get()
    assert len(bytes(row.key)) == 32
    assert b"ada" not in bytes(row.key)


def test_it_never_leads_to_another_site(client: Client) -> None:
    make_user("ada")
    answer = client.post(
        "/sign-in/?next=https://evil.example/",
        {"username": "ada", "password": PASSWORD, "next": "//evil.example/"},
    )
    assert answer["Location"] == "/"


@pytest.mark.parametrize(
    ("proxies", "forwarded", "expected"),
    [
        (0, "203.0.113.9", "192.0.2.1"),
        (1, "198.51.100.1, 203.0.113.9", "203.0.113.9"),
        (2, "203.0.113.9", "203.0.113.9"),
    ],
)
def test_only_our_own_proxies_are_believed(
    proxies: int, forwarded: str, expected: str, settings: Settings
) -> None:
    settings.PROXY_COUNT = proxies
    request = RequestFactory().get("/", REMOTE_ADDR="192.0.2.1", HTTP_X_FORWARDED_FOR=forwarded)
    assert client_address(request) == expected
