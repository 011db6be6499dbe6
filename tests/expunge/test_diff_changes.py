"""Comparing two versions by a key that is named: added, removed and changed rows."""

from __future__ import annotations

import tempfile
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from expunge.diff import Diff, diff_versions
from expunge.errors import UsageError
from tests.expunge.formats import ALL, PARQUET, Layout, make_rows, write_shard
from tests.expunge.runs import shards_of

Pair = tuple[str | None, int]


def figures(diff: Diff) -> tuple[int, int, int, int]:
    """Added, removed, changed, unchanged."""
    assert diff.changes is not None
    assert diff.common == diff.changes.changed + diff.changes.unchanged
    return diff.added, diff.removed, diff.changes.changed, diff.changes.unchanged


@pytest.mark.parametrize("layout", [layout for layout in ALL if not layout.is_plain], ids=str)
def test_changed_rows_are_counted_apart_in_every_format(tmp_path: Path, layout: Layout) -> None:
    rows = make_rows(20)
    changed = [replace(row, md5="0" * 32) if row.id in {3, 11} else row for row in rows[2:]]
    old = write_shard(tmp_path / "old", "x", rows, layout)
    new = write_shard(tmp_path / "new", "x", [*changed, make_rows(21)[20]], layout)
    output = tmp_path / "rows.parquet"
    for on, rows_file in (("url", None), ("SAMPLE_ID", output)):
        diff = diff_versions(shards_of(old), shards_of(new), on=on, output=rows_file)
        assert figures(diff) == (1, 2, 2, 16), on
    assert [tuple(row.values()) for row in pq.read_table(output).to_pylist()] == [
        ("added", new.name, 18, "20"),
        ("changed", new.name, 1, "3"),
        ("changed", new.name, 9, "11"),
        ("removed", old.name, 0, "0"),
        ("removed", old.name, 1, "1"),
    ]


def test_rows_of_one_key_pair_up_equal_ones_first(tmp_path: Path) -> None:
    def write(name: str, pairs: list[Pair]) -> Path:
        path = tmp_path / name
        pq.write_table(pa.table({"id": [key for key, _ in pairs], "v": [value for _, value in pairs]}), path)
        return path

    old = write("old.parquet", [("a", 1), ("a", 2), ("a", 3), ("b", 1), (None, 1)])
    new = write("new.parquet", [("a", 9), ("a", 3), ("b", 1), ("b", 1), ("c", 0), (None, 2)])
    diff = diff_versions(shards_of(old), shards_of(new), on="id", output=tmp_path / "rows.parquet")
    assert figures(diff) == (2, 1, 1, 2)
    assert diff.without_key == 2
    rows = pq.read_table(tmp_path / "rows.parquet").to_pylist()
    assert [(row["change"], row["row"], row["key"]) for row in rows] == [
        ("added", 3, "b"),
        ("added", 4, "c"),
        ("changed", 0, "a"),
        ("removed", 1, "a"),
    ]


def naive(old: list[list[Pair]], new: list[list[Pair]]) -> tuple[int, int, int, int]:
    before, now = (
        Counter(pair for shard in side for pair in shard if pair[0] is not None) for side in (old, new)
    )
    unlike: dict[str | None, list[int]] = defaultdict(lambda: [0, 0])
    for side, left in enumerate((before - now, now - before)):
        for (key, _), count in left.items():
            unlike[key][side] += count
    changed = sum(min(pair) for pair in unlike.values())
    added, removed = (sum(pair[side] for pair in unlike.values()) - changed for side in (1, 0))
    return added, removed, changed, (before & now).total()


pairs = st.tuples(st.sampled_from(["a", "b", "c", None]), st.integers(0, 2))
groups = st.lists(pairs, min_size=3, max_size=3)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data(), st.lists(groups, min_size=1, max_size=3))
def test_shared_row_groups_never_change_the_answer(data: st.DataObject, pool: list[list[Pair]]) -> None:
    shard = st.lists(st.sampled_from(pool), min_size=1, max_size=3).map(
        lambda found: [p for g in found for p in g]
    )
    version = st.lists(
        st.builds(lambda rows, more: rows + more, shard, st.lists(pairs, max_size=2)), min_size=1, max_size=2
    )
    old, new = data.draw(version), data.draw(version)
    with tempfile.TemporaryDirectory() as name:
        for side, shards in (("old", old), ("new", new)):
            for place, rows in enumerate(shards):
                path = Path(name, side, f"{place}.parquet")
                path.parent.mkdir(exist_ok=True)
                table = pa.table(
                    {"id": pa.array([k for k, _ in rows], pa.string()), "v": [v for _, v in rows]}
                )
                pq.write_table(table, path, row_group_size=3)
        diff = diff_versions(shards_of(Path(name, "old")), shards_of(Path(name, "new")), on="id")
    assert figures(diff) == naive(old, new)


def test_formats_are_compared_by_the_text_of_their_values(tmp_path: Path) -> None:
    pq.write_table(
        pa.table({"id": [1, 2, 3], "score": [0.5, 1e20, None], "ok": [True, False, None], "n": [7, 8, 9]}),
        tmp_path / "old.parquet",
    )
    (tmp_path / "new.csv").write_text("N,id,score,ok\n7,1,0.5,true\n8,2,1e+20,false\n9,3,,\n")
    (tmp_path / "new.jsonl").write_text(
        '{"id":1,"n":7,"score":0.5,"ok":true}\n{"id":"2","n":8,"score":1e20,"ok":false}\n{"id":3,"n":10}\n'
    )
    assert figures(
        diff_versions(shards_of(tmp_path / "old.parquet"), shards_of(tmp_path / "new.csv"), on="id")
    ) == (
        0,
        0,
        0,
        3,
    )
    assert figures(
        diff_versions(shards_of(tmp_path / "old.parquet"), shards_of(tmp_path / "new.jsonl"), on="id")
    ) == (
        0,
        0,
        1,
        2,
    )


def test_columns_that_not_every_shard_has_are_told_and_not_compared(tmp_path: Path) -> None:
    (tmp_path / "old.csv").write_text("id,a,b\n1,x,y\n")
    (tmp_path / "new.csv").write_text("id,a,c\n1,x,z\n")
    diff = diff_versions(shards_of(tmp_path / "old.csv"), shards_of(tmp_path / "new.csv"), on="id")
    assert figures(diff) == (0, 0, 0, 1)
    assert diff.to_dict()["columns_not_compared"] == ["b", "c"]


def test_by_shard_compares_within_each_name(tmp_path: Path) -> None:
    rows = make_rows(10)
    for version, names in (("old", "ab"), ("new", "bc")):
        for name, part in zip(names, (rows[:5], rows[5:]), strict=True):
            write_shard(tmp_path / version, name, part, PARQUET[0])
    one, other = shards_of(tmp_path / "old"), shards_of(tmp_path / "new")
    assert figures(diff_versions(one, other, on="id")) == (0, 0, 0, 10)
    assert figures(diff_versions(one, other, on="id", by_shard=True)) == (10, 10, 0, 0)


@pytest.mark.parametrize(
    ("on", "message"),
    [
        ("missing", r"old\.parquet has no column 'missing'"),
        ("md5", r"old\.parquet has no column for the key md5"),
        ("urls", r"old\.parquet: column 'urls' holds lists"),
        ("Twice", r"old\.parquet has more than one column 'Twice'"),
    ],
)
def test_a_key_that_cannot_be_is_refused(tmp_path: Path, on: str, message: str) -> None:
    table = pa.table({"id": [1], "urls": [["https://a.example/"]], "twice": [1], "TWICE": [2]})
    pq.write_table(table, tmp_path / "old.parquet")
    pq.write_table(table.slice(0, 0), tmp_path / "new.parquet")
    with pytest.raises(UsageError, match=message):
        diff_versions(shards_of(tmp_path / "old.parquet"), shards_of(tmp_path / "new.parquet"), on=on)


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    columns = [pa.array(["x"]), pa.array(["a"]), pa.array(["b"])]
    pq.write_table(pa.Table.from_arrays(columns, names=["url", "note", "note"]), tmp_path / "a.parquet")
    shards = shards_of(tmp_path / "a.parquet")
    with pytest.raises(UsageError, match=r"a\.parquet has more than one column 'note'"):
        diff_versions(shards, shards, on="url")
    assert diff_versions(shards, shards).common == 1
