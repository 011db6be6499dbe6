"""Folders and files that appear whole or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from expunge.errors import BadShard, ExpungeError, Interrupted, UsageError, VerificationFailed
from expunge.files import building, write_file, writing
from expunge.journal import Finished, append_finished, read_finished
from expunge.manifest import file_digest
from tests.expunge.runs import names_in

if TYPE_CHECKING:
    from pathlib import Path


def test_it_appears_when_the_block_ends(tmp_path: Path) -> None:
    with building(tmp_path / "a/out") as folder:
        write_file(folder / "x/y.txt", b"1")
        assert not (tmp_path / "a/out").exists()
    assert names_in(tmp_path) == {"a", "a/out", "a/out/x", "a/out/x/y.txt"}


def test_an_empty_folder_may_be_there(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with building(tmp_path / "out") as folder:
        write_file(folder / "y.txt", b"1")
    assert (tmp_path / "out/y.txt").read_bytes() == b"1"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_after_an_error_nothing_is_left(tmp_path: Path, error: type[BaseException]) -> None:
    def fail() -> None:
        with building(tmp_path / "a/b/out") as folder:
            write_file(folder / "x/y.txt", b"1")
            raise error

    with pytest.raises(error):
        fail()
    assert names_in(tmp_path) == set()


def finish(folder: Path, name: str) -> None:
    write_file(folder / name, b"1")
    append_finished(folder, Finished(name, "recipe", file_digest(folder / name), {}))


@pytest.mark.parametrize("error", [KeyboardInterrupt, Interrupted, ValueError, OSError(28, "full")])
def test_an_interruption_keeps_what_is_finished_and_nothing_else(tmp_path: Path, error: Any) -> None:
    def stop() -> None:
        with building(tmp_path / "a/out") as folder:
            finish(folder, "x/done.txt")
            write_file(folder / "x/y/half.txt", b"1")
            raise error

    with pytest.raises((KeyboardInterrupt, Interrupted, ValueError)):
        stop()
    assert names_in(tmp_path / "a/.out.partial") == {".finished", "x", "x/done.txt"}
    with building(tmp_path / "a/out") as folder:
        assert set(read_finished(folder)) == {"x/done.txt"}
    assert names_in(tmp_path) == {"a", "a/out", "a/out/x", "a/out/x/done.txt"}


@pytest.mark.parametrize(
    "error", [UsageError("no"), BadShard("no", "a"), VerificationFailed("no"), ExpungeError("no")]
)
def test_what_condemns_the_inputs_leaves_nothing(tmp_path: Path, error: ExpungeError) -> None:
    def fail() -> None:
        with building(tmp_path / "a/out") as folder:
            finish(folder, "done.txt")
            raise error

    with pytest.raises(type(error)):
        fail()
    assert names_in(tmp_path) == set()


def test_what_a_killed_run_left_is_cleared(tmp_path: Path) -> None:
    (tmp_path / ".out.partial/x").mkdir(parents=True)
    (tmp_path / ".out.partial/x/y").touch()
    (tmp_path / ".out.partial/z").symlink_to(tmp_path)
    with building(tmp_path / "out") as folder:
        assert list(folder.iterdir()) == []
    assert names_in(tmp_path) == {"out"}


def test_a_second_run_is_refused_and_does_no_harm(tmp_path: Path) -> None:
    with building(tmp_path / "out") as folder:
        write_file(folder / "y.txt", b"1")
        with pytest.raises(UsageError, match=r"Another run is building .*out"), building(tmp_path / "out"):
            pass
    assert (tmp_path / "out/y.txt").read_bytes() == b"1"


@pytest.mark.parametrize("what", ["file", "folder"])
def test_what_is_there_is_kept(tmp_path: Path, what: str) -> None:
    if what == "file":
        (tmp_path / "out").touch()
    else:
        (tmp_path / "out/mine").mkdir(parents=True)
    with pytest.raises(UsageError, match="exists and is not an empty folder"), building(tmp_path / "out"):
        pass
    assert not (tmp_path / ".out.partial").exists()


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(ExpungeError, match="out cannot be written"),
        building(tmp_path / "file/out"),
    ):
        pass


def test_a_link_in_the_place_of_the_partial_folder_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/precious").touch()
    (tmp_path / ".out.partial").symlink_to(tmp_path / "mine")
    with pytest.raises(ExpungeError, match="out cannot be written"), building(tmp_path / "out"):
        pass
    assert (tmp_path / "mine/precious").exists()


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    with writing(tmp_path / "out.bin") as path:
        path.write_bytes(b"1")
    assert names_in(tmp_path) == {"out.bin"}


def test_after_an_error_no_file_is_left(tmp_path: Path) -> None:
    def fail() -> None:
        with writing(tmp_path / "two.bin") as path:
            path.write_bytes(b"1")
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        fail()
    assert names_in(tmp_path) == set()


def test_an_error_without_a_number_is_no_matter_of_the_disk(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="odd"), building(tmp_path / "out"):
        raise OSError("odd")
    assert names_in(tmp_path) == set()
