"""Finding the rows that entries name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from expunge.errors import BadShard, UsageError
from expunge.keys import KeyKind, Role, keys_of_url
from expunge.lists import parse_entry
from expunge.locate import Located, locate, sample_values, take_rows
from expunge.shards import bind_columns, open_shard
from tests.expunge.formats import ALL, PARQUET, TEXT, Layout, make_rows, md5_of, url_of, write_shard
from tests.expunge.runs import shards_of

if TYPE_CHECKING:
    from pathlib import Path


def located(path: Path, *entries: str) -> Located:
    return locate(shards_of(path), [parse_entry(entry) for entry in entries])


def positions(found: Located) -> dict[str, list[int]]:
    return {name: rows.tolist() for name, rows in found.positions.items()}


@pytest.mark.parametrize("layout", [one for one in ALL if not one.is_plain], ids=str)
def test_rows_are_found_by_every_kind_of_key_in_every_format(tmp_path: Path, layout: Layout) -> None:
    path = write_shard(tmp_path, "part", make_rows(20), layout)
    found = located(
        path,
        "HTTPS://IMG3.example.com:443/00003.jpg#x",
        f"md5:{md5_of(6).upper()}",
        "id:19",
        "host:img4.example.com",
        "text:with, a comma",
        "https://absent.example/",
    )
    assert positions(found) == {path.name: [1, 3, 4, 6, 8, 9, 14, 15, 19]}
    assert found.counts.tolist() == [1, 1, 1, 4, 3, 0]
    assert [entry.text for entry in found.unmatched] == ["https://absent.example/"]
    assert found.rows == 20


def test_every_hit_says_which_entry(tmp_path: Path) -> None:
    path = write_shard(tmp_path, "part", make_rows(9), PARQUET[0])
    found = located(path, "host:img3.example.com", url_of(8))
    (hits,) = found.shards
    assert list(zip(hits.rows.tolist(), hits.entries.tolist(), strict=True)) == [(3, 0), (8, 0), (8, 1)]
    assert len(hits.raw_keys) == 2


def test_kinds_without_a_column_are_told(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(f"{url_of(1)}\n")
    write_shard(tmp_path, "b", make_rows(3), TEXT[0])
    found = located(tmp_path, url_of(1), f"md5:{md5_of(1)}", "id:1")
    assert found.missing_kinds == {KeyKind.MD5: ["a.txt"], KeyKind.ROW_ID: ["a.txt"]}


def test_urls_in_lists_are_found_by_element(tmp_path: Path) -> None:
    table = pa.table({"url": [None, [url_of(1), url_of(2), url_of(1)], [], [url_of(2)]]})
    pq.write_table(table, tmp_path / "a.parquet")
    found = located(tmp_path, url_of(1), url_of(2))
    assert positions(found) == {"a.parquet": [1, 3]}
    assert found.shards[0].raw_keys == [None, None]


def test_rows_across_batches_have_their_own_index(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("".join(f"https://a.example/{n}\n" for n in range(70_000)))
    found = located(tmp_path, "https://a.example/0", "https://a.example/65536", "https://a.example/69999")
    assert positions(found) == {"a.txt": [0, 65536, 69999]}


def test_an_empty_url_is_a_key_in_parquet_and_none_in_text(tmp_path: Path) -> None:
    pq.write_table(pa.table({"url": ["", None, url_of(1)]}), tmp_path / "a.parquet")
    raw = "url.raw.sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert positions(located(tmp_path, raw)) == {"a.parquet": [0]}


def test_a_column_of_the_wrong_kind_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"url": [url_of(1)], "md5": [7]}), tmp_path / "a.parquet")
    with pytest.raises(UsageError, match=r"a\.parquet: column 'md5' \(int64\) cannot carry md5"):
        located(tmp_path, url_of(1))


def test_some_values_of_a_shard(tmp_path: Path) -> None:
    (shard,) = shards_of(write_shard(tmp_path, "part", make_rows(20), PARQUET[0]))
    assert sample_values(shard, [19, 2, 2], "url") == {2: url_of(2), 19: url_of(19)}
    assert sample_values(shard, [6], "text") == {6: None}
    assert sample_values(shard, [0], "sample_id") == {0: "0"}


@pytest.mark.parametrize("layout", ALL, ids=str)
def test_rows_are_taken_from_every_format(tmp_path: Path, layout: Layout) -> None:
    rows = make_rows(40)
    (file,) = shards_of(write_shard(tmp_path, "part", rows, layout))
    shard = open_shard(file)
    name = bind_columns(shard.columns)[Role.URL]
    for wanted in ([], [0], [39], [3, 4, 20], list(range(40))):
        taken = take_rows(shard, [name], np.array(wanted, np.int64))[name].to_pylist()
        assert [value.decode() if isinstance(value, bytes) else value for value in taken] == [
            url_of(row) for row in wanted
        ]
    with pytest.raises(BadShard, match="has no row 40"):
        take_rows(shard, [name], np.array([2, 40], np.int64))


def test_a_file_that_broke_after_it_was_opened_is_told_plainly(tmp_path: Path) -> None:
    path = write_shard(tmp_path, "part", make_rows(40), PARQUET[0])
    shard = open_shard(shards_of(path)[0])
    path.write_bytes(b"no Parquet")
    with pytest.raises(BadShard, match="changed while it was read"):
        take_rows(shard, ["url"], np.array([1], np.int64))


def test_raw_and_c1_keys_are_looked_for_together(tmp_path: Path) -> None:
    values = [url_of(1), url_of(1).upper(), f"{url_of(1)}#a", None, "s3://a/b"]
    pq.write_table(pa.table({"url": values}), tmp_path / "a.parquet")
    raw = f"url.raw.sha256:{keys_of_url(f'{url_of(1)}#a')[KeyKind.URL_RAW]}"
    found = located(tmp_path, url_of(1), raw, "url:s3://a/b", "host:img1.example.com")
    shard = found.shards[0]
    pairs = list(zip(shard.rows.tolist(), shard.entries.tolist(), strict=True))
    assert pairs == [(0, 0), (0, 3), (1, 3), (2, 0), (2, 1), (2, 3), (4, 2)]
