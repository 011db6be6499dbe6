"""Who reports a link over https means the one over http as well, until somebody decided."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

import pytest
from django.utils import timezone

from registry.links.exclusion import excluded_urls
from takedowns.cases.models import Case
from takedowns.reports.models import Category, Item, Outcome, Sensitivity
from tests.factories import make_dataset
from tests.factories_takedowns import make_report

if TYPE_CHECKING:
    from registry.datasets.models import Dataset
    from tests.factories_takedowns import Team

pytestmark = pytest.mark.django_db


@pytest.fixture
def dataset(team: Team) -> Dataset:
    return make_dataset(team.organisation)


@pytest.mark.parametrize(
    ("reported", "link"),
    [
        ("https://img.example.com/3.jpg", "http://img.example.com/3.jpg"),
        ("http://img.example.com/3.jpg", "https://img.example.com/3.jpg"),
        ("https://img.example.com/3.jpg#x", "HTTP://IMG.example.com:80/3.jpg"),
        ("http://img.example.com/a?b=1", "https://img.example.com:443/a?b=1"),
        ("http://img.example.com:8080/3.jpg", "https://img.example.com:8080/3.jpg"),
    ],
)
def test_the_same_link_over_the_other_scheme_is_excluded(dataset: Dataset, reported: str, link: str) -> None:
    make_report(dataset, [reported])
    assert excluded_urls([link]) == {link}
    Category.objects.update(sensitivity=Sensitivity.OPEN)
    Item.objects.update(outcome=Outcome.REJECT)
    Case.objects.update(decided_at=timezone.now())
    assert excluded_urls([link]) == set()


def test_a_link_that_is_reported_by_its_hash_alone_excludes_its_twin(dataset: Dataset) -> None:
    """Whoever reports by hash names nothing that we could turn into a twin; but each link knows its own."""
    make_report(dataset, [f"url.raw.sha256:{sha256(b'https://img.example.com/3.jpg').hexdigest()}"])
    twin = "http://img.example.com/3.jpg"
    assert excluded_urls([twin]) == {twin}


@pytest.mark.parametrize(
    "link",
    [
        "http://www.example.com/3.jpg",  # another host, as c1 has it
        "http://example.com/3.JPG",
        "http://example.com/3.jpg?",
        "http://example.com:8080/3.jpg",
        "ftp://example.com/3.jpg",
        "http://\udc00/",
        "3.jpg",
    ],
)
def test_what_differs_in_more_is_another_link(dataset: Dataset, link: str) -> None:
    make_report(dataset, ["https://example.com/3.jpg"])
    assert excluded_urls([link]) == set()
