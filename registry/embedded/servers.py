"""The users' side: find a kept server or have one kept, and say how to reach it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

from registry.embedded.locks import Lock, is_held

if TYPE_CHECKING:
    from types import TracebackType

ROOT = Path(__file__).resolve().parent.parent.parent  # the folder that holds the package `registry`


class EmbeddedError(Exception):
    """An embedded server cannot be had; the text says why and where its log is."""


@dataclass(slots=True)
class Use:
    """One process's use of one server: while it is open the server runs."""

    folder: Path
    url: str
    lock: Lock

    def alive(self) -> bool:
        """Tell whether the server is still kept."""
        return is_held(self.folder / "keeper.lock")


@dataclass(slots=True)
class Servers:
    """The servers in use; a context manager. A URL is empty when its server was not asked for."""

    database_url: str = ""
    broker_url: str = ""
    uses: dict[str, Use] = field(default_factory=dict)

    def dead(self) -> list[str]:
        """Names of the servers that have stopped under us: some of `postgres`, `valkey`."""
        return [name for name, use in self.uses.items() if not use.alive()]

    def stop(self) -> None:
        """Leave the servers; each stops by itself when its last user has left. Twice does no harm."""
        for use in self.uses.values():
            use.lock.close()
        self.uses.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def start(var: Path, *, postgres: bool = True, valkey: bool = True, throwaway: bool = False) -> Servers:
    """Start the embedded servers whose data is under `var`, or join those that run there already.

    `throwaway` servers do not wait for the disk: right for tests, wrong for anything that should outlive a power cut.
    Raises EmbeddedError when a server does not start.
    """
    servers = Servers()
    try:
        for name, wanted in (("postgres", postgres), ("valkey", valkey)):
            if wanted:
                servers.uses[name] = _join(name, var.resolve() / name, throwaway=throwaway)
    except BaseException:
        servers.stop()
        raise
    servers.database_url = servers.uses["postgres"].url if postgres else ""
    servers.broker_url = servers.uses["valkey"].url if valkey else ""
    return servers


def wait_until_stopped(var: Path) -> None:
    """Return when no embedded server runs under `var`: its last user has left and its data is written."""
    for name in ("postgres", "valkey"):
        if (var / name / "keeper.lock").exists():
            Lock(var / name / "keeper.lock").own().close()


def _join(name: str, folder: Path, *, throwaway: bool) -> Use:
    """Become a user of the server in `folder`, with a keeper started if there is none."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        users = Lock(folder / "users.lock")
    except OSError as error:
        raise EmbeddedError(f"Cannot keep {name} in {folder}: {error.strerror}.") from error
    try:
        users.share()  # waits while a keeper is stopping the server
        with Lock(folder / "start.lock").own():  # one of us starts the keeper, the others find it
            record = folder / "server.json"
            while is_held(folder / "keeper.lock") and not record.exists():
                time.sleep(0.05)  # whoever started this keeper was killed before it was ready
            if not is_held(folder / "keeper.lock"):
                record.unlink(missing_ok=True)  # of a keeper that was killed
                _start_keeper(name, folder, throwaway=throwaway)
            url = json.loads(record.read_text())["url"]
    except BaseException:
        users.close()
        raise
    return Use(folder, url, users)


def _start_keeper(name: str, folder: Path, *, throwaway: bool) -> None:
    """Start a keeper and return when its server answers."""
    command = [sys.executable, "-m", "registry.embedded.keeper", name, str(folder)]
    if throwaway:
        command.append("--throwaway")
    environment = {"PYTHONPATH": str(ROOT), "PATH": os.environ.get("PATH", os.defpath)}
    with (folder / "keeper.log").open("ab") as log:
        # A session of its own: Ctrl-C in the terminal is for the users, not for what they share.
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            command,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
            text=True,
        )
    assert process.stdout is not None
    with process.stdout:
        said = process.stdout.read()  # the keeper closes its output once it is ready
    if said.strip() != "ready":
        process.wait()
        raise EmbeddedError(
            said.strip() or f"The keeper of {name} ended at once; see {folder / 'keeper.log'}."
        )
    # It outlives us on purpose; without this, Popen's destructor would warn about a process left running.
    process.returncode = 0
