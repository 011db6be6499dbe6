"""What a release is not made of, and what goes wrong while it is made: it is told, and nothing is left behind."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from expunge import rewrite
from expunge.clean import clean
from expunge.errors import BadShard, ExpungeError, UsageError, VerificationFailed
from expunge.lists import parse_entry
from expunge.locate import locate
from expunge.shards import ShardFile
from tests.expunge.formats import PARQUET, REQUIRED, TEXT, make_rows, url_of, write_shard
from tests.expunge.runs import make_base, names_in, release_of

if TYPE_CHECKING:
    from pathlib import Path

CSV = TEXT[0]


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return make_base(tmp_path)


def test_shards_of_equal_bytes_in_two_formats_are_refused(tmp_path: Path) -> None:
    """The diff names rows by digest, and a line of a CSV file is another row than the same line of a text file."""
    for name in ("a.csv", "b.txt"):
        (tmp_path / name).write_text("url\n" + "".join(f"{url_of(n)}\n" for n in range(6)))
    with pytest.raises(UsageError, match=r"b\.txt and a\.csv hold the same bytes"):
        release_of([tmp_path / "a.csv", tmp_path / "b.txt"], [url_of(3)], tmp_path / "release")
    assert not (tmp_path / "release").exists()


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"dataset": ""}, "'' is not a name for a dataset"),
        ({"dataset": "a\nb"}, "is not a name for a dataset"),
        ({"version": "é"}, "'é' is not a name for a version"),
        ({"serial": 0}, "serials count from 1"),
        ({"sensitive": ["similarity"]}, "which only the aligned form does"),
        ({"form": "aligned", "sensitive": ["nope"]}, "no column 'nope' to leave empty"),
        ({"columns": {"url": "nope"}}, "no column 'nope' to carry url"),
        (
            {"columns": {"md5": "sample_id"}},
            r"train/one\.parquet: column 'sample_id' \(int64\) cannot carry md5",
        ),
    ],
)
def test_wrong_arguments_are_refused_and_leave_nothing(
    base: Path, tmp_path: Path, options: dict[str, Any], problem: str
) -> None:
    before = names_in(tmp_path)
    with pytest.raises(UsageError, match=problem):
        release_of(base, [url_of(3)], tmp_path / "new/release", **options)
    assert names_in(tmp_path) == before


def test_a_required_column_is_refused_in_the_aligned_form(tmp_path: Path) -> None:
    write_shard(tmp_path / "base", "one", make_rows(9), REQUIRED)
    with pytest.raises(UsageError, match=r"one\.parquet: column 'url' is REQUIRED"):
        release_of(tmp_path / "base", [url_of(3)], tmp_path / "release", form="aligned")
    assert names_in(tmp_path) == {"base", "base/one.parquet"}
    release_of(tmp_path / "base", [url_of(3)], tmp_path / "release")


@pytest.mark.parametrize(
    ("when", "touched"), [("Writing shards", True), ("Writing shards", False), ("Reading back", True)]
)
def test_a_shard_that_changes_between_two_passes_is_refused(
    base: Path, tmp_path: Path, when: str, *, touched: bool
) -> None:
    """It has as many rows as before and none that is named, so only the file itself tells."""

    def change(stage: str, done: int, total: int) -> None:
        if stage == when and done == 0:
            write_shard(base, "two", make_rows(20)[10:], CSV)

    with pytest.raises(BadShard, match=r"two\.csv: changed while it was read"):
        release_of(base, [url_of(3 if touched else 15)], tmp_path / "release", progress=change)
    assert not [name for name in names_in(tmp_path) if "release" in name]


def test_what_the_disk_changed_is_noticed_by_reading_back(base: Path, tmp_path: Path) -> None:
    def spoil(stage: str, done: int, total: int) -> None:
        if stage == "Reading back" and done == 0:
            path = tmp_path / ".release.partial/data/two.csv"
            path.write_bytes(path.read_bytes().replace(b"img", b"IMG"))

    with pytest.raises(VerificationFailed, match=r"two\.csv: what is on disk is not what was written"):
        release_of(base, [url_of(3)], tmp_path / "release", progress=spoil)
    assert not [name for name in names_in(tmp_path) if "release" in name]


def test_a_rewriting_that_leaves_a_row_is_noticed(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The read-back does not trust the writer's positions."""
    real = locate
    monkeypatch.setattr(
        "expunge.redactions.locate", lambda *args, **options: _without_last_hit(real(*args, **options))
    )
    with pytest.raises(VerificationFailed, match="still matches an entry"):
        release_of(base, [url_of(3), url_of(4)], tmp_path / "release")


def _without_last_hit(located: Any) -> Any:
    first = located.shards[0]
    if len(first.rows) < 2:
        return located
    short = replace(first, rows=first.rows[:-1], entries=first.entries[:-1], raw_keys=first.raw_keys[:-1])
    return replace(located, shards=[short, *located.shards[1:]])


def test_a_wrong_count_is_noticed(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = rewrite.write_piece

    def write(*args: Any, **options: Any) -> rewrite.Made:
        made = real(*args, **options)
        return rewrite.Made(made.sha256, made.bytes, made.rows + 1, made.base_sha256, "whole")

    monkeypatch.setattr(rewrite, "write_piece", write)
    with pytest.raises(VerificationFailed, match=r"rows were written, not"):
        release_of(base, [url_of(3)], tmp_path / "release")


def test_an_untouched_shard_that_came_out_different_is_noticed(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = rewrite.write_piece

    def write(*args: Any, **options: Any) -> rewrite.Made:
        return rewrite.Made(real(*args, **options).sha256, 1, 1, "0" * 64, "whole")

    monkeypatch.setattr(rewrite, "write_piece", write)
    with pytest.raises(VerificationFailed):
        release_of(base, [url_of(15)], tmp_path / "release")


@pytest.mark.parametrize("name", ["one.parquet", "two.csv"])
def test_a_bad_shard_leaves_nothing(base: Path, tmp_path: Path, name: str) -> None:
    path = next(base.rglob(name))
    path.write_bytes(path.read_bytes()[:-30] + (b'\n"' if name == "two.csv" else b""))
    before = names_in(tmp_path)
    with pytest.raises(BadShard, match=name):
        release_of(base, [url_of(3)], tmp_path / "deep/down/release")
    assert names_in(tmp_path) == before


def test_a_bad_shard_in_a_worker_process_is_named(base: Path, tmp_path: Path) -> None:
    (base / "two.csv").write_bytes(b'url\n"https://a.example/')
    with pytest.raises(BadShard, match=r"two\.csv: the row that begins on line 2"):
        release_of(base, [url_of(3)], tmp_path / "release", workers=2)
    assert not [name for name in names_in(tmp_path) if "release" in name]


def test_an_output_that_exists_is_refused_and_kept(base: Path, tmp_path: Path) -> None:
    (tmp_path / "release").mkdir()
    (tmp_path / "release/mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="exists and is not an empty folder"):
        release_of(base, [url_of(3)], tmp_path / "release")
    assert (tmp_path / "release/mine.txt").read_text() == "mine"


@pytest.fixture
def small_disk(tmp_path: Path) -> Any:
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)], check=False, capture_output=True
    )
    yield folder if mounted.returncode == 0 else None
    if mounted.returncode == 0:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("layout", [PARQUET[0], CSV, TEXT[4], TEXT[3]], ids=str)
@pytest.mark.parametrize("touched", [True, False])
def test_a_full_disk_leaves_nothing(
    tmp_path: Path, small_disk: Path | None, monkeypatch: pytest.MonkeyPatch, layout: Any, *, touched: bool
) -> None:
    """On a real small disk where this user may mount one, else with a write that says the same."""
    rng = np.random.default_rng(1)
    rows = [row.__class__(row.id, row.url, rng.bytes(300).hex(), None) for row in make_rows(2000)]
    write_shard(tmp_path / "base", "part", rows, layout)
    folder = small_disk or tmp_path / "disk"
    if small_disk is None:

        def full(_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("expunge.shards.shard.finish", full)
        monkeypatch.setattr("expunge.shards.parquet.finish", full)
        monkeypatch.setattr("expunge.shards.streams.finish", full)
    with pytest.raises(
        ExpungeError, match=r"The disk is full: .*release was not written, and nothing was left behind"
    ):
        release_of(tmp_path / "base", [url_of(3) if touched else "https://no.example/"], folder / "release")
    assert names_in(folder) == set()


def test_no_shards_of_the_callers_own_naming_leave_the_folder(base: Path, tmp_path: Path) -> None:
    shards = [ShardFile(base / "two.csv", "../../../two.csv")]
    with pytest.raises(UsageError, match="is not a name inside a folder"):
        clean(shards, [parse_entry(url_of(3))], tmp_path / "release", dataset="d", version="v")
    assert names_in(tmp_path) == {"base", *(f"base/{name}" for name in names_in(base))}
