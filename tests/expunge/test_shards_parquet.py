"""What a rewritten Parquet file keeps, and what it must not."""

from __future__ import annotations

import errno
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from expunge.errors import BadShard, UsageError, VerificationFailed
from expunge.shards import Cut, Shard, ShardFile, open_shard
from tests.expunge.formats import PARQUET, REQUIRED, Layout, make_rows, make_table, url_of, write_shard

if TYPE_CHECKING:
    from pathlib import Path

every_layout = pytest.mark.parametrize("layout", PARQUET, ids=str)


def opened(path: Path) -> Shard:
    return open_shard(ShardFile(path, path.name))


def cut(path: Path, positions: list[int], blank: tuple[str, ...] | None = None) -> Path:
    target = path.with_name(f"new-{path.name}")
    rows = np.array(positions, dtype=np.int64)
    opened(path).rewrite(target, Cut.of_rows(rows, blank))
    opened(path).compare(opened(target), Cut.of_rows(rows, blank))
    return target


def write(path: Path, columns: dict[str, Any], **options: Any) -> Path:
    pq.write_table(pa.table(columns), path, **options)
    return path


def chunk_facts(path: Path) -> list[list[dict[str, Any]]]:
    metadata = pq.ParquetFile(path).metadata
    return [
        [
            {
                "path": chunk.path_in_schema,
                "codec": chunk.compression,
                "dictionary": chunk.has_dictionary_page,
                "statistics": chunk.is_stats_set,
                "page index": chunk.has_offset_index,
                "encodings": set(chunk.encodings),
            }
            for chunk in (metadata.row_group(group).column(i) for i in range(metadata.num_columns))
        ]
        for group in range(metadata.num_row_groups)
    ]


@every_layout
def test_schema_metadata_groups_and_settings_survive(tmp_path: Path, layout: Layout) -> None:
    path = write_shard(tmp_path, "part", make_rows(20), layout)
    target = cut(path, [0, 6, 7])
    old, new = pq.ParquetFile(path), pq.ParquetFile(target)
    assert new.schema_arrow.equals(old.schema_arrow, check_metadata=True)
    assert new.schema.equals(old.schema)
    assert set(new.metadata.metadata or {}) == set(old.metadata.metadata or {})
    if layout.parquet.get("store_schema", True):
        assert new.metadata.metadata[b"origin"] == b"crawl 7"
    assert chunk_facts(target) == chunk_facts(path)
    size = layout.parquet["row_group_size"]
    expected = [
        len([row for row in range(at, min(at + size, 20)) if row not in {0, 6, 7}])
        for at in range(0, 20, size)
    ]
    assert [new.metadata.row_group(i).num_rows for i in range(new.num_row_groups)] == expected


@every_layout
def test_every_value_of_every_column_survives(tmp_path: Path, layout: Layout) -> None:
    path = write_shard(tmp_path, "part", make_rows(20), layout)
    kept = [number for number in range(20) if number not in {0, 6, 7, 19}]
    expected = pq.read_table(path).to_pylist()
    found = pq.read_table(cut(path, [0, 6, 7, 19])).to_pylist()
    assert repr(found) == repr([expected[number] for number in kept])


def test_statistics_come_from_kept_rows_only(tmp_path: Path) -> None:
    path = write_shard(tmp_path, "part", make_rows(20), PARQUET[0])
    metadata = pq.ParquetFile(cut(path, [0, 6])).metadata
    statistics = metadata.row_group(0).column(0).statistics
    assert (statistics.min, statistics.max) == (1, 5)


@pytest.mark.parametrize("index", [pa.int8(), pa.uint32(), pa.int64()], ids=str)
@pytest.mark.parametrize("ordered", [False, True])
def test_a_dictionary_column_forgets_what_was_removed(
    tmp_path: Path, index: pa.DataType, *, ordered: bool
) -> None:
    """Arrow writes a whole dictionary to each row group, also the values that none of its rows has."""
    urls = [*map(url_of, range(20)), None]
    column = pa.array(urls).dictionary_encode().cast(pa.dictionary(index, pa.string()))
    column = pa.DictionaryArray.from_arrays(column.indices, column.dictionary, ordered=ordered)
    path = write(tmp_path / "part.parquet", {"url": column}, compression="none", row_group_size=5)
    for blank in (None, ("url",)):
        target = cut(path, [3, 12], blank)
        data = target.read_bytes()
        assert url_of(3).encode() not in data
        assert url_of(12).encode() not in data
        assert pq.read_schema(target).equals(pq.read_schema(path))
        expected = [u for n, u in enumerate(urls) if blank or n not in {3, 12}]
        expected = [None if u in {url_of(3), url_of(12)} else u for u in expected]
        assert pq.read_table(target)["url"].to_pylist() == expected
        target.unlink()


def test_a_dictionary_inside_a_list_forgets_too(tmp_path: Path) -> None:
    lists = pa.array([[url_of(n)] for n in range(9)], pa.list_(pa.dictionary(pa.int32(), pa.string())))
    path = write(tmp_path / "part.parquet", {"url": lists}, compression="none")
    target = cut(path, [4])
    assert url_of(4).encode() not in target.read_bytes()
    assert url_of(5).encode() in target.read_bytes()


@pytest.mark.parametrize(
    "kind",
    [
        pa.list_(pa.string()),
        pa.large_list(pa.string()),
        pa.struct({"a": pa.string(), "b": pa.list_(pa.int8())}),
        pa.map_(pa.string(), pa.int32()),
        pa.decimal256(50, 3),
        pa.timestamp("ns"),
        pa.time64("us"),
        pa.date32(),
        pa.duration("ms"),
        pa.float16(),
        pa.binary(4),
        pa.binary_view(),
        pa.null(),
        pa.bool_(),
        pa.uint64(),
    ],
    ids=str,
)
def test_columns_of_any_type_survive_and_can_be_blanked(tmp_path: Path, kind: pa.DataType) -> None:
    column = pa.nulls(8, kind)
    table = pa.table({"url": [url_of(n) for n in range(8)], "other": column})
    pq.write_table(table, tmp_path / "part.parquet", row_group_size=3)
    for blank in (None, ("url", "other")):
        target = cut(tmp_path / "part.parquet", [0, 3, 7], blank)
        assert pq.read_schema(target).equals(pq.read_schema(tmp_path / "part.parquet"))
        target.unlink()


def test_files_of_duckdb_and_polars_are_rewritten(tmp_path: Path) -> None:
    one, other = tmp_path / "duckdb.parquet", tmp_path / "polars.parquet"
    duckdb.sql(f"""
        COPY (SELECT 'https://a.example/' || i AS url, i::TINYINT a, i b, i::DECIMAL(9, 2) c, i::DECIMAL(30, 3) d,
                     TIMESTAMP '2021-01-01' e, [i, i + 1] f, {{'x': i}} g, i::HUGEINT h, MAP([i], ['x']) m, TIME '10:00' t,
                     uuid() u, i::UBIGINT v, DATE '2021-01-01' w, TIMESTAMPTZ '2021-01-01' z
              FROM range(100) AS r(i)) TO '{one}' (FORMAT parquet, ROW_GROUP_SIZE 2048, KV_METADATA {{crawl: '7'}})
    """)
    pl.DataFrame(
        {
            "url": [url_of(n) for n in range(20)],
            "kind": pl.Series(["a", "b"] * 10, dtype=pl.Categorical),
            "nested": [[{"x": 1.5}]] * 20,
            "when": [datetime(2021, 1, 1, tzinfo=UTC)] * 20,
        }
    ).write_parquet(other, row_group_size=6)
    for path in (one, other):
        new = pq.read_metadata(cut(path, [0, 7]))
        assert new.num_rows == pq.read_metadata(path).num_rows - 2
        assert ((new.metadata or {}).get(b"crawl") == b"7") == (path == one)


def test_a_row_group_without_rows_left_is_dropped_and_empty_ones_do_no_harm(tmp_path: Path) -> None:
    rows = make_rows(6)
    path = tmp_path / "part.parquet"
    schema = make_table(rows, PARQUET[0]).schema
    with pq.ParquetWriter(path, schema) as writer:
        for part in (rows[:3], [], rows[3:]):
            writer.write_table(make_table(part, PARQUET[0]))
    assert pq.read_metadata(path).num_rows == 6
    new = pq.ParquetFile(cut(path, [0, 1, 2]))
    assert [new.metadata.row_group(i).num_rows for i in range(new.num_row_groups)] == [3]
    assert new.schema_arrow.equals(pq.read_schema(path), check_metadata=True)


def test_a_file_without_rows_is_read(tmp_path: Path) -> None:
    path = write_shard(tmp_path, "part", [], PARQUET[0])
    assert [batch.rows for batch in opened(path).batches([]) if batch.rows] == []
    assert opened(path).rows == 0


def test_duplicate_columns_that_carry_nothing_do_no_harm(tmp_path: Path) -> None:
    table = pa.Table.from_arrays(
        [pa.array(["https://a.example/", "https://b.example/"]), pa.array([1, 2]), pa.array([3, 4])],
        ["url", "x", "x"],
    )
    pq.write_table(table, tmp_path / "part.parquet")
    target = cut(tmp_path / "part.parquet", [0])
    assert pq.ParquetFile(target).read().column_names == ["url", "x", "x"]


def test_a_required_column_cannot_be_blanked(tmp_path: Path) -> None:
    path = write_shard(tmp_path, "part", make_rows(9), REQUIRED)
    with pytest.raises(UsageError, match=r"part\.parquet: column 'url' is REQUIRED"):
        cut(path, [1], ("url", "text"))
    assert cut(path, [1]).exists()  # the compact form takes it


def test_another_schema_or_other_metadata_is_noticed(tmp_path: Path) -> None:
    urls = [url_of(n) for n in range(3)]
    base = opened(write(tmp_path / "a.parquet", {"url": urls, "n": [1, 2, 3]}))
    wider = opened(write(tmp_path / "b.parquet", {"url": urls, "n": pa.array([1, 2, 3], pa.int32())}))
    with pytest.raises(VerificationFailed, match=r"a\.parquet: the rewritten file's schema differs"):
        base.compare(wider, Cut())
    tagged = pa.table({"url": urls, "n": [1, 2, 3]}).replace_schema_metadata({"k": "v"})
    pq.write_table(tagged, tmp_path / "c.parquet")
    with pytest.raises(
        VerificationFailed, match=r"a\.parquet: the rewritten file's key-value metadata differs"
    ):
        base.compare(opened(tmp_path / "c.parquet"), Cut())


def test_an_added_row_group_is_noticed(tmp_path: Path) -> None:
    one = write_shard(tmp_path, "a", make_rows(14), PARQUET[0])
    two = write_shard(tmp_path, "b", make_rows(21), PARQUET[0])
    with pytest.raises(VerificationFailed, match="row groups were added"):
        opened(one).compare(opened(two), Cut())


@pytest.mark.parametrize("value", [1.0, float("nan")])
def test_a_changed_number_is_noticed(tmp_path: Path, value: float) -> None:
    nan = float("nan")
    one = opened(write(tmp_path / "a.parquet", {"url": ["u", "v"], "n": [nan, 2.0], "l": [[nan], None]}))
    same = opened(write(tmp_path / "b.parquet", {"url": ["u", "v"], "n": [nan, 2.0], "l": [[nan], None]}))
    other = opened(write(tmp_path / "c.parquet", {"url": ["u", "v"], "n": [nan, value], "l": [[nan], None]}))
    nested = opened(write(tmp_path / "d.parquet", {"url": ["u", "v"], "n": [nan, 2.0], "l": [[value], None]}))
    one.compare(same, Cut())
    for changed in (other, nested) if value == value else (other,):  # noqa: PLR0124  only a NaN differs from itself
        with pytest.raises(VerificationFailed, match="row group 0 differs"):
            one.compare(changed, Cut())


def test_a_footer_that_counts_other_rows_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_shard(tmp_path, "part", make_rows(20), PARQUET[0])
    shard = opened(path)
    monkeypatch.setattr(pq.ParquetFile, "iter_batches", lambda self, **_: iter(()))
    with pytest.raises(BadShard, match="holds 0 rows, but its footer says 20"):
        list(shard.batches(["url"]))


def test_a_read_error_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_shard(tmp_path, "part", make_rows(20), PARQUET[0])
    shard = opened(path)

    def fail(*_: object, **__: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", fail)
    with pytest.raises(BadShard, match=r"part\.parquet: cannot be read: Input/output error"):
        cut(path, [0])
    assert shard.rows == 20


def test_only_the_row_groups_asked_for_are_read(tmp_path: Path) -> None:
    path = write_shard(tmp_path, "part", make_rows(20), PARQUET[0])  # row groups of 7
    asked = {(range(2),): [0], (range(6, 8),): [0, 7], (range(3), range(19, 20)): [0, 14], (): []}
    for rows, firsts in asked.items():
        batches = list(open_shard(ShardFile(path, path.name, rows=rows)).batches(["url"]))
        assert [batch.first for batch in batches] == firsts
        for batch in batches:
            assert batch.arrays["url"].to_pylist() == [url_of(batch.first + n) for n in range(batch.rows)]


def test_the_fresh_rows_are_those_of_groups_that_lost_something(tmp_path: Path) -> None:
    path = write_shard(tmp_path, "part", make_rows(20), PARQUET[0])
    rows = np.array([3, 14], dtype=np.int64)
    assert opened(path).fresh_rows(Cut(drop=rows)) == (range(6), range(13, 18))
    assert opened(path).fresh_rows(Cut(null={"url": rows})) == (range(7), range(14, 20))
    assert opened(path).fresh_rows(Cut(drop=np.arange(7))) == ()
    assert opened(path).fresh_rows(Cut()) == ()


def test_it_is_copied_where_the_kernel_cannot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_shard(tmp_path, "part", make_rows(20), PARQUET[0])
    one = opened(path).copy(tmp_path / "one.parquet")

    def refuse(*_: object) -> int:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "copy_file_range", refuse)
    other = opened(path).copy(tmp_path / "other.parquet")
    assert one == other
    assert (tmp_path / "one.parquet").read_bytes() == path.read_bytes()
    assert (tmp_path / "other.parquet").read_bytes() == path.read_bytes()
    assert (one.sha256, one.bytes, one.method) == (opened(path).digest(), path.stat().st_size, "whole")
