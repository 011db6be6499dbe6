"""Comparing two versions."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from expunge.diff import diff_versions
from expunge.errors import BadShard, ExpungeError, UsageError
from tests.expunge.formats import ALL, Layout, make_rows, url_of, write_shard
from tests.expunge.runs import expunge, names_in, shards_of

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("layout", ALL, ids=str)
def test_every_format_is_compared(tmp_path: Path, layout: Layout) -> None:
    old = write_shard(tmp_path / "old", "x", make_rows(20), layout)
    new = write_shard(tmp_path / "new", "x", [*make_rows(23)[2:], make_rows(6)[5]], layout)
    diff = diff_versions(shards_of(old), shards_of(new))
    assert diff.to_dict() == {
        "old": {"rows": 20, "shards": 1},
        "new": {"rows": 22, "shards": 1},
        "added": 4,
        "removed": 2,
        "common": 18,
        "without_key": 0,
        "shared": {"shards": 0, "row_groups": 0},
        "renamed": [],
    }


def test_rows_are_compared_over_all_shards_or_shard_by_shard(tmp_path: Path) -> None:
    rows = make_rows(10)
    for version, names in (("old", ("a", "b")), ("new", ("b", "c"))):
        for name, part in zip(names, (rows[:5], rows[5:]), strict=True):
            write_shard(tmp_path / version, name, part, ALL[-1])
    one, other = shards_of(tmp_path / "old"), shards_of(tmp_path / "new")
    whole = diff_versions(one, other)
    assert (whole.added, whole.removed, whole.common) == (0, 0, 10)
    by_shard = diff_versions(one, other, by_shard=True)
    assert (by_shard.added, by_shard.removed, by_shard.common) == (10, 10, 0)


def test_the_rows_are_written(tmp_path: Path) -> None:
    old = tmp_path / "old.txt"
    new = tmp_path / "new.txt"
    old.write_text("https://a.example/\nhttps://b.example/\nhttps://a.example/\n\n")
    new.write_text("https://c.example/ü\nhttps://a.example/\n")
    diff = diff_versions(shards_of(old), shards_of(new), output=tmp_path / "rows.parquet")
    assert diff.without_key == 1
    found = pq.read_table(tmp_path / "rows.parquet").to_pylist()
    assert [(row["change"], row["path"], row["row"], row["url"]) for row in found] == [
        ("added", "new.txt", 0, "https://c.example/ü"),
        ("removed", "old.txt", 1, "https://b.example/"),
        ("removed", "old.txt", 2, "https://a.example/"),
    ]
    assert [row["url.raw.sha256"] for row in found] == [
        sha256(row["url"].encode()).hexdigest() for row in found
    ]


def test_each_element_of_a_list_is_compared(tmp_path: Path) -> None:
    pq.write_table(pa.table({"url": [[url_of(1), url_of(2)], [], None]}), tmp_path / "old.parquet")
    pq.write_table(pa.table({"url": [[url_of(2), url_of(3), url_of(4)]]}), tmp_path / "new.parquet")
    diff = diff_versions(shards_of(tmp_path / "old.parquet"), shards_of(tmp_path / "new.parquet"))
    assert (diff.added, diff.removed, diff.common, diff.without_key) == (2, 1, 1, 2)


@pytest.mark.parametrize("name", ["rows.csv", "old.parquet", "missing/rows.parquet"])
def test_an_output_that_cannot_be_is_refused(tmp_path: Path, name: str) -> None:
    path = write_shard(tmp_path, "old", make_rows(3), ALL[0])
    with pytest.raises(UsageError, match="must be a new file"):
        diff_versions(shards_of(path), shards_of(path), output=tmp_path / name)
    assert names_in(tmp_path) == {"old.parquet"}


def test_a_shard_without_urls_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("md5,x\n,1\n")
    with pytest.raises(UsageError, match=r"a\.csv has no column of URLs to compare"):
        diff_versions(shards_of(tmp_path / "a.csv"), shards_of(tmp_path / "a.csv"))


@pytest.mark.parametrize("direct", [0, 50_000])
def test_urls_that_are_not_utf8_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, direct: int
) -> None:
    monkeypatch.setattr("expunge.diff.urls._DIRECT_ROWS", direct)
    pq.write_table(pa.table({"url": pa.array([b"https://\xff/"], pa.binary())}), tmp_path / "a.parquet")
    write_shard(tmp_path, "b", make_rows(3), ALL[0])
    with pytest.raises(BadShard, match=r"a\.parquet: column 'url' holds a URL that is not UTF-8"):
        diff_versions(shards_of(tmp_path / "a.parquet"), shards_of(tmp_path / "b.parquet"))


@pytest.mark.parametrize("direct", [0, 50_000])
def test_urls_in_a_text_column_that_is_not_utf8_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, direct: int
) -> None:
    monkeypatch.setattr("expunge.diff.urls._DIRECT_ROWS", direct)
    column = pa.StringArray.from_buffers(1, pa.py_buffer(b"\0\0\0\0\3\0\0\0"), pa.py_buffer(b"\xff\xfe\xfd"))
    pq.write_table(pa.table({"url": column}), tmp_path / "a.parquet")
    write_shard(tmp_path, "b", make_rows(3), ALL[0])
    with pytest.raises(BadShard, match=r"a\.parquet: column 'url' holds a URL that is not UTF-8"):
        diff_versions(shards_of(tmp_path / "a.parquet"), shards_of(tmp_path / "b.parquet"))


def test_what_the_database_cannot_do_is_told_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_shard(tmp_path, "old", make_rows(3), ALL[0])

    def full(*_: object, **__: object) -> None:
        raise duckdb.IOException("https://secret.example/")

    monkeypatch.setattr("expunge.diff.versions.UrlComparison.count", full)
    with pytest.raises(ExpungeError, match=r"The comparison cannot go on \(IOException\)") as raised:
        diff_versions(shards_of(path), shards_of(path))
    assert "secret" not in str(raised.value)


def test_many_rows_go_in_more_than_one_piece(tmp_path: Path) -> None:
    text = "".join(f"https://a.example/{n}\n" for n in range(1200))
    (tmp_path / "old.txt").write_text(text)
    (tmp_path / "new.txt").write_text(text * 2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("expunge.diff.reading._INSERT_ROWS", 500)
        diff = diff_versions(shards_of(tmp_path / "old.txt"), shards_of(tmp_path / "new.txt"))
    assert (diff.added, diff.common) == (1200, 1200)


def test_the_command_counts_changed_rows_and_tells_renamed_shards(tmp_path: Path) -> None:
    for version, name, text in (
        ("old", "a", "id,url,n\n1,https://a.example/,1\n2,https://b.example/,2\n"),
        ("old", "b", "id,url,n\n3,https://c.example/,3\n"),
        ("new", "a", "id,url,n\n1,https://a.example/,9\n4,https://d.example/,4\n"),
        ("new", "c", "id,url,n\n3,https://c.example/,3\n"),
    ):
        (tmp_path / version).mkdir(exist_ok=True)
        (tmp_path / version / f"{name}.csv").write_text(text)
    table = expunge("diff", tmp_path / "old", tmp_path / "new", "--on", "id")
    assert table.returncode == 0, table.stderr
    lines = [line.split() for line in table.stdout.splitlines()]
    assert lines[2:] == [
        ["added", "1"],
        ["removed", "1"],
        ["common", "2"],
        ["changed", "1"],
        ["unchanged", "1"],
        ["shared", "1", "shards,", "0", "row", "groups,", "by", "their", "bytes"],
        ["renamed", "b.csv", "->", "c.csv"],
    ]
    said = json.loads(
        expunge("diff", tmp_path / "old", tmp_path / "new", "--on", "id", "--format", "json").stdout
    )
    assert said["renamed"] == [{"old": "b.csv", "new": "c.csv"}]
    assert (said["on"], said["changed"], said["unchanged"]) == ("id", 1, 1)
    assert expunge("diff", tmp_path / "old", tmp_path / "new", "--on", "nothing").returncode == 2


def test_memory_that_is_short_spills_to_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    count = 300_000
    for name, order in (("old", 1), ("new", -1)):
        urls = [f"https://a.example/{'x' * 60}/{n}" for n in range(count)][::order]
        pq.write_table(pa.table({"url": urls}), tmp_path / f"{name}.parquet")
    monkeypatch.setattr("expunge.diff.reading._MEMORY", "60MB")
    diff = diff_versions(shards_of(tmp_path / "old.parquet"), shards_of(tmp_path / "new.parquet"))
    assert (diff.added, diff.removed, diff.common) == (0, 0, count)
