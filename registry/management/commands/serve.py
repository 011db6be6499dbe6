"""Serve the site: migrate, collect static files, then run web, worker and beat until stopped."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any, NoReturn

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from registry.embedded import EmbeddedError
from registry.embedded.locks import is_held
from registry.embedded.site import Site

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Callable
    from types import FrameType


class Command(BaseCommand):
    help = "Migrate, collect static files, then run web, worker and beat until Ctrl-C."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="address to listen at (default: %(default)s)")
        parser.add_argument(
            "--port",
            type=int,
            default=8000,
            help="the next free one is taken if it is in use (default: %(default)s)",
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        prepare(self._say)
        stop_on_signals()
        try:
            with Site(settings.VAR_DIR, host=options["host"], port=options["port"]) as site:
                self._say(
                    f"{settings.SITE_NAME} is at {site.url}/ (API: {site.url}/api/docs/). Ctrl-C stops it."
                )
                dead = site.wait(servers_dead)
        except EmbeddedError as error:
            raise CommandError(str(error)) from error
        except KeyboardInterrupt:
            self.stdout.write("Stopped.")
            return
        raise CommandError(f"Ended by itself: {', '.join(dead)}. Everything else has been stopped.")

    def _say(self, line: str) -> None:
        """Print a line at once, also into a pipe."""
        self.stdout.write(line)
        self.stdout.flush()


def prepare(say: Callable[[str], None]) -> None:
    """Bring the database and the collected static files up to date, saying so; shared with the demo."""
    say("Bringing the database up to date …")
    call_command("migrate", verbosity=0, interactive=False)
    say("Collecting static files …")
    call_command("collectstatic", verbosity=0, interactive=False)


def stop_on_signals() -> None:
    """Treat SIGTERM and a closed terminal as Ctrl-C (also where a shell has turned that off), so that `finally` and `with` do their work."""

    def stop(_number: int, _frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)


def servers_dead() -> list[str]:
    """Names of embedded servers that this site uses and that have stopped."""
    return [
        name
        for name, url in (("postgres", settings.DATABASE_URL), ("valkey", settings.BROKER_URL))
        if "expunge-" in url and not is_held(settings.VAR_DIR / name / "keeper.lock")
    ]
