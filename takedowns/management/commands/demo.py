"""The demo: run the main job on generated data, then leave the site running."""

from __future__ import annotations

import os
import shutil
from contextlib import ExitStack
from functools import partial
from http import HTTPStatus
from io import StringIO
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from registry.embedded import EmbeddedError
from registry.embedded.locks import Lock
from registry.embedded.site import Site
from registry.management.commands.serve import prepare, servers_dead, stop_on_signals
from takedowns.management.demo import people
from takedowns.management.demo.client import Client
from takedowns.management.demo.downstream import Downstream
from takedowns.management.demo.journal import Journal
from takedowns.management.demo.links import LinkCheck
from takedowns.management.demo.report import pages, print_report
from takedowns.management.demo.steps import StepFailed, Steps
from takedowns.management.demo.story import BASE, Story
from takedowns.management.demo.street import Street

if TYPE_CHECKING:
    from argparse import ArgumentParser

STALE_SECONDS = "10"  # what a killed demo left running is taken up sooner than on a real site


class Command(BaseCommand):
    help = "Run the main job on generated data, then leave the site running (ONCE=1 or --once: stop after the job)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--once",
            action="store_true",
            default=os.environ.get("ONCE", "") not in {"", "0"},
            help="stop after the job",
        )
        parser.add_argument(
            "--port",
            type=int,
            default=8000,
            help="the next free one is taken if it is in use (default: %(default)s)",
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        if settings.MODE == "production":
            raise CommandError(
                "The demo makes users and data of its own, so it does not run where EXPUNGE_MODE is production. "
                "Set it to demo, and DATABASE_URL and BROKER_URL to servers for the demo alone or to nothing."
            )
        self.folder = settings.VAR_DIR / "demo"
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        stop_on_signals()
        with ExitStack() as stack:
            lock = stack.enter_context(Lock(self.folder / "lock"))
            if not lock.try_own():
                raise CommandError(f"The demo is running already on {settings.VAR_DIR}. Stop that one first.")
            try:
                self._run(stack, options["port"], once=options["once"])
            except (EmbeddedError, StepFailed) as error:
                raise CommandError(str(error)) from error

    def _run(self, stack: ExitStack, port: int, *, once: bool) -> None:
        """Do the job, or show that it was done; then wait until something ends, unless `once`."""
        self.write(f"{settings.SITE_NAME}, the demo. Everything it makes is under {settings.VAR_DIR}.\n")
        done = False
        try:
            journal = Journal(self.folder / "journal.json")
            steps = Steps(self.write, journal)
            street = stack.enter_context(self.street(journal))
            site = self._start(stack, port, steps, journal, street)
            if journal.finished:
                self.write(f"\nThe main job was finished on {journal.finished}. Nothing is repeated.")
            else:
                self._job(site, steps, journal, street)
            print_report(self.write, journal, site.url)
            self._check_pages(site, journal)
            done = True
            if once:
                return
            self.write(f"\nThe site is at {site.url}/. Ctrl-C stops it.")
            dead = site.wait(servers_dead)
        except KeyboardInterrupt:
            if not done:
                raise CommandError("Stopped. The next run goes on from here.", returncode=130) from None
            self.write("Stopping …")
            return
        raise CommandError(f"Ended by itself: {', '.join(dead)}. Everything else has been stopped.")

    def street(self, journal: Journal) -> Street:
        """The servers that the links lead to. A job that is finished is shown without them, too."""
        try:
            return Street(journal.street_port)
        except StepFailed:
            if not journal.finished:
                raise
            return Street()

    def _start(self, stack: ExitStack, port: int, steps: Steps, journal: Journal, street: Street) -> Site:
        """Set up what a site needs, then start web, worker and beat, with an import folder and hosts of the demo's own."""
        environment = {
            "IMPORT_ROOTS": ",".join(map(str, [*settings.IMPORT_ROOTS, self.folder / "imports"])),
            "JOB_STALE_SECONDS": os.environ.get("JOB_STALE_SECONDS", STALE_SECONDS),
            "LINKS_TEST_TARGETS": street.targets,
        }
        logs = settings.VAR_DIR / "logs"
        site = Site(settings.VAR_DIR, port=port, environment=environment, logs=logs)

        def set_up() -> None:
            people.refuse_foreign_database()
            prepare(steps.say)
            if not (settings.MINISIGN_KEY.exists() or settings.OMS_KEY.exists()):
                steps.say(f"Making keys that sign releases in {settings.MINISIGN_KEY.parent} …")
                call_command("make_signing_keys", stdout=StringIO())
            journal.belongs_to(str(people.people_make(journal).pk))
            if not journal.finished:
                journal.keep_street_port(street.port)

        def start() -> None:
            stack.enter_context(site)
            steps.say(f"{site.url}/ answers; logs are in {logs}.")

        steps.run("Set up database, static files, keys and users", set_up)
        steps.run("Start web, worker and beat", start)
        return site

    def _job(self, site: Site, steps: Steps, journal: Journal, street: Street) -> None:
        """The main job. Raises StepFailed."""
        story = Story(site, self.folder / "imports", journal, steps)
        steps.run("Generate a dataset and a subset of it", story.generate)
        steps.run("Register both, with their lineage", story.register)
        steps.run("File three reports, without an account", story.report)
        steps.run("Locate the rows in every version", story.locate)
        steps.run("Triage the cases and propose decisions", story.propose)
        steps.run("Approve as a second person", story.approve)
        steps.run("Build, verify and sign the clean releases", story.build)
        steps.run("Publish them, with their advisories", story.publish)
        steps.run("Downstream: bring an old copy to the release", partial(self._downstream, story, steps))
        steps.run("Re-verify the links of a small dataset", LinkCheck(story, street).run)
        for person in (people.PROPOSER, people.SECOND):
            people.api_keys_revoke(person)
        journal.finish(f"{timezone.now():%Y-%m-%d at %H:%M} UTC")
        shutil.rmtree(self.folder / "downstream")

    def _downstream(self, story: Story, steps: Steps) -> None:
        release = story.release_of(BASE)
        assert release is not None
        user = Downstream(self.folder / "downstream", steps)
        user.download(story.stranger, BASE.slug, release["version"])
        user.bring_to_release(self.folder / "imports" / BASE.slug, story.data)
        user.verify(release["root"])

    def _check_pages(self, site: Site, journal: Journal) -> None:
        """Open every page that was printed; those for members send a stranger to the sign-in. Raises StepFailed."""
        stranger = Client(site.url)
        wrong = []
        for what, path in pages(journal):
            expected = HTTPStatus.FOUND if "sign in" in what else HTTPStatus.OK
            if (status := stranger.status(path)) != expected:
                wrong.append(f"{what} answered {status}, not {expected.value}")
        if wrong:
            raise StepFailed(f"Not every page is well: {'; '.join(wrong)}. The log is {site.logs}/web.log.")

    def write(self, line: str) -> None:
        """Print a line at once, also into a pipe."""
        self.stdout.write(line)
        self.stdout.flush()
