"""Telling what a release costs a holder of its base."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

from expunge.diff import explain_release
from expunge.manifest import BadRelease
from tests.expunge.formats import PARQUET, make_rows, url_of, write_shard
from tests.expunge.runs import expunge, release_of

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def release(tmp_path: Path) -> Path:
    for place in range(4):
        write_shard(
            tmp_path / "base", f"p{place}", make_rows(4000)[place * 1000 : place * 1000 + 1000], PARQUET[2]
        )
    release_of(tmp_path / "base", [url_of(5), url_of(2001)], tmp_path / "release")
    return tmp_path / "release"


def test_each_way_is_counted_in_bytes(release: Path) -> None:
    sizes = {
        path.relative_to(release).as_posix(): path.stat().st_size
        for path in release.rglob("*")
        if path.is_file()
    }
    data = {name: size for name, size in sizes.items() if name.startswith("data/")}
    small = sum(sizes.values()) - sum(data.values())
    explained = explain_release(release)
    assert explained.diff_bytes == small
    assert explained.changed_bytes == small + data["data/p0.parquet"] + data["data/p2.parquet"]
    assert explained.all_bytes == sum(sizes.values())
    assert (explained.shards_touched, explained.release.rows_removed) == (2, 2)


def test_the_shards_need_not_be_there(release: Path) -> None:
    before = explain_release(release)
    shutil.rmtree(release / "data")
    assert explain_release(release) == before


def test_signatures_count_and_other_files_do_not(release: Path) -> None:
    before = explain_release(release).diff_bytes
    (release / "dataset.sig").write_bytes(b"s" * 100)
    (release / "notes.txt").write_bytes(b"n" * 1000)
    assert explain_release(release).diff_bytes == before + 100


def test_a_release_without_its_diff_is_refused(release: Path) -> None:
    (release / "diff/keys.parquet").unlink()
    with pytest.raises(BadRelease, match=r"diff/keys\.parquet is missing"):
        explain_release(release)


def test_the_command_prints_a_table_and_json(release: Path) -> None:
    table = expunge("explain", release)
    assert table.returncode == 0, table.stderr
    assert "2 of 4,000 rows removed, 2 of 4 shards touched" in table.stdout
    explained = explain_release(release)
    assert f"{explained.diff_bytes:,} bytes" in table.stdout
    said = json.loads(expunge("explain", release, "--format", "json").stdout)
    assert said["rows"] == {"before": 4000, "removed": 2, "after": 3998}
    assert said["shards"] == {"all": 4, "touched": 2}
    assert said["download_bytes"] == {
        "diff": explained.diff_bytes,
        "changed_shards": explained.changed_bytes,
        "everything": explained.all_bytes,
    }
    assert expunge("explain", release / "data").returncode == 127
