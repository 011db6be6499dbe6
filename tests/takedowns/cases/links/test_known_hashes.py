"""A reported hash names the links that gave it when we read them, in the case and before one is opened."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.utils import timezone

from registry.links.content.models import LinkContent
from registry.links.models import Link
from takedowns.cases.links.selectors import case_links
from takedowns.cases.own_initiative.selectors import Finding, preview
from takedowns.cases.selectors import case_items
from tests.factories import make_dataset
from tests.factories_takedowns import make_case, make_report, make_watched

if TYPE_CHECKING:
    from registry.datasets.models import Version
    from tests.factories_takedowns import Team

pytestmark = pytest.mark.django_db

DEAD = ["https://img.example.com/1.jpg", "https://img.example.com/2.jpg"]
SHA256 = "5e" * 32


@pytest.fixture(params=["first", "last"])
def version(team: Team, request: pytest.FixtureRequest) -> Version:
    """Two dead links, one of which once gave what has this hash: when it was read first, or last."""
    version = make_watched(team)
    Link.objects.update(state="alive", checked_at=timezone.now())
    Link.objects.filter(url__in=DEAD).update(state="dead", failures=3)
    facts = {"kind": "image", "length": 9, "prefix": "00" * 32, "pdq": None, "etag": "", "modified": ""}
    looks = {"first": facts | {"digests": {}}, "last": facts | {"digests": {}}}
    looks[request.param] = facts | {"digests": {"content.sha256": SHA256}}
    LinkContent.objects.create(link=Link.objects.get(url=DEAD[0]), **looks)
    return version


def test_links_that_gave_what_somebody_reported_are_not_reported_again(version: Version) -> None:
    make_report(make_dataset(version.dataset.organisation), [f"sha256:{SHA256}"], category="opt_out")
    assert preview(version, Finding.DEAD).lines == DEAD[1:]


def test_the_case_says_of_such_a_link_that_nothing_is_asked_of_it(version: Version) -> None:
    make_report(make_dataset(version.dataset.organisation), [f"sha256:{SHA256}"])
    case = make_case(version.dataset, DEAD)
    # The case of the URLs was decided meanwhile, so that the hash alone holds them back.
    case.reports.get().items.update(outcome="reject")
    type(case).objects.filter(pk=case.pk).update(decided_at=timezone.now())
    case.refresh_from_db()
    lines = case_links(case, list(case_items(case).select_related("report"))).lines
    told = {line.item.value: "Nothing is asked of it" in line.evidence for line in lines}
    assert told == {DEAD[0]: True, DEAD[1]: False}
