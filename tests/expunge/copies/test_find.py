"""What a copy is made of is told from how its files lie."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from expunge.errors import UsageError
from tests.expunge.runs import copy_of

if TYPE_CHECKING:
    from pathlib import Path


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    return folder


def parts(folder: Path) -> dict[str, list[str]]:
    return {part.name: [follower.name for follower in part.all_followers] for part in copy_of(folder).parts}


def test_each_manifest_has_what_follows_it(tmp_path: Path) -> None:
    touch(tmp_path, "a/00000.parquet", "a/00000.tar", "a/00000_stats.json")
    touch(
        tmp_path, "b/00000.parquet", "b/00000_stats.json", "b/00000/0.jpg", "b/00000/0.txt", "b/00000/1.json"
    )
    touch(tmp_path, "c/list.csv.gz", "c/list.tar", "c/alone.tar", "d/x.txt", "notes.pdf")
    assert parts(tmp_path) == {
        "a/00000.parquet": ["a/00000.tar", "a/00000_stats.json"],
        "b/00000.parquet": ["b/00000", "b/00000_stats.json"],
        "c/alone.tar": ["c/alone.tar"],
        "c/list.csv.gz": ["c/list.tar"],
        "d/x.txt": [],
    }
    assert [path.name for path in copy_of(tmp_path).ignored] == ["notes.pdf"]


def test_a_folder_of_samples_needs_no_manifest_and_may_be_given_itself(tmp_path: Path) -> None:
    touch(tmp_path, "images/0.webp", "images/0.txt", "images/1.webp", "lists/a.txt")
    assert parts(tmp_path) == {"images": ["images"], "lists/a.txt": []}
    assert parts(tmp_path / "images") == {"images": ["images"]}


def test_images_that_nothing_describes_are_left_out(tmp_path: Path) -> None:
    touch(tmp_path, "a.parquet", "assets/logo.png")
    assert parts(tmp_path) == {"a.parquet": []}
    assert [path.name for path in copy_of(tmp_path).ignored] == ["logo.png"]


@pytest.mark.parametrize(
    ("manifest", "array"),
    [
        ("metadata/metadata_0.parquet", "img_emb/img_emb_0.npy"),
        ("metadata_0007.parquet", "text_emb_7.npy"),
        ("a/metadata/metadata_12.parquet", "a/img_emb/img_emb_0012.npy"),
    ],
)
def test_arrays_are_known_by_their_number(manifest: str, array: str, tmp_path: Path) -> None:
    touch(tmp_path, manifest)
    (tmp_path / array).parent.mkdir(exist_ok=True)
    np.save(tmp_path / array, np.zeros(1))
    assert parts(tmp_path) == {manifest: [array]}


def test_arrays_of_other_numbers_and_folders_are_left_out(tmp_path: Path) -> None:
    touch(tmp_path, "a/metadata_0.parquet", "a/img_emb_1.npy", "b/img_emb_0.npy", "a/other_0.npy")
    assert parts(tmp_path) == {"a/metadata_0.parquet": []}
    assert len(copy_of(tmp_path).ignored) == 3


def test_nothing_is_no_copy(tmp_path: Path) -> None:
    touch(tmp_path, "notes.pdf")
    with pytest.raises(UsageError, match=r"No shard in .*: looked for \.parquet .* and \.tar"):
        copy_of(tmp_path)
    with pytest.raises(UsageError, match="does not exist"):
        copy_of(tmp_path / "absent")


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, "a/x.tar", "b/x.tar")
    with pytest.raises(UsageError, match=r"would both be 'x\.tar'"):
        copy_of(tmp_path / "a", tmp_path / "b")
    assert [part.name for part in copy_of(tmp_path / "a", tmp_path / "a/x.tar").parts] == ["x.tar"]


def test_samples_in_two_places_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, "0.parquet", "0.tar", "0/k.jpg")
    with pytest.raises(UsageError, match=r"0\.parquet has its samples in 0\.tar and in 0/"):
        copy_of(tmp_path)


def test_names_that_leave_the_folder_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, "a\\b.tar")
    with pytest.raises(UsageError, match="is not a name inside a folder"):
        copy_of(tmp_path)
