from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.contrib import admin

from registry.auditlog.services import audit_append
from registry.datasets.models import Version
from registry.jobs.models import Job
from tests.factories import make_dataset, make_organisation, make_user, make_version

if TYPE_CHECKING:
    from django.test import Client

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store_folder")]


def test_only_superusers_enter(client: Client) -> None:
    for user in (None, make_user(), make_user(is_staff=True)):
        if user:
            client.force_login(user)
        assert client.get("/admin/registry/organisation/").status_code == 302
    client.force_login(make_user(is_superuser=True))
    make_organisation()
    assert client.get("/admin/registry/organisation/").status_code == 200


def test_log_jobs_datasets_and_versions_are_only_shown(client: Client) -> None:
    client.force_login(make_user(is_superuser=True))
    version = make_version(make_dataset(), shards={})
    audit_append(actor=None, action="x", subject=version, organisation=None)
    Job.objects.create(organisation=version.dataset.organisation, kind="x", subject_id=version.pk, title="x")
    for model in ("auditentry", "job", "dataset", "version"):
        assert client.get(f"/admin/registry/{model}/").status_code == 200
        assert client.get(f"/admin/registry/{model}/add/").status_code == 403
    change = f"/admin/registry/version/{version.pk}/"
    assert client.post(f"{change}change/", {"name": "y"}).status_code == 403
    assert client.post(f"{change}delete/", {"post": "yes"}).status_code == 403
    assert Version.objects.get().name == version.name


def test_secrets_and_shards_are_not_in_the_admin() -> None:
    names = {model._meta.model_name for model in admin.site._registry if model._meta.app_label == "registry"}
    assert names == {"organisation", "user", "auditentry", "job", "dataset", "version", "host"}


def test_guessing_a_superusers_password_is_slowed_down(client: Client) -> None:
    make_user("root", is_superuser=True, is_staff=True)
    for _ in range(10):
        client.post("/admin/login/", {"username": "root", "password": "wrong"})
    right = client.post("/admin/login/", {"username": "root", "password": "a long enough password"})
    assert right.status_code == 200
    assert "Too many wrong passwords" in right.content.decode()
