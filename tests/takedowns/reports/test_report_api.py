"""POST /api/v1/reports/ and the list of categories."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from django.conf import settings
from django.core.cache import cache
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse
from rest_framework.throttling import ScopedRateThrottle

from registry.datasets.models import Dataset, VersionStatus
from takedowns.reports.models import Report
from tests.factories import make_version
from tests.factories_takedowns import make_category

if TYPE_CHECKING:
    from django.test import Client

pytestmark = pytest.mark.django_db


def body(dataset: Dataset, /, **changed: Any) -> dict[str, Any]:
    make_category()
    return {
        "dataset": dataset.slug,
        "category": "opt_out",
        "description": "These are mine.",
        "items": ["https://img.example.com/1.jpg", "nonsense", "host:img.example.com"],
    } | changed


def post(client: Client, data: object) -> Any:
    return client.post(reverse("api-report-create"), json.dumps(data), content_type="application/json")


def test_a_program_without_account_reports_and_gets_the_secret_once(client: Client) -> None:
    version = make_version(name="v1")
    answer = post(client, body(version.dataset, versions=["v1"]))
    given = answer.json()
    report = Report.objects.get()
    assert answer.status_code == 201
    assert given["number"] == report.number
    assert (given["items_total"], given["items_readable"]) == (3, 2)
    assert given["status_url"] == f"{settings.SITE_URL}/status/{given['secret']}/"
    assert answer["Cache-Control"] == "no-store"
    status = client.get(reverse("api-report-status"), headers={"Report-Secret": given["secret"]})
    assert status.json()["number"] == report.number


def test_it_takes_a_file_as_multipart(client: Client) -> None:
    data = body(make_version().dataset, items=["id:1"], file=SimpleUploadedFile("l.txt", b"id:2\nid:3\n"))
    assert client.post(reverse("api-report-create"), data).json()["items_readable"] == 3


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"dataset": "nowhere"}, "dataset"),
        ({"dataset": {"slug": "x"}}, "dataset"),
        ({"category": "nothing"}, "category"),
        ({"items": "https://img.example.com/1.jpg"}, "items"),
        ({"items": []}, "items"),
        ({"items": [{"url": "x"}]}, "items"),
        ({"items": ["a\0b"]}, "items"),
        ({"items": ["x" * 9_000]}, "items"),
        ({"versions": ["no such"]}, "versions"),
        ({"description": ""}, "description"),
        ({"contact_email": "nowhere"}, "contact_email"),
    ],
)
def test_what_is_wrong_is_said_by_field_and_nothing_is_kept(
    client: Client, changed: dict[str, Any], field: str
) -> None:
    answer = post(client, body(make_version().dataset, **changed))
    assert answer.status_code == 400
    assert field in answer.json()
    assert not Report.objects.exists()


@pytest.mark.parametrize("data", [[], "text", None, 7, {"items": {}}])
def test_a_body_of_the_wrong_shape_is_refused(client: Client, data: object) -> None:
    assert post(client, data).status_code == 400


def test_a_body_that_is_not_json_is_refused(client: Client) -> None:
    answer = client.post(reverse("api-report-create"), b"{", content_type="application/json")
    assert answer.status_code == 400


def test_an_unknown_category_is_answered_with_those_that_are_taken(client: Client) -> None:
    answer = post(client, body(make_version().dataset, category="nothing"))
    assert "opt_out" in answer.json()["category"][0]


def test_a_kind_that_is_not_taken_is_refused_with_the_advice(client: Client) -> None:
    answer = post(client, body(make_version().dataset, category="child_safety"))
    assert answer.status_code == 409
    assert "inhope.org" in answer.json()["detail"]
    assert not Report.objects.exists()


def test_more_items_than_fit_are_refused(client: Client) -> None:
    answer = post(client, body(make_version().dataset, items=["id:1"] * 100_001))
    assert answer.status_code == 400
    assert not Report.objects.exists()


def test_a_body_that_is_too_large_is_not_read(client: Client) -> None:
    large = b" " * (settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1)
    answer = client.post(reverse("api-report-create"), large, content_type="application/json")
    assert answer.status_code == 413


def test_a_draft_dataset_does_not_exist_for_a_stranger(client: Client) -> None:
    assert post(client, body(make_version(status=VersionStatus.DRAFT).dataset)).status_code == 400


def test_too_many_reports_from_one_address_are_asked_to_wait(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.clear()
    monkeypatch.setattr(ScopedRateThrottle, "THROTTLE_RATES", {"reports": "1/hour"})
    data = body(make_version().dataset)
    assert post(client, data).status_code == 201
    answer = post(client, data)
    assert answer.status_code == 429
    assert int(answer["Retry-After"]) > 0
    cache.clear()


def test_the_categories_say_which_are_taken(client: Client) -> None:
    make_category()
    found = {
        row["slug"]: row["accepted"] for row in client.get(reverse("api-category-list")).json()["results"]
    }
    assert found["opt_out"]
    assert not found["child_safety"]
