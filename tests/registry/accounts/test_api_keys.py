from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from registry.accounts import services
from registry.accounts.models import ApiKey, Role
from registry.auditlog.models import AuditEntry
from registry.lib.errors import NotAllowed, Refused
from tests.factories import make_member, make_organisation, make_user

if TYPE_CHECKING:
    from django.test import Client
    from pytest_django import DjangoAssertNumQueries

pytestmark = pytest.mark.django_db


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def test_a_key_signs_its_owner_in(client: Client) -> None:
    organisation = make_organisation("lab")
    user = make_member(organisation, Role.MAINTAINER, "ada")
    key, secret = services.api_key_create(actor=user, name="demo")
    answer = client.get("/api/v1/me/", headers=bearer(secret)).json()
    assert answer == {
        "id": str(user.pk),
        "username": "ada",
        "memberships": [{"organisation": "lab", "role": "maintainer"}],
    }
    key.refresh_from_db()
    assert key.last_used_at is not None


def test_only_the_digest_of_a_key_is_kept() -> None:
    _, secret = services.api_key_create(actor=make_user(), name="demo")
    key = ApiKey.objects.get()
    assert secret.startswith("exp_")
    assert secret.encode() not in bytes(key.digest)
    assert key.prefix == secret[:8]
    assert secret not in str(list(AuditEntry.objects.values()))


@pytest.mark.parametrize("secret", ["", "exp_", "exp_wrong", "\xe9", "a b c"])
def test_a_wrong_key_is_401_and_says_how_to_sign_in(client: Client, secret: str) -> None:
    answer = client.get("/api/v1/me/", headers=bearer(secret))
    assert answer.status_code == 401
    assert answer["WWW-Authenticate"] == "Bearer"


def test_no_key_is_401(client: Client) -> None:
    assert client.get("/api/v1/me/").status_code == 401


def test_a_revoked_key_is_401(client: Client) -> None:
    user = make_user()
    key, secret = services.api_key_create(actor=user, name="demo")
    services.api_key_revoke(actor=user, key=key)
    services.api_key_revoke(actor=user, key=key)
    assert client.get("/api/v1/me/", headers=bearer(secret)).status_code == 401
    assert AuditEntry.objects.filter(action="api_key_revoke").count() == 1


def test_the_key_of_a_closed_account_is_401(client: Client) -> None:
    user = make_user()
    _, secret = services.api_key_create(actor=user, name="demo")
    user.is_active = False
    user.save()
    assert client.get("/api/v1/me/", headers=bearer(secret)).status_code == 401


def test_the_page_shows_a_new_key_once(client: Client) -> None:
    user = make_user()
    client.force_login(user)
    shown = client.post("/account/", {"name": "demo"})
    assert shown.status_code == 200
    assert "exp_" in shown.content.decode()
    assert shown["Cache-Control"].count("no-store") == 1
    again = client.get("/account/").content.decode()
    assert user.api_keys.get().prefix in again
    assert "Copy this key now" not in again


def test_the_page_refuses_a_key_without_a_name(client: Client) -> None:
    client.force_login(make_user())
    assert client.post("/account/", {"name": " "}).status_code == 400
    assert not ApiKey.objects.exists()


def test_there_is_a_limit_to_keys_in_use(client: Client) -> None:
    user = make_user()
    for number in range(services.MAX_API_KEYS):
        services.api_key_create(actor=user, name=str(number))
    client.force_login(user)
    answer = client.post("/account/", {"name": "one more"})
    assert answer.status_code == 409
    assert b"Revoke one" in answer.content


def test_nobody_revokes_the_key_of_another(client: Client) -> None:
    key, _ = services.api_key_create(actor=make_user(), name="demo")
    stranger = make_user()
    with pytest.raises(NotAllowed):
        services.api_key_revoke(actor=stranger, key=key)
    client.force_login(stranger)
    assert client.post(f"/account/keys/{key.pk}/revoke/").status_code == 404
    key.refresh_from_db()
    assert key.revoked_at is None


def test_the_owner_revokes_on_the_page(client: Client) -> None:
    user = make_user()
    key, _ = services.api_key_create(actor=user, name="demo")
    client.force_login(user)
    assert client.get(f"/account/keys/{key.pk}/revoke/").status_code == 405
    assert client.post(f"/account/keys/{key.pk}/revoke/").status_code == 302
    assert b"Revoked" in client.get("/account/").content


def test_who_did_not_sign_in_is_sent_to_do_so(client: Client) -> None:
    answer = client.get("/account/")
    assert answer["Location"] == "/sign-in/?next=/account/"


def test_a_name_that_is_too_long_is_refused() -> None:
    with pytest.raises(Refused):
        services.api_key_create(actor=make_user(), name="x" * 101)


def test_the_account_page_takes_as_many_queries_for_many_keys(
    client: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    organisation = make_organisation()
    user = make_member(organisation)
    for number in range(12):
        services.api_key_create(actor=user, name=str(number))
    client.force_login(user)
    with django_assert_max_num_queries(6):
        client.get("/account/")
