"""Rows may list any host: none of them stops the census for the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from registry.links.domains.census import domain_of, domains_census, hosts_enrol
from registry.links.domains.models import Domain, DomainHost, DomainState
from registry.links.domains.registrations import read_bootstrap
from registry.links.models import Host
from registry.links.strata import MAX_HOST

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from registry.datasets.models import Version
    from tests.registry.links.conftest import Names

    MakePanel = Callable[[Sequence[str]], Version]

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store_folder")]

LONG = ".".join(["a" * 63] * 3)  # 191 characters


@pytest.mark.parametrize(
    "host",
    [
        "example." + "a" * 70,  # no such top-level domain
        "b" * 64 + ".com",
        "x." + "b" * 64 + ".com",
        "9.9.9.9",
        "[::1]",
        "com",
    ],
)
def test_a_host_that_dns_cannot_know_has_no_domain(host: str) -> None:
    assert len(host) <= MAX_HOST
    assert domain_of(host) is None


def test_the_longest_names_that_can_be_have_theirs() -> None:
    assert domain_of("b" * 63 + ".com") == "b" * 63 + ".com"
    assert domain_of(f"{LONG}.{'b' * 57}.com") == "b" * 57 + ".com"
    assert domain_of("x.example." + "a" * 63) == "example." + "a" * 63


def test_such_rows_stop_neither_enrolment_nor_the_census_of_others(
    make_panel: MakePanel, resolvers: Names
) -> None:
    strange = [
        "example." + "a" * 70,
        "b" * 64 + ".com",
        "a..com",
        "-.com",
        "_._",
        "xn--.com",
        f"{LONG}.{'a' * 62}",
    ]
    make_panel(["https://a.com/1"])
    for name in strange:
        Host.objects.create(name=name)
    resolvers.know("a.com")
    assert hosts_enrol() == len(strange) + 1
    assert hosts_enrol() == 0
    Domain.objects.update(due_at=timezone.now())
    assert domains_census() >= 1
    assert Domain.objects.get(name="a.com").state == DomainState.PRESENT


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.text(st.sampled_from("ab-_.é%!~1"), min_size=1, max_size=MAX_HOST))
def test_no_name_whatever_stops_the_enrolment(name: str) -> None:
    Host.objects.get_or_create(name=name)
    Host.objects.get_or_create(name=(name * 255)[:MAX_HOST])
    hosts_enrol()
    assert not Host.objects.filter(of_domain=None).exists()
    assert DomainHost.objects.count() == Host.objects.count()


def test_the_list_of_registries_may_hold_anything() -> None:
    text = rb'{"services": [[["co\ud800m", "n\u0000et", "org"], ["https://rdap.example/\u0000\udfff"]]]}'
    found = read_bootstrap(text)
    assert found == dict.fromkeys(["co\ufffdm", "n\ufffdet", "org"], "https://rdap.example/\ufffd\ufffd/")
