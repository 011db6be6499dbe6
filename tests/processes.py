"""Real processes of ours, pointed at the test's database and broker."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self
from urllib.parse import quote

from django.conf import settings
from django.db import connection

from registry.celery import app
from registry.embedded.site import Site

if TYPE_CHECKING:
    from collections.abc import Callable

    from registry.embedded import Servers


def environment(servers: Servers) -> dict[str, str]:
    """What a child process needs in its environment to work on this test's data."""
    database = connection.settings_dict
    return {
        "DJANGO_SETTINGS_MODULE": "registry.settings",
        "DATABASE_URL": f"postgresql://{database['USER']}@{quote(database['HOST'], safe='')}/{database['NAME']}",
        "BROKER_URL": servers.broker_url,
        "STORE": str(settings.STORE),
        "IMPORT_ROOTS": ",".join(map(str, settings.IMPORT_ROOTS)),
        "EXPUNGE_MINISIGN_KEY": str(settings.MINISIGN_KEY),
        "EXPUNGE_OMS_KEY": str(settings.OMS_KEY),
    }


class Process(Site):
    """One part of the site; its output is in `log`."""

    part = ""

    def __init__(self, servers: Servers) -> None:
        logs = Path(os.environ["VAR_DIR"]) / "logs"
        super().__init__(
            settings.VAR_DIR, port=0, parts=[self.part], environment=environment(servers), logs=logs
        )
        self.log = logs / f"{self.part}.log"

    def kill(self) -> None:
        """Kill it as a power cut would, with everything that it has started."""
        os.killpg(self.processes[self.part].pid, 9)
        self.processes.pop(self.part).wait()


class Worker(Process):
    """A Celery worker."""

    part = "worker"

    def __enter__(self) -> Self:
        app.control.purge()
        return super().__enter__()

    def wait_for(self, condition: Callable[[], bool], seconds: float = 30) -> None:
        """Return once `condition()` holds; fail the test, with the end of the worker's log, if it never does."""
        deadline = time.monotonic() + seconds
        while not condition():
            log = self.log.read_text(errors="replace")[-4000:]
            assert time.monotonic() < deadline, f"not within {seconds} s; the worker says:\n{log}"
            time.sleep(0.05)


class Gunicorn(Process):
    """The web; `url` has no slash at its end."""

    part = "web"
