from __future__ import annotations

import pytest

from registry.lib.among import among_bytes, among_ids
from registry.links.models import Host, Link

pytestmark = pytest.mark.django_db

KEYS = [bytes(32), bytes(range(32)), b"\\\"{},'%s" + bytes(24), b"\xff" * 32]


@pytest.fixture
def links() -> list[Link]:
    host = Host.objects.create(name="a.example.com")
    return [
        Link.objects.create(key=key, url=f"https://a.example.com/{n}", host=host)
        for n, key in enumerate(KEYS)
    ]


def test_it_finds_rows_by_number(links: list[Link]) -> None:
    wanted = {links[0].pk, links[2].pk}
    assert set(Link.objects.filter(among_ids("pk", [*wanted, 10**15])).values_list("pk", flat=True)) == wanted


def test_it_finds_keys_of_any_bytes(links: list[Link]) -> None:
    for key, link in zip(KEYS, links, strict=True):
        assert list(Link.objects.filter(among_bytes("key", [key, b"\1" * 32]))) == [link]
    assert Link.objects.filter(among_bytes("key", KEYS)).count() == len(KEYS)


def test_nothing_is_among_none(links: list[Link]) -> None:
    assert links
    assert not Link.objects.filter(among_ids("pk", [])).exists()
    assert not Link.objects.filter(among_bytes("key", [])).exists()


def test_a_thousand_values_are_one_parameter() -> None:
    _, parameters = Link.objects.filter(among_ids("pk", range(1_000))).query.sql_with_params()
    assert len(parameters) == 1
