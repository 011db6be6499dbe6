from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

import pytest

from expunge.errors import BadShard
from registry.datasets import store

if TYPE_CHECKING:
    from pathlib import Path


def write(path: Path, data: bytes = b"url\nhttps://a.example/1\n") -> tuple[Path, str]:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path, hashlib.sha256(data).hexdigest()


def test_an_object_is_a_read_only_copy_under_its_digest(tmp_path: Path, store_folder: Path) -> None:
    source, digest = write(tmp_path / "0.csv")
    kept = store.put(source, digest)
    assert kept == store_folder / "sha256" / digest[:2] / digest == store.object_path(digest)
    assert kept.stat().st_mode & 0o777 == 0o444
    assert kept.stat().st_ino != source.stat().st_ino
    source.write_text("something else")
    assert hashlib.sha256(kept.read_bytes()).hexdigest() == digest
    assert not list((store_folder / "incoming").iterdir())


def test_the_same_bytes_are_kept_once(tmp_path: Path, store_folder: Path) -> None:
    source, digest = write(tmp_path / "0.csv")
    first = store.put(source, digest).stat().st_ino
    assert store.put(source, digest).stat().st_ino == first


def test_a_file_that_changed_meanwhile_is_refused_and_nothing_stays(
    tmp_path: Path, store_folder: Path
) -> None:
    source, _ = write(tmp_path / "0.csv")
    digest = "0" * 64
    with pytest.raises(BadShard, match=r"0\.csv changed"):
        store.put(source, digest)
    assert not store.object_path(digest).exists()
    assert not list((store_folder / "incoming").iterdir())


def test_a_full_disk_leaves_nothing(
    tmp_path: Path, store_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_number: int) -> None:
        raise OSError(28, "No space left on device")

    source, digest = write(tmp_path / "0.csv")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        store.put(source, digest)
    assert not store.object_path(digest).exists()
    assert not list((store_folder / "incoming").iterdir())


@pytest.mark.parametrize("digest", ["", "../../etc/passwd", "AB" * 32, "a" * 63, "a" * 64 + "\n"])
def test_only_a_digest_is_a_digest(digest: str) -> None:
    with pytest.raises(ValueError, match="64"):
        store.object_path(digest)


def test_a_file_of_the_store_becomes_an_object_without_a_copy(store_folder: Path) -> None:
    source, digest = write(store_folder / "releases" / "r" / "data" / "0.csv")
    kept = store.link(source, digest)
    assert kept.stat().st_ino == source.stat().st_ino
    assert store.link(source, digest) == kept
    assert source.stat().st_mode & 0o222 == 0


def test_no_file_outside_the_store_is_linked(tmp_path: Path, store_folder: Path) -> None:
    source, digest = write(tmp_path / "0.csv")
    with pytest.raises(ValueError, match="store"):
        store.link(source, digest)
    inside = store_folder / "releases" / "link.csv"
    inside.parent.mkdir(parents=True)
    inside.symlink_to(source)
    with pytest.raises(ValueError, match="store"):
        store.link(inside, digest)


def test_a_link_is_made_only_under_its_own_digest(store_folder: Path) -> None:
    source, _ = write(store_folder / "releases" / "0.csv")
    with pytest.raises(BadShard):
        store.link(source, "0" * 64)
    assert not store.object_path("0" * 64).exists()


def test_sweeping_removes_what_killed_workers_left_but_not_what_is_being_made(store_folder: Path) -> None:
    old, _ = write(store_folder / "incoming" / "old")
    new, _ = write(store_folder / "incoming" / "new")
    os.utime(old, (1, 1))
    assert store.sweep() == 1
    assert new.exists()
    assert not old.exists()


def test_a_link_that_took_the_files_place_is_not_followed_out(tmp_path: Path, store_folder: Path) -> None:
    root = (tmp_path / "imports").resolve()
    checked, _ = write(root / "0.csv")
    secret, digest = write(tmp_path / "secret.csv", b"url\nhttps://secret.example/\n")
    checked.unlink()
    checked.symlink_to(secret)
    with pytest.raises(BadShard, match="leads out"):
        store.put(checked, digest, inside=[root])
    assert not store.object_path(digest).exists()
    assert not list((store_folder / "incoming").iterdir())


def test_a_link_that_is_swapped_while_the_file_is_open_is_noticed(
    tmp_path: Path, store_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = (tmp_path / "imports").resolve()
    harmless, _ = write(root / "harmless.csv", b"url\n")
    secret, digest = write(tmp_path / "secret.csv", b"url\nhttps://secret.example/\n")
    (root / "0.csv").symlink_to(secret)
    looks = store._lies_inside

    def swap_and_look(opened: int, source: Path, folders: list[Path]) -> bool:
        source.unlink()
        source.symlink_to(harmless)
        return looks(opened, source, folders)

    monkeypatch.setattr(store, "_lies_inside", swap_and_look)
    with pytest.raises(BadShard, match="leads out"):
        store.put(root / "0.csv", digest, inside=[root])
