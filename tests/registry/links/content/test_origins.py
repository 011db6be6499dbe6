"""What an origin reserves, and what it answers where nothing is, holds for that scheme, host and port alone."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from registry.links import services
from registry.links.content.models import LinkContent, OriginSignature
from registry.links.content.store import origin_signatures, signatures_record
from registry.links.models import Host, Link, LinkPolicy
from tests.registry.lib.safe_http.servers import answers, redirects
from tests.registry.links.conftest import no_robots
from tests.registry.links.content.pictures import encoded, picture, serves
from tests.registry.links.test_checker_robots import SECOND, one_after_the_other, outcomes, second_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pytest_django import Settings

    from registry.datasets.models import Version
    from tests.registry.links.conftest import Town

    MakePanel = Callable[[Sequence[str]], Version]

A, C = "127.0.0.2", "127.0.0.4"
TDMREP = "/.well-known/tdmrep.json"
RANDOM = "/random.jpg"
JPEG = encoded(picture(1))
in_a_town = pytest.mark.django_db(transaction=True)


@pytest.fixture
def second(
    town: Town, settings: Settings, store_folder: object, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """How the URLs of the second port of host A begin; random paths are RANDOM."""
    monkeypatch.setattr("registry.links.content.reading.secrets.token_hex", lambda _bytes: "random")
    with second_port(town, settings) as begins:
        yield begins


def check(make_panel: MakePanel, urls: Sequence[str]) -> int:
    """Check these links and their content, on hosts without robots.txt."""
    make_panel(urls)
    LinkPolicy.objects.update(content="images")
    no_robots()
    return services.links_check()


def evidence() -> dict[str, str]:
    return dict(LinkContent.objects.values_list("link__url", "evidence"))


@in_a_town
def test_what_one_origin_reserves_is_not_reserved_on_another(
    town: Town, make_panel: MakePanel, second: str
) -> None:
    town.pages |= {
        (A, TDMREP): answers(b'[{"location": "/", "tdm-reservation": 1}]'),
        (A, "/1.jpg"): serves(JPEG),
        (SECOND, "/1.jpg"): serves(JPEG),
    }
    first = town.url(A, "")
    assert check(make_panel, [f"{first}/1.jpg", f"{second}/1.jpg"]) == 2
    assert evidence() == {f"{first}/1.jpg": "opted_out", f"{second}/1.jpg": "first_sight"}
    assert town.paths(A) == ["HEAD /1.jpg", f"GET {TDMREP}"]
    assert town.paths(SECOND) == ["HEAD /1.jpg", f"GET {TDMREP}", f"GET {RANDOM}", "GET /1.jpg"]
    assert one_after_the_other(town)
    assert dict(OriginSignature.objects.values_list("origin", "tdm_rules")) == {
        first: [["/", True]],
        second: [],
    }


@in_a_town
def test_what_another_origin_of_the_host_reserves_is_not_read_either(
    town: Town, make_panel: MakePanel, second: str
) -> None:
    """Known of the first, its reservations say nothing of the second, which is asked for its own."""
    town.pages |= {
        (SECOND, TDMREP): answers(b'[{"location": "/art/*", "tdm-reservation": 1}]'),
        (SECOND, "/art/1.jpg"): serves(JPEG),
    }
    make_panel([f"{second}/art/1.jpg"])
    now = timezone.now()
    OriginSignature.objects.create(
        host=Host.objects.get(name=A), origin=town.url(A, ""), probed_at=now, tdm_at=now
    )
    assert check(make_panel, [f"{second}/art/1.jpg"]) == 1
    assert evidence() == {f"{second}/art/1.jpg": "opted_out"}
    assert "GET /art/1.jpg" not in town.paths(SECOND)


@in_a_town
def test_what_one_origin_shows_where_nothing_is_may_be_content_of_another(
    town: Town, make_panel: MakePanel, second: str
) -> None:
    town.pages |= {(A, path): serves(JPEG) for path in (RANDOM, "/1.jpg")}
    town.pages[SECOND, "/1.jpg"] = serves(JPEG)
    first = town.url(A, "")
    assert check(make_panel, [f"{first}/1.jpg", f"{second}/1.jpg"]) == 2
    assert outcomes() == {f"{first}/1.jpg": "soft_404", f"{second}/1.jpg": "ok"}
    assert evidence()[f"{second}/1.jpg"] == "first_sight"


@in_a_town
def test_where_random_paths_of_one_origin_lead_is_not_found_from_that_alone(
    town: Town, make_panel: MakePanel, second: str
) -> None:
    first, shop = town.url(A, ""), town.url(C, "/shop")
    town.pages |= {(host, "/moved"): redirects(shop) for host in (A, SECOND)}
    make_panel([f"{first}/moved", f"{second}/moved"])
    now, host = timezone.now(), Host.objects.get(name=A)
    for origin, target in [(first, shop), (second, ""), (town.url(C, ""), "")]:
        OriginSignature.objects.create(
            host=Host.objects.get_or_create(name=C)[0] if origin == town.url(C, "") else host,
            origin=origin,
            probed_at=now,
            tdm_at=now,
            missing_target=target,
        )
    assert check(make_panel, [f"{first}/moved", f"{second}/moved"]) == 2
    assert outcomes() == {f"{first}/moved": "soft_404", f"{second}/moved": "redirect_cross_site"}
    assert Link.objects.get(url=f"{second}/moved").target == shop


@pytest.mark.django_db
def test_signatures_are_kept_by_origin_and_written_again() -> None:
    host, other = (Host.objects.create(name=name) for name in ("a.example.com", "b.example.com"))
    plain, safe = (host.pk, "http://a.example.com"), (host.pk, "https://a.example.com")
    signatures = origin_signatures({plain, safe, (other.pk, "http://b.example.com")})
    now = timezone.now()
    signatures[plain].tdm_at, signatures[plain].tdm_rules = now, [["/", True]]
    signatures[safe].probed_at, signatures[safe].missing_target = now, "https://a.example.com/lost"
    signatures_record(signatures.values())
    assert OriginSignature.objects.count() == 2  # of the third nothing was learned
    known = origin_signatures({plain, safe})
    assert (known[plain].tdm_rules, known[plain].probed_at) == ([["/", True]], None)
    assert (known[safe].missing_target, known[safe].tdm_at) == ("https://a.example.com/lost", None)
    known[plain].tdm_at, known[plain].tdm_rules = now + timedelta(days=1), []
    signatures_record([*known.values(), *origin_signatures({(other.pk, "http://b.example.com")}).values()])
    assert OriginSignature.objects.get(origin=plain[1]).tdm_rules == []
    assert OriginSignature.objects.count() == 2


@pytest.mark.django_db
@pytest.mark.parametrize("origin", ["", "a.example.com", "ftp://a", "http://a/"])
def test_a_signature_is_of_an_origin_once(origin: str) -> None:
    host = Host.objects.create(name="a.example.com")
    OriginSignature.objects.create(host=host, origin="http://a.example.com")
    with pytest.raises(IntegrityError, match="originsignature_is_one"), transaction.atomic():
        OriginSignature.objects.create(host=host, origin=origin)
    with pytest.raises(IntegrityError, match="originsignature_once"), transaction.atomic():
        OriginSignature.objects.create(host=host, origin="http://a.example.com")
