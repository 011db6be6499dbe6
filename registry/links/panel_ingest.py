"""The panel of a version that is being ingested, drawn from the same reading of its rows.

Where a dataset's links are checked, the next version gets its panel when it comes: of the size of the last one, from the
batches that ingest reads anyway. `registry/hooks.py` lets ingest know.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from expunge.keys import Role
from registry.auditlog.services import audit_append
from registry.links.models import LinkPolicy, Panel
from registry.links.panel import KIND, Drawing, panel_job

if TYPE_CHECKING:
    from expunge.keyed import KeyedBatch
    from expunge.shards import Binding
    from registry.accounts.models import User
    from registry.datasets.models import Version


class IngestPanel:
    """Draws while others read; a `RowReader` of `registry/hooks.py`."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._drawing = Drawing(size)
        self._rows = 0

    def columns(self, binding: Binding) -> list[str]:
        """The URLs of a shard."""
        return [binding[Role.URL]] if Role.URL in binding else []

    def add(self, place: int, binding: Binding, keyed: KeyedBatch) -> None:
        """Take the next rows of the shard at `place`."""
        self._rows += keyed.batch.rows
        if Role.URL in binding:
            self._drawing.offer(place, binding[Role.URL], keyed)

    def settle(self, version: Version) -> None:
        """All shards were read and are stored."""
        self._drawing.settle(version)

    def keep(self, version: Version, actor: User | None) -> None:
        """Write the panel; where the rows were read by an ingest that was killed since, have it drawn by a job."""
        if not version.columns.get(Role.URL.value):
            return
        panel, _ = Panel.objects.update_or_create(
            version=version, defaults={"size": self._size, "drawn_by": actor}
        )
        if self._rows < version.rows:
            panel_job(actor, version)
            return
        self._drawing.keep(panel)
        audit_append(
            actor=actor,
            action=KIND,
            subject=version,
            organisation=version.dataset.organisation,
            data={"size": self._size},
        )


def panel_reader(version: Version) -> IngestPanel | None:
    """Who draws the panel of a version that is ingested: None where the dataset's links are not checked, or paused."""
    last = Panel.objects.filter(version__dataset=version.dataset).order_by("-version__created_at").first()
    if last is None or not LinkPolicy.objects.filter(dataset=version.dataset, paused_at=None).exists():
        return None
    return IngestPanel(last.size)
