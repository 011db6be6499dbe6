from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.utils import timezone

from registry.links.models import Link
from registry.links.priorities import Priority, due_since, links_prioritise
from registry.links.services import links_review
from takedowns.cases.links.priorities import rows_triaged
from takedowns.cases.models import Case
from tests.factories_takedowns import make_case, make_category, make_removal, make_watched

if TYPE_CHECKING:
    from registry.datasets.models import Version
    from tests.factories_takedowns import Team

pytestmark = pytest.mark.django_db

URL = "https://img.example.com/1.jpg"


@pytest.fixture
def version(team: Team) -> Version:
    version = make_watched(team)
    Link.objects.update(checked_at=timezone.now(), due_at=timezone.now() + timedelta(days=7))
    return version


def test_rows_of_an_open_case_come_first_once_it_is_decided(team: Team, version: Version) -> None:
    make_case(version.dataset, [URL])
    assert links_prioritise() == 0
    make_removal(team, version.dataset, [URL])
    assert links_prioritise() == 1
    assert Link.objects.get(url=URL).due_at == due_since(Priority.TRIAGED)


def test_guarded_cases_and_old_ones_name_nothing(team: Team, version: Version) -> None:
    make_removal(team, version.dataset, [URL])
    assert len(list(rows_triaged(timezone.now() - timedelta(hours=1)))) == 1
    assert list(rows_triaged(timezone.now() + timedelta(hours=1))) == []
    Case.objects.update(category=make_category("privacy"))
    assert list(rows_triaged(timezone.now() - timedelta(hours=1))) == []


def test_a_link_that_was_excluded_until_then_comes_first_after_the_review_that_frees_it(
    team: Team, version: Version
) -> None:
    """The review is hourly: what it frees may have been decided an hour ago, and more where it was late."""
    make_removal(team, version.dataset, [URL])
    Case.objects.update(decided_at=timezone.now() - timedelta(minutes=90))
    Link.objects.filter(url=URL).update(state="excluded", due_at=None, checked_at=None)
    assert links_prioritise() == 0
    assert links_review() == 1
    assert links_prioritise() == 1
    assert Link.objects.get(url=URL).due_at == due_since(Priority.TRIAGED)
