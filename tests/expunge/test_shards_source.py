"""Which files are shards, and under which names."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from expunge.errors import UsageError
from expunge.shards import check_name, find_shards, is_shard_name


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("url\nhttps://a.example/\n")


def found(*paths: Path) -> list[str]:
    return [shard.name for shard in find_shards(paths).shards]


def test_a_folder_gives_its_shards_in_name_order_and_lists_the_rest(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "b.csv",
        "a/z.JSONL.GZ",
        "a/é x.txt",
        "README.md",
        "a/notes.pdf",
        ".hidden.csv",
        ".git/c.csv",
        "a.csv",
    )
    result = find_shards([tmp_path])
    assert [shard.name for shard in result.shards] == ["a.csv", "a/z.JSONL.GZ", "a/é x.txt", "b.csv"]
    assert result.ignored == [tmp_path / "README.md", tmp_path / "a/notes.pdf"]


def test_a_file_is_called_by_its_name_and_a_glob_by_what_follows_its_fixed_part(tmp_path: Path) -> None:
    touch(tmp_path, "x/1/a.csv", "x/2/a.csv", "x/2/b.md")
    assert found(tmp_path / "x/1/a.csv") == ["a.csv"]
    assert found(tmp_path / "x/*/a.*") == ["1/a.csv", "2/a.csv"]
    assert found(tmp_path / "x/**/*.csv") == ["1/a.csv", "2/a.csv"]


def test_a_glob_relative_to_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "a.csv", "b.csv")
    monkeypatch.chdir(tmp_path)
    assert found(Path("*.csv")) == ["a.csv", "b.csv"]


def test_a_name_with_brackets_is_a_name(tmp_path: Path) -> None:
    touch(tmp_path, "a[1].csv", "a1.csv")
    assert found(tmp_path / "a[1].csv") == ["a[1].csv"]


def test_links_to_files_are_read_and_links_to_folders_are_not_followed(tmp_path: Path) -> None:
    touch(tmp_path, "real/a.csv", "data/b.csv")
    (tmp_path / "data/link.csv").symlink_to(tmp_path / "real/a.csv")
    (tmp_path / "data/up").symlink_to(tmp_path)
    (tmp_path / "data/here").symlink_to(tmp_path / "data")
    assert found(tmp_path / "data") == ["b.csv", "link.csv"]
    # What lies behind it is told as left out, unless it is looked at anyhow.
    assert find_shards([tmp_path / "data"]).ignored == [tmp_path / "data/up"]


@pytest.mark.parametrize(
    ("make", "ask", "problem"),
    [
        ((), "missing", "missing does not exist"),
        ((), "*.csv", "No shard in"),
        (("a.md",), ".", "No shard in"),
        (("a.md",), "a.md", "No shard in"),
        (("bad\nname.csv",), ".", "control character"),
        (("bad\u2028name.csv",), ".", "control character"),
        (("bad\u0085name.csv",), ".", "control character"),
        ((os.fsdecode(b"bad\xff.csv"),), ".", "not UTF-8"),
        (("bad\\name.csv",), ".", "not a name inside a folder"),
    ],
)
def test_what_cannot_be_found_or_named_is_refused(
    tmp_path: Path, make: tuple[str, ...], ask: str, problem: str
) -> None:
    touch(tmp_path, *make)
    with pytest.raises(UsageError, match=problem):
        found(tmp_path / ask)


def test_two_shards_of_one_name_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, "x/a.csv", "y/a.csv")
    with pytest.raises(UsageError, match=r"would both be 'a\.csv'"):
        found(tmp_path / "x", tmp_path / "y")


def test_a_folder_that_cannot_be_listed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("os.scandir", fail)
    with pytest.raises(UsageError, match="cannot be listed: Permission denied"):
        found(tmp_path)


@pytest.mark.parametrize(
    "name", ["../x.csv", "/x.csv", "a/../x.csv", "a//x.csv", "./x.csv", "a\\x.csv", "", "a/", "a\x7f.csv"]
)
def test_a_name_that_leaves_the_folder_is_refused(name: str) -> None:
    with pytest.raises(UsageError):
        check_name(name)


@pytest.mark.parametrize("name", ["x.csv", "a/b/ü x.csv", "..a/x.csv", "日本\u3000.csv"])
def test_other_names_are_taken(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize(
    ("name", "is_shard"),
    [
        ("a.parquet", True),
        ("a.parquet.gz", False),
        ("a.csv.zst", True),
        ("a.TSV", True),
        ("a.ndjson.gz", True),
        ("a.gz", False),
        ("csv", False),
        ("a.json", False),
    ],
)
def test_the_extension_says_what_is_a_shard(name: str, *, is_shard: bool) -> None:
    assert is_shard_name(name) == is_shard
