"""What a release says of itself: `release.json`, the diff's files, `SHA256SUMS`.

    release.json                 dataset, version, serial, base and its root, columns, shards, totals, created
    diff/removed.parquet         shard (SHA-256 of the base's shard), row: the positions of the removed rows
    diff/keys.parquet            kind, key: the entries that caused the removal, and the removed rows' raw keys where
                                 no kept row shares them; sorted, no reason per row
    diff/redacted.parquet        shard, row, column, element: the cells that are null, or the elements that are gone
    diff/redacted_keys.parquet   kind, key, column: what finds them in a copy. Both only where something is redacted
    data/…                       the shards
    SHA256SUMS                   over all of the above; the release's root is the SHA-256 of this file

Whatever is read back is checked: types, digests, names that would leave the folder.
"""

from expunge.manifest.diff import (
    KEYS_FILE,
    REDACTED_FILE,
    REDACTED_KEYS_FILE,
    REMOVED_FILE,
    diff_files,
    read_keys,
    read_positions,
    read_redacted,
    read_redacted_keys,
    write_keys,
    write_positions,
    write_redacted,
    write_redacted_keys,
)
from expunge.manifest.release import (
    Form,
    Hidden,
    Redacted,
    Release,
    ReleaseShard,
    format_time,
    read_release,
)
from expunge.manifest.sums import BadRelease, file_digest, format_sums, read_sums, version_root

__all__ = [
    "KEYS_FILE",
    "REDACTED_FILE",
    "REDACTED_KEYS_FILE",
    "REMOVED_FILE",
    "BadRelease",
    "Form",
    "Hidden",
    "Redacted",
    "Release",
    "ReleaseShard",
    "diff_files",
    "file_digest",
    "format_sums",
    "format_time",
    "read_keys",
    "read_positions",
    "read_redacted",
    "read_redacted_keys",
    "read_release",
    "read_sums",
    "version_root",
    "write_keys",
    "write_positions",
    "write_redacted",
    "write_redacted_keys",
]
