"""A version whose links are of several kinds of domain, drawn and shown."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

import numpy as np
import pytest
from django.utils import timezone

from registry.accounts.models import Role
from registry.jobs.services import job_run
from registry.links.comparison import versions_compare
from registry.links.models import Link, Panel
from registry.links.panel import panel_draw, panel_secret
from registry.links.sample import siphash
from registry.links.selectors import version_health
from registry.links.states import LinkState
from registry.links.strata import NO_LIMIT, Stratum
from registry.links.tasks import links_check  # noqa: F401  -- the module says how its jobs are done
from tests.factories import make_member, make_version

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

    from registry.datasets.models import Version

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store_folder")]

SIZE = 200  # so of each rare kind up to 50


def urls() -> list[str]:
    """2,000 on .com, 120 on .de, 20 on an address."""
    return [
        *(f"https://h{number % 300}.example.com/{number}" for number in range(2_000)),
        *(f"https://h{number % 30}.example.de/{number}" for number in range(120)),
        *(f"http://192.0.2.{number}/{number}" for number in range(20)),
    ]


def of(version: Version) -> str:
    return f"/datasets/{version.dataset.slug}/versions/{version.name}/links/"


def draw(version: Version, size: int = SIZE) -> Panel:
    maintainer = make_member(version.dataset.organisation, Role.MAINTAINER)
    job_run(panel_draw(actor=maintainer, version=version, size=size).pk)
    return Panel.objects.get(version=version)


@pytest.fixture
def version() -> Version:
    """One of these links with its panel; all of .de are dead, and one of the others is excluded."""
    rows = [{"url": url} for url in [*urls(), "no url", "data:,x"]]
    version = make_version(name="1", shards={"0.csv": rows}, dated="2024-01-01")
    draw(version)
    Link.objects.update(state="alive", checked_at=timezone.now())
    Link.objects.filter(host__name__endswith=".de").update(state="dead", failures=3)
    excluded = Link.objects.filter(host__name__endswith=".com").order_by("pk").first()
    assert excluded is not None
    Link.objects.filter(pk=excluded.pk).update(state="excluded", due_at=None)
    return version


def test_the_panel_remembers_how_densely_each_kind_was_drawn(version: Version) -> None:
    panel = Panel.objects.get(version=version)
    limits = {name: int(limit) for name, limit in panel.limits.items()}
    assert set(limits) == set(Stratum.values)
    assert 0 < limits["com"] < limits["country"] < limits["none"] == 8 * limits["com"] < NO_LIMIT
    drawn = [bytes(key) for key in panel.panel_rows.values_list("link__key", flat=True)]
    assert len(drawn) + panel.urls_unusable > SIZE
    assert len(drawn) == len(set(drawn))


def test_all_links_are_estimated_as_if_no_kind_were_drawn_more_densely(version: Version) -> None:
    health = version_health(version)
    assert health is not None
    assert health.estimate is not None
    raw = health.counts[LinkState.DEAD] / health.estimate.n
    truth = 120 / 2_142
    assert health.estimate.dead.low <= truth <= health.estimate.dead.high
    assert abs(health.estimate.dead.value - truth) < 0.5 * abs(raw - truth)
    assert health.shares[LinkState.DEAD] == health.estimate.dead.value
    assert sum(health.shares.values()) == pytest.approx(1)
    assert sum(one.n for one in health.strata.values()) == health.estimate.n


def test_each_kind_is_estimated_by_itself(version: Version) -> None:
    health = version_health(version)
    assert health is not None
    com, country, none = (health.strata[kind] for kind in (Stratum.COM, Stratum.COUNTRY, Stratum.NONE))
    assert Stratum.GENERIC not in health.strata
    assert (com.dead.value, country.dead.value) == (0, 1)
    assert 0.8 < country.dead.low < 1
    assert com.unknown.value == 1 / com.n  # the one that is excluded
    unusable = health.panel.urls_unusable
    assert none.unknown.value == unusable / none.n


def test_a_kind_that_is_held_whole_is_counted(version: Version) -> None:
    panel = Panel.objects.get(version=version)
    panel.limits["country"] = str(NO_LIMIT)
    panel.save()
    health = version_health(version)
    assert health is not None
    assert health.strata[Stratum.COUNTRY].dead.low == 1
    assert not health.is_whole


def test_a_version_that_is_drawn_whole_is_counted_throughout() -> None:
    version = make_version(name="1", shards={"0.csv": [{"url": url} for url in urls()[-160:]]})
    panel = draw(version, 160)  # as many as it may hold and no more
    assert set(panel.limits.values()) == {str(NO_LIMIT)}
    health = version_health(version)
    assert health is not None
    assert health.is_whole
    assert {kind: one.n for kind, one in health.strata.items()} == {
        Stratum.COM: 20,
        Stratum.COUNTRY: 120,
        Stratum.NONE: 20,
    }


def test_page_api_and_csv_show_the_kinds(client: Client, version: Version) -> None:
    page = client.get(of(version)).content.decode()
    assert "By kind of domain" in page
    assert "Country codes" in page
    assert "Other generic" not in page
    assert "excluded" not in page.lower()
    told = client.get(f"/api/v1{of(version)}").json()
    assert [one["kind"] for one in told["strata"]] == ["com", "country", "none"]
    assert told["strata"][1]["dead"]["value"] == 1
    assert told["shares"]["dead"] == told["estimate"]["dead"]["value"]
    lines = list(csv.DictReader(client.get(f"{of(version)}figures.csv").content.decode().splitlines()))
    by_name = {(line["kind"], line["name"]): line for line in lines}
    assert float(by_name["share", "country.dead"]["share"]) == 1
    assert int(by_name["sample", "com"]["value"]) == told["strata"][0]["n"]
    assert float(by_name["links", "dead"]["share"]) == told["shares"]["dead"]


def test_one_kind_alone_needs_no_table(client: Client) -> None:
    version = make_version(name="1", shards={"0.csv": [{"url": url} for url in urls()[:50]]})
    draw(version)
    assert "By kind of domain" not in client.get(of(version)).content.decode()


def test_the_figures_cost_the_same_for_any_kinds(
    version: Version, django_assert_num_queries: Callable[..., object]
) -> None:
    with django_assert_num_queries(2):  # type: ignore[attr-defined]
        version_health(version)


@pytest.mark.parametrize("before", ["with strata", "without"])
def test_versions_are_compared_kind_by_kind(version: Version, before: str) -> None:
    """The next version lists no link on .de any more, which were all dead."""
    kept = [url for url in urls() if ".de/" not in url]
    new = make_version(version.dataset, "2", {"0.csv": [{"url": url} for url in kept]}, dated="2025-01-01")
    draw(new)
    if before == "without":
        # As it was drawn before there were strata: the 200 smallest numbers, and no limit written down.
        panel = Panel.objects.get(version=version)
        number_of = dict(_numbers(panel))
        last = sorted(number_of.values())[SIZE - panel.urls_unusable - 1]
        panel.panel_rows.filter(pk__in=[pk for pk, number in number_of.items() if number > last]).delete()
        Panel.objects.filter(pk=panel.pk).update(limits={})
    Link.objects.filter(state="unchecked").update(state="alive")
    found = versions_compare(version, new)
    assert found is not None
    assert not found.is_whole
    assert found.lost.links == found.lost.dead > 0
    assert found.gained.links == 0
    truth = -120 / 2_140
    assert found.dead.low <= truth <= found.dead.high
    if before == "with strata":
        in_sample = found.lost.dead / (found.kept.links + found.lost.links)
        assert abs(found.dead.value - truth) < 0.5 * abs(-in_sample - truth)


def _numbers(panel: Panel) -> list[tuple[int, int]]:
    rows = list(panel.panel_rows.values_list("pk", "link__key"))
    keys = np.frombuffer(b"".join(bytes(key) for _, key in rows), np.uint8).reshape(-1, 32)
    return [
        (pk, number) for (pk, _), number in zip(rows, siphash(panel_secret(), keys).tolist(), strict=True)
    ]
