"""Look at the samples of a part: which go, and what the others hold of what a release redacts.

A sample that no row with a URL speaks for is judged by its own json, and every json tells what is redacted in it: such
json is drawn up as manifests of its own, for the time of the judging.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from expunge.copies.cells import SampleCells, read_meta
from expunge.copies.img2dataset import KEY, SourceKeys
from expunge.errors import UsageError
from expunge.keys import ROLE_OF, Role
from expunge.shards import NO_ROWS, Column, ShardFile, bind_columns, bind_shard, open_shard

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from expunge.copies.part import Digest, Part, Sample
    from expunge.judge import Judged
    from expunge.pool import Advance
    from expunge.shards import Binding, Positions


@dataclass(frozen=True, slots=True)
class Search:
    """What the samples of every part are searched for."""

    digests: frozenset[Digest]
    columns: dict[str, str]
    hints: dict[Role, str]
    source: SourceKeys | None
    scratch: Path
    redacting: bool


@dataclass(frozen=True, slots=True)
class Examined:
    """What the samples of one part told.

    `gone` are the keys that go and have files, so far, and `rows` those of the manifest that only the samples told of.
    `alone` counts samples that no row speaks for, `rows_alone` has the rows of those that have one all the same;
    `unjudged` of them have no URL, and `drawn` is the manifest of the others.

    Where the release redacts, `row_of` has the rows of all keys, `cells` what goes of each sample by its row, and `told` is
    the manifest of every json with a URL; `unlinked` are the keys whose row loses its URL, `captioned` have a text, and
    `unreadable` counts samples whose json is none.
    """

    gone: frozenset[str] = frozenset()
    rows: Positions = field(default_factory=lambda: NO_ROWS)
    alone: int = 0
    rows_alone: dict[str, int] = field(default_factory=dict)
    unjudged: int = 0
    drawn: ShardFile | None = None
    row_of: dict[str, int] = field(default_factory=dict)
    cells: dict[str, SampleCells] = field(default_factory=dict)
    unlinked: frozenset[str] = frozenset()
    told: ShardFile | None = None
    captioned: frozenset[str] = frozenset()
    unreadable: int = 0


def examine(search: Search, item: tuple[int, tuple[Part, Judged | None]], advance: Advance) -> Examined:
    """Look at every sample of one part, which is given with its place among the parts and its judged manifest.

    Raises `BadShard` for samples that cannot be cut safely, and for keys that come twice.
    """
    number, (part, shard) = item
    if part.samples is None:
        return Examined()
    binding = binding_of(search, part.manifest)
    rows, vouched = _rows_by_key(part.manifest, binding)
    removed = set() if shard is None else set(shard.positions.tolist())
    hashing = frozenset(kind for kind, _ in search.digests if ROLE_OF[kind] not in binding)
    drawn = ShardFile(search.scratch / f"{number}.jsonl", f"{part.samples.name}.jsonl")
    told = ShardFile(search.scratch / f"{number}-told.jsonl", f"{part.samples.name}.told.jsonl")
    redacting = _Redacting(binding, {} if shard is None else shard.named)
    gone: set[str] = set()
    only_told: set[int] = set()
    alone: dict[str, int] = {}
    count = written = shown = unjudged = 0
    with drawn.path.open("xb") as sink, told.path.open("xb") as telling:
        for sample in part.samples.samples(frozenset() if search.redacting else vouched, hashing):
            key, row = sample.key, rows.get(sample.key)
            placed = search.source.removes(key) if search.source else None
            if row in removed:
                gone.add(key)
            elif placed or not search.digests.isdisjoint(sample.digests):
                gone.add(key)
                if row is not None:
                    only_told.add(row)
            fields = _fields(sample.meta)
            line = None
            if (search.redacting or key not in vouched) and _has_url(search, fields):
                line = orjson.dumps({**fields, KEY: key}, option=orjson.OPT_APPEND_NEWLINE)
            if search.redacting and key not in gone:
                redacting.look(sample, row)
                if line is not None:
                    telling.write(line)
                    shown += 1
            if key in vouched:
                continue
            count += 1
            if row is not None:
                alone[key] = row
            if line is not None:
                sink.write(line)
                written += 1
            elif placed is None:
                unjudged += 1
    advance(1)
    return Examined(
        gone=frozenset(gone),
        rows=np.array(sorted(only_told), dtype=np.int64),
        alone=count,
        rows_alone=alone,
        unjudged=unjudged,
        drawn=drawn if written else None,
        row_of=rows if search.redacting else {},
        cells=redacting.cells,
        unlinked=frozenset(redacting.unlinked),
        told=told if shown else None,
        captioned=frozenset(redacting.captioned),
        unreadable=redacting.unreadable,
    )


class _Redacting:
    """What samples still hold of the cells that redactions name in their rows.

    `named` are these rows by column. A sample's text is a copy of the text column's cell; one whose row's URL is named goes.
    """

    def __init__(self, binding: Binding, named: Mapping[str, Positions]) -> None:
        self._text, self._url = binding.get(Role.TEXT), binding.get(Role.URL)
        self._rows = {name: set(rows.tolist()) for name, rows in named.items()}
        self.cells: dict[str, SampleCells] = {}
        self.unlinked: set[str] = set()
        self.captioned: set[str] = set()
        self.unreadable = 0

    def look(self, sample: Sample, row: int | None) -> None:
        """Look at one sample that stays, and whose row is this one."""
        if sample.captioned:
            self.captioned.add(sample.key)
        columns = {name for name, rows in self._rows.items() if row in rows}
        if self._url in columns:
            self.unlinked.add(sample.key)
        if not columns or self._url in columns:
            return
        fields = read_meta(sample.meta)
        if fields is None and sample.meta is not None:
            self.unreadable += 1
        held = frozenset(name for name in columns if (fields or {}).get(name) is not None)
        if cells := SampleCells(held, text=self._text in columns and sample.captioned):
            self.cells[sample.key] = cells


def binding_of(search: Search, manifest: ShardFile | None) -> Binding:
    """The columns of a manifest by role; none without one."""
    if manifest is None:
        return {}
    return bind_shard(open_shard(replace(manifest, may_be_empty=True)), search.columns, search.hints)


def _rows_by_key(manifest: ShardFile | None, binding: Binding) -> tuple[dict[str, int], set[str]]:
    """The row of each sample key, and the keys of the rows that have a URL. Raises `BadShard` for a key that comes twice."""
    rows: dict[str, int] = {}
    vouched: set[str] = set()
    if manifest is None:
        return rows, vouched
    shard = open_shard(replace(manifest, may_be_empty=True))
    if KEY not in {column.name for column in shard.columns}:
        return rows, vouched
    url = binding.get(Role.URL)
    for batch in shard.batches(sorted({KEY, *([url] if url else [])})):
        valid = batch.arrays[url].is_valid().to_pylist() if url else [False] * batch.rows
        pairs = zip(batch.arrays[KEY].to_pylist(), valid, strict=True)
        for row, (key, has_url) in enumerate(pairs, batch.first):
            if key is None:
                continue
            name = str(key)
            if name in rows:
                raise shard.bad(
                    f"rows {rows[name]} and {row} have the same key, so their samples cannot be told apart."
                )
            rows[name] = row
            if has_url:
                vouched.add(name)
    return rows, vouched


def _fields(meta: bytes | None) -> dict[str, Any]:
    """The plain fields of a sample's json; none where it is missing or is none."""
    found = read_meta(meta) or {}
    return {
        name: value
        for name, value in found.items()
        if isinstance(value, str)
        or (isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 63)
        or (isinstance(value, list) and value and all(isinstance(part, str) for part in value))
    }


def _has_url(search: Search, fields: Mapping[str, Any]) -> bool:
    columns = [Column(name, "string", required=False) for name in fields]
    try:
        return Role.URL in bind_columns(columns, search.columns, search.hints)
    except UsageError:
        return False
