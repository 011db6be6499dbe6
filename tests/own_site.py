"""A database, a broker, a worker and a beat of a test's own, each of which it may kill as a power cut would.

The session's servers are shared by all tests; these are nobody else's, keep their data on the disk as in production, and
come back at the same place.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

import psutil
from django.conf import settings
from django.core.management import call_command
from django.db import OperationalError, connection
from psycopg.conninfo import conninfo_to_dict

from registry.embedded import Servers, processes
from registry.embedded.postgres import Postgres
from registry.embedded.valkey import Valkey
from tests.processes import Process, Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pytest


class QuickBeat(Process):
    """Beat, with the clock of `tests.quick_clock`."""

    part = "beat"

    def _command(self, part: str) -> tuple[list[str], list[int]]:
        command, handles = super()._command(part)
        return ["tests.quick_clock" if word == "registry.celery" else word for word in command], handles


class QuietWorker(Worker):
    """A worker whose queue the test leaves alone: its broker may be down."""

    def __enter__(self) -> Self:
        self.start()
        return self


class OwnSite:
    """The four, started by `own_site`. `kill_…` ends one with SIGKILL, `start_…` lets it come back."""

    def __init__(self, folder: Path, extra: dict[str, str]) -> None:
        self._folder = folder
        self._extra = extra
        self._postgres = self._valkey = ""
        self._stack = ExitStack()
        self.processes: dict[str, Process] = {}
        for name in ("postgres", "valkey"):
            (folder / name).mkdir(mode=0o711)

    def start_database(self) -> None:
        """Start PostgreSQL, which repairs itself where it was killed."""
        server = Postgres(self._folder / "postgres", throwaway=False)
        server.start()
        self._postgres = server.url
        self._database = server

    def start_broker(self) -> None:
        """Start Valkey, which reads its append-only file."""
        server = Valkey(self._folder / "valkey", throwaway=False)
        server.start()
        self._valkey = server.url
        self._broker = server

    def start_worker(self) -> None:
        """Start a Celery worker with two processes."""
        self._start("worker", QuietWorker(self.servers))

    def start_beat(self) -> None:
        """Start beat."""
        self._start("beat", QuickBeat(self.servers))

    @property
    def servers(self) -> Servers:
        """Where the two servers are."""
        return Servers(database_url=self._postgres, broker_url=self._valkey)

    def kill_database(self) -> None:
        """Kill PostgreSQL's first process and all those it has started."""
        _kill_all(self._database._process.pid)  # type: ignore[union-attr]  # it was started
        self._database._process.wait()  # type: ignore[union-attr]  # the same
        connection.close()

    def kill_broker(self) -> None:
        """Kill Valkey."""
        _kill_all(self._broker._process.pid)  # type: ignore[union-attr]  # it was started
        self._broker._process.wait()  # type: ignore[union-attr]  # the same

    def kill_worker(self) -> None:
        """Kill the worker with its pool."""
        self.processes.pop("worker").kill()

    def kill_beat(self) -> None:
        """Kill beat."""
        self.processes.pop("beat").kill()

    def stop(self) -> None:
        """End whatever runs."""
        for process in self.processes.values():
            process.stop()
        self.processes.clear()
        self._broker.stop()
        self._database.stop()

    def _start(self, name: str, process: Process) -> None:
        process._environment |= self._extra
        process.start()
        self.processes[name] = process


@contextmanager
def own_site(monkeypatch: pytest.MonkeyPatch, **environment: str) -> Iterator[OwnSite]:
    """Start the two servers, migrate, and let Django of this process work on them; worker and beat start later."""
    folder = Path(tempfile.mkdtemp(prefix="own-site-", dir=os.environ["EXPUNGE_TEST_VAR"]))
    folder.chmod(0o711)  # root runs PostgreSQL as a user who must get through
    monkeypatch.setattr(processes, "socket_folder", _same_folder)
    site = OwnSite(folder, environment)
    before = dict(connection.settings_dict)
    connection.close()
    try:
        site.start_database()
        site.start_broker()
        found = conninfo_to_dict(site.servers.database_url)
        connection.settings_dict |= {"HOST": found["host"], "NAME": found["dbname"], "USER": found["user"]}
        call_command("migrate", verbosity=0)
        yield site
    finally:
        connection.close()
        connection.settings_dict |= before
        site.stop()
        shutil.rmtree(folder, ignore_errors=True)


def wait_for(condition: Callable[[], bool], seconds: float, log: Path) -> None:
    """Return once `condition()` holds, also over a database that is being started; fail with the end of `log`."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if condition():
                return
        except OperationalError:
            connection.close()
        said = log.read_text(errors="replace")[-4000:] if log.exists() else ""
        assert time.monotonic() < deadline, f"not within {seconds} s; the worker says:\n{said}"
        time.sleep(0.05)


def worker_log() -> Path:
    """Where workers of this run write."""
    return Path(settings.VAR_DIR) / "logs/worker.log"


def _same_folder(record: Path) -> Path:
    """As `processes.socket_folder`, but a server that comes back finds its clients where it left them."""
    if not record.exists():
        record.write_text(tempfile.mkdtemp(prefix="expunge-", dir="/tmp"))  # made anew, closed to others
    return Path(record.read_text())


def _kill_all(pid: int) -> None:
    first = psutil.Process(pid)
    for process in [first, *first.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):
            process.kill()
