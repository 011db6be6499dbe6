"""Hashing many files at once."""

from __future__ import annotations

import hashlib
import threading
from typing import TYPE_CHECKING

import pytest

from expunge.errors import BadShard
from expunge.hashing import hash_files
from expunge.shards import ShardFile

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def files(tmp_path: Path) -> list[ShardFile]:
    for number, size in enumerate((3_000_000, 5, 700_000)):
        (tmp_path / f"{number}.txt").write_bytes(bytes([number]) * size)
    return [ShardFile(tmp_path / f"{number}.txt", f"{number}.txt") for number in range(3)]


@pytest.mark.parametrize("workers", [1, 2, 9])
def test_digests_come_in_the_order_of_the_files(files: list[ShardFile], workers: int) -> None:
    found = hash_files(files, workers=workers)
    assert [one.sha256 for one in found] == [
        hashlib.sha256(file.path.read_bytes()).hexdigest() for file in files
    ]
    assert [one.fingerprint[0] for one in found] == [3_000_000, 5, 700_000]


def test_progress_counts_bytes_and_is_told_in_the_callers_thread(files: list[ShardFile]) -> None:
    told: list[tuple[str, int, int]] = []
    threads: set[int] = set()

    def progress(stage: str, done: int, total: int) -> None:
        told.append((stage, done, total))
        threads.add(threading.get_ident())

    hash_files(files, workers=2, progress=progress)
    assert told[0] == ("Hashing files", 0, 3_700_005)
    assert told[-1] == ("Hashing files", 3_700_005, 3_700_005)
    assert threads == {threading.get_ident()}


def test_a_file_that_is_none_is_told_by_name(files: list[ShardFile], tmp_path: Path) -> None:
    with pytest.raises(BadShard, match=r"x\.txt: cannot be read"):
        hash_files([*files, ShardFile(tmp_path / "x.txt", "x.txt")], workers=2)
    with pytest.raises(BadShard, match="is not a file"):
        hash_files([ShardFile(tmp_path, "folder")])


def test_an_empty_file_is_a_fault_where_none_may_be(tmp_path: Path) -> None:
    (tmp_path / "x.csv").touch()
    with pytest.raises(BadShard, match="is empty"):
        hash_files([ShardFile(tmp_path / "x.csv", "x.csv")])
    (found,) = hash_files([ShardFile(tmp_path / "x.csv", "x.csv", may_be_empty=True)])
    assert found.sha256 == hashlib.sha256(b"").hexdigest()


def test_no_files_are_no_digests() -> None:
    assert hash_files([]) == []
