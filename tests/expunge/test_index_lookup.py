"""Asking an index about many versions, and confirming what it says."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from expunge.errors import UsageError
from expunge.index import BadIndex, IndexedShard, KeyIndex, ShardIndexer, build_index, read_versions
from expunge.index.builder import index_files, prefixes_of
from expunge.index.lookup import locate_versions
from expunge.keyed import KeyedBatch
from expunge.keys import KeyKind, Role
from expunge.lists import parse_entry
from expunge.shards import bind_columns, open_shard
from expunge.shards.source import row_format
from tests.expunge.formats import PARQUET, make_rows, md5_of, url_of, write_shard
from tests.expunge.runs import flip_byte, shards_of

if TYPE_CHECKING:
    from pathlib import Path

    from expunge.index import Found

C1 = KeyKind.URL_C1


def ask(folder: Path, *keys: str) -> list[Found]:
    with KeyIndex(folder) as index:
        return locate_versions(index, [parse_entry(key) for key in keys], read_versions(folder))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An index of two versions that share a shard."""
    write_shard(tmp_path / "v1", "shared", make_rows(30), PARQUET[0])
    write_shard(tmp_path / "v1", "old", make_rows(12), PARQUET[0])
    write_shard(tmp_path / "v2", "shared", make_rows(30), PARQUET[0])
    for name in ("v1", "v2"):
        build_index(shards_of(tmp_path / name), tmp_path / "index", name=name, kinds=[C1, KeyKind.MD5])
    return tmp_path / "index"


def rows_of(found: Found) -> dict[str, list[int]]:
    return {name: rows.tolist() for name, rows in found.located.positions.items()}


def test_all_versions_are_answered_at_once(folder: Path) -> None:
    v1, v2 = ask(folder, url_of(5), f"md5:{md5_of(20)}")
    assert (v1.version.name, v2.version.name) == ("v1", "v2")
    assert rows_of(v1) == {"old.parquet": [5], "shared.parquet": [5, 20]}
    assert rows_of(v2) == {"shared.parquet": [5, 20]}
    assert v1.located.counts.tolist() == [2, 1]
    assert v1.complete
    assert v2.complete


def test_what_is_nowhere_is_unmatched(folder: Path) -> None:
    (v1, _) = ask(folder, "https://nowhere.example/")
    assert rows_of(v1) == {}
    assert len(v1.located.unmatched) == 1
    assert v1.complete


def test_a_shard_that_two_versions_hold_is_confirmed_from_either(folder: Path) -> None:
    shutil.rmtree(folder.parent / "v1")
    v1, v2 = ask(folder, url_of(5))
    assert rows_of(v2) == {"shared.parquet": [5]}
    assert rows_of(v1) == {"shared.parquet": [5]}
    assert {name: rows.tolist() for name, rows in v1.unconfirmed.items()} == {"old.parquet": [5]}
    assert not v1.complete
    assert v2.complete


def test_a_shard_that_is_gone_matters_only_where_it_may_hold_a_row(folder: Path) -> None:
    shutil.rmtree(folder.parent / "v1")
    v1, _ = ask(folder, url_of(25))  # the old shard has 12 rows
    assert v1.complete


def test_another_file_of_that_name_confirms_nothing(folder: Path) -> None:
    write_shard(folder.parent / "v1", "old", make_rows(13), PARQUET[0])
    v1, _ = ask(folder, url_of(5))
    assert list(v1.unconfirmed) == ["old.parquet"]
    (folder.parent / "v1/old.parquet").write_bytes(b"no Parquet at all")
    v1, _ = ask(folder, url_of(5))
    assert list(v1.unconfirmed) == ["old.parquet"]


def test_the_same_bytes_copied_anew_confirm(folder: Path) -> None:
    path = folder.parent / "v1/old.parquet"
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data)
    os.utime(path, (1, 1))
    v1, _ = ask(folder, url_of(5))
    assert rows_of(v1)["old.parquet"] == [5]
    assert v1.complete


def test_keys_that_share_their_first_bytes_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    stored = ["0123456789abcdef" + "0" * 16, "0123456789abcdef" + "1" * 16]
    pq.write_table(pa.table({"md5": stored}), tmp_path / "data/a.parquet")
    build_index(shards_of(tmp_path / "data"), tmp_path / "index")
    entries = [parse_entry(f"md5:{stored[1]}"), parse_entry("md5:0123456789abcdef" + "2" * 16)]
    with KeyIndex(tmp_path / "index") as index:
        versions = read_versions(tmp_path / "index")
        candidates = index.candidates(entries, versions[0].shards)
        (found,) = locate_versions(index, entries, versions)
    assert [rows.tolist() for rows in candidates.rows.values()] == [[0, 1]]
    assert rows_of(found) == {"a.parquet": [1]}
    assert [entry.key for entry in found.located.unmatched] == [entries[1].key]


def test_a_damaged_shard_index_is_refused_in_a_plain_sentence(folder: Path) -> None:
    for path in folder.glob("??/*/url.c1.sha256.idx"):
        flip_byte(path, 100)
    with pytest.raises(
        BadIndex, match=r"url\.c1\.sha256\.idx is damaged\. Build it again with expunge index\."
    ):
        ask(folder, url_of(5))


def test_an_index_of_another_column_is_refused(folder: Path) -> None:
    (version, _) = read_versions(folder)
    shard = version.shards[0]
    other = IndexedShard(
        shard.name, shard.sha256, shard.rows, {Role.URL: "href"}, shard.path, shard.fingerprint
    )
    with KeyIndex(folder) as index, pytest.raises(BadIndex, match="another column"):
        index.candidates([parse_entry(url_of(5))], [other])


def test_an_index_under_another_shards_name_is_refused(folder: Path) -> None:
    one, other = sorted({shard.sha256 for shard in read_versions(folder)[0].shards})
    shutil.copyfile(index_files(folder, one, C1)[0], index_files(folder, other, C1)[0])
    with pytest.raises(BadIndex):
        ask(folder, url_of(5))


def test_a_shard_without_index_is_named(folder: Path) -> None:
    for path in folder.glob("??/*/url.c1.sha256.idx"):
        path.unlink()
    v1, v2 = ask(folder, url_of(5), f"md5:{md5_of(5)}")
    assert v1.not_indexed == {C1: ["old.parquet", "shared.parquet"]}
    assert v2.not_indexed == {C1: ["shared.parquet"]}
    assert rows_of(v2) == {"shared.parquet": [5]}


def test_a_kind_that_no_column_carries_leaves_the_answer_open(folder: Path) -> None:
    v1, _ = ask(folder, "sha1:" + "0" * 40)
    assert v1.located.missing_kinds == {KeyKind.SHA1: ["old.parquet", "shared.parquet"]}
    assert not v1.complete


@pytest.mark.parametrize("damage", ["{}", "[]", "not json", '{"checksum": 3}'])
def test_a_version_file_that_is_damaged_is_refused(folder: Path, damage: str) -> None:
    (folder / "versions/v1.json").write_text(damage)
    with pytest.raises(BadIndex, match=r"v1\.json is damaged"):
        read_versions(folder)


def test_no_changed_letter_of_a_version_file_is_believed(folder: Path) -> None:
    path = folder / "versions/v1.json"
    text = path.read_text()
    for name in ("old.parquet", '"rows": 12', '"column'):
        changed = text.replace(name, name.replace("o", "x").replace("12", "13"), 1)
        assert changed != text
        path.write_text(changed)
        with pytest.raises(BadIndex):
            read_versions(folder)


def test_a_folder_without_an_index_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no index"):
        read_versions(tmp_path)


def test_what_is_indexed_later_is_seen_after_a_refresh(folder: Path, tmp_path: Path) -> None:
    with KeyIndex(folder) as index:
        entries = [parse_entry(url_of(39))]
        versions = read_versions(folder)
        assert not index.candidates(entries, versions[0].shards).rows
        for number in range(9):
            write_shard(tmp_path / "v3", f"{number}", make_rows(40 + number), PARQUET[0])
        build_index(shards_of(tmp_path / "v3"), folder, name="v3", kinds=[C1])
        index.refresh()
        v3 = read_versions(folder)[-1]
        assert len(index.candidates(entries, v3.shards).rows) == 9


def test_a_shard_can_be_indexed_while_somebody_else_reads_it(tmp_path: Path) -> None:
    write_shard(tmp_path / "data", "a", make_rows(50), PARQUET[0])
    (file,) = shards_of(tmp_path / "data")
    shard = open_shard(file)
    binding = bind_columns(shard.columns)
    with ShardIndexer(tmp_path / "index", [C1, KeyKind.SHA1, KeyKind.ROW_ID], binding) as indexer:
        assert indexer.kinds == [KeyKind.ROW_ID, C1]
        assert indexer.columns == ["sample_id", "url"]
        for batch in shard.batches(["text", *indexer.columns]):
            indexer.add(KeyedBatch(batch))
        indexer.finish(shard.digest(), row_format(shard.file.name))
    known = IndexedShard("a", shard.digest(), 50, binding, file.path, shard.fingerprint)
    with KeyIndex(tmp_path / "index") as index:
        found = index.candidates([parse_entry(url_of(7)), parse_entry("id:8")], [known])
    assert [rows.tolist() for rows in found.rows.values()] == [[7, 8]]


def test_an_indexer_that_is_given_up_leaves_nothing(tmp_path: Path) -> None:
    write_shard(tmp_path / "data", "a", make_rows(50), PARQUET[0])
    shard = open_shard(shards_of(tmp_path / "data")[0])
    binding = bind_columns(shard.columns)
    with ShardIndexer(tmp_path / "index", [C1], binding, memory=1) as indexer:
        for batch in shard.batches(indexer.columns):
            indexer.add(KeyedBatch(batch))
    assert list((tmp_path / "index").iterdir()) == []


def test_keys_of_no_fixed_length_are_indexed_by_their_digest() -> None:
    keys = pa.array([b"a.example", None, b"b.example", b"a.example"], pa.binary())
    prefixes = prefixes_of(KeyKind.HOST, keys)
    assert prefixes.dtype == np.uint64
    assert prefixes[0] == prefixes[2] != prefixes[1]
    assert len(prefixes_of(KeyKind.HOST, pa.nulls(3, pa.binary()))) == 0
