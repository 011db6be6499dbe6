"""What two versions share is skipped, and the answer is the one of comparing everything."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from expunge.diff import diff_versions
from tests.expunge.formats import ALL, PARQUET, Layout, make_rows, write_shard
from tests.expunge.runs import shards_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from expunge.shards import ShardFile

GROUP_ROWS = 4


@pytest.fixture(scope="module", autouse=True, params=[0, 50_000], ids=["read by DuckDB", "read by us"])
def _either_reader(request: pytest.FixtureRequest) -> Iterator[None]:
    """Small shards go one way and large ones the other: every test here takes both."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("expunge.diff.urls._DIRECT_ROWS", request.param)
        yield


Value = str | None | list[str | None]


def write(path: Path, urls: list[Value], *, lists: bool = False, statistics: bool = True) -> None:
    """A Parquet shard in row groups of four rows, with a column beside."""
    path.parent.mkdir(parents=True, exist_ok=True)
    url_type = pa.list_(pa.string()) if lists else pa.string()
    table = pa.table({"url": pa.array(urls, url_type), "n": list(range(len(urls)))})
    pq.write_table(table, path, row_group_size=GROUP_ROWS, write_statistics=statistics)


def counted(shards: list[list[Value]]) -> Counter[str]:
    """How often each URL is there, elements of lists each for themselves."""
    found: Counter[str] = Counter()
    for urls in shards:
        for value in urls:
            found.update(u for u in (value if isinstance(value, list) else [value]) if u is not None)
    return found


def check(old: list[ShardFile], new: list[ShardFile], before: Counter[str], now: Counter[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder, "rows.parquet")
        diff = diff_versions(old, new, output=output)
        rows = pq.read_table(output).to_pylist()
    assert (diff.added, diff.removed, diff.common) == (
        (now - before).total(),
        (before - now).total(),
        (now & before).total(),
    )
    for change, expected in (("added", now - before), ("removed", before - now)):
        assert Counter(row["url"] for row in rows if row["change"] == change) == expected
    assert diff == diff_versions(old, new), "with an output and without one"


urls = st.sampled_from([f"https://a.example/{n}" for n in range(6)])
values = st.one_of(urls, st.none())
lists = st.one_of(st.none(), st.lists(values, max_size=3))


@st.composite
def versions(draw: st.DrawFn) -> tuple[bool, bool, list[list[Value]], list[list[Value]], list[str]]:
    """Two versions made of the same row groups, put together, renamed, re-ordered and edited."""
    nested = draw(st.booleans())
    value = lists if nested else values
    groups = draw(st.lists(st.lists(value, min_size=GROUP_ROWS, max_size=GROUP_ROWS), min_size=1, max_size=4))
    pool = st.lists(st.sampled_from(groups), min_size=1, max_size=4)

    def version() -> list[list[Value]]:
        shards: list[list[Value]] = []
        for _ in range(draw(st.integers(1, 3))):
            rows = [row for group in draw(pool) for row in group]
            if draw(st.booleans()):
                gone = draw(st.sets(st.integers(0, len(rows) - 1), max_size=3))
                rows = [row for place, row in enumerate(rows) if place not in gone]
            shards.append(rows + draw(st.lists(value, max_size=2)))
        return shards

    names = draw(st.permutations(["a", "b", "c", "d"]))
    return nested, draw(st.booleans()), version(), version(), list(names)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(versions())
def test_shared_row_groups_never_change_the_answer(
    made: tuple[bool, bool, list[list[Value]], list[list[Value]], list[str]],
) -> None:
    nested, statistics, old, new, names = made
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for stem, shard in zip("abcd", old, strict=False):
            write(folder / f"old/{stem}.parquet", shard, lists=nested, statistics=statistics)
        for stem, shard in zip(names, new, strict=False):
            write(folder / f"new/{stem}.parquet", shard, lists=nested, statistics=statistics)
        one, other = shards_of(folder / "old"), shards_of(folder / "new")
        check(one, other, counted(old), counted(new))
        diff = diff_versions(one, other)
        keyless = sum(
            value is None or (isinstance(value, list) and not any(value))
            for shard in (*old, *new)
            for value in shard
        )
        assert diff.without_key == keyless
        assert (diff.old_rows, diff.new_rows) == (sum(map(len, old)), sum(map(len, new)))


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(ALL),
    st.lists(st.lists(st.integers(0, 9), max_size=12), min_size=1, max_size=3),
    st.lists(st.integers(0, 2), min_size=1, max_size=4),
)
def test_every_format_counts_as_naively(layout: Layout, shards: list[list[int]], again: list[int]) -> None:
    rows = make_rows(10)
    old = [[rows[n] for n in shard] for shard in shards]
    new = [old[place % len(old)] for place in again]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for side, made in (("old", old), ("new", new)):
            for place, shard in enumerate(made):
                write_shard(folder / side, f"{place}", shard or rows[:1], layout)
        before, now = (
            Counter(row.url for shard in made for row in (shard or rows[:1]) if row.url)
            for made in (old, new)
        )
        check(shards_of(folder / "old"), shards_of(folder / "new"), before, now)


@pytest.mark.parametrize("layout", ALL, ids=str)
def test_a_copied_version_is_shared_whole(tmp_path: Path, layout: Layout) -> None:
    path = write_shard(tmp_path / "old", "x", [*make_rows(20), make_rows(3)[2]], layout)
    copy = tmp_path / "new" / path.name
    copy.parent.mkdir()
    copy.write_bytes(path.read_bytes())
    diff = diff_versions(shards_of(path), shards_of(copy))
    assert (diff.added, diff.removed, diff.common, diff.shared_shards) == (0, 0, 21, 1)
    assert (diff.old_rows, diff.new_rows) == (21, 21)


def test_a_linked_shard_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_shard(tmp_path / "old", "x", make_rows(20), PARQUET[0])
    (tmp_path / "new").mkdir()
    os.link(path, tmp_path / "new" / path.name)

    def never(*_: object) -> bool:
        raise AssertionError("a linked file was read")

    monkeypatch.setattr("expunge.diff.sharing._same_bytes", never)
    diff = diff_versions(shards_of(tmp_path / "old"), shards_of(tmp_path / "new"))
    assert (diff.common, diff.shared_shards) == (20, 1)


@pytest.mark.parametrize("by_shard", [False, True])
def test_renamed_and_re_ordered_shards_are_told(tmp_path: Path, *, by_shard: bool) -> None:
    rows = make_rows(40)
    for name, begin in (("a", 0), ("b", 10), ("c", 20), ("d", 30)):
        write_shard(tmp_path / "old", name, rows[begin : begin + 10], PARQUET[0])
    for name, begin in (("a", 10), ("b", 0), ("c", 20), ("e", 30)):
        write_shard(tmp_path / "new", name, rows[begin : begin + 10], PARQUET[0])
    diff = diff_versions(shards_of(tmp_path / "old"), shards_of(tmp_path / "new"), by_shard=by_shard)
    assert diff.renamed == (
        ("a.parquet", "b.parquet"),
        ("b.parquet", "a.parquet"),
        ("d.parquet", "e.parquet"),
    )
    assert diff.common == (10 if by_shard else 40)
    assert diff.shared_shards == (1 if by_shard else 4)


@pytest.mark.parametrize("by_shard", [False, True])
def test_a_shard_without_rows_keeps_its_name(tmp_path: Path, *, by_shard: bool) -> None:
    """Its row groups, of which there is nothing to compare, must not make it a renamed one."""
    for side in ("old", "new"):
        write(tmp_path / side / "a.parquet", [])
        write(tmp_path / side / "b.parquet", [])
        write(tmp_path / side / "c.parquet", ["x"])
    assert pq.ParquetFile(tmp_path / "old/a.parquet").num_row_groups == 1
    diff = diff_versions(shards_of(tmp_path / "old"), shards_of(tmp_path / "new"), by_shard=by_shard)
    assert (diff.renamed, diff.shared_shards, diff.common, diff.removed) == ((), 3, 1, 0)


def test_shards_of_the_same_size_are_told_apart(tmp_path: Path) -> None:
    for folder, names in (("old", "abc"), ("new", "xyz")):
        (tmp_path / folder).mkdir()
        for place, name in enumerate(names):
            (tmp_path / folder / f"{name}.txt").write_text(f"https://{place}.example/\n")
    (tmp_path / "new/z.txt").write_text("https://9.example/\n")
    diff = diff_versions(shards_of(tmp_path / "old"), shards_of(tmp_path / "new"))
    assert diff.renamed == (("a.txt", "x.txt"), ("b.txt", "y.txt"))
    assert (diff.added, diff.removed, diff.common) == (1, 1, 2)


def test_row_groups_are_shared_across_shards(tmp_path: Path) -> None:
    rows: list[Value] = [f"https://a.example/{n}" for n in range(12)]
    write(tmp_path / "old/a.parquet", rows)
    write(tmp_path / "new/b.parquet", rows[8:])
    write(tmp_path / "new/c.parquet", [*rows[:8], "https://new.example/"])
    diff = diff_versions(shards_of(tmp_path / "old"), shards_of(tmp_path / "new"))
    assert (diff.added, diff.removed, diff.common, diff.shared_row_groups) == (1, 0, 12, 3)


def test_one_changed_byte_is_seen(tmp_path: Path) -> None:
    rows = [f"https://a.example/{n:06}" for n in range(4000)]
    table = pa.table({"url": rows})
    options: dict[str, object] = {"compression": "none", "use_dictionary": False, "row_group_size": 1000}
    pq.write_table(table, tmp_path / "old.parquet", **options)
    rows[2500] = rows[2500].replace("002500", "902500")
    pq.write_table(pa.table({"url": rows}), tmp_path / "new.parquet", **options)
    diff = diff_versions(shards_of(tmp_path / "old.parquet"), shards_of(tmp_path / "new.parquet"))
    assert (diff.added, diff.removed, diff.common, diff.shared_row_groups) == (1, 1, 3999, 3), "by digest"
    (tmp_path / "new").mkdir()
    (tmp_path / "new.parquet").rename(tmp_path / "new/old.parquet")
    diff = diff_versions(shards_of(tmp_path / "old.parquet"), shards_of(tmp_path / "new"))
    assert (diff.added, diff.removed, diff.common, diff.shared_row_groups) == (1, 1, 3999, 3), "in step"


def test_the_same_bytes_under_another_type_are_not_shared(tmp_path: Path) -> None:
    for folder, unit in (("old", "ms"), ("new", "us")):
        (tmp_path / folder).mkdir()
        table = pa.table(
            {"id": [1, 2], "url": ["https://a.example/"] * 2, "at": pa.array([5, 6], pa.timestamp(unit))}
        )
        pq.write_table(table, tmp_path / folder / "x.parquet")
    diff = diff_versions(shards_of(tmp_path / "old"), shards_of(tmp_path / "new"), on="id")
    assert diff.changes is not None
    assert (diff.changes.changed, diff.changes.unchanged, diff.shared_row_groups) == (2, 0, 0)
    assert diff_versions(shards_of(tmp_path / "old"), shards_of(tmp_path / "new")).shared_row_groups == 1


def test_files_with_wildcards_in_their_names_are_compared(tmp_path: Path) -> None:
    rows: list[Value] = [f"https://a.example/{n}" for n in range(9)]
    write(tmp_path / "old/p[0-9]*.parquet", rows)
    write(tmp_path / "old/p5.parquet", rows[:1])
    write(tmp_path / "new/x=1/it's.parquet", rows[::-1])
    diff = diff_versions(shards_of(tmp_path / "old"), shards_of(tmp_path / "new"))
    assert (diff.added, diff.removed, diff.common) == (0, 1, 9)
