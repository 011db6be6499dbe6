"""What is guarded is as little contacted as what is sealed, and a link that we found dead only where that is all there is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.utils import timezone

from expunge.keys import keys_of_url
from registry.links.exclusion import excluded_urls
from takedowns.cases.models import Case
from takedowns.removals.models import Removal
from takedowns.reports.models import Category, Item, Outcome, Sensitivity, Source
from tests.factories import make_dataset
from tests.factories_takedowns import make_category, make_report

if TYPE_CHECKING:
    from registry.datasets.models import Dataset
    from tests.factories_takedowns import Team

pytestmark = pytest.mark.django_db

URL, OTHER = "https://img.example.com/3.jpg", "https://else.example.org/4.jpg"
KEYS = {kind.value: text for kind, text in keys_of_url(URL).items()}
HELD = [Sensitivity.GUARDED, Sensitivity.SEALED]


@pytest.fixture
def dataset(team: Team) -> Dataset:
    return make_dataset(team.organisation)


@pytest.mark.parametrize("sensitivity", HELD)
@pytest.mark.parametrize("kind", ["url.raw.sha256", "url.c1.sha256", "host.c1", "domain.c1"])
def test_a_removal_in_force_excludes_by_each_of_its_keys(
    dataset: Dataset, kind: str, sensitivity: Sensitivity
) -> None:
    category = make_category()
    Category.objects.filter(pk=category.pk).update(sensitivity=sensitivity)
    removal = Removal.objects.create(dataset=dataset, category=category, summary="Gone.")
    written = KEYS[kind]
    removal.keys.create(kind=kind, key=bytes.fromhex(written) if "sha256" in kind else written.encode())
    assert excluded_urls([URL, OTHER]) == {URL}
    Removal.objects.update(withdrawn_at=timezone.now())
    assert excluded_urls([URL, OTHER]) == set()


def found_dead(dataset: Dataset) -> None:
    """As if a member had turned a dead link into a case."""
    make_report(dataset, [URL], category="dead_link", source=Source.OWN_INITIATIVE)


def test_what_our_own_checks_found_dead_goes_on_being_checked(dataset: Dataset) -> None:
    found_dead(dataset)
    assert excluded_urls([URL]) == set()


@pytest.mark.parametrize("sensitivity", HELD)
def test_what_was_found_dead_is_excluded_where_the_matter_is_not_open(
    dataset: Dataset, sensitivity: Sensitivity
) -> None:
    found_dead(dataset)
    Category.objects.filter(pk="dead_link").update(sensitivity=sensitivity)
    assert excluded_urls([URL]) == {URL}


@pytest.mark.parametrize("sensitivity", HELD)
def test_one_of_its_cases_that_is_not_open_is_enough(dataset: Dataset, sensitivity: Sensitivity) -> None:
    """What was reported as open may have been joined with a case that is not."""
    found_dead(dataset)
    make_report(dataset, [OTHER])
    other = make_category("licence")
    Category.objects.filter(pk=other.pk).update(sensitivity=sensitivity)
    Item.objects.update(outcome=Outcome.REMOVE)
    Case.objects.update(category=other, decided_at=timezone.now())
    assert excluded_urls([URL, OTHER]) == {URL, OTHER}


def test_who_reports_what_we_found_dead_excludes_it_all_the_same(dataset: Dataset) -> None:
    found_dead(dataset)
    make_report(dataset, [URL], category="dead_link")
    assert excluded_urls([URL]) == {URL}


def test_a_port_that_goes_without_saying_over_the_other_scheme_hides_no_twin(dataset: Dataset) -> None:
    make_report(dataset, ["https://img.example.com/3.jpg"])
    twin = "http://img.example.com:443/3.jpg"
    assert excluded_urls([twin]) == {twin}
