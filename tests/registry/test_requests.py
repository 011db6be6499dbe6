"""What no single page is about: addresses, bodies and answers that are made to break the site."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import RequestFactory

from registry.accounts.models import Role
from registry.datasets.models import VersionStatus
from registry.lib import uploads
from registry.lib.parsers import JSON_MAX_BYTES
from tests.factories import make_dataset, make_member, make_organisation, make_user, make_version

if TYPE_CHECKING:
    from django.test import Client
    from pytest_django import Settings

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store_folder")]


@pytest.mark.parametrize(
    ("address", "code"),
    [
        ("/advisories/%00/", 404),
        ("/datasets/open/versions/%00/", 404),
        ("/datasets/open/versions/v1/?shard=%00", 200),
        ("/api/v1/shards/%00/", 404),
        ("/search/?q=a%00b", 200),
        ("/status/%00/", 404),
    ],
)
def test_a_nul_in_an_address_breaks_nothing(client: Client, address: str, code: int) -> None:
    make_version(make_dataset(slug="open"), "v1")
    assert client.get(address).status_code == code


@pytest.mark.parametrize("body", ["[" * 100_000, '{"a":' * 100_000 + "1" + "}" * 100_000])
def test_json_that_is_nested_too_deeply_is_refused(client: Client, body: str) -> None:
    response = client.post("/api/v1/query", body, content_type="application/json")
    assert (response.status_code, response.json()) == (400, {"detail": "The JSON is nested too deeply."})


def test_a_body_over_the_limit_is_not_read(client: Client) -> None:
    body = '{"sha256": "' + "0" * JSON_MAX_BYTES + '"}'
    response = client.post("/api/v1/query", body, content_type="application/json")
    assert response.status_code == 413
    assert "detail" in response.json()


def test_an_absent_answer_does_not_tell_what_is_hidden(client: Client) -> None:
    hidden = make_version(status=VersionStatus.DRAFT).version_shards.get().shard_id
    answers = {client.get(f"/api/v1/shards/{digest}/").content for digest in (hidden, "0" * 64)}
    assert answers == {b'{"detail":"Not found."}'}


def test_who_has_not_signed_in_cannot_fill_the_disk(
    client: Client, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "ANYBODY", 1000)
    kept: list[Any] = []
    monkeypatch.setattr(
        "django.core.files.uploadhandler.MemoryFileUploadHandler.receive_data_chunk",
        lambda _self, data, _start: kept.append(len(data)),
    )
    file = SimpleUploadedFile("list.txt", b"x" * 200_000)
    answer = client.post("/report/", {"dataset": "x", "file": file})
    assert answer.status_code == 400
    assert "limit of 1,000 bytes" in answer.content.decode()
    assert kept == []


def test_a_member_may_upload_as_much_as_the_site_takes(settings: Settings) -> None:
    settings.UPLOAD_MAX_BYTES = 10**12
    request = RequestFactory().post("/")
    assert uploads.upload_limit(request) == uploads.ANYBODY
    request.user = make_user()
    assert uploads.upload_limit(request) == 10**12
    settings.UPLOAD_MAX_BYTES = 10
    del request.user
    assert uploads.upload_limit(request) == 10


def test_nobody_is_led_away_after_signing_in(client: Client) -> None:
    make_user("ada")
    for target in ("https://evil.example/", "//evil.example/", "https:evil.example", "/\\evil.example/"):
        sent = {"username": "ada", "password": "a long enough password", "next": target}
        response = client.post("/sign-in/", sent)
        assert (response.status_code, response["Location"]) == (302, "/")
        client.logout()


def test_a_foreign_host_is_refused(client: Client) -> None:
    assert client.get("/", headers={"Host": "evil.example"}).status_code == 400


def test_a_session_gets_a_new_key_when_somebody_signs_in(client: Client) -> None:
    make_user("ada")
    client.session.save()
    session = client.session
    session["before"] = True
    session.save()
    planted = session.session_key
    client.cookies["sessionid"] = planted or ""
    client.post("/sign-in/", {"username": "ada", "password": "a long enough password"})
    assert client.session.session_key != planted


def test_a_wrong_name_and_a_wrong_password_read_alike(client: Client) -> None:
    make_user("ada")
    make_user("gone", is_active=False)
    told = set()
    for name in ("ada", "nobody", "gone"):
        response = client.post("/sign-in/", {"username": name, "password": "wrong"})
        told.add(str(response.context["form"].non_field_errors()))
    assert len(told) == 1


def test_names_and_texts_are_never_markup(client: Client) -> None:
    script = "<script>alert(1)</script>"
    organisation = make_organisation(name=script)
    dataset = make_dataset(organisation, "open", name=script, description=script, licence=script)
    make_version(dataset, "v1", status_reason=script)
    make_version(dataset, "v2", shards={}, status=VersionStatus.DRAFT, status_reason=script)
    client.force_login(make_member(organisation, Role.APPROVER))
    for address in (
        "/datasets/",
        "/datasets/open/",
        "/datasets/open/versions/v1/",
        "/datasets/open/versions/v2/",
        "/datasets/open/versions/v2/retry/",
        "/account/",
        f"/organisations/{organisation.slug}/",
        f"/search/?q={script}",
        "/search/?q=zzz%22%3E%3Cscript%3Ealert(1)%3C/script%3E",
        f"/datasets/?q={script}",
        f"/report/?dataset={script}",
    ):
        response = client.get(address, follow=True)
        assert response.status_code == 200, address
        assert "<script>alert" not in response.content.decode(), address
        assert "default-src 'none'" in response["Content-Security-Policy"]
        assert response["X-Frame-Options"] == "DENY"
        assert response["X-Content-Type-Options"] == "nosniff"
