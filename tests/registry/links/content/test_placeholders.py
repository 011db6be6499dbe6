"""One body under many addresses of a host: a placeholder where something else was before, and else nothing that is known."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.utils import timezone

from registry.links import services
from registry.links.content.models import LinkContent
from registry.links.models import PanelRow
from tests.registry.links.content.pictures import encoded, picture, serves
from tests.registry.links.content.test_reading import DIGEST, check_again, content, known_hosts, read

if TYPE_CHECKING:
    from tests.registry.links.conftest import Town
    from tests.registry.links.content.test_reading import MakePanel

__all__ = ["read"]  # a fixture
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("store_folder")]
A = "127.0.0.2"
SAME = encoded(picture(1))


def three(town: Town, read: MakePanel) -> list[str]:
    urls = [town.url(A, f"/{number}.jpg") for number in range(3)]
    read(urls)
    known_hosts()
    return urls


def three_days_later() -> None:
    LinkContent.objects.exclude(suspect_at=None).update(suspect_at=timezone.now() - timedelta(hours=73))


def test_one_picture_in_three_places_from_the_first_look_on_is_never_called_replaced(
    town: Town, read: MakePanel
) -> None:
    town.pages |= {(A, f"/{number}.jpg"): serves(SAME) for number in range(3)}
    urls = three(town, read)
    for _ in range(3):
        assert check_again() == 3
        three_days_later()
        assert {content(url) for url in urls} == {"unknown/placeholder"}


def test_it_is_where_other_pictures_were_before(town: Town, read: MakePanel) -> None:
    town.pages |= {(A, f"/{number}.jpg"): serves(encoded(picture(number + 2))) for number in range(3)}
    urls = three(town, read)
    assert services.links_check() == 3
    town.pages |= {(A, f"/{number}.jpg"): serves(SAME) for number in range(3)}
    assert check_again() == 3
    assert {content(url) for url in urls} == {"changed/placeholder"}
    three_days_later()
    assert check_again() == 3
    assert {content(url) for url in urls} == {"replaced/placeholder"}


def test_it_is_where_the_dataset_recorded_something_else(town: Town, read: MakePanel) -> None:
    town.pages |= {(A, f"/{number}.jpg"): serves(SAME) for number in range(3)}
    urls = three(town, read)
    PanelRow.objects.filter(link__url=urls[0]).update(hashes={"content.sha256": DIGEST.hex()})
    assert services.links_check() == 3
    three_days_later()
    assert check_again() == 3
    assert [content(url) for url in urls] == ["replaced/placeholder", *["unknown/placeholder"] * 2]


def test_a_page_where_pictures_should_be_is_replaced_all_the_same(town: Town, read: MakePanel) -> None:
    town.pages |= {(A, f"/{number}.jpg"): serves(b"<html>For sale", "text/html") for number in range(3)}
    urls = three(town, read)
    assert services.links_check() == 3
    three_days_later()
    assert check_again() == 3
    assert {content(url) for url in urls} == {"replaced/kind"}
