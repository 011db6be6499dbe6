"""The process that keeps one server: start it, wait until its last user has gone, stop it.

    python -m registry.embedded.keeper postgres FOLDER [--throwaway]

On standard output it says `ready`, or in one line why not, and closes it.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
from pathlib import Path

from registry.embedded.locks import Lock
from registry.embedded.postgres import Postgres
from registry.embedded.processes import ServerError, end_leftover, say
from registry.embedded.valkey import Valkey

KINDS: dict[str, type[Postgres | Valkey]] = {"postgres": Postgres, "valkey": Valkey}


def keep(kind: str, folder: Path, *, throwaway: bool) -> int:
    """Keep one server until nobody uses it. Returns the exit status: 0, or 1 when the server failed."""
    kept = Lock(folder / "keeper.lock").own()
    record = folder / "server.json"
    server = KINDS[kind](folder, throwaway=throwaway)
    try:
        end_leftover(server.pid_file, server.marker)
        server.start()
    except (ServerError, OSError) as error:
        server.stop()
        say(f"{kind} does not start: {error} Its log: {server.log}")
        return 1
    aside = record.with_suffix(".new")
    aside.write_text(json.dumps({"url": server.url}))
    aside.rename(record)  # whoever sees it reads it whole
    say("ready")

    users = Lock(folder / "users.lock")
    threading.Thread(target=_stop_after_last_user, args=(users, server), daemon=True).start()
    for name in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(name, lambda _number, _frame: server.ask_to_stop())
    status = server.wait()
    # In this order: a new user gets in only when `users` is given back, and then finds nobody keeping the server.
    record.unlink(missing_ok=True)
    server.stop()
    kept.close()
    users.close()
    return 0 if status == 0 else 1


def _stop_after_last_user(users: Lock, server: Postgres | Valkey) -> None:
    users.own()
    server.ask_to_stop()


def main() -> int:
    """Read the command line and keep a server."""
    parser = argparse.ArgumentParser(description="Keeps one embedded server while somebody uses it.")
    parser.add_argument("kind", choices=sorted(KINDS))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--throwaway", action="store_true")
    asked = parser.parse_args()
    return keep(asked.kind, asked.folder, throwaway=asked.throwaway)


if __name__ == "__main__":
    sys.exit(main())
