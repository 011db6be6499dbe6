"""The page that anybody reports with, and the page shown after it."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.cache import cache
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from rest_framework.throttling import ScopedRateThrottle

from registry.datasets.models import Dataset, VersionStatus
from takedowns.reports.models import Report
from tests.factories import make_version
from tests.factories_takedowns import make_category, make_report

pytestmark = pytest.mark.django_db


def fields(dataset: Dataset, /, **changed: Any) -> dict[str, Any]:
    make_category()
    return {
        "dataset": dataset.slug,
        "category": "opt_out",
        "items": "https://img.example.com/1.jpg\r\nnonsense\r\n",
        "description": "These are mine.",
    } | changed


def test_a_stranger_sends_a_report_and_gets_its_number_and_secret_link(client: Client) -> None:
    answer = client.post(reverse("report_create"), fields(make_version().dataset), follow=True)
    report = Report.objects.get()
    page = answer.content.decode()
    assert answer.status_code == 200
    assert report.number in page
    assert "/status/" in page
    assert "Line 2: This entry" in page
    assert "nonsense" not in page


def test_an_attached_file_is_read_with_what_was_pasted(client: Client) -> None:
    file = SimpleUploadedFile(
        "list.txt", b"\xef\xbb\xbfhttps://img.example.com/2.jpg\nhttps://img.example.com/3.jpg\n"
    )
    client.post(
        reverse("report_create"),
        fields(make_version().dataset, items="https://img.example.com/1.jpg", file=file),
    )
    assert Report.objects.get().items_readable == 3


def test_lines_are_counted_anew_in_the_file_as_the_reporter_counts_them(client: Client) -> None:
    file = SimpleUploadedFile("list.txt", b"nonsense\nhttps://img.example.com/1.jpg\n")
    answer = client.post(
        reverse("report_create"),
        fields(make_version().dataset, items="https://img.example.com/1.jpg\nnothing\n", file=file),
        follow=True,
    )
    page = answer.content.decode()
    assert "Line 2 of the pasted text: This entry" in page
    assert "Line 1 of the file: This entry" in page
    assert "Line 2 of the file: The same as line 1 of the pasted text." in page


def test_a_file_alone_has_its_own_lines(client: Client) -> None:
    file = SimpleUploadedFile("list.txt", b"nonsense\nhttps://img.example.com/1.jpg\n")
    answer = client.post(
        reverse("report_create"), fields(make_version().dataset, items="", file=file), follow=True
    )
    assert "Line 1 of the file: This entry" in answer.content.decode()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"dataset": "nowhere"}, "There is no such dataset"),
        ({"dataset": ""}, "Choose a dataset"),
        ({"dataset": "a\0b"}, "Null characters"),
        ({"category": "nothing"}, "There is no such category"),
        ({"category": ""}, "Choose what is wrong"),
        ({"items": " \n "}, "Name at least one row"),
        ({"items": "nonsense"}, "The only line could not be read. Line 1:"),
        ({"description": ""}, "Say in a sentence"),
        ({"description": "x" * 10_001}, "10000"),
        ({"contact_email": "nowhere"}, "This is not an e-mail address"),
        ({"file": SimpleUploadedFile("l.txt", b"\xff\xfe\x00")}, "not text in UTF-8"),
        ({"file": SimpleUploadedFile("l.txt", b"")}, "The file is empty"),
    ],
)
def test_what_is_wrong_is_said_at_the_field_and_nothing_is_kept(
    client: Client, changed: dict[str, Any], said: str
) -> None:
    answer = client.post(reverse("report_create"), fields(make_version().dataset, **changed))
    assert answer.status_code == 400
    assert said in answer.content.decode()
    assert not Report.objects.exists()


def test_a_draft_dataset_cannot_be_reported_by_a_stranger(client: Client) -> None:
    hidden = make_version(status=VersionStatus.DRAFT).dataset
    assert hidden.slug not in client.get(reverse("report_create")).content.decode()
    assert client.post(reverse("report_create"), fields(hidden)).status_code == 400


def test_the_form_explains_what_it_cannot_take_and_offers_no_such_choice(client: Client) -> None:
    make_category()
    page = client.get(reverse("report_create")).content.decode()
    assert "Do not send us the address" in page
    assert 'value="opt_out"' in page
    assert 'value="child_safety"' not in page


def test_a_kind_that_is_not_taken_is_refused_with_the_advice(client: Client) -> None:
    answer = client.post(reverse("report_create"), fields(make_version().dataset, category="child_safety"))
    assert answer.status_code == 400
    assert "does not yet take reports of this kind" in answer.content.decode()
    assert not Report.objects.exists()


def test_a_link_from_a_dataset_chooses_it_and_shows_its_versions(client: Client) -> None:
    version = make_version(name="2025-01-01")
    page = client.get(reverse("report_create"), {"dataset": version.dataset.slug}).content.decode()
    assert "2025-01-01 (2026-01-01)" in page


def test_a_version_of_another_dataset_is_refused(client: Client) -> None:
    answer = client.post(
        reverse("report_create"), fields(make_version().dataset, versions=[str(make_version().pk)])
    )
    assert answer.status_code == 400
    assert "does not belong to the dataset" in answer.content.decode()


def test_what_somebody_wrote_comes_back_escaped(client: Client) -> None:
    script = "<script>alert(1)</script>"
    answer = client.post(
        reverse("report_create"), fields(make_version().dataset, description=script, items="")
    )
    assert script not in answer.content.decode()
    assert "&lt;script&gt;" in answer.content.decode()


def test_it_needs_the_token_of_the_form() -> None:
    strict = Client(enforce_csrf_checks=True)
    answer = strict.post(reverse("report_create"), fields(make_version().dataset))
    assert answer.status_code == 403
    assert not Report.objects.exists()


def test_too_many_reports_from_one_address_are_asked_to_wait(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.clear()
    monkeypatch.setattr(ScopedRateThrottle, "THROTTLE_RATES", {"reports": "1/hour"})
    data = fields(make_version().dataset)
    assert client.post(reverse("report_create"), data).status_code == 302
    answer = client.post(reverse("report_create"), data)
    assert answer.status_code == 429
    assert "try again in" in answer.content.decode()
    assert Report.objects.count() == 1
    cache.clear()


def test_the_page_after_sending_is_kept_by_nobody_and_told_to_nobody(client: Client) -> None:
    _, secret = make_report()
    answer = client.get(reverse("report_received", args=[secret]))
    assert "no-store" in answer["Cache-Control"]
    assert answer["Referrer-Policy"] == "no-referrer"
    assert "noindex" in answer["X-Robots-Tag"]
    assert not answer.cookies


def test_a_wrong_secret_finds_nothing(client: Client) -> None:
    make_report()
    assert client.get(reverse("report_received", args=["guess"])).status_code == 404
