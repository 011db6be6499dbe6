"""Answer whether a copy is affected by a release's removals."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from expunge.judge import Judged, judge
from expunge.progress import Progress, quiet
from expunge.verify import trusted_diff

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from expunge.manifest import Release
    from expunge.shards import ShardFile


class Verdict(IntEnum):
    """The answer, numbered as the command's exit codes, which follow osv-scanner's."""

    NOT_AFFECTED = 0
    AFFECTED = 1
    UNDETERMINED = 3


@dataclass(frozen=True, slots=True)
class Checked:
    """A copy held against a release."""

    release: Release
    shards: list[Judged]

    @property
    def rows(self) -> int:
        """Rows of the copy."""
        return sum(shard.rows for shard in self.shards)

    @property
    def affected(self) -> int:
        """Rows of the copy that the release removes."""
        return sum(len(shard.positions) for shard in self.shards)

    @property
    def verdict(self) -> Verdict:
        """Affected as soon as one row is; undetermined where something could not be judged."""
        if self.affected:
            return Verdict.AFFECTED
        if any(shard.undetermined for shard in self.shards):
            return Verdict.UNDETERMINED
        return Verdict.NOT_AFFECTED

    def to_dict(self) -> dict[str, Any]:
        """The answer for machines. It names rows by their index, never by their values."""
        return {
            "verdict": self.verdict.name.lower(),
            "release": {
                "dataset": self.release.dataset,
                "version": self.release.version,
                "serial": self.release.serial,
                "base": self.release.base_version,
            },
            "rows": self.rows,
            "affected": self.affected,
            "shards": [
                {
                    "name": shard.file.name,
                    "known_as": shard.known_as.value,
                    "rows": shard.rows,
                    "affected": len(shard.positions),
                    "positions": shard.positions.tolist(),
                    "undetermined": list(shard.undetermined),
                }
                for shard in self.shards
            ],
        }


def check(
    shards: Sequence[ShardFile],
    folder: Path,
    *,
    columns: Mapping[str, str] | None = None,
    minisign_pub: Path | None = None,
    oms_pub: Path | None = None,
    workers: int = 1,
    progress: Progress = quiet,
) -> Checked:
    """Hold a copy against the release in `folder`; nothing is written and nothing leaves this machine.

    Raises `UsageError`, `BadShard`, `BadRelease` or `VerificationFailed`.
    """
    release = trusted_diff(folder, minisign_pub=minisign_pub, oms_pub=oms_pub)
    judged = judge(shards, folder, release, columns=columns, workers=workers, progress=progress)
    return Checked(release, judged)
