"""Nothing of a removed row or cell is left in a chunk that was cut by pages, whatever its type and wherever its page is."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from expunge.shards import Cut, ShardFile, open_shard
from expunge.splice import splice as splicing
from expunge.splice.indexes import read_beside
from expunge.splice.paging import write_pages
from expunge.splice.source import Source
from expunge.splice.thrift import Kind, decode, encode
from tests.expunge.parquet_leaks import leaks, missing
from tests.expunge.parquet_stored import stored_leaks

if TYPE_CHECKING:
    from pathlib import Path

    from expunge.splice.paged import Paged

ROWS = 1200
PAGE_ROWS = 40

WAYS: dict[str, dict[str, Any]] = {
    "plain, page index": {"use_dictionary": False, "write_page_index": True},
    "v2 pages": {"use_dictionary": False, "data_page_version": "2.0", "write_page_index": True},
    "checksums": {"use_dictionary": False, "write_page_checksum": True},
    "dictionary, then plain": {"dictionary_pagesize_limit": 1000, "write_page_index": True},
    "not compressed": {"use_dictionary": False, "compression": "none", "write_page_index": True},
    "old times, decimals as numbers": {
        "use_dictionary": False,
        "use_deprecated_int96_timestamps": True,
        "store_decimal_as_integer": True,
    },
}

CUTS: dict[str, list[int]] = {
    "one row": [611],
    "the first row": [0],
    "the last row": [ROWS - 1],
    "rows of the first page": [1, 3, 17],
    "rows of the last page": [ROWS - 30, ROWS - 2],
    "all rows of a page": list(range(5 * PAGE_ROWS, 6 * PAGE_ROWS)),
    "all rows of the first page": list(range(PAGE_ROWS)),
    "all rows of the last page": list(range(ROWS - PAGE_ROWS, ROWS)),
    "all but one of a page": list(range(5 * PAGE_ROWS, 6 * PAGE_ROWS - 1)),
    "here and there": [100, 101, 500, 899, 1001],
}


def mixed(number: int) -> int:
    """Numbers in no order, each once, of many bytes."""
    return number * 0x9E3779B97F4A7C15 % 2**62


@cache
def table() -> pa.Table:
    numbers = [mixed(n + 1) for n in range(ROWS)]
    odd = {7: float("nan"), 60: 0.0, 61: -0.0, 611: float("nan"), 500: -0.0}
    start = datetime(2021, 1, 1)  # noqa: DTZ001  times without a zone are what is stored
    some = [n if n % 5 else None for n in numbers]
    late = [n if place >= 6 * PAGE_ROWS else None for place, n in enumerate(numbers)]  # pages of nulls alone
    return pa.table(
        {
            "text": [f"https://a.example/{n:020d}" for n in numbers],
            "maybe": [None if n is None else f"maybe {n:020d}" for n in some],
            "late": [None if n is None else f"late {n:020d}" for n in late],
            "none": pa.nulls(ROWS, pa.string()),
            "fixed": pa.array([n.to_bytes(12, "big") for n in numbers], pa.binary(12)),
            "n": pa.array(numbers, pa.int64()),
            "small": pa.array([n % 2**31 for n in numbers], pa.uint32()),
            "score": pa.array([odd.get(place, n / 7) for place, n in enumerate(numbers)], pa.float64()),
            "half": pa.array(np.array([n % 2000 for n in numbers], np.float16)),
            "price": pa.array([Decimal(n).scaleb(-3) for n in numbers], pa.decimal128(25, 3)),
            "cents": pa.array([Decimal(n % 10**7).scaleb(-2) for n in numbers], pa.decimal128(7, 2)),
            "at": pa.array([start + timedelta(microseconds=n % 2**50) for n in numbers], pa.timestamp("us")),
            "flag": [n % 3 == 0 for n in numbers],
        }
    )


def write(path: Path, **options: Any) -> Path:
    settings = {"compression": "zstd", "max_rows_per_page": PAGE_ROWS, "write_batch_size": PAGE_ROWS}
    pq.write_table(table(), path, **{**settings, **options})
    return path


def cut_out(path: Path, cut: Cut, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, int]:
    """The spliced file, and how many of its chunks were done by pages."""
    done: list[Paged] = []

    def noted(*arguments: Any) -> Paged | None:
        paged = write_pages(*arguments)
        done.extend([paged] if paged else [])
        return paged

    monkeypatch.setattr(splicing, "write_pages", noted)
    target = path.with_name("new.parquet")
    base = open_shard(ShardFile(path, path.name))
    assert base.rewrite(target, cut).method == "spliced"
    base.compare(open_shard(ShardFile(target, target.name)), cut)
    return target, len(done)


def all_leaks(path: Path, made: Path, cut: Cut) -> list[str]:
    return leaks(path, made) + missing(path, made, cut) + stored_leaks(path, made, cut)


@pytest.mark.parametrize("what", ["rows", "cells"])
@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("way", WAYS)
def test_no_page_bound_or_index_tells_of_what_was_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str, cut: str, what: str
) -> None:
    path = write(tmp_path / "part.parquet", **WAYS[way])
    gone = np.array(CUTS[cut], dtype=np.int64)
    taken = Cut(drop=gone) if what == "rows" else Cut(null=dict.fromkeys(table().column_names, gone))
    made, by_pages = cut_out(path, taken, monkeypatch)
    assert all_leaks(path, made, taken) == []
    assert by_pages >= 5


def test_what_stays_in_a_page_or_a_bound_is_found(tmp_path: Path) -> None:
    """The search itself: held against an uncut file, it names every value and bound that should have gone."""
    path = write(tmp_path / "part.parquet", use_dictionary=False, write_page_index=True)
    emptied, kept = tmp_path / "emptied.parquet", table()
    least = int(np.argmin(kept.column("n").to_numpy()))
    gone = np.array([least], dtype=np.int64)
    base = open_shard(ShardFile(path, path.name))
    base.rewrite(emptied, Cut(drop=gone))
    with Source.open(path) as old, Source.open(emptied) as new:
        groups, footer = new.footer.groups, new.footer
        chunk, was = groups[0].columns[5], old.footer.groups[0].columns[5]
        chunk.meta.statistics.struct[6] = was.meta.statistics.struct[6]
        index = decode(read_beside(new.read, chunk).column_index)[0]
        index[2][1].values[0] = mixed(least + 1).to_bytes(8, "little")
        data = new.read(0, footer.start)
        chunk.column_index_offset, told = len(data), encode(index)
        chunk.column_index_length = len(told)
        emptied.write_bytes(data + told + footer.encode(groups))
    found = stored_leaks(path, emptied, Cut(drop=gone))
    assert sum("is still a bound" in one for one in found) == 2
    assert sum("is still in a page or index" in one for one in found) == 1


def with_short_bounds(path: Path, length: int) -> None:
    """Cut the bounds of the texts' chunk to their first bytes, as some writers do: the greatest with its last byte one up."""
    with Source.open(path) as source:
        data, groups, footer = source.read(0, source.footer.start), source.footer.groups, source.footer
        fields = groups[0].columns[0].meta.statistics.struct
        for number in (1, 2, 7, 8):
            fields.pop(number, None)
        least, most = fields[6][1][:length], bytearray(fields[5][1][:length])
        most[-1] += 1
        fields[5], fields[6] = (Kind.BINARY, bytes(most)), (Kind.BINARY, least)
        end = footer.encode(groups)
    path.write_bytes(data + end)


@pytest.mark.parametrize("which", ["least", "greatest"])
def test_a_bound_that_was_cut_short_goes_with_its_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, which: str
) -> None:
    path = write(tmp_path / "part.parquet", use_dictionary=False)
    with_short_bounds(path, 30)
    texts = table().column("text").to_pylist()
    row = texts.index((min if which == "least" else max)(texts))
    cut = Cut(drop=np.array([row], dtype=np.int64))
    assert stored_leaks(path, path, Cut()) == []
    made, _ = cut_out(path, cut, monkeypatch)
    assert all_leaks(path, made, cut) == []
    with Source.open(path) as old, Source.open(made) as new:
        was, now = (
            one.footer.groups[0].columns[0].meta.statistics.struct[6 if which == "least" else 5][1]
            for one in (old, new)
        )
    assert was != now
