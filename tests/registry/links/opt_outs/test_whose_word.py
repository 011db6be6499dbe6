"""A file on a name below which everybody may have one speaks for that name alone, whatever it says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from registry.links.models import Host
from registry.links.opt_outs import services
from registry.links.opt_outs.files import PATH
from registry.links.opt_outs.services import opt_out_ask, opt_outs_read
from tests.registry.lib.safe_http.servers import answers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from registry.datasets.models import Version
    from tests.registry.links.conftest import Town

A = "127.0.0.2"


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("store_folder")
@pytest.mark.parametrize("is_everybodys", [True, False])
def test_it_does_not_take_the_names_below_along(
    town: Town,
    make_panel: Callable[[Sequence[str]], Version],
    monkeypatch: pytest.MonkeyPatch,
    *,
    is_everybodys: bool,
) -> None:
    monkeypatch.setattr(services, "is_public_suffix", lambda _name: is_everybodys)
    town.pages[A, PATH] = answers(b"expunge: opt-out\ninclude-subdomains\n")
    make_panel([town.url(A, "/1")])
    opt_out_ask(A)
    assert opt_outs_read() == 1
    host = Host.objects.get(name=A)
    assert (host.opted_out_at is not None, host.covers_subdomains) == (True, not is_everybodys)
