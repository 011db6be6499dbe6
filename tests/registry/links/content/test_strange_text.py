"""What a host writes may hold characters that the database refuses: it stops no batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from registry.links import services
from registry.links.content.models import OriginSignature
from registry.links.models import Link, LinkPolicy, RobotsFile
from tests.registry.lib.safe_http.servers import answers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from registry.datasets.models import Version
    from tests.registry.links.conftest import Town

    MakePanel = Callable[[Sequence[str]], Version]

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("store_folder")]
A = "127.0.0.2"


@pytest.mark.parametrize("location", [rb"/\ud800", rb"/\u0000", rb"\udfff\ud83d"])
def test_reservations_with_characters_that_cannot_be_stored(
    town: Town, make_panel: MakePanel, location: bytes
) -> None:
    rules = (
        b'[{"location": "%s", "tdm-reservation": 1}, {"location": "/art", "tdm-reservation": 1}]' % location
    )
    town.pages[A, "/.well-known/tdmrep.json"] = answers(rules)
    make_panel([town.url(A, "/1.jpg"), town.url(A, "/art/2.jpg")])
    LinkPolicy.objects.update(content="bytes")
    assert services.links_check() == 2
    assert "GET /1.jpg" in town.paths(A)
    assert "GET /art/2.jpg" not in town.paths(A)
    assert OriginSignature.objects.get().tdm_rules[1] == ["/art", True]


def test_everything_else_that_a_host_writes(town: Town, make_panel: MakePanel) -> None:
    odd = b"\xed\xa0\x80 \xff \\ud800"
    town.pages |= {
        (A, "/robots.txt"): answers(b"User-agent: *\0" + odd + b"\nDisallow: /no" + odd),
        (A, "/1"): answers(
            b"x",
            headers=f'X-Robots-Tag: {odd.decode("latin-1")}, noai\r\nETag: "{odd.decode("latin-1")}"\r\n',
        ),
        (A, "/2"): answers(b"", status="302 Go", headers=f"Location: /3?{odd.decode('latin-1')}\r\n"),
    }
    make_panel([town.url(A, "/1"), town.url(A, "/2")])
    LinkPolicy.objects.update(content="bytes")
    assert services.links_check() == 2
    assert "\ufffd" in RobotsFile.objects.get().text
    one = Link.objects.get(url=town.url(A, "/1"))
    assert (one.state, one.opt_outs) == ("alive", ["noai"])
    assert Link.objects.get(url=town.url(A, "/2")).checked_at is not None
