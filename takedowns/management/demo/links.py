"""The step that re-verifies links: a small dataset whose links lead to the demo's own servers (`street.py`)."""

from __future__ import annotations

import csv
import hashlib
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from django.urls import reverse

from takedowns.management.demo.steps import StepFailed, expect
from takedowns.management.demo.story import POLL_SECONDS, Imported
from takedowns.management.demo.street import REPORTED, Street, planted

if TYPE_CHECKING:
    from takedowns.management.demo.story import Story
    from takedowns.management.demo.street import Planted

LINKED = Imported(
    "demo-links",
    "2024-03",
    "Demo Links",
    "Made for the demo: links to servers that it runs itself on this machine's loopback addresses.",
)
PANEL = 100  # more than there are links, so every one is checked
CHECK_SECONDS = 120  # of which most is waiting, for every host is asked at most once a second


class LinkCheck:
    """Registers the dataset, reports one of its links, has the real worker check them, and compares."""

    def __init__(self, story: Story, street: Street) -> None:
        self.story = story
        self.street = street

    def run(self) -> None:
        """Do all of it. Raises StepFailed for any figure that is not as planted."""
        story, street = self.story, self.street
        self._write()
        story.register_version(LINKED)
        self._report()
        asked_before = len(street.log)
        page = f"/datasets/{LINKED.slug}/versions/{LINKED.version}/links/"
        story.finish_job(
            "panel_draw",
            reverse("version_links", args=[LINKED.slug, LINKED.version]),
            partial(story.proposer.post, f"{page}draw/", {"size": PANEL}),
        )
        figures = self._checked(page)
        found = {state: count for state, count in figures["counts"].items() if count}
        expect("links by state", found, dict(street.states()))
        expect("links that declare an opt-out", figures["opted_out"], 1)
        self._compare(story.proposer.get(f"{page}rows/?page_size=500")["results"])
        told = ", ".join(f"{count} {state}" for state, count in found.items())
        story.steps.say(
            f"{LINKED}: {figures['estimate']['n']} links on {figures['estimate']['hosts']} hosts: {told}."
        )
        if len(street.log) > asked_before:  # a run before this one may have done it
            self._politeness(asked_before)

    def _write(self) -> None:
        """Write the dataset: every link in two rows, for a dataset repeats its links."""
        path = self.story.imports / LINKED.slug / "links.csv"
        if path.exists():
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(".links.csv.partial")
        urls = [self.street.url(*REPORTED), *(self.street.url(one.host, one.path) for one in self._planted)]
        with aside.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["URL", "TEXT"])
            writer.writerows([url, f"a picture, number {row}"] for row, url in enumerate(urls * 2))
        aside.rename(path)

    @property
    def _planted(self) -> list[Planted]:
        return planted(self.street.port)

    def _report(self) -> None:
        """Report one link, as a stranger does: from then on it is never asked for."""
        story = self.story
        if not story.proposer.get(f"/cases/?dataset={LINKED.slug}")["count"]:
            given = {
                "dataset": LINKED.slug,
                "category": "opt_out",
                "description": "My picture. It should not be in here.",
                "items": [self.street.url(*REPORTED)],
            }
            story.stranger.post("/reports/", given)

    def _checked(self, page: str) -> dict[str, Any]:
        """Wait until the worker has checked every link; returns the figures."""
        deadline = time.monotonic() + CHECK_SECONDS
        while True:
            figures: dict[str, Any] = self.story.stranger.get(page)
            left = figures["counts"]["unchecked"]
            if not left:
                return figures
            if time.monotonic() > deadline:
                raise StepFailed(f"{left} links were not checked after {CHECK_SECONDS} s.")
            self.story.steps.say_in_time(f"{left} of {figures['estimate']['n']} links still to be checked …")
            time.sleep(POLL_SECONDS)

    def _compare(self, rows: list[dict[str, Any]]) -> None:
        """Hold the state of each link against what its server was told to answer."""
        url = self.street.url
        wanted = {
            hashlib.sha256(url(one.host, one.path).encode()).hexdigest(): one.state for one in self._planted
        }
        found = {row["key"]: row["state"] for row in rows}
        wrong = sum(found.get(key) != state for key, state in wanted.items()) + len(
            found.keys() - wanted.keys()
        )
        expect("links with another state than their server's", wrong, 0)

    def _politeness(self, asked_before: int) -> None:
        """What the servers' own log says of how they were asked."""
        street = self.street
        expect("requests for what is reported or denied by robots.txt", street.unwanted(), 0)
        pause = street.shortest_pause()
        if pause < 1:
            raise StepFailed(f"A host was asked twice within {pause:.2f} s; at least 1 s was promised.")
        story = self.story
        story.steps.say(
            f"The servers' log: {len(street.log) - asked_before} requests, at least {pause:.2f} s apart on each host; "
            "none for the link that was reported, none for what robots.txt denies."
        )
