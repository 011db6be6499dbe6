"""`release.json`: what a release says of itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, cast

import orjson

from expunge.errors import UsageError
from expunge.keys import KeyKind, Role
from expunge.manifest.fields import Fields, WrongFieldError
from expunge.manifest.sums import BadRelease
from expunge.shards import Method, check_name
from expunge.shards.source import DATA_FOLDER, RELEASE_FILE

if TYPE_CHECKING:
    from pathlib import Path

REMOVING = "expunge-release/1"
REDACTING = "expunge-release/2"
"""The format of a release that redacts: a reader that knows removals alone must not believe it did all."""

Form = Literal["compact", "aligned"]


@dataclass(frozen=True, slots=True)
class ReleaseShard:
    """One shard of a release: its path in the release, and the shard of the base that it was made of.

    `removed` counts rows, `redacted` cells and elements of lists. `method` is None in releases made before it was told.
    """

    path: str
    sha256: str
    bytes: int
    rows: int
    base_sha256: str
    base_rows: int
    removed: int
    redacted: int = 0
    method: Method | None = None

    @property
    def name(self) -> str:
        """Its name inside the version."""
        return self.path.removeprefix(f"{DATA_FOLDER}/")

    @property
    def changed(self) -> bool:
        """Whether it is not its base's own bytes."""
        return self.removed > 0 or self.redacted > 0


@dataclass(frozen=True, slots=True)
class Hidden:
    """Removed rows that their raw key alone does not find, because a kept row shares it or they have none.

    Any one of `kinds` finds them. A copy that has none of those columns cannot be judged on these rows.
    """

    kinds: tuple[KeyKind, ...]
    rows: int


@dataclass(frozen=True, slots=True)
class Redacted:
    """Cells of one column that are null in the release, or elements that are gone from its lists.

    Any one of `kinds` finds their rows. A copy that has the column, but none of the kinds' columns, cannot be judged on
    them.
    """

    column: str
    kinds: tuple[KeyKind, ...]
    cells: int


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
    redacted: tuple[Redacted, ...] = ()

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

    @property
    def cells_redacted(self) -> int:
        """Cells made null and elements taken out of lists, beside the rows removed."""
        return sum(shard.redacted for shard in self.shards)

    def to_json(self) -> bytes:
        """The file's bytes: the same release gives the same bytes."""
        counts = _counts(self)
        said: dict[str, Any] = {
            "format": REDACTING if self.redacted else REMOVING,
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
        }
        if self.redacted:
            said["redacted"] = [
                {"column": part.column, "kinds": list(part.kinds), "cells": part.cells}
                for part in self.redacted
            ]
        said["shards"] = [_shard_said(shard, redacting=bool(self.redacted)) for shard in self.shards]
        return orjson.dumps(said, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


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
        return _release(Fields(data))
    except WrongFieldError as error:
        raise BadRelease(f"{path}: {error}") from error


def _counts(release: Release) -> dict[str, dict[str, int]]:
    """What `release.json` counts over all shards, by object and field."""
    shards = release.shards
    totals = {
        "rows_before": release.rows_before,
        "rows_removed": release.rows_removed,
        "rows_after": release.rows_after,
        "bytes": sum(shard.bytes for shard in shards),
        "shards": len(shards),
        "shards_changed": sum(shard.changed for shard in shards),
    }
    if release.redacted:
        totals["cells_redacted"] = release.cells_redacted
    return {"base": {"rows": release.rows_before, "shards": len(shards)}, "totals": totals}


def _shard_said(shard: ReleaseShard, *, redacting: bool) -> dict[str, Any]:
    said: dict[str, Any] = {
        "path": shard.path,
        "sha256": shard.sha256,
        "bytes": shard.bytes,
        "rows": shard.rows,
        "base_sha256": shard.base_sha256,
        "base_rows": shard.base_rows,
        "removed": shard.removed,
    }
    if redacting:
        said["redacted"] = shard.redacted
    if shard.method is not None:
        said["method"] = shard.method
    return said


def _release(fields: Fields) -> Release:
    if (form_of_file := fields.text("format")) not in {REMOVING, REDACTING}:
        raise WrongFieldError(
            f"its format is {form_of_file!r}; this command reads {REMOVING!r} and {REDACTING!r}."
        )
    redacting = form_of_file == REDACTING
    base = fields.child("base")
    carrying = fields.child("columns")
    try:
        columns = {Role(role): carrying.text(role) for role in carrying.names()}
        hidden = tuple(Hidden(_kinds(part), part.count("rows")) for part in fields.objects("hidden"))
        redacted = tuple(
            Redacted(part.text("column"), _kinds(part), part.count("cells"))
            for part in (fields.objects("redacted") if redacting else [])
        )
        created = datetime.fromisoformat(fields.text("created"))
    except ValueError as error:
        raise WrongFieldError(f"{error}.") from error
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
        shards=tuple(_shard(part, redacting=redacting) for part in fields.objects("shards")),
        hidden=hidden,
        redacted=redacted,
    )
    if redacting and not redacted:
        raise WrongFieldError("redacted is empty.")
    if sum(part.cells for part in redacted) != release.cells_redacted:
        raise WrongFieldError("redacted does not count the cells of the shards.")
    for part, counts in _counts(release).items():
        for name, count in counts.items():
            if fields.child(part).count(name) != count:
                raise WrongFieldError(f"{part}.{name} is not the sum over the shards.")
    return release


def _kinds(fields: Fields) -> tuple[KeyKind, ...]:
    return tuple(KeyKind(kind) for kind in fields.texts("kinds"))


def _shard(fields: Fields, *, redacting: bool) -> ReleaseShard:
    shard = ReleaseShard(
        path=fields.text("path"),
        sha256=fields.digest("sha256"),
        bytes=fields.count("bytes"),
        rows=fields.count("rows"),
        base_sha256=fields.digest("base_sha256"),
        base_rows=fields.count("base_rows"),
        removed=fields.count("removed"),
        redacted=fields.count("redacted") if redacting else 0,
        method=cast("Method | None", fields.optional("method", "whole|spliced|rewritten")),
    )
    try:
        check_name(shard.path)
    except UsageError as error:
        raise WrongFieldError(str(error)) from error
    if not shard.path.startswith(f"{DATA_FOLDER}/"):
        raise WrongFieldError(f"{shard.path!r} is not in {DATA_FOLDER}/.")
    return shard
