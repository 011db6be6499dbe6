"""The files to keep: that of members, with URLs, and the public one of states, without."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from django.utils import timezone

from expunge.keys import KeyKind, keys_of_url
from registry.links import rows as reading
from registry.links.models import Link, Panel
from tests.registry.links.rows.conftest import STATES, url, urls_in_csv

if TYPE_CHECKING:
    from django.test import Client

    from registry.accounts.models import User
    from registry.datasets.models import Version

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store_folder")]


def test_a_file_of_many_links_is_read_in_parts_and_whole(
    client: Client, rows: str, staff: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "AT_ONCE", 3)
    client.force_login(staff)
    assert urls_in_csv(client, rows) == [url(state) for state in STATES if state != "excluded"]
    answer: Any = client.get(f"{rows.removesuffix('/')}.csv")
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert "links-with-urls.csv" in answer["Content-Disposition"]
    first = next(csv.DictReader(io.StringIO(answer.getvalue().decode())))
    assert (first["path"], first["row"], first["state"], first["status"]) == ("0.csv", "0", "alive", "200")
    assert first["url.raw.sha256"] == keys_of_url(url("alive"))[KeyKind.URL_RAW]


def test_the_file_writes_times_as_programs_read_them(client: Client, rows: str, staff: User) -> None:
    # In an hour that much of Europe does not have.
    checked = datetime(2026, 3, 29, 1, 30, 0, 120_000, tzinfo=UTC)
    Link.objects.filter(url=url("dead")).update(checked_at=checked, opt_outs=["noai", "noimageai"])
    client.force_login(staff)
    answer: Any = client.get(f"{rows.removesuffix('/')}.csv")
    lines = {line["state"]: line for line in csv.DictReader(io.StringIO(answer.getvalue().decode()))}
    assert lines["dead"]["checked_at"] == "2026-03-29T01:30:00.120000+00:00" == checked.isoformat()
    assert lines["dead"]["opt_outs"] == "noai noimageai"
    assert (lines["unchecked"]["checked_at"], lines["unchecked"]["opt_outs"]) == ("", "")
    due = Link.objects.get(url=url("dead")).due_at
    assert due is not None
    assert datetime.fromisoformat(lines["dead"]["due_at"]) == due


def test_the_public_file_stays_without_urls(client: Client, rows: str, staff: User) -> None:
    client.force_login(staff)
    public = client.get(rows.replace("rows/", "states.csv")).content.decode()
    assert "example.com" not in public
    assert "excluded" not in public


def test_the_public_file_has_a_line_for_each_link_and_tells_no_excluded_one(
    client: Client, rows: str, version: Version
) -> None:
    Panel.objects.update(urls_unusable=2)
    path = rows.replace("rows/", "states.csv")
    lines = client.get(path).content.decode().splitlines()[1:]
    today = timezone.now().date().isoformat()
    assert lines == [
        f"com,1.0,alive,unknown,ok,200,{today}",
        f"com,1.0,dead,unknown,not_found,404,{today}",
        "com,1.0,domain_gone,unknown,,,",
        "com,1.0,failing,unknown,,,",
        f"com,1.0,moved,unknown,redirect_cross_site,200,{today}",
        "com,1.0,unchecked,,,,",
        "com,1.0,unverifiable,,,,",
        "com,1.0,unverifiable,,,,",
        "none,1.0,unverifiable,,,,",
        "none,1.0,unverifiable,,,,",
    ]
    Panel.objects.update(urls_unusable=0)
    version.panel.panel_rows.all().delete()
    assert client.get(path).status_code == 404
