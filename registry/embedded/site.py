"""The site's own processes: web (gunicorn), worker and beat (Celery), started, watched and stopped together.

    with Site(var, port=8000) as site:
        site.url                # it answers by now
        site.wait()             # until one of them ends

They take DATABASE_URL, BROKER_URL and the rest from the environment, to which `environment` adds.
"""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Self

from registry.embedded.processes import die_with_parent
from registry.embedded.servers import ROOT, EmbeddedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path
    from types import TracebackType

PARTS = ("web", "worker", "beat")
START_SECONDS = 60
STOP_SECONDS = 15  # a task that takes longer is killed; its job goes on where it was when a worker is back


class Site:
    """Some or all of web, worker and beat as child processes; a context manager."""

    def __init__(
        self,
        var: Path,
        *,
        host: str = "127.0.0.1",
        port: int = 8000,
        parts: Iterable[str] = PARTS,
        environment: Mapping[str, str] | None = None,
        logs: Path | None = None,
    ) -> None:
        """`port` 0 takes any free one, a taken one the next free. Output goes to `logs`/<part>.log if given."""
        self.var = var
        self.parts = tuple(parts)
        self.logs = logs
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._listener = listen(host, port) if "web" in self.parts else None
        bound = self._listener.getsockname()[1] if self._listener else port
        self.url = f"http://{'127.0.0.1' if host in ('0.0.0.0', '') else host}:{bound}"  # noqa: S104 - shown
        self._environment = {"SITE_URL": self.url, **os.environ, **(environment or {})}

    def start(self) -> None:
        """Start every part and return when the web answers `/healthz`. Raises EmbeddedError, with all stopped."""
        try:
            for part in self.parts:
                self.processes[part] = self._start(part)
            if self._listener:
                self._listener.close()  # gunicorn has its own handle now
                self._wait_for_web()
        except BaseException:
            self.stop()
            raise

    def ended(self) -> dict[str, int]:
        """Parts that have ended by themselves: name -> exit status (negative: the signal)."""
        return {
            part: status for part, child in self.processes.items() if (status := child.poll()) is not None
        }

    def wait(self, others_dead: Callable[[], list[str]] = list) -> list[str]:
        """Wait until a part ends, or `others_dead()` names something; return what ended, in words."""
        while True:
            if ended := self.ended():
                return [f"{part} (status {status})" for part, status in ended.items()]
            if dead := others_dead():
                return dead
            time.sleep(0.5)

    def stop(self) -> None:
        """End every part: asked first, killed with all its children after STOP_SECONDS. Twice does no harm."""
        if self._listener:
            self._listener.close()
        for child in self.processes.values():
            with suppress(ProcessLookupError):
                child.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        for child in self.processes.values():
            with suppress(subprocess.TimeoutExpired):
                child.wait(max(0.0, deadline - time.monotonic()))
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)  # its group is its own, see start_new_session
            child.wait()
        self.processes.clear()

    def _start(self, part: str) -> subprocess.Popen[bytes]:
        command, passed = self._command(part)
        with ExitStack() as stack:
            output = None
            if self.logs:
                self.logs.mkdir(parents=True, exist_ok=True)
                output = stack.enter_context((self.logs / f"{part}.log").open("ab"))
            return subprocess.Popen(  # noqa: S603 - our own interpreter and modules
                # An embedded site started by root runs as root; Celery need not say so each time.
                [
                    sys.executable,
                    "-W",
                    "ignore:You're running the worker with superuser privileges",
                    "-m",
                    *command,
                ],
                cwd=ROOT,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=passed,
                start_new_session=True,  # Ctrl-C reaches us alone, and we stop them in order
                preexec_fn=die_with_parent(signal.SIGTERM),  # noqa: PLW1509 - one prctl call, prepared before the fork
            )

    def _command(self, part: str) -> tuple[list[str], list[int]]:
        """Arguments after `python -m`, and file descriptors to hand on."""
        if part == "web":
            assert self._listener is not None
            handle = self._listener.fileno()
            # Threads, because uploads and downloads wait more than they compute. No access log: ours says the route.
            options = [
                "--workers=2",
                "--threads=4",
                "--no-control-socket",
                "--log-level=warning",
                "--timeout=120",
            ]
            return ["gunicorn", "registry.wsgi", f"--bind=fd://{handle}", *options], [handle]
        celery = ["celery", "-A", "registry.celery", "--quiet"]
        if part == "worker":
            # Workers here find each other through the database, not by gossip.
            options = ["--concurrency=2", "--without-gossip", "--without-mingle", "--without-heartbeat"]
            return [*celery, "worker", "--loglevel=warning", *options], []
        return [
            *celery,
            "beat",
            "--loglevel=warning",
            f"--schedule={self.var / 'beat-schedule'}",
            "--pidfile=",
        ], []

    def _wait_for_web(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not answers(self.url):
            if ended := self.ended():
                raise EmbeddedError(f"{', '.join(ended)} ended while starting{self._see_logs()}.")
            if time.monotonic() > deadline:
                raise EmbeddedError(
                    f"{self.url}/healthz is not well after {START_SECONDS} s{self._see_logs()}."
                )
            time.sleep(0.1)

    def _see_logs(self) -> str:
        return f"; see {self.logs}" if self.logs else ""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket at `port`, or at the next free one of a hundred. Raises EmbeddedError if none is."""
    for candidate in range(port, port + 100) if port else (0,):
        listener = socket.socket(socket.AF_INET)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, candidate))
            listener.listen(128)
        except OSError:
            listener.close()
        else:
            return listener
    raise EmbeddedError(f"No free port at {host} from {port} to {port + 99}.")


def answers(url: str) -> bool:
    """Tell whether `url`/healthz answers 200."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=5)
    try:
        connection.request("GET", "/healthz", headers={"Host": "localhost"})
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
