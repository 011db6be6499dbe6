"""The answers that record pages begin with, and what states mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from registry.datasets.models import VersionStatus
from registry.lib.words import counted
from takedowns.lookup.selectors import state_date, version_recommended
from takedowns.releases.models import ReleaseState

if TYPE_CHECKING:
    from collections.abc import Collection

    from registry.datasets.models import Version
    from takedowns.lookup.selectors import Standing
    from takedowns.releases.models import Release

VERSION_MEANING = {
    VersionStatus.DRAFT: "neutral",
    VersionStatus.ACTIVE: "good",
    VersionStatus.DEPRECATED: "attention",
    VersionStatus.QUARANTINED: "danger",
    VersionStatus.ARCHIVED: "neutral",
    VersionStatus.WITHDRAWN: "danger",
}
RELEASE_MEANING = {
    ReleaseState.BUILDING: "neutral",
    ReleaseState.VERIFIED: "neutral",
    ReleaseState.PUBLISHED: "good",
    ReleaseState.FAILED: "danger",
}

RELEASE_ACTS = {
    "release_build": "Build started",
    "release_verified": "Built, verified and signed",
    "release_publish_start": "Publication started",
    "release_publish": "Published",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """The first line of a record: what to do, why, and the version to use instead, if there is one."""

    meaning: str
    headline: str
    detail: str = ""
    use: Version | None = None

    @property
    def words(self) -> str:
        """All of it as one text."""
        return f"{self.headline} {self.detail}".rstrip()


def rows_and_cells(rows: int, redacted_rows: int) -> str:
    """What of its versions an advisory names: "3 rows", "3 rows and cells of 2 rows", "Cells of 2 rows"."""
    if not redacted_rows:
        return counted(rows, "row")
    cells = counted(redacted_rows, "row")
    return f"{counted(rows, 'row')} and cells of {cells}" if rows else f"Cells of {cells}"


def rows_that_must_go(standing: Standing) -> str:
    """How many rows of a version must go, of how many others cells, and by how many advisories."""
    at_most = "" if standing.exact else "At most "
    by = f"by {counted(len(standing.advisories), 'advisory', 'advisories')}"
    if not standing.redacted_rows:
        return f"{at_most}{counted(standing.rows, 'row')} of this version must go, {by}."
    cells = (
        f"cells of {'' if standing.redacted_exact else 'at most '}{counted(standing.redacted_rows, 'row')}"
    )
    if not standing.rows:
        return f"{cells.capitalize()} of this version must go, {by}."
    return f"{at_most}{counted(standing.rows, 'row')} of this version must go, and {cells} more, {by}."


def dataset_answer(standing: Collection[Standing]) -> Answer:
    """Which version of a dataset to use; `standing` holds its public versions."""
    if not standing:
        return Answer("neutral", "There is nothing to use yet.", "No version of this dataset is public.")
    affected = [each for each in standing if each.affected]
    use = version_recommended(standing)
    if use is None:
        if len(affected) == len(standing):
            which = "its only version is" if len(standing) == 1 else f"all {len(standing):,} versions are"
            return Answer(
                "danger",
                "Do not use it as it is.",
                f"Rows must go: {which} affected, and no clean release is published yet.",
            )
        return Answer("attention", "No version is current.", _affected_words(affected, None))
    return Answer(
        "attention" if affected else "good", f"Use {use.name}.", _affected_words(affected, use), use
    )


def version_answer(standing: Standing, use: Version | None) -> Answer:
    """How one version stands; `use` is what its dataset recommends."""
    version = standing.version
    reason = version.status_reason.rstrip(".")
    if version.status == VersionStatus.DRAFT:
        return Answer(
            "neutral", "Only your organisation sees this.", version.status_reason or "It is being made."
        )
    if version.status in {VersionStatus.WITHDRAWN, VersionStatus.QUARANTINED}:
        return Answer(
            "danger", f"{version.get_status_display()}. Do not use it.", f"{reason}." if reason else "", use
        )
    if standing.affected:
        fix = standing.fix.version if standing.fix else None
        if fix:
            return Answer("attention", f"Use {fix.name}.", rows_that_must_go(standing), fix)
        return Answer("danger", "Affected, and no clean release yet.", rows_that_must_go(standing))
    if version.status == VersionStatus.ACTIVE:
        return Answer("good", "Not affected.", "No published advisory names a row of this version.")
    other = use if use and use.pk != version.pk else None
    detail = "No published advisory names a row of this version"
    detail += f", but it is {version.get_status_display().lower()}."
    return Answer("neutral", f"Use {other.name}." if other else "Not affected.", detail, other)


def release_answer(release: Release, standing: Standing) -> Answer:
    """What to do with a release."""
    left_out = f"It leaves out {counted(release.rows_removed, 'row')} of {release.base.name}"
    if release.cells_redacted:
        left_out += f", and {counted(release.cells_redacted, 'cell')} of rows that stay"
    if release.state == ReleaseState.PUBLISHED:
        if standing.affected:
            return version_answer(standing, None)
        if release.version.status == VersionStatus.ACTIVE:
            return Answer(
                "good", "Use this release.", f"{left_out}. No published advisory names a row of it."
            )
        return Answer(
            "attention", f"{release.version.status_reason or 'A newer release exists'}.", f"{left_out}."
        )
    if release.state == ReleaseState.VERIFIED:
        detail = f"{left_out}. Only your organisation sees it."
        return Answer("neutral", "Verified, not published.", detail)
    if release.state == ReleaseState.FAILED:
        return Answer("danger", "It failed. Nothing of it is public.", release.failure)
    return Answer("neutral", "It is being built.", "Only your organisation sees it.")


def _affected_words(affected: Collection[Standing], use: Version | None) -> str:
    if not affected:
        return "No published advisory names a row of any version."
    earlier = use is not None and all(state_date(each.version) <= state_date(use) for each in affected)
    verb = "is" if len(affected) == 1 else "are"
    return f"{counted(len(affected), 'earlier version' if earlier else 'version')} {verb} affected."
