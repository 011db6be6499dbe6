"""Finding the rows that entries name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from expunge.errors import UsageError
from expunge.keys import KeyKind
from expunge.lists import parse_entry
from expunge.locate import Located, locate, sample_values
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
