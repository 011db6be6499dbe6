"""The categories that a site starts with."""

from __future__ import annotations

import pytest

from takedowns.reports.categories import SEED, seed_categories
from takedowns.reports.models import Category
from takedowns.reports.refusals import refusal, where_to_turn
from tests.factories_takedowns import make_category

pytestmark = pytest.mark.django_db


def test_it_writes_each_category_once() -> None:
    Category.objects.all().delete()
    assert seed_categories(Category) == len(SEED)
    assert seed_categories(Category) == 0
    assert set(Category.objects.filter(sensitivity="open").values_list("slug", flat=True)) == {
        "opt_out",
        "licence",
        "dead_link",
        "duplicate",
        "poisoning",
        "other",
    }


def test_it_leaves_what_an_operator_changed() -> None:
    make_category("opt_out")
    Category.objects.filter(slug="opt_out").update(clock_hours=5)
    seed_categories(Category)
    assert make_category("opt_out").clock_hours == 5


def test_each_kind_that_is_not_taken_has_advice_of_its_own() -> None:
    make_category()
    closed = Category.objects.exclude(sensitivity="open")
    assert len({where_to_turn(category) for category in closed}) == 4
    assert all(refusal(category) for category in closed)
    assert refusal(make_category("opt_out")) is None
