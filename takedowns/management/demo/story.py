"""The main job in steps: register, report, locate, decide, release."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from django.urls import reverse

from takedowns.management.demo import people
from takedowns.management.demo.client import Client
from takedowns.management.demo.generate import GROUP_ROWS, KEPT_NOTE, SHARDS, SUBSET_PART, Data, Report
from takedowns.management.demo.generate import generate as generate_data
from takedowns.management.demo.generate import write as write_data
from takedowns.management.demo.steps import StepFailed, Steps, expect

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from registry.embedded.site import Site
    from takedowns.management.demo.generate import Flags
    from takedowns.management.demo.journal import Journal

JOB_SECONDS = 900  # a job that takes longer is stuck
POLL_SECONDS = 0.2
SIGNATURES = {"minisign": "minisign", "oms": "OpenSSF Model Signing"}


@dataclass(frozen=True, slots=True)
class Imported:
    """A version that the demo registers."""

    slug: str
    version: str
    name: str
    description: str

    def __str__(self) -> str:
        return f"{self.slug}@{self.version}"


BASE = Imported(
    "demo-pairs",
    "2024-03",
    "Demo Pairs",
    "Generated for the demo in the shape of LAION's lists: addresses of pictures with their captions.",
)
SUBSET = Imported(
    "demo-pairs-tenth", "2024-03", "Demo Pairs, a tenth", "One row in ten of Demo Pairs, as CSV."
)
IMPORTED = (BASE, SUBSET)

SUMMARIES = (
    "Photographs whose author opted out, by address. Some that the author published under CC0 stay.",
    "Pictures of one host whose terms do not allow this use.",
    "Pictures whose content was replaced after the crawl, by the hash of their content.",
)
STATEMENT = (
    "We located every row that your report names, in this dataset and in what was made of it. They are removed from both; "
    "where a row stays, its item says why."
)


class Story:
    """The steps that go through the site. Each may find itself done, wholly or in part, by a run that was killed."""

    def __init__(self, site: Site, imports: Path, journal: Journal, steps: Steps) -> None:
        self.site = site
        self.imports = imports
        self.journal = journal
        self.steps = steps
        self.stranger = Client(site.url)
        self.proposer = Client(site.url, people.api_key(people.PROPOSER))
        self.second = Client(site.url, people.api_key(people.SECOND))
        self.cases: list[str] = []
        self._data: Data | None = None

    @property
    def data(self) -> Data:
        """What was generated; the first step makes it."""
        assert self._data is not None
        return self._data

    def rows(self, flags: Flags) -> dict[str, int]:
        """How many of these rows each imported version has, by `dataset@version`; none is left out."""
        counts = {str(BASE): int(flags.sum()), str(SUBSET): int(flags[self.data.subset].sum())}
        return {version: count for version, count in counts.items() if count}

    def generate(self) -> None:
        """Write the dataset and its subset under an import folder of the site."""
        self._data = generate_data()
        write_data(self.data, self.imports / BASE.slug, self.imports / SUBSET.slug)
        self.steps.say(
            f"{len(self.data.table):,} rows in {SHARDS} Parquet shards, row groups of {GROUP_ROWS:,}; "
            f"one row in {SUBSET_PART} as CSV: {len(self.data.subset):,} rows."
        )
        self.steps.say(f"Planted: {int(self.data.gone.sum()):,} rows that three reports are about.")

    def register(self) -> None:
        """Register both versions from their folders, and the edge between them."""
        for imported, rows, shards in (
            (BASE, len(self.data.table), SHARDS),
            (SUBSET, len(self.data.subset), 1),
        ):
            self.register_version(imported)
            version = self.proposer.get(f"/datasets/{imported.slug}/versions/{imported.version}/")
            expect(f"rows of {imported}", version["rows"], rows)
            expect(f"shards of {imported}", version["shard_count"], shards)
            self.steps.say(
                f"{imported}: {version['status']}, {rows:,} rows, {version['bytes'] / 1e6:.1f} MB, "
                f"keys in {', '.join(version['columns'].values())}."
            )
        if not self.proposer.get(f"/lineage/?dataset={SUBSET.slug}")["count"]:
            self.proposer.post("/lineage/", {"parent": str(BASE), "kind": "subset_of", "child": str(SUBSET)})
        self.steps.say(f"{SUBSET} is a subset of {BASE}.")

    def report(self) -> None:
        """File the three reports as strangers do."""
        for report in self.data.reports:
            if self._case_of(report) is None:
                given = {
                    "dataset": BASE.slug,
                    "category": report.category,
                    "description": report.description,
                    "contact_email": report.contact,
                    "items": report.lines,
                }
                received = self.stranger.post("/reports/", given)
                self.journal.keep_secret(received["number"], received["secret"])
                expect("lines received", received["items_total"], len(report.lines))
            case = self.proposer.get(f"/cases/{self._case_of(report)}/")
            what = report.lines[0] if len(report.lines) == 1 else f"{len(report.lines)} items"
            self.steps.say(f"{case['report_numbers'][0]} ({report.category}): {what}. Case {case['number']}.")
            if case["report_numbers"][0] not in self.journal.status_secrets:
                self.steps.say("  The secret of its status page was lost with the run that was killed.")
            self.cases.append(case["number"])

    def locate(self) -> None:
        """Wait until the items of every case are located in every version."""
        for number, report in zip(self.cases, self.data.reports, strict=True):
            self.finish_job(
                "case_locate",
                reverse("case_detail", args=[number]),
                partial(self.proposer.post, f"/cases/{number}/locate/"),
            )
            case = self.proposer.get(f"/cases/{number}/")
            if case["state"] in {"open", "in_review"}:
                expect(f"rows located by {number}", _consequence(case), self.rows(report.located))
            self.steps.say(f"{number}: {_words(self.rows(report.located))}.")

    def propose(self) -> None:
        """Claim each case, keep some of the first one's items, and propose to remove the rows of the others."""
        for number, report, summary in zip(self.cases, self.data.reports, SUMMARIES, strict=True):
            case = self.proposer.get(f"/cases/{number}/")
            if case["state"] in {"open", "in_review"}:
                self.proposer.post(f"/cases/{number}/claim/")
                keep = [{"item": item, "note": KEPT_NOTE} for item in self._items(number, report.kept)]
                case = self.proposer.post(
                    f"/cases/{number}/propose/", {"statement": STATEMENT, "summary": summary, "keep": keep}
                )
            planted = self.rows(report.rows)
            expect(f"rows that {number} would remove", _consequence(case), planted)
            expect(f"rows of the decision on {number}", case["decision"]["rows"], sum(planted.values()))
            kept = f" {len(report.kept)} items are kept, with a note." if report.kept else ""
            self.steps.say(
                f"{number}: {case['decision']['proposer']} proposes to remove {_words(planted)}.{kept}"
            )

    def approve(self) -> None:
        """Have the proposer refused and the second person approve, then read what each reporter is told."""
        for number, report in zip(self.cases, self.data.reports, strict=True):
            case = self.second.get(f"/cases/{number}/")
            if case["state"] == "proposed":
                approval = {"preview": case["decision"]["preview"]}
                reason = self.proposer.refused(f"/cases/{number}/approve/", approval)
                if number == self.cases[0]:
                    self.steps.say(
                        f"{people.PROPOSER.username} tries to approve it alone and is told: {reason}"
                    )
                case = self.second.post(f"/cases/{number}/approve/", approval)
            self.steps.say(f"{number}: approved by {case['decision']['approver']}, now {case['state']}.")
            secret = self.journal.status_secrets.get(case["report_numbers"][0])
            if secret:
                status = self.stranger.get("/reports/status/", {"Report-Secret": secret})
                expect(f"outcomes of {status['number']}", status["outcomes"], report.outcomes)
                outcomes = ", ".join(f"{count} {outcome}" for outcome, count in status["outcomes"].items())
                self.steps.say(f"  the reporter reads: {status['headline']} ({outcomes}).")

    def build(self) -> None:
        """Build the clean release of each version in a worker, which verifies and signs it."""
        for imported in IMPORTED:
            release = self.release_of(imported)
            if release is None or release["state"] in {"building", "failed"}:
                self.finish_job(
                    "release_build",
                    self._release_page(imported),
                    partial(
                        self.proposer.post, f"/datasets/{imported.slug}/versions/{imported.version}/release/"
                    ),
                )
                release = self.release_of(imported)
            assert release is not None
            gone = self.rows(self.data.gone)[str(imported)]
            expect(f"rows removed from {imported}", release["rows_removed"], gone)
            expect(f"rows left of {imported}", release["rows_after"], release["rows_before"] - gone)
            self.steps.say(
                f"{imported.slug}@{release['version']}: {release['rows_before']:,} - {gone:,} = "
                f"{release['rows_after']:,} rows, signed with {' and '.join(SIGNATURES[key] for key in sorted(release['public_keys']))}, "
                f"root {release['root'][:12]}…"
            )

    def publish(self) -> None:
        """Publish both releases; that publishes the advisories and closes the cases."""
        for imported in IMPORTED:
            release = self.release_of(imported)
            assert release is not None
            if release["state"] != "published":
                self.finish_job(
                    "release_publish",
                    self._release_page(imported),
                    partial(
                        self.proposer.post,
                        f"/datasets/{imported.slug}/releases/{release['version']}/publish/",
                        {"root": release["root"]},
                    ),
                )
            base = self.stranger.get(f"/datasets/{imported.slug}/versions/{imported.version}/")
            self.steps.say(
                f"{imported.slug}@{release['version']}: published. {imported} is {base['status']} now."
            )
        for number, report in zip(self.cases, self.data.reports, strict=True):
            case = self.proposer.get(f"/cases/{number}/")
            expect(f"state of {number}", case["state"], "closed")
            advisory = self.stranger.get(f"/advisories/{case['advisory']}/")
            found = {
                f"{affected['package']['name']}@{version['version']}": version["rows"]
                for affected in advisory["affected"]
                for version in affected["database_specific"]["versions"]
            }
            expect(f"rows of {advisory['id']}", found, self.rows(report.rows))
            self.steps.say(f"{advisory['id']}: {advisory['summary']} ({_words(found)}).")

    def release_of(self, imported: Imported) -> dict[str, Any] | None:
        """The newest release of an imported version, or None."""
        found = self.proposer.get(f"/datasets/{imported.slug}/releases/")["results"]
        return next((release for release in found if release["base"] == imported.version), None)

    def register_version(self, imported: Imported) -> None:
        """Register a version from its import folder, with its dataset, unless that was done."""
        if self.proposer.find(f"/datasets/{imported.slug}/") is None:
            given = {
                "organisation": people.ORGANISATION,
                "slug": imported.slug,
                "name": imported.name,
                "description": imported.description,
                "licence": "CC0-1.0",
            }
            self.proposer.post("/datasets/", given)
        versions = f"/datasets/{imported.slug}/versions/"
        given = {
            "name": imported.version,
            "dated": f"{imported.version}-01",
            "source": str(self.imports / imported.slug),
        }
        version = self.proposer.find(f"{versions}{imported.version}/")
        if version is None or version["status"] == "draft":
            self.finish_job(
                "version_ingest",
                reverse("version_detail", args=[imported.slug, imported.version]),
                lambda: (
                    self.proposer.post(versions, given)
                    if version is None
                    else self.proposer.post(f"{versions}{imported.version}/ingest/")
                ),
            )

    def _case_of(self, report: Report) -> str | None:
        """The number of the case about a report of the demo: the first of its category on the dataset."""
        cases = self.proposer.get(f"/cases/?dataset={BASE.slug}&category={report.category}&page_size=500")
        return min((case["number"] for case in cases["results"]), default=None)

    def _items(self, number: str, lines: range) -> list[int]:
        """Ids of the items at these lines, from 0, of the case's report."""
        items = self.proposer.get(f"/cases/{number}/items/?page_size=500")["results"] if lines else []
        return [item["id"] for item in items if item["position"] - 1 in lines]

    def _release_page(self, imported: Imported) -> Callable[[], str]:
        """The page of the newest release, which has its name only once the build has begun."""

        def page() -> str:
            release = self.release_of(imported)
            return reverse("release_detail", args=[imported.slug, release["version"]]) if release else ""

        return page

    def finish_job(self, kind: str, page: str | Callable[[], str], start: Callable[[], object]) -> None:
        """Start a job unless a run before this one did, and wait for its end. Raises StepFailed if it fails."""
        job = self._job(kind, page)
        if job is None or job["state"] == "failed":
            start()
        deadline = time.monotonic() + JOB_SECONDS
        while (job := self._job(kind, page)) is None or job["state"] != "succeeded":
            if job and job["state"] == "failed":
                raise StepFailed(f"{job['title']}: {job['error']}")
            if ended := self.site.ended():
                raise StepFailed(f"{', '.join(ended)} ended; its log is in {self.site.logs}.")
            if time.monotonic() > deadline:
                raise StepFailed(
                    f"{kind} has not ended after {JOB_SECONDS} s; the logs are in {self.site.logs}."
                )
            if job:
                self.steps.say_in_time(_progress(job))
            time.sleep(POLL_SECONDS)

    def _job(self, kind: str, page: str | Callable[[], str]) -> dict[str, Any] | None:
        """The newest job of a kind on the subject that has this page."""
        path = page if isinstance(page, str) else page()
        jobs = self.proposer.get(f"/jobs/?kind={kind}&page_size=500")["results"]
        return next((job for job in jobs if job["page"] == path), None)


def _progress(job: dict[str, Any]) -> str:
    if job["state"] == "queued":
        return f"{job['title']}: waiting for a worker …"
    total = f" of {job['rows_total']:,}" if job["rows_total"] else ""
    return f"{job['title']}: {job['stage'] or 'starting'}, {job['rows_done']:,}{total} …"


def _consequence(case: dict[str, Any]) -> dict[str, int]:
    """Rows of imported versions that a case is about, by `dataset@version`."""
    return {
        f"{one['dataset']}@{one['version']}": one["rows"] for one in case["consequences"] if one["imported"]
    }


def _words(rows: dict[str, int]) -> str:
    return ", ".join(f"{count:,} rows of {version}" for version, count in rows.items()) or "no row"
