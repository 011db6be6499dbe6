"""Hold a copy against a release: which rows go, and which samples and files follow them.

1. Manifests are judged as any shard is, by digest or by key.
2. The samples of a part follow the rows of its manifest, by their keys. A sample that no row with a URL speaks for is
   judged by its own json: all of these are drawn up as a manifest of their own, for the time of the judging.
3. Where the release has content hashes that no column can be held against, the bytes of the samples are hashed. That
   finds what was stored as it was downloaded; of what was encoded anew it says nothing.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from expunge.copies.img2dataset import DEFAULT_SAMPLES, KEY, SourceKeys
from expunge.copies.part import Going
from expunge.copies.tar import HASHES
from expunge.errors import UsageError
from expunge.judge import Judged, KnownAs, judge
from expunge.keys import ROLE_OF, Role
from expunge.locate import sample_values
from expunge.manifest import read_keys, read_positions
from expunge.pool import map_shards
from expunge.shards import Column, Cut, ShardFile, bind_columns, open_shard

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from expunge.copies.find import Copy
    from expunge.copies.part import Digest, Part
    from expunge.manifest import Release
    from expunge.pool import Advance
    from expunge.progress import Progress
    from expunge.shards import Binding, Positions

_NONE: Positions = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Source:
    """The list that img2dataset was given, and how many samples it put in a shard."""

    shards: Sequence[ShardFile]
    samples: int = DEFAULT_SAMPLES


@dataclass(frozen=True, slots=True)
class JudgedPart:
    """One part of a copy and what of it goes.

    `shard` is its manifest, judged. `alone` counts the samples that no row speaks for, `lost` are those of them that
    go; `present` are the keys that go and have files. `undetermined` says what could not be judged, empty if nothing.
    """

    part: Part
    shard: Judged | None
    going: Going
    alone: int
    lost: frozenset[str]
    present: frozenset[str]
    undetermined: tuple[str, ...]

    @property
    def name(self) -> str:
        """Its manifest's name, or that of the samples."""
        return self.part.name

    @property
    def known_as(self) -> KnownAs:
        """How it was recognised."""
        return self.shard.known_as if self.shard else KnownAs.KEYS

    @property
    def rows(self) -> int:
        """The rows of its manifest, and the samples without one."""
        return self.going.rows + self.alone

    @property
    def positions(self) -> Positions:
        """The rows of the manifest that go."""
        return self.going.positions

    @property
    def redacted(self) -> Cut:
        """The cells of the manifest that become null, and the elements that go, in rows that stay."""
        return self.shard.redacted if self.shard else Cut()

    @property
    def affected(self) -> int:
        """The rows that go, and the samples without one."""
        return len(self.going.positions) + len(self.lost)


def judge_copy(
    copy: Copy,
    folder: Path,
    release: Release,
    *,
    columns: Mapping[str, str] | None,
    source: Source | None,
    workers: int,
    progress: Progress,
) -> list[JudgedPart]:
    """Judge each part of a copy against the release in `folder`, whose diff was verified. Same order as its parts.

    With `source` samples are found by their keys too, where its files are shards of the release's base.
    Raises `UsageError`, `BadShard` or `BadRelease`.
    """

    def judged(shards: Sequence[ShardFile]) -> dict[str, Judged]:
        found = judge(shards, folder, release, columns=columns, workers=workers, progress=progress)
        return {one.file.name: one for one in found}

    manifests = judged([part.manifest for part in copy.parts if part.manifest])
    items = [(part, manifests.get(part.name)) for part in copy.parts]
    for part, one in items:
        for follower in part.followers:
            if one is not None:
                follower.expect(one.rows, one.file.name)
    with tempfile.TemporaryDirectory(prefix="expunge-") as scratch:
        search = _Search(
            frozenset((entry.kind, entry.key) for entry in read_keys(folder) if entry.kind in HASHES),
            dict(columns or {}),
            dict(release.columns),
            _source_keys(source, folder, release),
            Path(scratch),
        )
        total = sum(part.samples is not None for part in copy.parts)
        examined = map_shards(
            _examine,
            search,
            list(enumerate(items)),
            workers=workers,
            stage="Looking at samples",
            total=total,
            progress=progress,
        )
        drawn = judged([one.drawn for one in examined if one.drawn])
        return [
            _concluded(part, manifests.get(part.name), one, drawn, release)
            for part, one in zip(copy.parts, examined, strict=True)
        ]


@dataclass(frozen=True, slots=True)
class _Search:
    """What the samples of every part are searched for."""

    digests: frozenset[Digest]
    columns: dict[str, str]
    hints: dict[Role, str]
    source: SourceKeys | None
    scratch: Path


@dataclass(frozen=True, slots=True)
class _Examined:
    """What the samples of one part told.

    `gone` are the keys that go and have files, so far, and `rows` those of the manifest that only the samples told of.
    `alone` counts samples that no row speaks for, `rows_alone` has the rows of those that have one all the same;
    `unjudged` of them have no URL, and `drawn` is the manifest of the others.
    """

    gone: frozenset[str] = frozenset()
    rows: Positions = field(default_factory=lambda: _NONE)
    alone: int = 0
    rows_alone: dict[str, int] = field(default_factory=dict)
    unjudged: int = 0
    drawn: ShardFile | None = None


def _source_keys(source: Source | None, folder: Path, release: Release) -> SourceKeys | None:
    if source is None:
        return None
    rows = {shard.base_sha256: shard.base_rows for shard in release.shards}
    return SourceKeys(source.shards, rows, read_positions(folder), source.samples)


def _examine(search: _Search, item: tuple[int, tuple[Part, Judged | None]], advance: Advance) -> _Examined:
    number, (part, shard) = item
    if part.samples is None:
        return _Examined()
    binding = _binding(search, part.manifest)
    rows, vouched = _rows_by_key(part.manifest, binding)
    removed = set() if shard is None else set(shard.positions.tolist())
    hashing = frozenset(kind for kind, _ in search.digests if ROLE_OF[kind] not in binding)
    drawn = ShardFile(search.scratch / f"{number}.jsonl", f"{part.samples.name}.jsonl")
    gone: set[str] = set()
    told: set[int] = set()
    alone: dict[str, int] = {}
    count = written = unjudged = 0
    with drawn.path.open("xb") as sink:
        for sample in part.samples.samples(vouched, hashing):
            key, row = sample.key, rows.get(sample.key)
            placed = search.source.removes(key) if search.source else None
            if row in removed:
                gone.add(key)
            elif placed or not search.digests.isdisjoint(sample.digests):
                gone.add(key)
                if row is not None:
                    told.add(row)
            if key in vouched:
                continue
            count += 1
            if row is not None:
                alone[key] = row
            fields = _fields(sample.meta)
            if _has_url(search, fields):
                sink.write(orjson.dumps({**fields, KEY: key}, option=orjson.OPT_APPEND_NEWLINE))
                written += 1
            elif placed is None:
                unjudged += 1
    advance(1)
    positions = np.array(sorted(told), dtype=np.int64)
    return _Examined(frozenset(gone), positions, count, alone, unjudged, drawn if written else None)


def _concluded(
    part: Part, shard: Judged | None, found: _Examined, drawn: Mapping[str, Judged], release: Release
) -> JudgedPart:
    """Put together what the manifest and the samples told."""
    reasons = list(shard.undetermined) if shard else []
    lost: set[str] = set()
    if found.drawn:
        one = drawn[found.drawn.name]
        lost = {key for key in sample_values(one.file, one.positions, KEY).values() if key is not None}
        reasons += [f"of its samples' json: {reason}" for reason in one.undetermined]
        named = one.named
    else:
        named = 0
    if part.samples is not None and (named := named + (shard.named if shard else 0)):
        reasons.append(
            f"cells of {named:,} rows are redacted, and their samples, which are not changed, may hold the same"
        )
    if release.rows_removed and found.unjudged:
        reasons.append(_unjudged(part, found))
    if release.rows_removed and part.unreadable:
        reasons.append(part.unreadable)
    rows_alone = found.rows_alone
    also = [rows_alone[key] for key in lost if key in rows_alone]
    positions = _NONE if shard is None else shard.positions
    positions = np.union1d(np.union1d(positions, found.rows), np.array(also, dtype=np.int64)).astype(np.int64)
    present = found.gone | lost
    if shard is None:
        lost |= found.gone
    else:
        lost -= rows_alone.keys()
    return JudgedPart(
        part=part,
        shard=shard,
        going=Going(shard.rows if shard else 0, positions, present, release.form == "aligned"),
        alone=found.alone,
        lost=frozenset(lost),
        present=present,
        undetermined=tuple(dict.fromkeys(reasons)),
    )


def _unjudged(part: Part, found: _Examined) -> str:
    if part.manifest is None and found.drawn is None:
        return "it has no manifest beside it and no json with a URL in it, so nothing tells where its samples come from"
    return (
        f"{found.unjudged:,} samples have neither a row with a URL in a manifest nor a json with one, "
        "so nothing tells where they come from"
    )


def _binding(search: _Search, manifest: ShardFile | None) -> Binding:
    if manifest is None:
        return {}
    return bind_columns(
        open_shard(replace(manifest, may_be_empty=True)).columns, search.columns, search.hints
    )


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
    try:
        found = json.loads(meta) if meta else {}
    except (ValueError, RecursionError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {
        name: value
        for name, value in found.items()
        if isinstance(value, str)
        or (isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 63)
        or (isinstance(value, list) and value and all(isinstance(part, str) for part in value))
    }


def _has_url(search: _Search, fields: Mapping[str, Any]) -> bool:
    columns = [Column(name, "string", required=False) for name in fields]
    try:
        return Role.URL in bind_columns(columns, search.columns, search.hints)
    except UsageError:
        return False
