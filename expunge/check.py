"""Answer whether a copy is affected by a release's removals."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from expunge.copies import JudgedPart, judge_copy
from expunge.progress import Progress, quiet
from expunge.verify import trusted_diff

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from expunge.copies import Copy, Source
    from expunge.manifest import Release


class Verdict(IntEnum):
    """The answer, numbered as the command's exit codes, which follow osv-scanner's."""

    NOT_AFFECTED = 0
    AFFECTED = 1
    UNDETERMINED = 3


@dataclass(frozen=True, slots=True)
class Checked:
    """A copy held against a release."""

    release: Release
    parts: list[JudgedPart]

    @property
    def rows(self) -> int:
        """Rows of the copy, and samples that no row speaks for."""
        return sum(part.rows for part in self.parts)

    @property
    def affected(self) -> int:
        """Those of them that the release removes."""
        return sum(part.affected for part in self.parts)

    @property
    def cells(self) -> int:
        """Cells, and elements of lists, that the release redacts in rows and samples that stay."""
        return sum(part.cells for part in self.parts)

    @property
    def verdict(self) -> Verdict:
        """Affected as soon as one row or cell is; undetermined where something could not be judged."""
        if self.affected or self.cells or any(part.present for part in self.parts):
            return Verdict.AFFECTED
        if any(part.undetermined for part in self.parts):
            return Verdict.UNDETERMINED
        return Verdict.NOT_AFFECTED

    def to_dict(self) -> dict[str, Any]:
        """The answer for machines. It names rows by their index and samples by their keys, never by their values."""
        return {
            "verdict": self.verdict.name.lower(),
            "release": release_dict(self.release),
            "rows": self.rows,
            "affected": self.affected,
            "redacted": self.cells,
            "shards": [
                {
                    "name": part.name,
                    "known_as": part.known_as.value,
                    "rows": part.rows,
                    "affected": part.affected,
                    "positions": part.positions.tolist(),
                    "redacted": part.redacted.touched.tolist(),
                    "redacted_samples": sorted(part.going.cells),
                    "samples": sorted(part.present),
                    "undetermined": list(part.undetermined),
                }
                for part in self.parts
            ],
        }


def release_dict(release: Release) -> dict[str, Any]:
    """Which release it is, for machines."""
    return {
        "dataset": release.dataset,
        "version": release.version,
        "serial": release.serial,
        "base": release.base_version,
    }


def check(
    copy: Copy,
    folder: Path,
    *,
    columns: Mapping[str, str] | None = None,
    source: Source | None = None,
    minisign_pub: Path | None = None,
    oms_pub: Path | None = None,
    workers: int = 1,
    progress: Progress = quiet,
) -> Checked:
    """Hold a copy against the release in `folder`; nothing of the copy is written and nothing leaves this machine.

    Raises `UsageError`, `BadShard`, `BadRelease` or `VerificationFailed`.
    """
    release = trusted_diff(folder, minisign_pub=minisign_pub, oms_pub=oms_pub)
    judged = judge_copy(
        copy, folder, release, columns=columns, source=source, workers=workers, progress=progress
    )
    return Checked(release, judged)
