"""How many links of a host make what they give a placeholder, and who else is counted with them."""

from __future__ import annotations

from datetime import timedelta
from hashlib import sha256

import pytest
from django.utils import timezone

from registry.links.content.models import LinkContent
from registry.links.content.states import Facts
from registry.links.content.store import content_record
from registry.links.models import Host, Link

pytestmark = pytest.mark.django_db


def links(host: str, count: int) -> list[Link]:
    one, _ = Host.objects.get_or_create(name=host)
    urls = [f"http://{host}/{number}.jpg" for number in range(count)]
    return [
        Link.objects.create(key=sha256(url.encode()).digest(), url=url, host=one, state="alive")
        for url in urls
    ]


def body(name: str) -> Facts:
    digest = sha256(name.encode()).digest()
    return Facts("image", 9, digest, {"content.sha256": digest})


def read(ones: list[Link], name: str = "one") -> None:
    at = timezone.now() + timedelta(seconds=LinkContent.objects.count())
    content_record({link.pk: (body(name), at) for link in ones})


def told(ones: list[Link]) -> list[str]:
    found = LinkContent.objects.in_bulk([link.pk for link in ones])
    return [found[link.pk].evidence for link in ones]


def test_two_links_that_give_the_same_give_a_picture_and_three_a_placeholder() -> None:
    first, second, third = links("a.example.com", 3)
    read([first, second])
    assert told([first, second]) == ["first_sight", "first_sight"]
    read([third])
    assert told([first, second, third]) == ["placeholder"] * 3
    assert set(LinkContent.objects.values_list("state", "first")) == {("unknown", None)}


def test_three_at_once_are_enough_too() -> None:
    ones = links("a.example.com", 3)
    read(ones)
    assert told(ones) == ["placeholder"] * 3


def test_links_of_several_hosts_are_not_counted_together() -> None:
    ones = [*links("a.example.com", 2), *links("b.example.com", 2)]
    read(ones)
    assert told(ones) == ["first_sight"] * 4


def test_one_link_that_is_read_three_times_is_one() -> None:
    [one] = links("a.example.com", 1)
    for _ in range(3):
        read([one])
    assert LinkContent.objects.get().state == "identical"


def test_three_that_differ_are_three_pictures() -> None:
    ones = links("a.example.com", 3)
    for place, one in enumerate(ones):
        read([one], str(place))
    assert told(ones) == ["first_sight"] * 3
