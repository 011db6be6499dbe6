"""The hashes of content that a version recorded come along when its panel is drawn."""

from __future__ import annotations

import base64
import hashlib

import pytest

from registry.accounts.models import Role
from registry.links.models import Panel, PanelRow
from registry.links.panel import panel_draw
from tests.factories import make_dataset, make_member, make_version, run_jobs

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store_folder")]


def rows(count: int, first: int = 0) -> list[dict[str, object]]:
    return [
        {
            "url": f"https://img.example.com/{number}.jpg",
            "md5": hashlib.md5(str(number).encode(), usedforsecurity=False).hexdigest()
            if number % 2
            else None,
            "sha": base64.b64encode(hashlib.sha256(str(number).encode()).digest()).decode(),
        }
        for number in range(first, first + count)
    ]


def draw(
    shards: dict[str, list[dict[str, object]]], columns: dict[str, str], size: int = 50
) -> dict[str, dict[str, str]]:
    dataset = make_dataset()
    version = make_version(dataset, shards=shards, columns=columns)
    panel_draw(actor=make_member(dataset.organisation, Role.MAINTAINER), version=version, size=size)
    [job] = run_jobs()
    assert job.state == "succeeded", job.error
    assert Panel.objects.get().drawn_at
    return dict(PanelRow.objects.values_list("link__url", "hashes"))


def test_each_row_has_the_hashes_that_its_version_recorded() -> None:
    shards = {"0.csv": rows(20), "1.parquet": rows(20, 20)}
    found = draw(shards, {"url": "url", "md5": "md5", "sha256": "sha"})
    assert len(found) == 40
    for url, hashes in found.items():
        number = url.removeprefix("https://img.example.com/").removesuffix(".jpg")
        expected = {"content.sha256": hashlib.sha256(number.encode()).hexdigest()}
        if int(number) % 2:
            expected["content.md5"] = hashlib.md5(number.encode(), usedforsecurity=False).hexdigest()
        assert hashes == expected


def test_a_sample_has_them_at_its_own_rows() -> None:
    found = draw({"0.parquet": rows(300)}, {"url": "url", "sha256": "sha"}, size=20)
    assert len(found) == 20
    for url, hashes in found.items():
        number = url.removeprefix("https://img.example.com/").removesuffix(".jpg")
        assert hashes == {"content.sha256": hashlib.sha256(number.encode()).hexdigest()}


def test_without_such_a_column_there_are_none() -> None:
    assert set(map(str, draw({"0.csv": [{"url": "https://a.example.com/1"}]}, {"url": "url"}).values())) == {
        "{}"
    }


def test_lists_are_passed_over() -> None:
    """Which hash belongs to which URL of a row is not said."""
    listed: list[dict[str, object]] = [
        {"url": [f"https://a.example.com/{n}", f"https://b.example.com/{n}"], "md5": ["0" * 32, "1" * 32]}
        for n in range(5)
    ]
    found = draw({"0.parquet": listed}, {"url": "url", "md5": "md5"})
    assert len(found) == 10
    assert set(map(str, found.values())) == {"{}"}
