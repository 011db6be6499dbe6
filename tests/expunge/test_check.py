"""Is a copy affected?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from expunge.check import Verdict, check
from tests.expunge.formats import PARQUET, TEXT, make_rows, md5_of, url_of, write_shard
from tests.expunge.runs import copy_of, release_of

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def base(tmp_path: Path) -> Path:
    write_shard(tmp_path / "base", "one", make_rows(20), PARQUET[0])
    write_shard(tmp_path / "base", "two", make_rows(30)[20:], TEXT[0])
    release_of(tmp_path / "base", [url_of(3), url_of(12)], tmp_path / "release")
    return tmp_path / "base"


def test_shards_are_known_by_their_digests_or_searched(base: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    for path in (base / "one.parquet", base / "two.csv"):
        (mine / path.name).parent.mkdir(exist_ok=True)
        (mine / path.name).write_bytes(path.read_bytes())
    (mine / "zero.parquet").write_bytes((tmp_path / "release/data/one.parquet").read_bytes())
    (mine / "urls.txt").write_text(f"{url_of(12)}\n{url_of(13)}\n")
    checked = check(copy_of(mine), tmp_path / "release")
    assert [(s.name, s.known_as, s.rows, s.positions.tolist()) for s in checked.parts] == [
        ("one.parquet", "base", 20, [3, 12]),
        ("two.csv", "release", 10, []),
        ("urls.txt", "keys", 2, [0]),
        ("zero.parquet", "release", 18, []),
    ]
    assert (checked.verdict, checked.rows, checked.affected) == (Verdict.AFFECTED, 50, 3)


def test_known_bytes_under_another_format_are_searched(tmp_path: Path) -> None:
    """Its positions would be those of other rows: one that must go would stay."""
    (tmp_path / "base.csv").write_text("url\n" + "".join(f"{url_of(n)}\n" for n in range(6)))
    release_of(tmp_path / "base.csv", [url_of(3)], tmp_path / "release")
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "base.txt").write_bytes((tmp_path / "base.csv").read_bytes())
    (mine / "clean.txt").write_bytes((tmp_path / "release/data/base.csv").read_bytes())
    checked = check(copy_of(mine), tmp_path / "release")
    assert [(s.name, s.known_as, s.rows, s.positions.tolist()) for s in checked.parts] == [
        ("base.txt", "keys", 7, [4]),
        ("clean.txt", "keys", 6, []),
    ]


def test_the_answer_for_machines_names_rows_by_index(base: Path, tmp_path: Path) -> None:
    said = check(copy_of(base), tmp_path / "release").to_dict()
    assert said == {
        "verdict": "affected",
        "release": {"dataset": "links", "version": "2026-11-23", "serial": 1, "base": "base"},
        "rows": 30,
        "affected": 2,
        "redacted": 0,
        "shards": [
            {
                "name": "one.parquet",
                "known_as": "base",
                "rows": 20,
                "affected": 2,
                "positions": [3, 12],
                "redacted": [],
                "redacted_samples": [],
                "samples": [],
                "undetermined": [],
            },
            {
                "name": "two.csv",
                "known_as": "release",
                "rows": 10,
                "affected": 0,
                "positions": [],
                "redacted": [],
                "redacted_samples": [],
                "samples": [],
                "undetermined": [],
            },
        ],
    }


def test_the_release_is_not_affected(base: Path, tmp_path: Path) -> None:
    assert check(copy_of(tmp_path / "release"), tmp_path / "release").verdict is Verdict.NOT_AFFECTED


def test_a_copy_that_lacks_a_column_is_undetermined(tmp_path: Path) -> None:
    (tmp_path / "base.csv").write_text(
        f"url,md5\nhttps://a.example/,{md5_of(1)}\nhttps://a.example/,{md5_of(2)}\n"
    )
    release_of(tmp_path / "base.csv", [f"md5:{md5_of(1)}"], tmp_path / "release")
    (tmp_path / "mine.txt").write_text("https://a.example/\n")
    checked = check(copy_of(tmp_path / "mine.txt"), tmp_path / "release")
    assert checked.verdict is Verdict.UNDETERMINED
    # One that has the hashes needs no URLs: the only removed row is found by its hash.
    (tmp_path / "hashes.csv").write_text(f"md5\n{md5_of(2)}\n")
    assert check(copy_of(tmp_path / "hashes.csv"), tmp_path / "release").verdict is Verdict.NOT_AFFECTED


def test_where_nothing_was_removed_no_copy_is_undetermined(base: Path, tmp_path: Path) -> None:
    release_of(base, ["https://absent.example/"], tmp_path / "nothing")
    (tmp_path / "hashes.csv").write_text(f"md5\n{md5_of(2)}\n")
    assert check(copy_of(tmp_path / "hashes.csv"), tmp_path / "nothing").verdict is Verdict.NOT_AFFECTED


def test_another_spelling_of_a_removed_url_is_found(base: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("HTTPS://IMG3.example.com:443/00003.jpg#top\n")
    assert check(copy_of(tmp_path / "mine.txt"), tmp_path / "release").affected == 1
