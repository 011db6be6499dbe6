"""What a release says of itself, read and written."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from expunge.keys import KeyKind
from expunge.manifest import (
    BadRelease,
    format_sums,
    read_keys,
    read_positions,
    read_redacted,
    read_redacted_keys,
    read_release,
    read_sums,
    version_root,
    write_keys,
    write_positions,
    write_redacted,
    write_redacted_keys,
)
from expunge.shards import Cut

if TYPE_CHECKING:
    from pathlib import Path


def test_positions_come_back_as_they_went(tmp_path: Path) -> None:
    given = {"b" * 64: np.array([1, 5, 9]), "a" * 64: np.array([0])}
    write_positions(tmp_path / "diff/removed.parquet", given.items())
    found = read_positions(tmp_path)
    assert {name: rows.tolist() for name, rows in found.items()} == {"a" * 64: [0], "b" * 64: [1, 5, 9]}
    table = pq.read_table(tmp_path / "diff/removed.parquet")
    assert table.column_names == ["shard", "row"]


def test_no_positions_are_a_file_too(tmp_path: Path) -> None:
    write_positions(tmp_path / "diff/removed.parquet", [])
    write_keys(tmp_path / "diff/keys.parquet", [])
    assert (read_positions(tmp_path), read_keys(tmp_path)) == ({}, [])


def test_keys_come_back_sorted_and_once(tmp_path: Path) -> None:
    keys = [
        (KeyKind.ROW_ID, b"7"),
        (KeyKind.HOST, b"b.example"),
        (KeyKind.HOST, b"a.example"),
        (KeyKind.ROW_ID, b"7"),
    ]
    write_keys(tmp_path / "diff/keys.parquet", keys)
    found = [(entry.kind, entry.key) for entry in read_keys(tmp_path)]
    assert found == [(KeyKind.HOST, b"a.example"), (KeyKind.HOST, b"b.example"), (KeyKind.ROW_ID, b"7")]


@pytest.mark.parametrize(
    ("columns", "problem"),
    [
        ({"kind": ["content.pdq"], "key": [b"1"]}, "row 0 has the unknown kind 'content.pdq'"),
        ({"kind": ["content.md5"], "key": [b"1"]}, "the key in row 0 has not the length of content.md5"),
        ({"kind": ["host.c1"], "key": [b""]}, "the key in row 0 has not the length"),
        ({"kind": ["host.c1"]}, "cannot be read as a diff"),
        ({"kind": [1], "key": [[2]]}, "cannot be read as a diff"),
    ],
)
def test_keys_that_mean_nothing_are_refused(tmp_path: Path, columns: dict[str, Any], problem: str) -> None:
    (tmp_path / "diff").mkdir()
    pq.write_table(pa.table(columns), tmp_path / "diff/keys.parquet")
    with pytest.raises(BadRelease, match=problem):
        read_keys(tmp_path)


def test_a_diff_that_is_no_parquet_is_refused(tmp_path: Path) -> None:
    (tmp_path / "diff").mkdir()
    (tmp_path / "diff/removed.parquet").write_bytes(b"x" * 99)
    with pytest.raises(BadRelease, match=r"removed\.parquet cannot be read as a diff"):
        read_positions(tmp_path)


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b"{}", b"\xff"])
def test_a_release_json_that_is_none_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "release.json").write_bytes(data)
    with pytest.raises(BadRelease, match=r"release\.json"):
        read_release(tmp_path)


def test_a_missing_release_json_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadRelease, match=r"cannot be read: No such file or directory. Is .* a release"):
        read_release(tmp_path)


def test_sums_come_back_as_they_went_and_the_root_is_theirs(tmp_path: Path) -> None:
    digests = {"data/ü x.csv": "a" * 64, "data/b.csv": "b" * 64}
    (tmp_path / "SHA256SUMS").write_bytes(format_sums(digests))
    assert read_sums(tmp_path) == digests
    assert version_root(digests) == version_root(dict(reversed(digests.items())))
    assert version_root(digests) != version_root({"data/b.csv": "b" * 64})


def test_redacted_cells_come_back_as_they_went(tmp_path: Path) -> None:
    given = {
        "b" * 64: Cut(
            null={"text": np.array([1, 5]), "url": np.array([5])},
            elements={"tags": np.array([[0, 2], [7, 0]])},
        ),
        "a" * 64: Cut(elements={"url": np.array([[3, 1]])}),
    }
    write_redacted(tmp_path / "diff/redacted.parquet", given)
    assert {digest: cut.digest() for digest, cut in read_redacted(tmp_path).items()} == {
        digest: cut.digest() for digest, cut in given.items()
    }
    assert pq.read_table(tmp_path / "diff/redacted.parquet").to_pylist()[:3] == [
        {"shard": "a" * 64, "row": 3, "column": "url", "element": 1},
        {"shard": "b" * 64, "row": 0, "column": "tags", "element": 2},
        {"shard": "b" * 64, "row": 1, "column": "text", "element": None},
    ]


def test_redacted_keys_come_back_sorted_and_once(tmp_path: Path) -> None:
    keys = [(KeyKind.ROW_ID, b"7", "text"), (KeyKind.ROW_ID, b"7", None), (KeyKind.ROW_ID, b"7", "text")]
    write_redacted_keys(tmp_path / "diff/redacted_keys.parquet", keys)
    found = [(one.entry.kind, one.entry.key, one.column) for one in read_redacted_keys(tmp_path)]
    assert found == [(KeyKind.ROW_ID, b"7", None), (KeyKind.ROW_ID, b"7", "text")]


def test_a_redacted_cell_without_a_column_is_refused(tmp_path: Path) -> None:
    (tmp_path / "diff").mkdir()
    columns = {"shard": ["a" * 64], "row": [1], "column": pa.array([None], pa.string()), "element": [0]}
    pq.write_table(pa.table(columns), tmp_path / "diff/redacted.parquet")
    with pytest.raises(BadRelease, match="names no shard, row or column in some line"):
        read_redacted(tmp_path)


def test_a_release_from_before_methods_were_told_is_read(tmp_path: Path) -> None:
    said = json.loads(OLD_RELEASE)
    (tmp_path / "release.json").write_bytes(OLD_RELEASE)
    release = read_release(tmp_path)
    assert [(shard.method, shard.redacted) for shard in release.shards] == [(None, 0)]
    assert json.loads(release.to_json()) == said


@pytest.mark.parametrize("method", ["guessed", "", 7])
def test_a_method_that_nobody_knows_is_refused(tmp_path: Path, method: object) -> None:
    said = json.loads(OLD_RELEASE)
    said["shards"][0]["method"] = method
    (tmp_path / "release.json").write_text(json.dumps(said))
    with pytest.raises(BadRelease, match="method"):
        read_release(tmp_path)


@pytest.mark.parametrize(
    ("columns", "problem"),
    [({"url": None}, r"columns\.url"), ({"url": 1}, r"columns\.url"), ({"link": "url"}, "link")],
)
def test_a_role_is_one_that_is_known_and_its_column_a_name(
    tmp_path: Path, columns: dict[str, Any], problem: str
) -> None:
    said = json.loads(OLD_RELEASE) | {"columns": columns}
    (tmp_path / "release.json").write_text(json.dumps(said))
    with pytest.raises(BadRelease, match=problem):
        read_release(tmp_path)


OLD_RELEASE = b"""{
  "format": "expunge-release/1", "dataset": "links", "version": "1", "serial": 1,
  "created": "2026-11-23T12:00:00.000000Z", "form": "compact", "previous": null,
  "base": {"version": "base", "root": "%(digest)s", "rows": 10, "shards": 1},
  "columns": {"url": "url"}, "blanked": [],
  "totals": {"rows_before": 10, "rows_removed": 1, "rows_after": 9, "bytes": 99, "shards": 1, "shards_changed": 1},
  "hidden": [],
  "shards": [{"path": "data/a.csv", "sha256": "%(digest)s", "bytes": 99, "rows": 9, "base_sha256": "%(digest)s",
              "base_rows": 10, "removed": 1}]
}""".replace(b"%(digest)s", b"0" * 64)
