"""Is a version, a shard or a release affected, by which advisories, and what to use instead.

Only published advisories in force count: what was decided but not published yet is nobody's business.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from registry.datasets.models import Version, VersionStatus
from takedowns.releases.models import Release
from takedowns.removals.models import AffectedVersion

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date
    from uuid import UUID

    from takedowns.removals.models import Removal


@dataclass(slots=True)
class Standing:
    """How one version stands: the advisories that affect it with the rows each takes out, and what fixes it.

    `fix` is the newest published release of its base that no advisory affects; None if it is not affected or there is
    no such release. `rows` counts distinct rows where a release of it was built, else it is at most that many.
    `redacted_rows` are others, of which cells must go; where there are several advisories, at most that many.
    """

    version: Version
    advisories: list[tuple[Removal, int]] = field(default_factory=list)
    fix: Release | None = None
    redacted_rows: int = 0

    @property
    def affected(self) -> bool:
        """Whether rows or cells of it must go."""
        return bool(self.advisories)

    @property
    def rows(self) -> int:
        """Rows of it that must go."""
        if self.fix and self.fix.base_id == self.version.pk:
            return self.fix.rows_removed
        return sum(rows for _, rows in self.advisories)

    @property
    def exact(self) -> bool:
        """Whether `rows` is exact: several advisories may take out one row."""
        return self.redacted_exact or bool(self.fix and self.fix.base_id == self.version.pk)

    @property
    def redacted_exact(self) -> bool:
        """Whether `redacted_rows` is exact; a release counts cells, so it does not tell of how many rows they are."""
        return len(self.advisories) < 2


def standings(versions: Iterable[Version]) -> dict[UUID, Standing]:
    """How each of the versions stands, in two queries for any number of them."""
    found = {version.pk: Standing(version) for version in versions}
    bases = {version.base_id or version.pk for version in versions}
    affected = (
        AffectedVersion.objects.filter(removal__published_at__isnull=False, removal__withdrawn_at=None)
        .filter(version__in=_family(bases))
        .select_related("removal__category")
        .order_by("removal__published_at", "removal__advisory_id")
    )
    unclean: set[UUID] = set()
    for row in affected:
        unclean.add(row.version_id)
        if row.version_id in found:
            found[row.version_id].advisories.append((row.removal, row.rows))
            found[row.version_id].redacted_rows += row.redacted_rows
    fixes: dict[UUID, Release] = {}
    released = Release.objects.published().filter(base__in=bases).exclude(version__in=unclean)
    for release in released.select_related("version__dataset").order_by("serial"):
        fixes[release.base_id] = release
    for standing in found.values():
        if standing.affected:
            standing.fix = fixes.get(standing.version.base_id or standing.version.pk)
    return found


def version_recommended(standing: Iterable[Standing]) -> Version | None:
    """Of a dataset's versions the one to use: the newest state that is active and not affected."""
    usable = [
        each.version for each in standing if each.version.status == VersionStatus.ACTIVE and not each.affected
    ]
    return max(usable, key=lambda version: (state_date(version), version.created_at), default=None)


def state_date(version: Version) -> date:
    """The day of the state that a version shows; a release shows its base's. Reads `base`."""
    return version.base.dated if version.base else version.dated


def advisories_by_dataset(dataset_ids: Iterable[UUID]) -> dict[UUID, int]:
    """How many published advisories in force affect each dataset."""
    pairs = (
        AffectedVersion.objects.filter(removal__published_at__isnull=False, removal__withdrawn_at=None)
        .filter(version__dataset__in=list(dataset_ids))
        .values_list("version__dataset", "removal")
        .distinct()
    )
    counts: defaultdict[UUID, int] = defaultdict(int)
    for dataset, _removal in pairs:
        counts[dataset] += 1
    return dict(counts)


def _family(bases: set[UUID]) -> list[UUID]:
    """The bases and everything released of them."""
    return [*bases, *Version.objects.filter(base__in=bases).values_list("pk", flat=True)]
