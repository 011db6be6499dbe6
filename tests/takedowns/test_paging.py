"""Every list of every record page is paged, and two lists on one page leave each other alone."""

from __future__ import annotations

import re
from html import unescape
from typing import TYPE_CHECKING

import pytest

from tests.takedowns.long_lists import LongList, make_long_lists
from tests.takedowns.released import keys, published, setting, verified

if TYPE_CHECKING:
    from django.test import Client

    from takedowns.releases.models import Release
    from tests.takedowns.released import Setting

__all__ = ["keys", "published", "setting", "verified"]

PAGE = 50


@pytest.fixture
def lists(setting: Setting, published: Release, client: Client) -> dict[str, LongList]:
    client.force_login(setting.team.staff)
    return make_long_lists(setting, published)


def get(client: Client, address: str) -> str:
    response = client.get(address.partition("#")[0])
    assert response.status_code == 200
    return response.content.decode()


def place(page: str, param: str) -> str:
    """The part of the page from a list's id to the end of its pager."""
    found = re.search(rf'id="{param}".*?<nav class="pager".*?</nav>', page, re.DOTALL)
    assert found, f"no list {param}"
    return found[0]


def heads(page: str, param: str) -> list[str]:
    """What identifies each row of the list: the row's head, or the heading of a report."""
    found = re.findall(r'<th scope="row"[^>]*>(.*?)</th>|<h3>(.*?)</h3>', place(page, param), re.DOTALL)
    return [re.sub(r"<[^>]+>|\s+", " ", "".join(one)).strip() for one in found]


def links(page: str, param: str) -> dict[str, str]:
    """The links of the list's pager by what they say."""
    pager = place(page, param).rpartition("<nav")[2]
    found = re.findall(r'<a href="([^"]*)"[^>]*>(.*?)</a>', pager)
    return {re.sub(r"<.*?>.*?</.*?>", "", text): unescape(address) for address, text in found}


def test_each_list_goes_on_where_its_page_ends(client: Client, lists: dict[str, LongList]) -> None:
    for name, one in lists.items():
        page = get(client, one.path)
        shown = heads(page, one.param)
        assert len(shown) == PAGE, name
        assert "Previous" not in links(page, one.param), name
        while following := links(page, one.param).get("Next"):
            # The link leads back to the list, not to the top of the page.
            assert following.endswith(f"#{one.param}"), name
            page = get(client, one.path + following)
            shown += heads(page, one.param)
        assert (len(shown), len(set(shown))) == (one.rows, one.rows), name
        assert "Previous" in links(page, one.param), name


def test_a_number_that_makes_no_sense_gives_a_page_all_the_same(
    client: Client, lists: dict[str, LongList]
) -> None:
    for name, one in lists.items():
        last = one.rows % PAGE
        numbers = dict.fromkeys(("two", "1.5", "%00", "", f"2&{one.param}=1"), PAGE)
        numbers |= dict.fromkeys(("99", "0", "-1", "9" * 30), last)
        for number, rows in numbers.items():
            page = get(client, f"{one.path}?{one.param}={number}")
            assert len(heads(page, one.param)) == rows, (name, number)


def test_two_lists_of_one_page_keep_each_others_place(client: Client, lists: dict[str, LongList]) -> None:
    pairs = [(a, b) for a in lists.values() for b in lists.values() if a.path == b.path and a != b]
    assert len(pairs) == 3 * 2 + 4 * 3 + 2 + 2
    moved = {name: get(client, f"{one.path}?{one.param}=2") for name, one in lists.items()}
    names = {one: name for name, one in lists.items()}
    for first, second in pairs:
        page = get(client, first.path + links(moved[names[first]], second.param)["Next"])
        for one in (first, second):
            assert heads(page, one.param) == heads(moved[names[one]], one.param), (first, second)


def test_a_list_that_is_narrowed_stays_so_on_its_next_page(
    client: Client, lists: dict[str, LongList]
) -> None:
    case = lists["case items"]
    page = get(client, f"{case.path}?show=all")
    assert "show=all" in links(page, "items")["Next"]
    version = lists["version shards"]
    digest = re.findall(r'title="([0-9a-f]{64})"', place(get(client, f"{version.path}?shards=2"), "shards"))[
        0
    ]
    narrowed = get(client, f"{version.path}?shard={digest[:10]}")
    assert f"shard={digest[:10]}" in links(narrowed, "shards")["Next"]
