from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from registry.links.models import Link, PanelRow
from registry.links.panel import panel_draw
from registry.links.priorities import Priority, due_since, links_prioritise
from takedowns.releases.link_priorities import rows_released
from tests.factories import run_jobs
from tests.takedowns.released import keys, published, setting, verified

if TYPE_CHECKING:
    from takedowns.releases.models import Release
    from tests.takedowns.released import Setting

__all__ = ["keys", "published", "setting", "verified"]

pytestmark = pytest.mark.django_db


def test_rows_that_a_release_took_out_come_first(setting: Setting, published: Release) -> None:
    assert published.published_at is not None
    before = published.published_at - timedelta(minutes=1)
    assert list(rows_released(before)) == []  # no panel holds any of their shards
    panel_draw(actor=setting.team.maintainer, version=setting.base, size=1_000)
    run_jobs()
    Link.objects.update(checked_at=before, due_at=published.published_at + timedelta(days=7))
    named = {(first.shard, row) for first in rows_released(before) for row in first.rows}
    assert len(named) == published.rows_removed
    links = {row.link_id for row in PanelRow.objects.all() if (row.shard_id, row.row) in named}
    assert links
    # Its case was decided a moment earlier; of both reasons the more urgent one counts.
    assert links_prioritise(published.published_at) >= len(links)
    assert set(Link.objects.filter(due_at=due_since(Priority.TRIAGED)).values_list("pk", flat=True)) == links
    assert list(rows_released(published.published_at + timedelta(seconds=1))) == []
