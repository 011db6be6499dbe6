#!/usr/bin/env python
"""Django's commands, with the embedded servers started where no others are named.

With DATABASE_URL or BROKER_URL unset, the missing server is started (or joined, if it runs) under VAR_DIR for as long
as the command runs. Without DATABASE_URL, and for the command `demo`, the site is a laptop's: EXPUNGE_MODE=demo, with
a secret key made once and kept in VAR_DIR.
A file `.env` beside this one is read first; what is set already wins over it.
"""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line
from dotenv import load_dotenv
from environs.exceptions import EnvError

from registry.embedded import EmbeddedError, laptop

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

ROOT = Path(__file__).resolve().parent
# These read code, not data; no server is started for them.
NEED_NO_SERVER = {"check", "collectstatic", "diffsettings", "findstatic", "help", "spectacular", "version"}


def servers_for(command: str) -> AbstractContextManager[object]:
    """Context manager: the embedded servers that `command` needs and the environment does not name."""
    if command == "demo" or not os.environ.get("DATABASE_URL"):
        os.environ.setdefault("EXPUNGE_MODE", "demo")
    if command.startswith("-") or command in NEED_NO_SERVER or {"-h", "--help"} & set(sys.argv):
        return nullcontext()
    return laptop(ROOT / (os.environ.get("VAR_DIR") or "var"))


def main() -> None:
    """Run one command."""
    load_dotenv(ROOT / ".env")
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "registry.settings")
    try:
        with servers_for(sys.argv[1] if len(sys.argv) > 1 else "help"):
            execute_from_command_line(sys.argv)
    except (EmbeddedError, EnvError, ImproperlyConfigured) as error:  # also: a setting makes no sense
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
