"""What a release costs somebody who holds its base: the bytes to download, by each way to get there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from expunge.manifest import KEYS_FILE, REMOVED_FILE, BadRelease, Release, read_release
from expunge.shards.source import RELEASE_FILE, SUMS_FILE

if TYPE_CHECKING:
    from pathlib import Path

_NEEDED = (RELEASE_FILE, SUMS_FILE, REMOVED_FILE, KEYS_FILE)
_SIGNATURES = (f"{SUMS_FILE}.minisig", "dataset.sig", "release.tlog-proof")


@dataclass(frozen=True, slots=True)
class Explained:
    """The bytes to download to reach a release from its base.

    `diff_bytes` are release.json, SHA256SUMS, diff/ and the signatures, enough for `expunge apply`. `changed_bytes`
    are those and the shards that the base has not, `all_bytes` those and all shards.
    """

    release: Release
    shards_touched: int
    diff_bytes: int
    changed_bytes: int
    all_bytes: int

    def to_dict(self) -> dict[str, Any]:
        """The figures for machines."""
        release = self.release
        return {
            "dataset": release.dataset,
            "version": release.version,
            "serial": release.serial,
            "form": release.form,
            "base": release.base_version,
            "rows": {
                "before": release.rows_before,
                "removed": release.rows_removed,
                "after": release.rows_after,
            },
            "shards": {"all": len(release.shards), "touched": self.shards_touched},
            "download_bytes": {
                "diff": self.diff_bytes,
                "changed_shards": self.changed_bytes,
                "everything": self.all_bytes,
            },
        }


def explain_release(folder: Path) -> Explained:
    """Count what a holder of the base downloads. Reads release.json and the sizes of the small files, not data/.

    Nothing is verified here. Raises `BadRelease`, naming what is missing.
    """
    release = read_release(folder)
    missing = [name for name in _NEEDED if not (folder / name).is_file()]
    if missing:
        raise BadRelease(f"{folder / missing[0]} is missing. Fetch it again.")
    small = {folder / name for name in (*_NEEDED, *_SIGNATURES)} | set((folder / "diff").iterdir())
    size = sum(path.stat().st_size for path in small if path.is_file())
    changed = [shard for shard in release.shards if shard.sha256 != shard.base_sha256]
    return Explained(
        release,
        shards_touched=len(changed),
        diff_bytes=size,
        changed_bytes=size + sum(shard.bytes for shard in changed),
        all_bytes=size + sum(shard.bytes for shard in release.shards),
    )
