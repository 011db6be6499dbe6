"""Which domains changed hands after a dataset's rows were collected, and that each is told of once."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from registry.datasets.models import VersionStatus
from registry.hooks import hooks
from registry.links.domains.census import hosts_enrol
from registry.links.domains.models import Domain, DomainChange, Takeover
from registry.links.domains.takeovers import takeovers_find, takeovers_tell
from registry.links.tasks import takeovers_sweep
from tests.factories import make_dataset, make_version

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from registry.datasets.models import Version

    MakePanel = Callable[..., Version]

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store_folder")]

COLLECTED = date(2023, 3, 1)
LATER = datetime(2024, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The names of the domains of each call of the hook."""
    calls: list[list[str]] = []

    def tell(takeovers: Sequence[int]) -> None:
        found = Takeover.objects.filter(pk__in=takeovers)
        calls.append(list(found.values_list("domain__name", flat=True).order_by("domain__name")))

    monkeypatch.setattr(hooks, "domain_taken_over", [tell])
    return calls


def version_with(make_panel: MakePanel, *urls: str, **fields: Any) -> Version:
    rows = {"0.csv": [{"url": url} for url in urls]}
    version = make_version(shards=rows, columns={"url": "url"}, **({"dated": COLLECTED} | fields))
    make_panel(urls, version)
    hosts_enrol()
    return version


def registered(name: str, at: datetime | None = LATER) -> None:
    Domain.objects.filter(name=name).update(registered_at=at)


def test_a_domain_registered_after_the_version_is_noted_and_told_of_once(
    make_panel: MakePanel, told: list[list[str]]
) -> None:
    version = version_with(make_panel, "https://x.a.com/1", "https://y.a.com/1", "https://b.com/1")
    registered("a.com")
    registered("b.com", datetime(2001, 1, 1, tzinfo=UTC))
    for _ in range(2):
        takeovers_sweep()
    takeover = Takeover.objects.get()
    assert (takeover.dataset, takeover.domain.name) == (version.dataset, "a.com")
    assert (takeover.change.kind, takeover.change.at) == ("registered", LATER)
    assert told == [["a.com"]]


@pytest.mark.parametrize(
    ("at", "count"), [(datetime(2023, 3, 1, 23, 59, tzinfo=UTC), 0), (datetime(2023, 3, 2, tzinfo=UTC), 1)]
)
def test_only_days_after_the_versions_count(make_panel: MakePanel, at: datetime, count: int) -> None:
    version_with(make_panel, "https://x.a.com/1")
    registered("a.com", at)
    assert takeovers_find() == count


def named(count: int, letter: str = "d") -> list[str]:
    return [f"https://{letter}{number}.com/1" for number in range(count)]


@pytest.mark.parametrize(("domains", "later", "told_of"), [(20, 4, 4), (20, 5, 0), (19, 19, 19), (50, 11, 0)])
def test_a_day_that_makes_an_improbable_share_new_is_doubted(
    make_panel: MakePanel, domains: int, later: int, told_of: int
) -> None:
    version_with(make_panel, *named(domains), dated=date(1980, 1, 1))
    Domain.objects.update(registered_at=datetime(1970, 1, 1, tzinfo=UTC))
    Domain.objects.filter(name__in=[f"d{number}.com" for number in range(later)]).update(
        registered_at=datetime(1999, 1, 1, tzinfo=UTC)
    )
    assert takeovers_find() == told_of


def test_the_share_is_that_of_those_that_are_known(make_panel: MakePanel) -> None:
    """Registries are asked one after the other, so the first that are known are few among many."""
    version_with(make_panel, *named(200), dated=date(1980, 1, 1))
    for number in range(10):
        registered(f"d{number}.com", datetime(1999, 1, 1, tzinfo=UTC))
    assert takeovers_find() == 0


def test_what_the_census_saw_itself_is_told_whatever_the_day(make_panel: MakePanel) -> None:
    version_with(make_panel, *named(20), dated=date(1980, 1, 1))
    Domain.objects.update(registered_at=datetime(1999, 1, 1, tzinfo=UTC))
    Domain.objects.filter(name="d0.com").update(parked_at=LATER)
    assert takeovers_find() == 1
    assert Takeover.objects.get().change.kind == "parked"


def test_a_doubted_day_says_nothing_about_other_versions(make_panel: MakePanel) -> None:
    version_with(make_panel, *named(20), dated=date(1980, 1, 1))
    sound = version_with(make_panel, *named(20))
    Domain.objects.update(registered_at=datetime(1999, 1, 1, tzinfo=UTC))
    registered("d7.com")
    assert takeovers_find() == 1
    assert Takeover.objects.get().dataset == sound.dataset


def test_parking_counts_from_the_census_that_saw_it(make_panel: MakePanel) -> None:
    version_with(make_panel, "https://x.a.com/1")
    Domain.objects.update(parked_at=LATER)
    assert takeovers_find() == 1
    assert Takeover.objects.get().change.kind == "parked"


def test_another_change_is_another_takeover(make_panel: MakePanel, told: list[list[str]]) -> None:
    version_with(make_panel, "https://x.a.com/1")
    registered("a.com")
    takeovers_sweep()
    registered("a.com", LATER + timedelta(days=300))
    takeovers_sweep()
    assert told == [["a.com"], ["a.com"]]


def test_each_dataset_is_told_of_its_own(make_panel: MakePanel, told: list[list[str]]) -> None:
    version_with(make_panel, "https://x.a.com/1", "https://x.b.com/1")
    version_with(make_panel, "https://x.a.com/1")
    registered("a.com")
    registered("b.com")
    takeovers_sweep()
    assert sorted(sorted(names) for names in told) == [["a.com"], ["a.com", "b.com"]]
    assert DomainChange.objects.count() == 2


def test_a_release_counts_from_the_day_of_its_base(make_panel: MakePanel) -> None:
    dataset = make_dataset()
    base = make_version(dataset, dated=COLLECTED)
    version_with(make_panel, "https://x.a.com/1", dataset=dataset, base=base, dated=date(2026, 1, 1))
    registered("a.com")
    assert takeovers_find() == 1


def test_drafts_are_left_out(make_panel: MakePanel) -> None:
    version = version_with(make_panel, "https://x.a.com/1")
    type(version).objects.filter(pk=version.pk).update(status=VersionStatus.DRAFT)
    registered("a.com")
    assert takeovers_find() == 0


def test_what_the_hook_could_not_do_is_told_again(
    make_panel: MakePanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_takeovers: Sequence[int]) -> None:
        raise RuntimeError("no room")

    version_with(make_panel, "https://x.a.com/1")
    registered("a.com")
    takeovers_find()
    monkeypatch.setattr(hooks, "domain_taken_over", [fails])
    with pytest.raises(RuntimeError):
        takeovers_tell()
    assert Takeover.objects.get().told_at is None


def test_a_dataset_that_cannot_be_told_of_keeps_no_other_waiting(
    make_panel: MakePanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = sorted(
        (version_with(make_panel, f"https://x.{name}.com/1").dataset_id for name in "ab"), key=str
    )
    Domain.objects.update(registered_at=LATER)
    takeovers_find()
    told = []

    def tell(takeovers: Sequence[int]) -> None:
        dataset = Takeover.objects.get(pk__in=takeovers).dataset_id
        if dataset == first:
            raise RuntimeError("its category is gone")
        told.append(dataset)

    monkeypatch.setattr(hooks, "domain_taken_over", [tell])
    with pytest.raises(RuntimeError, match="its category is gone"):
        takeovers_tell()
    assert told == [second]
    assert list(Takeover.objects.filter(told_at=None).values_list("dataset", flat=True)) == [first]
    monkeypatch.setattr(hooks, "domain_taken_over", [lambda _takeovers: None])
    assert takeovers_tell() == 1
