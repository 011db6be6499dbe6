from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from django.utils import timezone

from registry.accounts.models import Role
from registry.datasets.models import VersionStatus
from registry.jobs.services import job_run
from registry.links.comparison import change, panel_against, versions_compare
from registry.links.models import Link, Panel
from registry.links.panel import panel_draw
from registry.links.strata import STRATA, link_weights
from registry.links.tasks import links_check  # noqa: F401  -- the module says how its jobs are done
from tests.factories import make_member, make_organisation, make_version
from tests.registry.links.plain_sample import plain_limits, plainly_drawn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from django.test import Client
    from pytest_django import Settings

    from registry.accounts.models import User
    from registry.datasets.models import Version

SHARED = [f"https://h{number % 7}.example.com/{number}" for number in range(40)]
OLD = [f"https://old{number % 3}.example.com/{number}" for number in range(10)]
NEW = [f"https://new{number % 3}.example.com/{number}" for number in range(20)]


@pytest.fixture
def versions(db: None, store_folder: object) -> tuple[Version, Version]:
    """Two versions of a dataset: 40 links in both, 10 that only the old one has (all dead), 20 that only the new one has."""
    old = make_version(
        name="2024", shards={"0.csv": [{"url": url} for url in SHARED + OLD]}, dated="2024-01-01"
    )
    new = make_version(
        old.dataset, "2025", {"0.csv": [{"url": url} for url in SHARED + NEW]}, dated="2025-01-01"
    )
    return old, new


def draw(version: Version, size: int) -> User:
    maintainer = make_member(version.dataset.organisation, Role.MAINTAINER)
    job_run(panel_draw(actor=maintainer, version=version, size=size).pk)
    return maintainer


def kill(urls: Sequence[str]) -> None:
    Link.objects.filter(url__in=urls).update(state="dead", failures=3, checked_at=timezone.now())
    Link.objects.filter(state="unchecked").update(state="alive")


def page(version: Version, rest: str = "") -> str:
    return f"/datasets/{version.dataset.slug}/versions/{version.name}/links/{rest}"


def test_whole_panels_are_counted_exactly(versions: tuple[Version, Version]) -> None:
    old, new = versions
    draw(old, 1_000)
    draw(new, 1_000)
    kill(OLD)
    found = versions_compare(old, new)
    assert found is not None
    assert [(part.links, part.alive, part.dead) for _, part in found.parts] == [
        (40, 40, 0),
        (10, 0, 10),
        (20, 20, 0),
    ]
    assert (found.dead.value, found.dead.low, found.dead.high) == (-0.2, -0.2, -0.2)
    assert found.alive.value == pytest.approx(0.2)
    assert found.is_whole


def test_panels_of_different_sizes_are_compared_below_the_smaller_limit(
    versions: tuple[Version, Version],
) -> None:
    old, new = versions
    draw(old, 20)
    draw(new, 1_000)
    kill(OLD)
    found = versions_compare(old, new)
    assert found is not None
    # Every link of the old panel, and of the new one those below the number at which the old one was cut off.
    assert found.kept.links + found.lost.links == 20
    assert 0 < found.kept.links + found.gained.links < 60
    assert not found.is_whole
    assert found.dead.low <= found.dead.value <= found.dead.high


def test_a_panel_that_did_not_write_down_its_limits_is_compared_below_its_own_largest_number(
    versions: tuple[Version, Version],
) -> None:
    old, new = versions
    draw(old, 20)
    draw(new, 1_000)
    Panel.objects.filter(version=old).update(limits={})  # as it was drawn before there were strata
    kill(OLD)
    found = versions_compare(old, new)
    assert found is not None
    # All but the link at which it was cut off: nobody knows how far beyond it the next one would have been.
    assert found.kept.links + found.lost.links == 19
    assert found.dead.low <= found.dead.value <= found.dead.high


def test_panels_that_were_numbered_under_two_secrets_are_not_compared(
    versions: tuple[Version, Version], settings: Settings
) -> None:
    """Neither is then the sample of the other below any limit: what both list would seem lost and gained."""
    old, new = versions
    draw(old, 20)
    before = settings.SECRET_KEY
    settings.SECRET_KEY = f"{before} and another"
    draw(new, 20)
    assert versions_compare(old, new) is None
    settings.SECRET_KEY = before
    assert versions_compare(old, new) is None
    draw(new, 20)
    assert versions_compare(old, new) is not None


def test_whole_panels_are_compared_whatever_secret_numbered_them(
    versions: tuple[Version, Version], settings: Settings
) -> None:
    old, new = versions
    draw(old, 100)
    settings.SECRET_KEY += " and another"
    draw(new, 100)
    found = versions_compare(old, new)
    assert found is not None
    assert (found.is_whole, found.kept.links) == (True, 40)


def test_a_link_that_is_excluded_counts_as_not_known(versions: tuple[Version, Version]) -> None:
    old, new = versions
    draw(old, 1_000)
    draw(new, 1_000)
    kill(OLD)
    Link.objects.filter(url=SHARED[0]).update(state="excluded", due_at=None)
    found = versions_compare(old, new)
    assert found is not None
    assert (found.kept.links, found.kept.alive, found.kept.dead) == (40, 39, 0)


def test_a_version_without_a_panel_is_not_compared(versions: tuple[Version, Version]) -> None:
    old, new = versions
    draw(new, 10)
    assert versions_compare(old, new) is None
    assert panel_against(None, new) is None


def test_only_versions_that_the_reader_may_see_are_compared(versions: tuple[Version, Version]) -> None:
    old, new = versions
    maintainer = draw(old, 10)
    draw(new, 10)
    type(old).objects.filter(pk=old.pk).update(status=VersionStatus.DRAFT)
    assert panel_against(None, new) is None
    assert panel_against(make_member(make_organisation(), Role.APPROVER), new) is None
    assert panel_against(maintainer, new) is not None


@pytest.mark.parametrize("status", [VersionStatus.WITHDRAWN, VersionStatus.QUARANTINED])
def test_a_version_out_of_use_is_compared_for_members_only(
    client: Client, versions: tuple[Version, Version], status: VersionStatus
) -> None:
    old, new = versions
    maintainer = draw(old, 1_000)
    draw(new, 1_000)
    type(old).objects.filter(pk=old.pk).update(status=status)
    assert_only_members_compare(client, (old, new), maintainer)


def test_a_release_is_compared_for_members_only(client: Client, versions: tuple[Version, Version]) -> None:
    """What it lacks was removed, and that one link of it could not be told says what for."""
    old, new = versions
    clean = make_version(
        old.dataset, "2024-clean", {"0.csv": [{"url": url} for url in SHARED]}, base=old, dated="2024-06-01"
    )
    maintainer = draw(clean, 1_000)
    draw(old, 1_000)
    draw(new, 1_000)
    assert_only_members_compare(client, (old, clean), maintainer)
    assert_only_members_compare(client, (clean, new), maintainer)
    found = panel_against(None, new)
    assert found is not None
    assert found.version == old  # the one before it that is no release
    assert "2024-clean" not in client.get(page(new)).content.decode()


def assert_only_members_compare(client: Client, pair: tuple[Version, Version], maintainer: User) -> None:
    for one, other in (pair, pair[::-1]):
        asked, told = (
            page(one, f"?against={other.name}"),
            f"/api/v1{page(one, f'comparison/?against={other.name}')}",
        )
        for stranger in (None, make_member(make_organisation(), Role.APPROVER)):
            client.logout()
            if stranger:
                client.force_login(stranger)
            assert client.get(told).status_code == 404
            assert f">{other.name}</span>" not in client.get(asked).content.decode()
        client.force_login(maintainer)
        assert client.get(told).json()["kept"]["links"] == 40
        assert f">{other.name}</span>" in client.get(asked).content.decode()
        client.logout()


def test_the_page_says_when_two_samples_cannot_be_compared(
    client: Client, versions: tuple[Version, Version], settings: Settings
) -> None:
    old, new = versions
    draw(old, 20)
    draw(new, 20)
    assert "Not compared." not in client.get(page(new)).content.decode()
    settings.SECRET_KEY += " and another"
    shown = client.get(page(new)).content.decode()
    assert "Not compared." in shown
    assert "draws the links of both anew" in shown


def test_the_page_and_the_api_show_the_comparison(client: Client, versions: tuple[Version, Version]) -> None:
    old, new = versions
    draw(old, 1_000)
    draw(new, 1_000)
    kill(OLD)
    shown = client.get(page(new)).content.decode()
    assert ">2024</span>" in shown
    assert "\N{MINUS SIGN}20.0 points" in shown
    assert "Since <span" not in client.get(page(old)).content.decode()
    assert ">2025</span>" in client.get(page(old, "?against=2025")).content.decode()
    told = client.get(f"/api/v1{page(new, 'comparison/')}").json()
    assert (told["old"], told["new"], told["lost"]) == ("2024", "2025", {"links": 10, "alive": 0, "dead": 10})
    assert client.get(f"/api/v1{page(old, 'comparison/')}").status_code == 404
    assert client.get(f"/api/v1{page(old, 'comparison/?against=2025')}").json()["dead"]["value"] == 0.2
    assert client.get(f"/api/v1{page(new, 'comparison/?against=nothing')}").status_code == 404


def test_the_number_of_queries_does_not_grow(
    versions: tuple[Version, Version], django_assert_num_queries: Callable[..., object]
) -> None:
    old, new = versions
    draw(old, 1_000)
    draw(new, 1_000)
    with django_assert_num_queries(2):  # type: ignore[attr-defined]
        versions_compare(old, new)


def _flags(*values: int) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return np.array(values, bool)


def test_nothing_seen_to_change_may_still_be_three_in_n() -> None:
    same = _flags(*[1] * 100)
    found = change(_flags(*[0] * 100), same, same, np.arange(100))
    assert (found.value, found.low, found.high) == (0, -0.03, 0.03)
    assert not found.is_clear


def test_who_saw_one_link_go_is_no_surer_than_who_saw_none() -> None:
    every = np.ones(10_000, np.bool_)
    dead, hosts, later = np.arange(10_000) < 2_000, np.arange(10_000) // 2, every.copy()
    later[0] = False
    none, one = change(dead, every, every, hosts), change(dead, every, later, hosts)
    assert one.high - one.low >= none.high - none.low
    assert one.low <= one.value <= one.high


def test_weights_that_are_fractions_make_no_change_clear_where_all_are_alike() -> None:
    random = np.random.default_rng(20261127)
    for _ in range(20):
        in_old = random.random(1_400) < 0.9
        in_new = ~in_old | (random.random(1_400) < 0.9)
        hosts, weights = random.integers(0, 350, 1_400), random.choice([1.0, 0.3, 0.7, 1 / 8], 1_400)
        found = change(np.ones(1_400, np.bool_), in_old, in_new, hosts, weights)
        assert (found.value, found.is_clear) == (0.0, False)
        assert found.high >= 3 / 1_400


def test_one_host_tells_nothing_of_the_others() -> None:
    found = change(_flags(1, 0, 0), _flags(1, 1, 0), _flags(0, 1, 1), np.zeros(3, np.int64))
    assert (found.value, found.low, found.high) == (-0.5, -1, 1)


def test_the_interval_covers_the_truth_and_is_narrower_than_that_of_samples_drawn_apart() -> None:
    rng = np.random.default_rng(20_261_123)
    covered, paired, apart = 0, 0.0, 0.0
    for _ in range(300):
        size = 20_000
        hosts = rng.zipf(1.6, size) % 3_000
        doomed = rng.random(3_000) < 0.25  # hosts that are wholly dead
        dead = doomed[hosts] | (rng.random(size) < 0.05)
        in_old = rng.random(size) < 0.95
        in_new = (rng.random(size) < 0.9) & ~(dead & (rng.random(size) < 0.1))
        truth = dead[in_new].mean() - dead[in_old].mean()
        drawn = rng.random(size) < 0.05
        found = change(dead[drawn], in_old[drawn], in_new[drawn], hosts[drawn])
        covered += found.low <= truth <= found.high
        paired += found.high - found.low
        once, twice = rng.random(size) < 0.05, rng.random(size) < 0.05
        mixed = np.concatenate([np.flatnonzero(once & in_old), np.flatnonzero(twice & in_new)])
        is_old = np.arange(len(mixed)) < int((once & in_old).sum())
        # The same hosts are told apart: as if nobody knew that they are the same.
        other = change(dead[mixed], is_old, ~is_old, hosts[mixed] + np.where(is_old, 0, 10_000))
        apart += other.high - other.low
    assert covered >= 0.93 * 300
    assert paired < apart / 2


def test_with_strata_the_interval_covers_the_truth_too_and_weights_make_up_for_what_is_denser() -> None:
    """300 pairs of versions of four kinds of domain, of which the rarest loses most of its dead links."""
    rng = np.random.default_rng(20_261_124)
    size, covered, weighted, plain = 20_000, 0, 0.0, 0.0
    for _ in range(300):
        hosts = rng.zipf(1.6, size) % 3_000
        kind = rng.choice(4, 3_000, p=(0.6, 0.3, 0.08, 0.02))
        strata = kind[hosts].astype(np.uint8)
        dead = (rng.random(3_000) < np.array((0.1, 0.2, 0.5, 0.5))[kind])[hosts] | (rng.random(size) < 0.05)
        in_old = rng.random(size) < 0.95
        in_new = (rng.random(size) < 0.95) & ~(dead & (rng.random(size) < np.array((0, 0, 0.3, 0.9))[strata]))
        numbers = rng.integers(0, 2**64 - 1, size, np.uint64)
        # Each version has its own limits; below the smaller of them both hold the same links.
        drawn = [plain_limits(numbers[listed], strata[listed], 1_000, 100) for listed in (in_old, in_new)]
        limits = {stratum: min(of[stratum] for of in drawn) for stratum in STRATA}
        both = plainly_drawn(numbers, strata, limits) & (in_old | in_new)
        weights = link_weights(strata[both], limits)
        truth = dead[in_new].mean() - dead[in_old].mean()
        found = change(dead[both], in_old[both], in_new[both], hosts[both], weights)
        covered += found.low <= truth <= found.high
        weighted += found.value - truth
        plain += change(dead[both], in_old[both], in_new[both], hosts[both]).value - truth
    assert covered >= 0.93 * 300
    assert abs(weighted / 300) < 0.001
    assert abs(plain / 300) > 0.004
