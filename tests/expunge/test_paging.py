"""Column chunks of which only some pages are written anew: what is copied, what is said of the whole, and when it is not done."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from expunge.shards import Cut, ShardFile, open_shard
from expunge.splice.footer import CREATED_BY, MAGIC, SIZE_STATISTICS, STATISTICS
from expunge.splice.indexes import OffsetIndex, read_beside
from expunge.splice.pages import DICTIONARY, pages, pages_at
from expunge.splice.paging import may_tell_of
from expunge.splice.source import Source
from expunge.splice.thrift import Items, Kind, decode, encode, encode_value
from expunge.splice.views import View
from tests.expunge.parquet_files import READERS, ParquetFile, found_by, without
from tests.expunge.parquet_leaks import leaks, missing

if TYPE_CHECKING:
    from pathlib import Path

ROWS = 2000
PAGE_ROWS = 50
GONE = [3, 777, 778, 1500, 1990]

WAYS: dict[str, dict[str, Any]] = {
    "plain": {"use_dictionary": False},
    "plain, page index": {"use_dictionary": False, "write_page_index": True, "write_page_checksum": True},
    "v2 pages": {"use_dictionary": False, "data_page_version": "2.0", "write_page_index": True},
    "dictionary, then plain": {"dictionary_pagesize_limit": 4000, "write_page_index": True},
    "dictionary, then plain, v2 pages": {"dictionary_pagesize_limit": 4000, "data_page_version": "2.0"},
    "no statistics": {"use_dictionary": False, "write_statistics": False},
    "old names": {"dictionary_pagesize_limit": 4000, "version": "1.0"},
    "not compressed": {"use_dictionary": False, "compression": "none"},
    "lz4": {"use_dictionary": False, "compression": "lz4"},
}


def url(number: int) -> str:
    return f"https://host{number % 7}.example/{number * 7919 % 100_003:08d}"


def table(rows: int = ROWS) -> pa.Table:
    mixed = [n * 7919 % 100_003 for n in range(rows)]  # no order, each once
    maybe = [None if n % 9 == 0 else url(n) for n in range(rows)]
    return pa.table(
        {
            "url": pa.array([url(n) for n in range(rows)]),
            "maybe": pa.array(maybe),
            "n": pa.array(range(rows), pa.int64()),
            "id": pa.array(mixed, pa.uint32()),
            "score": pa.array([one / 7 for one in mixed], pa.float32()),
            "md5": pa.array([f"{one:016d}".encode() for one in mixed], pa.binary(16)),
        }
    )


def write(path: Path, rows: pa.Table, **options: Any) -> Path:
    settings = {"compression": "snappy", "max_rows_per_page": PAGE_ROWS, "write_batch_size": PAGE_ROWS}
    pq.write_table(rows, path, **{**settings, **options})
    return path


def cut_out(path: Path, cut: Cut) -> Path:
    target = path.with_name("new.parquet")
    base = open_shard(ShardFile(path, path.name))
    assert base.rewrite(target, cut).method == "spliced"
    base.compare(open_shard(ShardFile(target, target.name)), cut)
    return target


def rows(*numbers: int) -> Cut:
    return Cut(drop=np.array(numbers, dtype=np.int64))


def page_bytes(path: Path) -> list[list[bytes]]:
    """The pages of each chunk, with their headers."""
    with Source.open(path) as source:
        return [
            [source.read(page.start, page.end) for page in pages_at(source, *chunk.extent)]
            for group in source.footer.groups
            for chunk in group.columns
        ]


@pytest.mark.parametrize("what", ["rows", "cells"])
@pytest.mark.parametrize("way", WAYS)
def test_pages_that_lose_nothing_are_copied_and_nothing_is_left_of_the_rest(
    tmp_path: Path, way: str, what: str
) -> None:
    path = write(tmp_path / "part.parquet", table(), **WAYS[way])
    gone = np.array(GONE, dtype=np.int64)
    cut = rows(*GONE) if what == "rows" else Cut(null=dict.fromkeys(("url", "maybe", "n", "score"), gone))
    made = cut_out(path, cut)
    assert (leaks(path, made), missing(path, made, cut)) == ([], [])
    changed = range(6) if what == "rows" else (0, 1, 2, 4)
    without_dictionary = "use_dictionary" in WAYS[way]
    by_pages = 0
    for place, (old, new) in enumerate(zip(page_bytes(path), page_bytes(made), strict=True)):
        shared = len(set(old) & set(new))
        if place not in changed:
            assert shared == len(old)
        elif without_dictionary:
            assert shared == len(old) - len({row // PAGE_ROWS for row in GONE})
        else:  # the pages of a dictionary go together, and the whole chunk where they are most of it
            assert shared < len(old)
            by_pages += shared > len(old) / 2
    assert without_dictionary or by_pages >= len(changed) - 2


@pytest.mark.parametrize("way", WAYS)
def test_every_reader_finds_what_is_left(tmp_path: Path, way: str) -> None:
    file = ParquetFile(write(tmp_path / "part.parquet", table(), **WAYS[way]), "pyarrow", way)
    made = cut_out(file.path, rows(*GONE))
    for name, reader in READERS.items():
        base = found_by(name, file, rows(*GONE))
        if base is not None:
            assert repr(reader(made)) == repr(without(base, rows(*GONE))), name


@pytest.mark.parametrize("way", WAYS)
def test_what_is_said_of_a_chunk_is_true_of_its_pages(tmp_path: Path, way: str) -> None:
    made = cut_out(write(tmp_path / "part.parquet", table(), **WAYS[way]), rows(*GONE))
    told, values = pq.read_metadata(made).row_group(0), pq.read_table(made)
    with Source.open(made) as source:
        for place, chunk in enumerate(source.footer.groups[0].columns):
            held = list(pages_at(source, *chunk.extent))
            data = [page for page in held if page.header.type != DICTIONARY]
            meta, column = chunk.meta, values.column(place)
            assert meta.values == told.num_rows == ROWS - len(GONE)
            assert sum(page.header.values for page in data) == meta.values
            assert held[-1].end == chunk.extent[1]
            assert sum(page.uncompressed_size for page in held) == meta.uncompressed_size
            assert meta.data_page_offset == data[0].start
            # PyArrow itself calls pages of version 2 pages of version 1.
            counted: Counter[tuple[bool, int]] = Counter()
            for one in meta.struct[13][1].values:
                counted[one[1][1] == DICTIONARY, one[2][1]] += one[3][1]
            assert counted == Counter(
                (page.header.type == DICTIONARY, page.header.encoding_number) for page in held
            )
            if told.column(place).is_stats_set:
                assert told.column(place).statistics.null_count == column.null_count
            sizes = View(meta.struct[16][1]).struct
            if 1 in sizes:
                assert sizes[1][1] == sum(len(one.encode()) for one in column.to_pylist() if one is not None)
            if 3 in sizes:
                assert sizes[3][1].values == [column.null_count, len(column) - column.null_count]


@pytest.mark.parametrize("way", [way for way in WAYS if "write_page_index" in WAYS[way]])
def test_the_page_index_tells_of_the_pages_as_they_are(tmp_path: Path, way: str) -> None:
    made = cut_out(write(tmp_path / "part.parquet", table(), **WAYS[way]), rows(*GONE))
    ids = pq.read_table(made).column("id").to_pylist()
    with Source.open(made) as source:
        chunk = source.footer.groups[0].columns[3]
        beside = read_beside(source.read, chunk)
        locations = OffsetIndex(decode(beside.offset_index)[0]).locations
        data = [page for page in pages_at(source, *chunk.extent) if page.header.type != DICTIONARY]
        assert [(one.offset, one.compressed_size) for one in locations] == [(p.start, p.size) for p in data]
        index = decode(beside.column_index)[0]
        ends = [one.first_row for one in locations[1:]] + [len(ids)]
        for number, (location, end) in enumerate(zip(locations, ends, strict=True)):
            here = ids[location.first_row : end]
            assert index[2][1].values[number] == min(here).to_bytes(4, "little")
            assert index[3][1].values[number] == max(here).to_bytes(4, "little")
            assert data[number].header.values == len(here)


def test_an_order_of_pages_is_not_claimed_where_a_bound_of_one_changed(tmp_path: Path) -> None:
    path = write(tmp_path / "part.parquet", table(), use_dictionary=False, write_page_index=True)

    def order(made: Path) -> int:
        with Source.open(made) as source:
            beside = read_beside(source.read, source.footer.groups[0].columns[2])
        return int(decode(beside.column_index)[0][4][1])

    assert order(path) == 1
    assert order(cut_out(path, rows(777))) == 1
    (tmp_path / "new.parquet").unlink()
    assert order(cut_out(path, rows(750))) == 0  # the least of its page


@pytest.mark.parametrize("gone", [0, ROWS - 1])
def test_a_chunk_that_loses_its_least_or_greatest_value_is_written_whole(tmp_path: Path, gone: int) -> None:
    path = write(tmp_path / "part.parquet", table(), use_dictionary=False)
    made = cut_out(path, rows(gone))
    statistics = pq.read_metadata(made).row_group(0).column(2).statistics
    assert (statistics.min, statistics.max) == (int(gone == 0), ROWS - 1 - (gone != 0))
    assert leaks(path, made) == []


def test_pages_of_which_no_row_is_left_go(tmp_path: Path) -> None:
    path = write(tmp_path / "part.parquet", table(), use_dictionary=False, write_page_index=True)
    made = cut_out(path, rows(*range(100, 100 + 2 * PAGE_ROWS)))
    for old, new in zip(page_bytes(path), page_bytes(made), strict=True):
        assert new == old[:2] + old[4:]


def test_a_dictionary_whose_rows_all_go_goes_too(tmp_path: Path) -> None:
    late = table().slice(500)  # the first rows hold no bounds
    path = write(tmp_path / "part.parquet", late, dictionary_pagesize_limit=400)
    with Source.open(path) as source:
        held = list(pages(source.read(*source.footer.groups[0].columns[0].extent)))
    first = sum(page.header.values for page in held if page.header.encoding == "RLE_DICTIONARY")
    assert 0 < first < len(late) / 2
    made = cut_out(path, rows(*range(first)))
    assert leaks(path, made) == []
    assert page_bytes(made)[0] == page_bytes(path)[0][-len(page_bytes(made)[0]) :]


def test_a_bloom_filter_is_made_anew(tmp_path: Path) -> None:
    bloom = {"url": {"ndv": ROWS, "fpp": 0.01}}
    path = write(tmp_path / "part.parquet", table(), use_dictionary=False, bloom_filter_options=bloom)
    made = cut_out(path, rows(*GONE))
    assert (leaks(path, made), missing(path, made, rows(*GONE))) == ([], [])


def statistics(kind: int, bounds: dict[int, bytes], *whole: int) -> View:
    return View({n: (kind, one) for n, one in bounds.items()} | dict.fromkeys(whole, (Kind.TRUE, True)))


@pytest.mark.parametrize(
    ("bounds", "whole", "value", "told"),
    [
        ({5: b"xyz", 6: b"abc"}, (7, 8), "abc", True),
        ({5: b"xyz", 6: b"abc"}, (7, 8), "abcd", False),
        ({5: b"xyz", 6: b"abc"}, (), "abcd", True),  # the least value may have been cut short
        ({5: b"https:z", 6: b""}, (), "https:y and more", True),  # and so may the greatest, one letter up
        ({5: b"zzzzz", 6: b""}, (), "", True),
        ({5: b"zzzzz", 6: b""}, (), "m", False),
        ({1: b"zzzzz", 2: b"m"}, (7, 8), "m", True),
    ],
)
def test_bounds_of_texts_that_may_come_from_a_value_are_known(
    bounds: dict[int, bytes], whole: tuple[int, ...], value: str, *, told: bool
) -> None:
    gone = pa.chunked_array([[value.encode(), None]], pa.binary())
    assert may_tell_of(statistics(Kind.BINARY, bounds, *whole), gone) is told


@pytest.mark.parametrize(
    ("bound", "value", "told"),
    [
        (1.5, 1.5, True),
        (-0.0, 0.0, True),
        (0.0, -0.0, True),
        (1.5, 2.5, False),
        (float("nan"), float("nan"), True),
    ],
)
def test_bounds_of_numbers_that_may_come_from_a_value_are_known(
    bound: float, value: float, *, told: bool
) -> None:
    gone = pa.chunked_array([[value, None]], pa.float64())
    assert may_tell_of(statistics(Kind.BINARY, {5: np.float64(bound).tobytes()}), gone) is told


def with_all_levels(path: Path) -> None:
    """Say of every page and chunk how often each level is there, as Java's writer does for columns of one level too."""
    with Source.open(path) as source:
        data, groups = source.read(0, source.footer.start), source.footer.groups
        for chunk in groups[0].columns:
            index = decode(read_beside(source.read, chunk).column_index)[0]
            counts = [p.header.values for p in pages_at(source, *chunk.extent) if p.header.type != DICTIONARY]
            index[6] = Kind.LIST, Items(Kind.I64, counts)
            chunk.column_index_offset, told = len(data), encode(dict(sorted(index.items())))
            chunk.column_index_length = len(told)
            data += told
            sizes = View(chunk.meta.struct[16][1])
            sizes.put(2, Kind.LIST, Items(Kind.I64, [sum(counts)]))
        footer = source.footer.encode(groups)
    path.write_bytes(data + footer)


def test_how_often_each_level_is_there_is_counted(tmp_path: Path) -> None:
    path = write(tmp_path / "part.parquet", table(), use_dictionary=False, write_page_index=True)
    with_all_levels(path)
    made = cut_out(path, rows(*GONE))
    with Source.open(made) as source:
        for place, chunk in enumerate(source.footer.groups[0].columns):
            index = decode(read_beside(source.read, chunk).column_index)[0]
            counts = [page.header.values for page in pages_at(source, *chunk.extent)]
            assert index[6][1].values == counts, place
            assert chunk.meta.struct[16][1][2][1].values == [ROWS - len(GONE)]
    assert sum(page in page_bytes(path)[0] for page in page_bytes(made)[0]) == ROWS // PAGE_ROWS - 4


def test_a_dictionary_is_made_anew_where_a_row_in_another_page_goes(tmp_path: Path) -> None:
    """It may hold values of rows whose pages do not point to it, whatever its writer is trusted with."""
    urls = table().column("url")
    entries = pa.array([url(n) for n in (*range(PAGE_ROWS), *GONE)]).unique()
    first = pa.DictionaryArray.from_arrays(pa.array(range(PAGE_ROWS)), entries)
    dictionary = write(tmp_path / "one.parquet", pa.table({"url": first}), store_schema=False)
    plain = write(
        tmp_path / "two.parquet",
        pa.table({"url": urls[PAGE_ROWS:]}),
        use_dictionary=False,
        store_schema=False,
    )
    path = joined(dictionary, plain)
    assert pq.read_table(path).column("url").to_pylist() == urls.to_pylist()
    made = cut_out(path, rows(*GONE[1:]))
    assert leaks(path, made) == []
    assert len(set(page_bytes(path)[0]) & set(page_bytes(made)[0])) >= ROWS / PAGE_ROWS - 5


def joined(one: Path, other: Path) -> Path:
    """A file of one chunk, the pages of two files, by a writer that is trusted to collect dictionaries."""
    path = one.with_name("part.parquet")
    with Source.open(one) as first, Source.open(other) as second:
        footer, (group,) = second.footer, second.footer.groups
        (begin, middle), (start, end) = first.footer.groups[0].columns[0].extent, group.columns[0].extent
        chunk = group.columns[0].moved(middle - start)
        meta, was = chunk.meta, first.footer.groups[0].columns[0].meta
        meta.drop(STATISTICS, SIZE_STATISTICS, 13)
        meta.dictionary_page_offset, meta.data_page_offset = was.dictionary_page_offset, was.data_page_offset
        meta.values += was.values
        meta.uncompressed_size += was.uncompressed_size
        meta.compressed_size += was.compressed_size
        group.columns, group.rows = [chunk], meta.values
        footer.fields[CREATED_BY] = Kind.BINARY, encode_value(Kind.BINARY, b"parquet-mr version 1.15.2")
        path.write_bytes(MAGIC + first.read(begin, middle) + second.read(start, end) + footer.encode([group]))
    return path
