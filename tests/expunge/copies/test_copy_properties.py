"""What must hold of every copy of samples, whatever its layout, its list, and what of it was lost."""

from __future__ import annotations

import json
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from expunge.apply import apply, plan
from expunge.check import Verdict, check
from expunge.copies.targets import locked
from expunge.errors import UsageError
from tests.expunge.copies.test_tar import pack, unpack
from tests.expunge.formats import url_of
from tests.expunge.runs import copy_of, names_in, release_of

if TYPE_CHECKING:
    from collections.abc import Iterator

ROWS = 12
quickly = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])

# Of each row: is it removed, did its download fail, was its row lost from the manifest, was its json lost.
rows = st.lists(
    st.tuples(st.booleans(), st.booleans(), st.booleans(), st.booleans()), min_size=ROWS, max_size=ROWS
)
Rows = list[tuple[bool, bool, bool, bool]]


def key_of(row: int) -> str:
    return f"{row:09d}"


def samples_of(table: Rows) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for row, (_, failed, _, bare) in enumerate(table):
        if not failed:
            found[f"{key_of(row)}.jpg"] = b"image %d" % row
            if not bare:
                found[f"{key_of(row)}.json"] = json.dumps({"url": url_of(row), "key": key_of(row)}).encode()
    return found


def build(folder: Path, table: Rows, *, tar: bool, manifest: bool) -> None:
    folder.mkdir()
    kept = [row for row, (_, _, lost, _) in enumerate(table) if not lost]
    if manifest:
        columns = {"key": [key_of(row) for row in kept], "url": [url_of(row) for row in kept]}
        pq.write_table(
            pa.table(columns, pa.schema({"key": "string", "url": "string"})), folder / "metadata_0.parquet"
        )
        np.save(folder / "img_emb_0.npy", np.array(kept, dtype=np.float32).reshape(-1, 1) + 1)
    files = samples_of(table)
    if tar:
        pack(folder / "metadata_0.tar", files)
    elif files:
        (folder / "metadata_0").mkdir()
        for name, data in files.items():
            (folder / "metadata_0" / name).write_bytes(data)


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in names_in(folder) if (folder / name).is_file()}


def samples_in(folder: Path) -> dict[str, bytes]:
    found = {path.name: path.read_bytes() for path in folder.glob("metadata_0/*")}
    for path in folder.glob("*.tar"):
        found |= unpack(path)
    return found


@contextmanager
def scene(table: Rows, form: str, *, tar: bool, manifest: bool) -> Iterator[tuple[Path, Path]]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "base.txt").write_text("".join(f"{url_of(row)}\n" for row in range(ROWS + 1)))
        entries = [url_of(row) for row, (removed, *_) in enumerate(table) if removed]
        release_of(folder / "base.txt", [*entries, url_of(ROWS)], folder / "release", form=form)
        build(folder / "mine", table, tar=tar, manifest=manifest)
        yield folder / "release", folder / "mine"


@quickly
@given(table=rows, form=st.sampled_from(["compact", "aligned"]), tar=st.booleans(), manifest=st.booleans())
def test_what_can_be_told_goes_and_all_else_stays(
    table: Rows, form: str, *, tar: bool, manifest: bool
) -> None:
    with scene(table, form, tar=tar, manifest=manifest) as (release, mine):
        if not names_in(mine):
            return
        if not tar and not manifest and all(failed or bare for _, failed, _, bare in table):
            return  # images that nothing describes
        before = samples_in(mine)
        known = {
            key_of(row) for row, (_, _, lost, bare) in enumerate(table) if (manifest and not lost) or not bare
        }
        gone = {key_of(row) for row, (removed, *_) in enumerate(table) if removed} & known
        planned = plan(release, copy_of(mine))
        applied = apply(release, copy_of(mine), mine.parent / "clean")
        assert samples_in(mine) == before
        expected = {name: data for name, data in before.items() if name.split(".")[0] not in gone}
        assert samples_in(mine.parent / "clean") == expected
        untold = {name.split(".")[0] for name in before} - known
        assert bool(applied.undetermined) == bool(untold)
        described = tar or manifest or any(name.endswith(".json") for name in expected)
        if expected and not described:  # only images that nothing describes are left
            with pytest.raises(UsageError, match="No shard in"):
                copy_of(mine.parent / "clean")
        elif names_in(mine.parent / "clean"):
            again = check(copy_of(mine.parent / "clean"), release)
            assert again.verdict is (Verdict.UNDETERMINED if untold else Verdict.NOT_AFFECTED)
            apply(release, copy_of(mine.parent / "clean"), mine.parent / "again")
            assert contents(mine.parent / "again") == contents(mine.parent / "clean")
        with locked([mine]):
            apply(release, copy_of(mine), None)
        assert contents(mine) == contents(mine.parent / "clean")
        listed = {key for change in planned.changes for key in change.keys}
        assert listed == {name.split(".")[0] for name in before} & gone


@quickly
@given(table=rows, form=st.sampled_from(["compact", "aligned"]))
def test_vectors_stay_beside_their_rows(table: Rows, form: str) -> None:
    with scene(table, form, tar=True, manifest=True) as (release, mine):
        apply(release, copy_of(mine), mine.parent / "clean")
        keys = pq.read_table(mine.parent / "clean/metadata_0.parquet")
        vectors = np.load(mine.parent / "clean/img_emb_0.npy")
        assert len(vectors) == keys.num_rows
        for row, vector in zip(keys.to_pylist(), vectors, strict=True):
            emptied = row["url"] is None
            assert vector[0] == (0 if emptied else int(row["key"]) + 1)
