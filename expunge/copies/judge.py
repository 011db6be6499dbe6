"""Hold a copy against a release: which rows go, and which samples and files follow them.

1. Manifests are judged as any shard is, by digest or by key.
2. The samples of a part follow the rows of its manifest, by their keys. A sample that no row with a URL speaks for is
   judged by its own json: all of these are drawn up as a manifest of their own, for the time of the judging.
3. Where the release redacts, the json of every sample is held against it as a manifest is. A sample whose URL is redacted
   goes: it was downloaded from there. Of any other the fields become null, and the text with its column.
4. Where the release has content hashes that no column can be held against, the bytes of the samples are hashed. That
   finds what was stored as it was downloaded; of what was encoded anew it says nothing.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from expunge.copies.cells import SampleCells
from expunge.copies.img2dataset import DEFAULT_SAMPLES, KEY, SourceKeys, emptied_columns
from expunge.copies.part import Going
from expunge.copies.samples import Examined, Search, binding_of, examine
from expunge.copies.tar import HASHES
from expunge.judge import Judged, KnownAs, judge
from expunge.keys import Role
from expunge.locate import sample_values
from expunge.manifest import read_keys, read_positions
from expunge.pool import map_shards
from expunge.shards import NO_ROWS, Cut, ShardFile, open_shard
from expunge.shards.source import row_format

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from expunge.copies.find import Copy
    from expunge.copies.part import Part
    from expunge.manifest import Release
    from expunge.progress import Progress
    from expunge.shards import Positions


@dataclass(frozen=True, slots=True)
class Source:
    """The list that img2dataset was given, and how many samples it put in a shard."""

    shards: Sequence[ShardFile]
    samples: int = DEFAULT_SAMPLES


@dataclass(frozen=True, slots=True)
class JudgedPart:
    """One part of a copy and what of it goes.

    `shard` is its manifest, judged. `alone` counts the samples that no row speaks for, `lost` are those of them that
    go; `present` are the keys that go and have files; `sample_cells` counts what is redacted in samples whose row holds
    nothing more of it. `undetermined` says what could not be judged, empty if nothing.
    """

    part: Part
    shard: Judged | None
    going: Going
    alone: int
    lost: frozenset[str]
    present: frozenset[str]
    undetermined: tuple[str, ...]
    sample_cells: int = 0

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
    def cells(self) -> int:
        """What is redacted in rows and samples that stay; a row and its sample count once."""
        return self.redacted.cells + self.sample_cells

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
        search = Search(
            frozenset((entry.kind, entry.key) for entry in read_keys(folder) if entry.kind in HASHES),
            dict(columns or {}),
            dict(release.columns),
            _source_keys(source, folder, release),
            Path(scratch),
            bool(release.redacted),
        )
        total = sum(part.samples is not None for part in copy.parts)
        examined = map_shards(
            examine,
            search,
            list(enumerate(items)),
            workers=workers if total else 1,  # starting processes would cost more than looking at no sample
            stage="Looking at samples",
            total=total,
            progress=progress,
        )
        drawn = judged([file for one in examined for file in (one.drawn, one.told) if file])
        return [
            _concluded(search, item, one, drawn, release) for item, one in zip(items, examined, strict=True)
        ]


def _source_keys(source: Source | None, folder: Path, release: Release) -> SourceKeys | None:
    if source is None:
        return None
    rows = {(shard.base_sha256, row_format(shard.name)): shard.base_rows for shard in release.shards}
    return SourceKeys(source.shards, rows, read_positions(folder), source.samples)


def _concluded(
    search: Search,
    item: tuple[Part, Judged | None],
    found: Examined,
    drawn: Mapping[str, Judged],
    release: Release,
) -> JudgedPart:
    """Put together what the manifest and the samples told."""
    part, shard = item
    reasons = list(shard.undetermined) if shard else []
    lost: set[str] = set()
    if found.drawn:
        one = drawn[found.drawn.name]
        lost = {key for key in sample_values(one.file, one.positions, KEY).values() if key is not None}
        reasons += [f"of its samples' json: {reason}" for reason in one.undetermined]
    if found.unreadable:
        reasons.append(
            f"cells of {found.unreadable:,} samples are redacted whose json is none, so what it holds is not known"
        )
    if (release.rows_removed or release.redacted) and found.unjudged:
        reasons.append(_unjudged(part, found))
    if (release.rows_removed or release.redacted) and part.unreadable:
        reasons.append(part.unreadable)
    rows_alone = found.rows_alone
    also = [rows_alone[key] for key in lost if key in rows_alone]
    positions = NO_ROWS if shard is None else shard.positions
    positions = np.union1d(np.union1d(positions, found.rows), np.array(also, dtype=np.int64)).astype(np.int64)
    cells, unlinked = _redacted(search, found, drawn)
    emptied = _emptied(search, part, shard, {found.row_of[key] for key in unlinked if key in found.row_of})
    present = found.gone | lost | unlinked
    cells = {key: one for key, one in cells.items() if key not in present}
    if shard is None:
        lost |= found.gone
    else:
        lost -= rows_alone.keys()
    counted = set() if shard is None else set(shard.redacted.touched.tolist())
    return JudgedPart(
        part=part,
        shard=shard,
        going=Going(
            shard.rows if shard else 0,
            positions,
            frozenset(present),
            release.form == "aligned",
            cells,
            np.setdiff1d(emptied, positions),
        ),
        alone=found.alone,
        lost=frozenset(lost),
        present=frozenset(present),
        undetermined=tuple(dict.fromkeys(reasons)),
        sample_cells=sum(len(one) for key, one in cells.items() if found.row_of.get(key) not in counted),
    )


def _redacted(
    search: Search, found: Examined, drawn: Mapping[str, Judged]
) -> tuple[dict[str, SampleCells], set[str]]:
    """What is redacted in samples, by key, and the keys of those whose URL is: they go."""
    cells = dict(found.cells)
    unlinked = set(found.unlinked)
    if found.told is None:
        return cells, unlinked
    one = drawn[found.told.name]
    binding = binding_of(search, one.file)
    keys = {row: str(key) for row, key in sample_values(one.file, _named_rows(one), KEY).items()}
    lines: dict[str, SampleCells] = {}
    for name, here in one.redacted.null.items():
        for row in here.tolist():
            lines[keys[row]] = lines.get(keys[row], SampleCells()) | SampleCells(frozenset({name}))
            if name == binding.get(Role.URL):
                unlinked.add(keys[row])
    for name, pairs in one.redacted.elements.items():
        for row, place in pairs.tolist():
            element = SampleCells(elements=frozenset({(name, place)}))
            lines[keys[row]] = lines.get(keys[row], SampleCells()) | element
    for row in one.named.get(binding.get(Role.TEXT, ""), NO_ROWS).tolist():
        if keys[row] in found.captioned:
            lines[keys[row]] = lines.get(keys[row], SampleCells()) | SampleCells(text=True)
    for key, more in lines.items():
        cells[key] = cells.get(key, SampleCells()) | more
    return cells, unlinked


def _named_rows(one: Judged) -> Positions:
    """The rows of which something is redacted, or was."""
    parts = [one.redacted.touched, *one.named.values()]
    return np.unique(np.concatenate(parts)).astype(np.int64)


def _emptied(search: Search, part: Part, shard: Judged | None, unlinked: set[int]) -> Positions:
    """The rows of img2dataset's manifest that stay without their URL: what they tell of the item goes with its sample."""
    if shard is None or part.manifest is None:
        return NO_ROWS
    url = binding_of(search, part.manifest).get(Role.URL)
    rows = shard.redacted.null.get(url, NO_ROWS) if url else NO_ROWS
    rows = np.union1d(rows, np.array(sorted(unlinked), dtype=np.int64)).astype(np.int64)
    manifest = replace(part.manifest, may_be_empty=True)
    return rows if len(rows) and emptied_columns(open_shard(manifest).columns) else NO_ROWS


def _unjudged(part: Part, found: Examined) -> str:
    if part.manifest is None and found.drawn is None:
        return "it has no manifest beside it and no json with a URL in it, so nothing tells where its samples come from"
    return (
        f"{found.unjudged:,} samples have neither a row with a URL in a manifest nor a json with one, "
        "so nothing tells where they come from"
    )
