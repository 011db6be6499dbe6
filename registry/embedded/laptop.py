"""What a machine with nothing set up needs in its environment."""

from __future__ import annotations

import os
import secrets
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from registry.embedded.servers import start

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from registry.embedded.servers import Servers


@contextmanager
def laptop(var: Path) -> Iterator[Servers]:
    """Start the servers that the environment does not name, and set DATABASE_URL and BROKER_URL to them.

    Where the database is ours the mode is `demo`, unless the environment says otherwise; and in this mode the secret key
    is made once and kept in `var`. Raises EmbeddedError.
    """
    postgres = not os.environ.get("DATABASE_URL")
    valkey = not os.environ.get("BROKER_URL")
    with start(var, postgres=postgres, valkey=valkey) as servers:
        if valkey:
            os.environ["BROKER_URL"] = servers.broker_url
        if postgres:
            os.environ["DATABASE_URL"] = servers.database_url
            os.environ.setdefault("EXPUNGE_MODE", "demo")
        if os.environ.get("EXPUNGE_MODE") == "demo" and not os.environ.get("SECRET_KEY"):
            os.environ["SECRET_KEY"] = secret_key(var)
        yield servers


def secret_key(var: Path) -> str:
    """Return the key kept in `var/secret-key`, made on first use and readable by its owner only."""
    path = var / "secret-key"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_suffix(f".new-{os.getpid()}")
        new.touch(mode=0o600)
        new.write_text(secrets.token_urlsafe(64))
        with suppress(FileExistsError):  # whoever is first wins, and both read the same
            os.link(new, path)
        new.unlink()
    return path.read_text()
