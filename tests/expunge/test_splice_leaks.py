"""Nothing of a removed row is left in a spliced file: not in pages, dictionaries, statistics, indexes, filters or gaps."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from expunge.shards import Cut, ShardFile, open_shard
from expunge.splice.indexes import read_beside
from expunge.splice.pages import DICTIONARY
from expunge.splice.source import Source
from expunge.splice.thrift import Kind
from tests.expunge.parquet_leaks import leaks, plain_texts, written

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ROWS = 300
GONE = [0, 1, 33, 150, 151, 152, 299]


def url(number: int) -> str:
    return f"https://host{number % 7}.example/{number * 7919:08d}"


def by_pyarrow(path: Path, **options: Any) -> None:
    urls = [url(n) if n % 11 else None for n in range(ROWS)]
    table = pa.table({"url": urls, "list": [[url(n), "kept"] for n in range(ROWS)], "n": range(ROWS)})
    bloom = {"url": {"ndv": 200, "fpp": 0.01}}
    settings: dict[str, Any] = {"row_group_size": 50, "data_page_size": 400, "write_batch_size": 8}
    pq.write_table(table, path, **{**settings, "bloom_filter_options": bloom, **options})


def by_pyarrow_with_dictionaries(path: Path, **options: Any) -> None:
    """Arrow writes the whole dictionary to every row group."""
    urls = pa.array([url(n) for n in range(ROWS)]).dictionary_encode()
    pq.write_table(pa.table({"url": urls, "n": range(ROWS)}), path, row_group_size=50, **options)


def by_pyarrow_with_dictionaries_in_lists(path: Path, **options: Any) -> None:
    kind = pa.list_(pa.dictionary(pa.int32(), pa.string()))
    lists = pa.array([[url(n)] for n in range(ROWS)], kind)
    pq.write_table(
        pa.table({"url": [url(n) for n in range(ROWS)], "l": lists}), path, row_group_size=50, **options
    )


def by_fastparquet(path: Path, **_: Any) -> None:
    frame = pd.DataFrame(
        {"url": pd.Series([url(n) for n in range(ROWS)]).astype("category"), "n": range(ROWS)}
    )
    frame.to_parquet(path, engine="fastparquet", row_group_offsets=50, index=False)


def by_duckdb(path: Path, **_: Any) -> None:
    urls = ", ".join(f"'{url(n)}'" for n in range(ROWS))
    with duckdb.connect() as connection:
        connection.execute(f"CREATE TYPE urls AS ENUM ({urls})")
        values = ", ".join(f"('{url(n)}', '{url(n)}'::urls)" for n in range(ROWS))
        connection.execute(f"COPY (VALUES {values}) TO '{path}' (FORMAT parquet)")


def by_polars(path: Path, **_: Any) -> None:
    urls = [url(n) for n in range(ROWS)]
    pl.DataFrame({"url": urls, "kind": pl.Series(urls, dtype=pl.Categorical)}).write_parquet(
        path, row_group_size=50, compression="zstd"
    )


MAKERS: dict[str, tuple[Callable[..., None], dict[str, Any]]] = {
    "zstd": (by_pyarrow, {"compression": "zstd"}),
    "none, page index": (by_pyarrow, {"compression": "none", "write_page_index": True}),
    "v2 pages": (by_pyarrow, {"data_page_version": "2.0", "compression": "snappy", "write_page_index": True}),
    "v2 pages, none": (by_pyarrow, {"data_page_version": "2.0", "compression": "none"}),
    "no dictionary": (by_pyarrow, {"use_dictionary": False, "compression": "gzip"}),
    "brotli": (by_pyarrow, {"compression": "brotli"}),
    "lz4": (by_pyarrow, {"compression": "lz4", "dictionary_pagesize_limit": 300}),
    "Arrow dictionaries": (by_pyarrow_with_dictionaries, {}),
    "Arrow dictionaries, no schema": (by_pyarrow_with_dictionaries, {"store_schema": False}),
    "Arrow dictionaries, fallen back": (by_pyarrow_with_dictionaries, {"dictionary_pagesize_limit": 500}),
    "Arrow dictionaries in lists": (by_pyarrow_with_dictionaries_in_lists, {}),
    "pandas categories": (by_fastparquet, {}),
    "DuckDB enumerations": (by_duckdb, {}),
    "Polars categories": (by_polars, {}),
}


def spliced(path: Path, cut: Cut) -> Path:
    target = path.with_name("new.parquet")
    base = open_shard(ShardFile(path, path.name))
    assert base.rewrite(target, cut).method == "spliced"
    base.compare(open_shard(ShardFile(target, target.name)), cut)
    return target


def cuts(path: Path) -> dict[str, Cut]:
    rows = np.array(GONE, dtype=np.int64)
    names = [name for name in pq.read_schema(path).names if name != "n"]
    return {"rows": Cut(drop=rows), "cells": Cut(null=dict.fromkeys(names, rows))}


@pytest.mark.parametrize("what", ["rows", "cells"])
@pytest.mark.parametrize("maker", MAKERS)
def test_no_byte_of_the_file_tells_of_what_was_removed(tmp_path: Path, maker: str, what: str) -> None:
    path = tmp_path / "part.parquet"
    write, options = MAKERS[maker]
    write(path, **options)
    target = spliced(path, cuts(path)[what])
    gone = {url(n) for n in GONE}
    kept = {url(n) for n in range(ROWS)} - gone | {"kept"}
    dictionaries = 0
    with Source.open(target) as source:
        told = [target.read_bytes()]  # headers, statistics and footer are not compressed
        for chunk, found in written(source):
            beside = read_beside(source.read, chunk)
            told += [beside.column_index, beside.offset_index, *(data for _, data in found)]
            for page, data in found:
                if page.header.type == DICTIONARY and b"host" in data:
                    dictionaries += 1
                    entries = [entry.decode() for entry in plain_texts(data)]
                    assert len(entries) == page.header.values  # noqa: PD011  no frame of pandas
                    assert set(entries) <= kept
                    assert len(set(entries)) == len(entries)
    whole = b"\0".join(told)
    assert not [one for one in gone if one.encode() in whole]
    assert url(40).encode() in whole or options.get("use_dictionary") is False
    assert bool(dictionaries) == options.get("use_dictionary", True)


@pytest.mark.parametrize(
    "options",
    [{}, {"write_page_index": True}, {"data_page_version": "2.0"}],
    ids=["plain", "page index", "v2 pages"],
)
def test_bloom_filters_know_what_is_left_and_no_more(tmp_path: Path, options: dict[str, Any]) -> None:
    path = tmp_path / "part.parquet"
    by_pyarrow(path, **options)
    target = spliced(path, cuts(path)["rows"])

    def misses(number: int) -> list[bool]:
        query = f"SELECT bloom_filter_excludes FROM parquet_bloom_probe('{target}', 'url', '{url(number)}')"
        return [bool(row[0]) for row in duckdb.execute(query).fetchall()]

    for number in range(ROWS):
        if number % 11 and number not in GONE:
            assert misses(number)[number // 50] is False, number
    excluded = [all(misses(number)) for number in GONE if number % 11]
    assert sum(excluded) >= len(excluded) - 1  # a filter may be wrong about one in a hundred


def test_bounds_come_from_the_rows_that_are_left(tmp_path: Path) -> None:
    path = tmp_path / "part.parquet"
    pq.write_table(
        pa.table({"url": [f"{n:03d}" for n in range(20)]}), path, row_group_size=10, write_page_index=True
    )
    target = spliced(path, Cut(drop=np.array([0, 9], dtype=np.int64)))
    group = pq.read_metadata(target).row_group(0)
    statistics = group.column(0).statistics
    assert (statistics.min, statistics.max, statistics.null_count) == ("001", "008", 0)
    assert group.num_rows == 8


def test_bytes_between_column_chunks_are_left_behind(tmp_path: Path) -> None:
    """Polars puts a copy of each chunk's metadata after it, with bounds; nothing points there."""
    path = tmp_path / "part.parquet"
    pl.DataFrame({"url": [url(n) for n in range(20)]}).write_parquet(path, row_group_size=10)
    with Source.open(spliced(path, Cut(drop=np.array([3], dtype=np.int64)))) as source:
        extents = sorted(chunk.extent for group in source.footer.groups for chunk in group.columns)
    assert extents[0][0] == 4
    assert all(one[1] == other[0] for one, other in pairwise(extents))


def test_what_is_planted_in_a_file_is_found(tmp_path: Path) -> None:
    path, planted = tmp_path / "part.parquet", tmp_path / "planted.parquet"
    by_pyarrow(path)
    assert not leaks(path, path)
    with Source.open(path) as source:
        footer = source.footer
    filtered, other, bounded = (
        group.columns[place] for group, place in zip(footer.groups, (0, 0, 2), strict=False)
    )
    filtered.meta.bloom_filter_offset = other.meta.bloom_filter_offset
    bounded.meta.statistics.struct[5] = Kind.BINARY, (9999).to_bytes(8, "little")
    planted.write_bytes(path.read_bytes()[: footer.start] + footer.encode(footer.groups))
    told = leaks(path, planted)
    assert len(told) == 2
    assert "is not that of its values" in told[0]
    assert "9999" in told[1]


def test_an_enumeration_of_duckdb_does_not_carry_values_into_later_row_groups(tmp_path: Path) -> None:
    """Each row group's dictionary holds the entries of all groups before it."""
    path = tmp_path / "part.parquet"
    urls = ", ".join(f"'{url(n)}'" for n in range(5000))
    with duckdb.connect() as connection:
        connection.execute(f"CREATE TYPE urls AS ENUM ({urls})")
        connection.execute(
            f"COPY (SELECT unnest(enum_range(NULL::urls))::urls AS url) TO '{path}' (FORMAT parquet, ROW_GROUP_SIZE 2048)"
        )
    assert pq.read_metadata(path).num_row_groups == 3
    assert leaks(path, path)  # as DuckDB writes it
    target = spliced(path, Cut(drop=np.array([7], dtype=np.int64)))
    assert not leaks(path, target)
    kept = [url(n) for n in range(5000) if n != 7]
    assert pq.read_table(target).column("url").to_pylist() == kept
