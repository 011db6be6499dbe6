"""What the demo prints at its end: figures from the database, times, addresses and sign-ins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db.models import Sum
from django.urls import reverse

from registry.datasets.models import Version
from registry.links.selectors import version_health
from takedowns.cases.models import Case
from takedowns.management.demo.links import LINKED
from takedowns.management.demo.people import PEOPLE
from takedowns.management.demo.story import BASE, IMPORTED
from takedowns.releases.models import Release
from takedowns.removals.models import AffectedVersion, Removal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from takedowns.management.demo.journal import Journal

Line = tuple[str, ...]


def print_report(write: Callable[[str], None], journal: Journal, url: str) -> None:
    """Write the whole report; `url` is where the site is now, without a slash at its end."""
    sections: list[tuple[str, Iterable[str]]] = [
        ("Rows", table(_rows())),
        (f"Links of {LINKED}, asked once", table(_links())),
        ("Time of each step", table(_times(journal))),
        ("Pages", table((what, f"{url}{path}") for what, path in pages(journal))),
        ("Sign in at", [f"{url}{reverse('sign_in')}", *table(_sign_ins(journal))]),
    ]
    for title, lines in sections:
        write(f"\n{title}")
        for line in lines:
            write(f"  {line}")


def pages(journal: Journal) -> list[tuple[str, str]]:
    """What each page shows, and its path; the queue and the case are for those who sign in."""
    releases = Release.objects.published().filter(dataset__slug__in=[imported.slug for imported in IMPORTED])
    return [
        ("home", reverse("home")),
        *(
            (f"dataset {imported.slug}", reverse("dataset_detail", args=[imported.slug]))
            for imported in IMPORTED
        ),
        *(
            (f"version {imported}", reverse("version_detail", args=[imported.slug, imported.version]))
            for imported in IMPORTED
        ),
        *(
            (
                f"release {release}",
                reverse("release_detail", args=[release.dataset.slug, release.version.name]),
            )
            for release in releases.select_related("dataset", "version__dataset").order_by("created_at")
        ),
        *(
            (f"advisory {removal}", reverse("advisory_detail", args=[removal.advisory_id]))
            for removal in _removals()
        ),
        (f"links of {LINKED}", reverse("version_links", args=[LINKED.slug, LINKED.version])),
        ("transparency", reverse("transparency")),
        *(
            (f"status of {number}", reverse("report_status", args=[secret]))
            for number, secret in journal.status_secrets.items()
        ),
        ("queue (sign in)", reverse("queue")),
        *(
            (f"{case} (sign in)", reverse("case_detail", args=[case.number]))
            for case in Case.objects.filter(dataset__slug=BASE.slug).order_by("number")[:1]
        ),
        ("API", reverse("api-docs")),
    ]


def table(lines: Iterable[Line], *, gap: str = "  ") -> list[str]:
    """Align the columns; those that hold numbers to the right."""
    rows = list(lines)
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return [
        gap.join(
            cell.rjust(width) if _is_number(cell) else cell.ljust(width)
            for cell, width in zip(row, widths, strict=True)
        ).rstrip()
        for row in rows
    ]


def _is_number(cell: str) -> bool:
    return cell.removesuffix(" s").lstrip("-").replace(",", "").replace(".", "").isdecimal()


def _removals() -> Sequence[Removal]:
    return list(Removal.objects.published().filter(dataset__slug=BASE.slug).order_by("advisory_id"))


def _rows() -> list[Line]:
    """Rows of each base before and after, and what each advisory takes out of it."""
    bases = [Version.objects.get(dataset__slug=one.slug, name=one.version) for one in IMPORTED]
    affected = {
        (one.removal_id, one.version_id): one.rows
        for one in AffectedVersion.objects.filter(version__in=bases)
    }
    releases = [Release.objects.published().filter(base=base).latest("serial") for base in bases]
    named = [base.affected_by.aggregate(rows=Sum("rows"))["rows"] or 0 for base in bases]

    def line(what: str, numbers: Iterable[int]) -> Line:
        return (what, *(f"{number:,}" for number in numbers))

    return [
        ("", *(str(base) for base in bases)),
        line("before", (release.rows_before for release in releases)),
        *(
            line(
                f"removed by {removal} ({removal.category_id})",
                (affected.get((removal.pk, base.pk), 0) for base in bases),
            )
            for removal in _removals()
        ),
        line(
            "named by more than one",
            (release.rows_removed - rows for release, rows in zip(releases, named, strict=True)),
        ),
        line("removed", (release.rows_removed for release in releases)),
        line("after", (release.rows_after for release in releases)),
    ]


def _links() -> list[Line]:
    """Links of the small dataset by state, and the bounds of what is dead."""
    health = version_health(Version.objects.get(dataset__slug=LINKED.slug, name=LINKED.version))
    assert health is not None
    assert health.estimate is not None
    bounds = health.estimate
    return [
        *((state.label.lower(), f"{count:,}") for state, count in health.counts.items()),
        ("dead, at least", f"{bounds.dead_at_least:.1%}"),
        ("dead, at most", f"{bounds.dead_at_most:.1%}"),
    ]


def _times(journal: Journal) -> list[Line]:
    seconds = journal.seconds
    return [
        *((title, f"{taken:.1f} s") for title, taken in seconds.items()),
        ("in all", f"{sum(seconds.values()):.1f} s"),
    ]


def _sign_ins(journal: Journal) -> list[Line]:
    return [(person.username, journal.password(person.username), person.task) for person in PEOPLE]
