"""A PostgreSQL and a Valkey of a benchmark's own, migrated, with Django set up in this process to work on them.

    with server(Path(folder), LINKS_BATCHES="2") as environment:
        from registry.links.models import Link      # imported here: the settings read the environment

`environment` is what a child process needs in its own. The servers wait for the disk as in production.
"""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parents[1]

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def server(folder: Path, **settings: str) -> Iterator[dict[str, str]]:
    """Start both servers with their data in `folder`, and set Django up with these settings. Once in a process."""
    sys.path.insert(0, str(ROOT))
    from registry.embedded import start, wait_until_stopped

    folder.chmod(0o711)  # root runs PostgreSQL as a user who must get through
    (folder / "imports").mkdir(exist_ok=True)
    with start(folder / "servers") as servers:
        environment = {
            "DJANGO_SETTINGS_MODULE": "registry.settings",
            "DATABASE_URL": servers.database_url,
            "BROKER_URL": servers.broker_url,
            "EXPUNGE_MODE": "demo",
            "SECRET_KEY": "for benchmarks only " * 3,
            "VAR_DIR": str(folder / "var"),
            "STORE": str(folder / "store"),
            "IMPORT_ROOTS": str(folder / "imports"),
            "RDAP_BOOTSTRAP": "",
            **settings,
        }
        os.environ |= environment
        import django
        from django.core.management import call_command
        from django.db import connection, connections

        django.setup()
        call_command("migrate", verbosity=0)
        try:
            yield environment
        finally:
            connections.close_all()
            if pool := getattr(connection, "pool", None):
                pool.close()
    wait_until_stopped(
        folder / "servers"
    )  # else the folder is cleared away while the last checkpoint is written
