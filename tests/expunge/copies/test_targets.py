"""In place, a part changes whole or not at all, wherever a run is stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from expunge.apply import apply
from expunge.check import Verdict, check
from expunge.copies.targets import in_place, locked, refuse_unfinished
from expunge.errors import BadShard, UsageError, VerificationFailed
from tests.expunge.copies.test_tar import pack, unpack
from tests.expunge.formats import url_of
from tests.expunge.runs import copy_of, names_in, release_of

if TYPE_CHECKING:
    from pathlib import Path

# Stops itself without a word, as a power cut would, at the n-th of the system calls that a change is made of.
STOPPED = """
import os, pathlib, signal, sys
from expunge.copies import targets
left = int(sys.argv[1])

def counting(call):
    def count(*arguments, **options):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*arguments, **options)
    return count

pathlib.Path.rename = counting(pathlib.Path.rename)
pathlib.Path.unlink = counting(pathlib.Path.unlink)
pathlib.Path.write_bytes = counting(pathlib.Path.write_bytes)
targets._sync = counting(targets._sync)
from expunge.apply import apply
from expunge.copies import find_copy
paths = [pathlib.Path(sys.argv[3])]
with targets.locked(paths):
    apply(pathlib.Path(sys.argv[2]), find_copy(paths), None)
"""


def write(folder: Path) -> Path:
    """Two parts: a manifest with a tar, a folder and embeddings cannot be had at once, so each has some."""
    folder.mkdir(parents=True)
    (folder / "text_emb").mkdir()
    for number in range(2):
        rows = range(number * 5, number * 5 + 5)
        table = pa.table({"key": [f"k{row}" for row in rows], "url": [url_of(row) for row in rows]})
        pq.write_table(table, folder / f"metadata_{number}.parquet")
        np.save(folder / f"text_emb/text_emb_{number}.npy", np.array([[row] for row in rows]))
    pack(folder / "metadata_0.tar", {f"k{row}.jpg": b"%d" % row for row in range(5)})
    (folder / "metadata_1").mkdir()
    for row in range(5, 10):
        (folder / f"metadata_1/k{row}.jpg").write_bytes(b"%d" % row)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in names_in(folder) if (folder / name).is_file()}


@pytest.fixture
def release(tmp_path: Path) -> Path:
    (tmp_path / "base.txt").write_text("".join(f"{url_of(row)}\n" for row in range(10)))
    release_of(tmp_path / "base.txt", [url_of(row) for row in (1, 2, 6)], tmp_path / "release")
    return tmp_path / "release"


def bring(release: Path, folder: Path, **options: Any) -> None:
    with locked([folder]):
        apply(release, copy_of(folder), None, **options)


@pytest.mark.parametrize("at", [2, 4, 5, 6, 7, 8, 9, 10, 11, 14, 19, 26])
def test_a_run_killed_anywhere_is_finished_by_the_next(at: int, release: Path, tmp_path: Path) -> None:
    bring(release, write(tmp_path / "expected"))
    folder = write(tmp_path / "mine")
    done = subprocess.run([sys.executable, "-c", STOPPED, str(at), release, folder], check=False, timeout=60)
    assert done.returncode in {0, -signal.SIGKILL}
    bring(release, folder)
    assert contents(folder) == contents(tmp_path / "expected")
    assert check(copy_of(folder), release).verdict is Verdict.NOT_AFFECTED


def test_what_went_is_gone_and_the_rest_is_as_it_was(release: Path, tmp_path: Path) -> None:
    folder = write(tmp_path / "mine")
    os.chmod(folder / "metadata_0.tar", 0o640)  # noqa: PTH101  a mode that no file has by itself
    bring(release, folder, workers=2)
    assert unpack(folder / "metadata_0.tar") == {"k0.jpg": b"0", "k3.jpg": b"3", "k4.jpg": b"4"}
    assert (folder / "metadata_0.tar").stat().st_mode & 0o777 == 0o640
    assert sorted(path.name for path in (folder / "metadata_1").iterdir()) == [
        "k5.jpg",
        "k7.jpg",
        "k8.jpg",
        "k9.jpg",
    ]
    assert np.load(folder / "text_emb/text_emb_1.npy").tolist() == [[5], [7], [8], [9]]
    assert pq.read_table(folder / "metadata_1.parquet")["key"].to_pylist() == ["k5", "k7", "k8", "k9"]


def test_files_that_need_no_change_are_not_touched(release: Path, tmp_path: Path) -> None:
    folder = write(tmp_path / "mine")
    bring(release, folder)
    before = {name: (folder / name).stat() for name in names_in(folder)}
    bring(release, folder)
    assert {name: (folder / name).stat().st_ino for name in names_in(folder)} == {
        name: status.st_ino for name, status in before.items()
    }


def test_an_error_in_one_part_leaves_it_as_it_was(
    release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(tmp_path / "mine")
    before = contents(folder)

    def fail(*arguments: object, **options: object) -> None:
        raise VerificationFailed("not what was written")

    monkeypatch.setattr("expunge.copies.tar.TarSamples.write", fail)
    with pytest.raises(VerificationFailed):
        bring(release, folder)
    assert contents(folder) == before


def test_a_half_changed_copy_is_not_judged(tmp_path: Path) -> None:
    folder = write(tmp_path / "mine")
    (folder / ".metadata_0.parquet.expunge-swap").write_bytes(b"{}")
    with pytest.raises(
        UsageError, match=r"an apply --in-place was stopped before its end\. Run it again first"
    ):
        refuse_unfinished([folder])
    with pytest.raises(UsageError, match="is not a list that expunge wrote"), locked([folder]):
        pass


@pytest.mark.parametrize("name", ["../outside", "/etc/hostname", "text_emb/../../outside"])
def test_a_list_put_there_by_somebody_else_reaches_nothing_outside(name: str, tmp_path: Path) -> None:
    folder = write(tmp_path / "mine")
    (tmp_path / "outside").write_text("mine")
    listed = {"renamed": [], "deleted": [name]}
    (folder / ".x.expunge-swap").write_bytes(orjson.dumps(listed))
    with pytest.raises(UsageError, match="names a file outside the copy"), locked([folder]):
        pass
    assert (tmp_path / "outside").exists()


def test_links_are_refused(release: Path, tmp_path: Path) -> None:
    folder = write(tmp_path / "mine")
    (tmp_path / "blobs").mkdir()
    (folder / "metadata_0.tar").rename(tmp_path / "blobs/tar")
    (folder / "metadata_0.tar").symlink_to(tmp_path / "blobs/tar")
    before = contents(folder)
    with pytest.raises(BadShard, match=r"metadata_0\.tar: is a link, and what it leads to would stay"):
        bring(release, folder)
    assert contents(folder) == before


def test_two_runs_do_not_change_one_copy(tmp_path: Path) -> None:
    folder = write(tmp_path / "mine")
    with locked([folder]), pytest.raises(UsageError, match="Another run is changing"), locked([folder]):
        pass


def test_nothing_is_written_when_the_block_fails(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")

    def fail() -> None:
        with in_place() as target:
            target.new(tmp_path / "a", "a").write_text("new")
            target.drop(tmp_path / "a", "a")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert contents(tmp_path) == {"a": b"old"}
