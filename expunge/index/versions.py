"""What an index remembers of the versions that were indexed: their shards, by digest, and where these lay."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote

import orjson

from expunge.errors import UsageError
from expunge.index.arrays import FORMAT, BadIndex
from expunge.index.builder import appearing
from expunge.keys import Role

if TYPE_CHECKING:
    from collections.abc import Sequence

    from expunge.shards import Binding, Fingerprint

_FOLDER = "versions"
_LONGEST_FILE = 200


@dataclass(frozen=True, slots=True)
class IndexedShard:
    """A shard as it was indexed: its name in the version, SHA-256 (hex), rows, and the columns that carry keys.

    `path` and `fingerprint` say where it lay and which state of that file it was.
    """

    name: str
    sha256: str
    rows: int
    columns: Binding
    path: Path
    fingerprint: Fingerprint


@dataclass(frozen=True, slots=True)
class IndexedVersion:
    """A version whose shards are indexed. `root` is the version's, from its shards' digests and names."""

    name: str
    root: str
    shards: tuple[IndexedShard, ...]


def check_version_name(name: str) -> None:
    """Refuse a name that cannot name a version. Raises `UsageError`."""
    if not name.isprintable() or not name.strip() or len(_file(Path(), name).name) > _LONGEST_FILE:
        raise UsageError(
            "A version's name is some printable characters, not too many. Give another with --name."
        )


def write_version(folder: Path, version: IndexedVersion) -> None:
    """Remember a version in the index in `folder`; it takes the place of an earlier one of that name."""
    record = {
        "format": FORMAT,
        "name": version.name,
        "root": version.root,
        "shards": [
            {
                "name": shard.name,
                "sha256": shard.sha256,
                "rows": shard.rows,
                "columns": {role.value: name for role, name in shard.columns.items()},
                "path": str(shard.path),
                "fingerprint": shard.fingerprint,
            }
            for shard in version.shards
        ],
    }
    sealed = {**record, "checksum": _checksum(record)}
    with appearing(_file(folder, version.name)) as path:
        path.write_bytes(orjson.dumps(sealed, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


def has_versions(folder: Path) -> bool:
    """Whether the index in `folder` knows a version."""
    return any((folder / _FOLDER).glob("*.json"))


def read_versions(folder: Path, *, anew: str = "") -> list[IndexedVersion]:
    """The versions that the index in `folder` knows, by name. Raises `BadIndex`, and `UsageError` where there is none.

    `anew` names one that is about to be written anew, which is passed over where its file is damaged.
    """
    paths = sorted((folder / _FOLDER).glob("*.json"))
    if not paths:
        raise UsageError(f"{folder} holds no index. Make one with expunge index PATH... --index {folder}.")
    found: list[IndexedVersion] = []
    for path in paths:
        try:
            found.append(_read_version(path))
        except BadIndex:
            if path != _file(folder, anew):
                raise
    return sorted(found, key=lambda version: version.name)


def _read_version(path: Path) -> IndexedVersion:
    try:
        record: dict[str, Any] = orjson.loads(path.read_bytes())
        whole = record.pop("checksum") == _checksum(record) and record["format"] == FORMAT
    except (ValueError, TypeError, KeyError, AttributeError):
        whole = False
    if not whole:
        raise BadIndex(
            f"{path} is damaged, or of another format than {FORMAT}. Index the version again, or delete the file."
        )
    shards = tuple(
        IndexedShard(
            shard["name"],
            shard["sha256"],
            shard["rows"],
            {Role(role): name for role, name in shard["columns"].items()},
            Path(shard["path"]),
            cast("Fingerprint", tuple(shard["fingerprint"])),
        )
        for shard in record["shards"]
    )
    return IndexedVersion(record["name"], record["root"], shards)


def _file(folder: Path, name: str) -> Path:
    return folder / _FOLDER / f"{quote(name, safe=' @+,=')}.json"


def _checksum(record: dict[str, Any]) -> str:
    return hashlib.sha256(orjson.dumps(record, option=orjson.OPT_SORT_KEYS)).hexdigest()


def distinct_shards(versions: Sequence[IndexedVersion]) -> dict[str, IndexedShard]:
    """One shard of each digest that these versions hold."""
    return {shard.sha256: shard for version in versions for shard in version.shards}
