"""`expunge index` and `expunge locate`, as people run them."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.expunge.formats import ALL, PARQUET, make_rows, md5_of, url_of, write_shard
from tests.expunge.runs import expunge, flip_byte, names_in

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `data/`, and its index in `index/`."""
    home = tmp_path_factory.mktemp("index")
    write_shard(home / "data", "one", make_rows(40), PARQUET[0])
    write_shard(home / "data", "two", make_rows(30), next(one for one in ALL if one.extension == "csv.gz"))
    run = expunge("index", home / "data", "--index", home / "index", "--name", "2B-en")
    assert run.returncode == 0, run.stderr
    return home


def test_index_says_what_it_did(built: Path) -> None:
    run = expunge("index", built / "data", "--index", built / "index", "--name", "2B-en", "--kind", "host.c1")
    assert run.returncode == 0, run.stderr
    lines = dict(line.split(maxsplit=1) for line in run.stdout.splitlines())
    assert lines["version"] == "2B-en"
    assert lines["kinds"] == "host.c1"
    assert lines["shards"] == "0 indexed, 2 reused"
    assert lines["rows"] == "70"


def test_locate_prints_the_rows_of_each_shard(built: Path) -> None:
    run = expunge("locate", url_of(3), f"md5:{md5_of(35)}", "--index", built / "index")
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines() == [
        "version  shard        rows",
        "2B-en    one.parquet  3, 35",
        "2B-en    two.csv.gz   3",
        "2B-en: 3 rows in 2 of 2 shards",
    ]


def test_locate_prints_json_with_the_key_behind_each_row(built: Path) -> None:
    run = expunge("locate", "id:7", url_of(39), "--index", built / "index", "--format", "json")
    assert run.returncode == 0, run.stderr
    said = json.loads(run.stdout)
    assert said["keys"] == [{"kind": "row.id", "rows": 2}, {"kind": "url.c1.sha256", "rows": 1}]
    (version,) = said["versions"]
    assert {shard["name"]: shard["hits"] for shard in version["shards"]} == {
        "one.parquet": [{"row": 7, "key": 0}, {"row": 39, "key": 1}],
        "two.csv.gz": [{"row": 7, "key": 0}],
    }
    assert url_of(39) not in run.stdout


def test_keys_can_come_from_a_list(built: Path, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text(f"{url_of(1)}\n{url_of(1)}\nhost:img2.example.com\n")
    run = expunge("locate", "--list", tmp_path / "list.txt", "--index", built / "index")
    assert run.returncode == 0, run.stderr
    assert "2B-en    two.csv.gz   1, 2, 7, 12, 17, 22, 27" in run.stdout


def test_nothing_found_is_no_error(built: Path) -> None:
    run = expunge("locate", "https://nowhere.example/", "--index", built / "index")
    assert (run.returncode, run.stdout) == (0, "2B-en: 0 rows in 0 of 2 shards\n")


def test_a_kind_without_index_or_column_is_undetermined(built: Path) -> None:
    run = expunge("locate", url_of(3), f"sha1:{'0' * 40}", "--index", built / "index")
    assert run.returncode == 3
    assert "2 shards have no column that carries content.sha1" in run.stderr
    assert "one.parquet  3" in run.stdout


def test_what_cannot_be_confirmed_is_said_and_exits_3(built: Path, tmp_path: Path) -> None:
    shutil.copytree(built / "data", tmp_path / "data")
    assert (
        expunge(
            "index", tmp_path / "data", "--index", tmp_path / "index", "--kind", "url.c1.sha256"
        ).returncode
        == 0
    )
    (tmp_path / "data/one.parquet").unlink()
    run = expunge("locate", url_of(3), "--index", tmp_path / "index")
    assert run.returncode == 3
    assert (
        "one.parquet is no longer where it was indexed, or is another file now: 1 rows were not confirmed"
        in run.stderr
    )
    assert "two.csv.gz" in run.stdout
    assert "one.parquet" not in run.stdout


def test_wrong_use_exits_2(built: Path, tmp_path: Path) -> None:
    assert expunge("locate", "--index", built / "index").returncode == 2
    assert expunge("locate", url_of(1), "--index", tmp_path).returncode == 2
    assert expunge("index", built / "data", "--index", tmp_path, "--kind", "nonsense").returncode == 2
    assert expunge("index", built / "data", "--index", tmp_path, "--kind", "content.sha1").returncode == 2


@pytest.mark.parametrize("folder", ["data/index", "data"])
def test_an_index_inside_the_data_is_refused(built: Path, folder: str) -> None:
    run = expunge("index", built / "data", "--index", built / folder)
    assert run.returncode == 2
    assert "Name a folder beside it" in run.stderr
    assert names_in(built / "data") == {"one.parquet", "two.csv.gz"}


def test_a_damaged_index_exits_127_until_it_is_built_again(built: Path, tmp_path: Path) -> None:
    shutil.copytree(built / "index", tmp_path / "index")
    for path in (tmp_path / "index").glob("??/*/url.c1.sha256.idx"):
        flip_byte(path, 20)
    run = expunge("locate", url_of(1), "--index", tmp_path / "index")
    assert run.returncode == 127
    assert "Build it again with expunge index" in run.stderr
    again = expunge("index", built / "data", "--index", tmp_path / "index", "--name", "2B-en")
    assert "2 indexed, 0 reused" in again.stdout
    assert expunge("locate", url_of(1), "--index", tmp_path / "index").returncode == 0
