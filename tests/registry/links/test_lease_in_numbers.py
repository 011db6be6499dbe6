"""For how long a lease counts for its holder, in seconds that stand here."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from registry.links import leases
from registry.links.leases import Holding
from registry.links.schedule import Batch

if TYPE_CHECKING:
    from pytest_django import Settings


@pytest.mark.parametrize(
    ("seconds", "sure"), [(0, True), (89, True), (91, False), (119, False), (9_999, False)]
)
def test_nothing_is_dialled_in_the_last_quarter_of_two_minutes(
    seconds: float, settings: Settings, monkeypatch: pytest.MonkeyPatch, *, sure: bool
) -> None:
    """A request may take 20 seconds and must be over when the lease is."""
    settings.LINKS_LEASE_SECONDS = 120
    batch = Batch(uuid4(), held_since=1_000.0)
    monkeypatch.setattr(leases, "clock", lambda: 1_000.0 + seconds)
    with ThreadPoolExecutor(1) as database:
        holding = Holding(batch, database)
        assert holding.is_sure("a.example.com") is sure
        batch.lost = {"a.example.com"}
        assert not holding.is_sure("a.example.com")
        assert holding.is_sure("b.example.com") is sure


def test_it_is_renewed_often_enough_to_fail_once(settings: Settings) -> None:
    assert settings.LINKS_LEASE_SECONDS == 120
    assert leases.RENEWED_AFTER * 120 == 30
