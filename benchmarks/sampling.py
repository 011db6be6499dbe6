"""What it costs to draw the panel of links while a version is ingested.

    python benchmarks/sampling.py                 2,000,000 rows
    python benchmarks/sampling.py --full          10,000,000 rows

The whole ingest, as a worker does it: reading, checking, indexing the keys of every row for the first time, storing and
writing to a real PostgreSQL. Beside it the same without a panel. The panel has 10,000 links, each of which is then a row
of the database with its host; all are on .com, so that no other kind of domain adds to them, and none is spared the look.
"""

from __future__ import annotations

import tempfile

from data import make_shards
from measure import Goal, Job, finish, parse_options, run, take_turns

SHARD_ROWS, PANEL = 500_000, 10_000

INGEST = """
import json, os, shutil, sys
from datetime import date
from pathlib import Path
from measure import timed
from server import server

folder, data, panel = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
with server(folder):
    from registry.accounts.models import Membership, Organisation, Role, User
    from registry.celery import app
    from registry.datasets import services
    from registry.datasets.models import Version
    from registry.jobs.models import Job
    from registry.jobs.services import job_run
    from registry.links.models import LinkPolicy, Panel

    app.loader.import_default_modules()
    organisation = Organisation.objects.create(slug="bench", name="Bench")
    user = User.objects.create(username="bench")
    Membership.objects.create(user=user, organisation=organisation, role=Role.MAINTAINER)
    dataset = services.dataset_create(actor=user, organisation=organisation, slug="bench", name="Bench")
    before = Version.objects.create(dataset=dataset, name="before", dated=date(2025, 1, 1), columns={})
    if panel:
        LinkPolicy.objects.create(dataset=dataset)
        Panel.objects.create(version=before, size=panel)
    shutil.copytree(data, folder / "imports/new", copy_function=os.link)
    version = services.version_register(actor=user, dataset=dataset, name="1", dated=date(2025, 2, 1), source="new")
    with timed() as figures:
        job_run(Job.objects.get(subject_id=version.pk).pk)
    version.refresh_from_db()
    assert version.status == "active", version.status_reason
    drawn = Panel.objects.get(version=version).panel_rows.count() if panel else 0
    assert drawn >= min(panel, version.rows), drawn  # of rare kinds of domain there are more
print(json.dumps({**figures, "rows per CPU second": version.rows / figures["cpu"]}))
"""


def main() -> None:
    """Ingest with a panel and without one, in turns."""
    options = parse_options(__doc__, rows=2_000_000, full=10_000_000, rounds=3)
    data = make_shards(options.data, max(1, options.rows // SHARD_ROWS), min(SHARD_ROWS, options.rows))

    def ingest(panel: int) -> dict[str, float]:
        with tempfile.TemporaryDirectory(dir=options.data) as folder:
            return run(INGEST, folder, data, panel)

    found = take_turns(
        {"expunge": lambda: ingest(PANEL), "without a panel": lambda: ingest(0)}, options.rounds
    )
    speed = found["without a panel"]["cpu"] / found["expunge"]["cpu"]
    goals = [Goal("speed of the ingest without it, by CPU seconds", speed, 0.8, at_least=True)]
    sizes = {"rows": options.rows, "links": PANEL}
    others = {"without a panel": found["without a panel"]}
    finish("sampling", options, [Job("ingest and draw a panel", sizes, found["expunge"], others, goals)])


if __name__ == "__main__":
    main()
