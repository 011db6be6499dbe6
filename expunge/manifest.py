"""What a release says of itself: `release.json`, the diff's files, `SHA256SUMS`.

    release.json           dataset, version, serial, base and its root, columns, shards, totals, created
    diff/removed.parquet   shard (SHA-256 of the base's shard), row: the positions of the removed rows
    diff/keys.parquet      kind, key: the entries that caused the removal, and the removed rows' raw keys where no
                           kept row shares them; sorted, no reason per row
    data/…                 the shards
    SHA256SUMS             over all of the above; the release's root is the SHA-256 of this file

Whatever is read back is checked: types, digests, names that would leave the folder.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from expunge.errors import ExpungeError, UsageError
from expunge.keys import DIGEST_SIZE, KeyKind, Role
from expunge.lists import Entry
from expunge.shards import Positions, check_name
from expunge.shards.source import DATA_FOLDER, RELEASE_FILE, SUMS_FILE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

FORMAT = "expunge-release/1"
REMOVED_FILE = "diff/removed.parquet"
KEYS_FILE = "diff/keys.parquet"

Form = Literal["compact", "aligned"]


class BadRelease(ExpungeError):  # noqa: N818  it names what is bad
    """A release folder that is not what it says it is."""


@dataclass(frozen=True, slots=True)
class ReleaseShard:
    """One shard of a release: its path in the release, and the shard of the base that it was made of."""

    path: str
    sha256: str
    bytes: int
    rows: int
    base_sha256: str
    base_rows: int
    removed: int

    @property
    def name(self) -> str:
        """Its name inside the version."""
        return self.path.removeprefix(f"{DATA_FOLDER}/")


@dataclass(frozen=True, slots=True)
class Hidden:
    """Removed rows that their raw key alone does not find, because a kept row shares it or they have none.

    Any one of `kinds` finds them. A copy that has none of those columns cannot be judged on these rows.
    """

    kinds: tuple[KeyKind, ...]
    rows: int


@dataclass(frozen=True, slots=True)
class Release:
    """The content of `release.json`."""

    dataset: str
    version: str
    serial: int
    created: datetime
    form: Form
    base_version: str
    base_root: str
    previous: str | None
    columns: dict[Role, str]
    blanked: tuple[str, ...]
    shards: tuple[ReleaseShard, ...] = field(repr=False)
    hidden: tuple[Hidden, ...]

    @property
    def rows_before(self) -> int:
        """Rows of the base."""
        return sum(shard.base_rows for shard in self.shards)

    @property
    def rows_removed(self) -> int:
        """Rows removed, or blanked in the aligned form."""
        return sum(shard.removed for shard in self.shards)

    @property
    def rows_after(self) -> int:
        """Rows of the release."""
        return sum(shard.rows for shard in self.shards)

    def to_json(self) -> bytes:
        """The file's bytes: the same release gives the same bytes."""
        counts = _counts(self)
        return orjson.dumps(
            {
                "format": FORMAT,
                "dataset": self.dataset,
                "version": self.version,
                "serial": self.serial,
                "created": format_time(self.created),
                "form": self.form,
                "previous": self.previous,
                "base": {"version": self.base_version, "root": self.base_root, **counts["base"]},
                "columns": {role.value: name for role, name in self.columns.items()},
                "blanked": list(self.blanked),
                "totals": counts["totals"],
                "hidden": [{"kinds": list(part.kinds), "rows": part.rows} for part in self.hidden],
                "shards": [
                    {
                        "path": shard.path,
                        "sha256": shard.sha256,
                        "bytes": shard.bytes,
                        "rows": shard.rows,
                        "base_sha256": shard.base_sha256,
                        "base_rows": shard.base_rows,
                        "removed": shard.removed,
                    }
                    for shard in self.shards
                ],
            },
            option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE,
        )


def format_time(time: datetime) -> str:
    """RFC 3339 in UTC with microseconds."""
    return time.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def read_release(folder: Path) -> Release:
    """Read and check `release.json`. Raises `BadRelease`, naming the field."""
    path = folder / RELEASE_FILE
    try:
        data = orjson.loads(path.read_bytes())
    except OSError as error:
        raise BadRelease(f"{path} cannot be read: {error.strerror}. Is {folder} a release?") from error
    except orjson.JSONDecodeError as error:
        raise BadRelease(f"{path} is not JSON: {error.msg}.") from error
    try:
        return _release(_Fields(data, ""))
    except _WrongFieldError as error:
        raise BadRelease(f"{path}: {error}") from error


def version_root(digests: Mapping[str, str]) -> str:
    """The root of a version: SHA-256 (hex) over its shards' `<sha256>  <name>` lines in name order."""
    return hashlib.sha256(format_sums(digests)).hexdigest()


def format_sums(digests: Mapping[str, str]) -> bytes:
    """The text that `sha256sum -c` reads, in name order."""
    return "".join(f"{digests[name]}  {name}\n" for name in sorted(digests)).encode()


def read_sums(folder: Path) -> dict[str, str]:
    """Read `SHA256SUMS`: path -> SHA-256 in hex. Raises `BadRelease`, naming the line."""
    path = folder / SUMS_FILE
    try:
        text = path.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        raise BadRelease(f"{path} cannot be read. Is {folder} a release?") from error
    digests: dict[str, str] = {}
    for number, line in enumerate(text.removesuffix("\n").split("\n"), 1):
        match = re.fullmatch(r"([0-9a-f]{64})  (.+)", line)
        if match is None:
            raise BadRelease(f"{path}: line {number} is not a SHA-256, two spaces and a path.")
        _check_path(match[2], f"{path}: line {number}")
        digests[match[2]] = match[1]
    if format_sums(digests).decode() != text:
        raise BadRelease(
            f"{path} was not written by expunge: each path comes once, in the order of the names."
        )
    return digests


def write_positions(path: Path, positions: Iterable[tuple[str, Positions]]) -> None:
    """Write `diff/removed.parquet` from pairs of a base shard's digest and rows of it."""
    pairs = sorted(positions, key=lambda pair: pair[0])
    shards = np.repeat(np.arange(len(pairs)), [len(rows) for _, rows in pairs])
    digests = pa.array([digest for digest, _ in pairs], pa.string())
    table = pa.table(
        {
            "shard": pa.DictionaryArray.from_arrays(pa.array(shards, pa.int32()), digests),
            "row": np.concatenate([rows for _, rows in pairs]) if pairs else pa.array([], pa.int64()),
        }
    )
    _write(path, table)


def read_positions(folder: Path) -> dict[str, Positions]:
    """Read `diff/removed.parquet`: base shard digest -> sorted rows. Raises `BadRelease`."""
    table = _read(folder / REMOVED_FILE, {"shard": pa.string(), "row": pa.int64()})
    rows = table.column("row").to_numpy()
    encoded = table.column("shard").combine_chunks().dictionary_encode()
    which = encoded.indices.to_numpy(zero_copy_only=False)
    return {
        digest: np.unique(rows[which == place]) for place, digest in enumerate(encoded.dictionary.to_pylist())
    }


def write_keys(path: Path, keys: Iterable[tuple[KeyKind, bytes]]) -> None:
    """Write `diff/keys.parquet`, sorted so that the order tells nothing."""
    ordered = sorted(set(keys))
    table = pa.table(
        {
            "kind": pa.array([kind.value for kind, _ in ordered], pa.string()),
            "key": pa.array([key for _, key in ordered], pa.binary()),
        }
    )
    _write(path, table)


def read_keys(folder: Path) -> list[Entry]:
    """Read `diff/keys.parquet` as entries. Raises `BadRelease`, naming the row."""
    path = folder / KEYS_FILE
    table = _read(path, {"kind": pa.string(), "key": pa.binary()})
    entries: list[Entry] = []
    pairs = zip(table.column("kind").to_pylist(), table.column("key").to_pylist(), strict=True)
    for row, (name, key) in enumerate(pairs):
        try:
            kind = KeyKind(name)
        except ValueError as error:
            raise BadRelease(
                f"{path}: row {row} has the unknown kind {name!r}. A newer expunge may know it."
            ) from error
        if not key or len(key) != DIGEST_SIZE.get(kind, len(key)):
            raise BadRelease(f"{path}: the key in row {row} has not the length of {kind}.")
        entries.append(Entry(kind, key, f"{kind}:{key.hex()}", row))
    return entries


def file_digest(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


def _write(path: Path, table: pa.Table) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, compression="zstd", store_schema=False)


def _read(path: Path, columns: dict[str, pa.DataType]) -> pa.Table:
    try:
        table = pq.read_table(path, partitioning=None)
        return table.select(list(columns)).cast(pa.schema([pa.field(n, t) for n, t in columns.items()]))
    except (OSError, pa.ArrowException, KeyError) as error:
        raise BadRelease(f"{path} cannot be read as a diff. Fetch it again.") from error


class _WrongFieldError(Exception):
    """A field of `release.json` that is not what it must be."""


class _Fields:
    """An object of `release.json`, its fields read with their types checked."""

    def __init__(self, data: object, where: str) -> None:
        if not isinstance(data, dict):
            raise _WrongFieldError(f"{where or 'the file'} is not an object.")
        self._data = cast("dict[str, Any]", data)
        self._where = f"{where}." if where else ""

    def text(self, name: str, pattern: str = r"(?s).+") -> str:
        value = self._get(name, str)
        if not re.fullmatch(pattern, value):
            raise _WrongFieldError(f"{self._where}{name} is not well-formed.")
        return cast("str", value)

    def count(self, name: str) -> int:
        value = self._get(name, int)
        if value < 0 or isinstance(value, bool):
            raise _WrongFieldError(f"{self._where}{name} is not a count.")
        return cast("int", value)

    def digest(self, name: str) -> str:
        return self.text(name, r"[0-9a-f]{64}")

    def objects(self, name: str) -> list[_Fields]:
        return [_Fields(value, f"{self._where}{name}[{i}]") for i, value in enumerate(self._get(name, list))]

    def child(self, name: str) -> _Fields:
        return _Fields(self._data.get(name), f"{self._where}{name}")

    def texts(self, name: str) -> list[str]:
        values = self._get(name, list)
        if not all(isinstance(value, str) for value in values):
            raise _WrongFieldError(f"{self._where}{name} is not a list of text.")
        return cast("list[str]", values)

    def optional(self, name: str) -> str | None:
        return None if self._data.get(name) is None else self.text(name)

    def pairs(self) -> dict[str, Any]:
        return self._data

    def _get(self, name: str, kind: type) -> Any:
        value = self._data.get(name)
        if not isinstance(value, kind):
            raise _WrongFieldError(f"{self._where}{name} is missing or not of type {kind.__name__}.")
        return value


def _release(fields: _Fields) -> Release:
    if (form_of_file := fields.text("format")) != FORMAT:
        raise _WrongFieldError(f"its format is {form_of_file!r}; this command reads {FORMAT!r}.")
    base = fields.child("base")
    try:
        columns = {Role(role): str(name) for role, name in fields.child("columns").pairs().items()}
        hidden = tuple(
            Hidden(tuple(KeyKind(kind) for kind in part.texts("kinds")), part.count("rows"))
            for part in fields.objects("hidden")
        )
        created = datetime.fromisoformat(fields.text("created"))
    except ValueError as error:
        raise _WrongFieldError(f"{error}.") from error
    release = Release(
        dataset=fields.text("dataset"),
        version=fields.text("version"),
        serial=fields.count("serial"),
        created=created,
        form=cast("Form", fields.text("form", "compact|aligned")),
        base_version=base.text("version"),
        base_root=base.digest("root"),
        previous=fields.optional("previous"),
        columns=columns,
        blanked=tuple(fields.texts("blanked")),
        shards=tuple(_shard(part) for part in fields.objects("shards")),
        hidden=hidden,
    )
    for part, counts in _counts(release).items():
        for name, count in counts.items():
            if fields.child(part).count(name) != count:
                raise _WrongFieldError(f"{part}.{name} is not the sum over the shards.")
    return release


def _counts(release: Release) -> dict[str, dict[str, int]]:
    """What `release.json` counts over all shards, by object and field."""
    shards = release.shards
    return {
        "base": {"rows": release.rows_before, "shards": len(shards)},
        "totals": {
            "rows_before": release.rows_before,
            "rows_removed": release.rows_removed,
            "rows_after": release.rows_after,
            "bytes": sum(shard.bytes for shard in shards),
            "shards": len(shards),
            "shards_changed": sum(shard.removed > 0 for shard in shards),
        },
    }


def _shard(fields: _Fields) -> ReleaseShard:
    shard = ReleaseShard(
        path=fields.text("path"),
        sha256=fields.digest("sha256"),
        bytes=fields.count("bytes"),
        rows=fields.count("rows"),
        base_sha256=fields.digest("base_sha256"),
        base_rows=fields.count("base_rows"),
        removed=fields.count("removed"),
    )
    try:
        check_name(shard.path)
    except UsageError as error:
        raise _WrongFieldError(str(error)) from error
    if not shard.path.startswith(f"{DATA_FOLDER}/"):
        raise _WrongFieldError(f"{shard.path!r} is not in {DATA_FOLDER}/.")
    return shard


def _check_path(path: str, where: str) -> None:
    try:
        check_name(path)
    except UsageError as error:
        raise BadRelease(f"{where}: {error}") from error
