"""An opt-out counts that a redirect declares, whatever the answer at its end says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from registry.hooks import hooks
from registry.links import services
from registry.links.content.models import LinkContent
from registry.links.models import Link, LinkPolicy
from tests.registry.lib.safe_http.servers import answers
from tests.registry.links.conftest import no_robots

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from registry.datasets.models import Version
    from tests.registry.links.conftest import Town

    MakePanel = Callable[[Sequence[str]], Version]

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("store_folder")]
A = "127.0.0.2"


def objecting(town: Town, end: str = "200 OK", headers: str = "") -> str:
    """A link that is redirected with an opt-out."""
    head = "Location: /new.jpg\r\nX-Robots-Tag: noai\r\n"
    town.pages |= {
        (A, "/old.jpg"): answers(b"", status="301 Moved", headers=head),
        (A, "/new.jpg"): answers(b"x" * 9, status=end, headers=headers),
    }
    return town.url(A, "/old.jpg")


@pytest.mark.parametrize(
    ("end", "headers", "outcome", "declared"),
    [
        ("200 OK", "", "redirect_same_site", ["noai"]),
        ("200 OK", "TDM-Reservation: 1\r\nX-Robots-Tag: noai\r\n", "redirect_same_site", ["noai", "tdm-reservation"]),
        ("404 Not Found", "", "not_found", ["noai"]),
    ],
)  # fmt: skip
def test_what_a_redirect_declares_is_evidence_of_the_link(
    town: Town, make_panel: MakePanel, *, end: str, headers: str, outcome: str, declared: list[str]
) -> None:
    make_panel([objecting(town, end, headers)])
    no_robots()
    assert services.links_check() == 1
    link = Link.objects.get()
    assert (link.outcome, link.opt_outs) == (outcome, declared)


def test_no_content_is_read_behind_it(town: Town, make_panel: MakePanel) -> None:
    make_panel([objecting(town)])
    LinkPolicy.objects.update(content="bytes")
    no_robots()
    assert services.links_check() == 1
    assert town.paths(A) == ["HEAD /old.jpg", "HEAD /new.jpg"]
    found = LinkContent.objects.get()
    assert (found.state, found.evidence, found.first) == ("unknown", "opted_out", None)
    assert Link.objects.get().opt_outs == ["noai"]


def test_of_a_link_that_leads_to_what_is_excluded_not_even_that_is_kept(
    town: Town, make_panel: MakePanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_panel([objecting(town)])
    no_robots()

    def ask(keys: Collection[tuple[str, bytes]]) -> set[tuple[str, bytes]]:
        return set(keys) if "HEAD /old.jpg" in town.paths(A) else set()

    monkeypatch.setattr(hooks, "keys_excluded", [ask])
    services.links_check()
    link = Link.objects.get()
    assert (link.state, link.opt_outs, town.paths(A)) == ("excluded", [], ["HEAD /old.jpg"])
