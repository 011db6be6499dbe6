"""Embeddings follow the rows of their manifest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from expunge.apply import apply, plan
from expunge.check import Verdict, check
from expunge.copies.arrays import ArrayRows
from expunge.copies.targets import locked
from expunge.errors import BadShard, UsageError, VerificationFailed
from tests.expunge.formats import url_of
from tests.expunge.runs import copy_of, flip_byte, names_in, release_of

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

ROWS = 40
GONE = [3, 17, 39]


@pytest.fixture
def base(tmp_path: Path) -> Path:
    (tmp_path / "base.txt").write_text("".join(f"{url_of(number)}\n" for number in range(ROWS)))
    for form in ("compact", "aligned"):
        release_of(tmp_path / "base.txt", [url_of(row) for row in GONE], tmp_path / form, form=form)
    return tmp_path


def make(kind: str) -> NDArray[Any]:
    random = np.random.default_rng(7)
    match kind:
        case "half":
            return random.normal(size=(ROWS, 8)).astype(np.float16)
        case "fortran":
            return np.asfortranarray(random.normal(size=(ROWS, 5)))
        case "three axes":
            return random.integers(1, 9, size=(ROWS, 2, 3), dtype=np.int32)
        case "flat":
            return np.arange(1, ROWS + 1, dtype=">u2")
        case "records":
            return np.array([(row + 1, row / 3) for row in range(ROWS)], dtype=[("a", "u8"), ("b", "f4")])
        case _:
            return np.where(random.normal(size=(ROWS, 4)) > 0, np.nan, -0.0).astype(np.float32)


def write(folder: Path, array: NDArray[Any], number: str = "0") -> Path:
    for name in ("img_emb", "text_emb", "metadata"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    table = pa.table(
        {"image_path": [f"{row:09d}" for row in range(ROWS)], "url": [url_of(row) for row in range(ROWS)]}
    )
    pq.write_table(table, folder / f"metadata/metadata_{number}.parquet", row_group_size=10)
    np.save(folder / f"img_emb/img_emb_{number}.npy", array)
    np.save(folder / f"text_emb/text_emb_{number}.npy", array[::-1].copy(order="K"))
    return folder


@pytest.mark.parametrize("kind", ["half", "fortran", "three axes", "flat", "records", "not numbers"])
def test_rows_are_cut_or_zeroed_as_the_form_says(kind: str, base: Path, tmp_path: Path) -> None:
    array = make(kind)
    mine = write(tmp_path / "mine", array)
    kept = np.setdiff1d(np.arange(ROWS), GONE)
    apply(base / "compact", copy_of(mine), tmp_path / "cut")
    written = np.load(tmp_path / "cut/img_emb/img_emb_0.npy")
    assert written.dtype == array.dtype
    assert written.tobytes() == array[kept].tobytes()
    assert np.load(tmp_path / "cut/text_emb/text_emb_0.npy").tobytes() == array[::-1][kept].tobytes()
    assert pq.read_metadata(tmp_path / "cut/metadata/metadata_0.parquet").num_rows == len(written)

    apply(base / "aligned", copy_of(mine), tmp_path / "zeroed")
    written = np.load(tmp_path / "zeroed/img_emb/img_emb_0.npy")
    assert written[kept].tobytes() == array[kept].tobytes()
    assert not written[GONE].tobytes().strip(b"\0")
    for made, form in (("cut", "compact"), ("zeroed", "aligned")):
        assert check(copy_of(tmp_path / made), base / form).verdict is Verdict.NOT_AFFECTED


def test_in_place_twice_is_once(base: Path, tmp_path: Path) -> None:
    for form in ("compact", "aligned"):
        mine = write(tmp_path / form / "mine", make("half"), number="0003")
        with locked([mine]):
            assert apply(base / form, copy_of(mine), None).rows_removed == 3
        before = {name: (mine / name).read_bytes() for name in names_in(mine) if (mine / name).is_file()}
        assert len(before) == 3
        with locked([mine]):
            assert apply(base / form, copy_of(mine), None).rows_removed == 0
        assert {name: (mine / name).read_bytes() for name in before} == before


def test_a_whole_manifest_may_go(base: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    pq.write_table(pa.table({"url": [url_of(3), url_of(17)]}), mine / "metadata_0.parquet")
    np.save(mine / "img_emb_0.npy", np.ones((2, 4), np.float16))
    apply(base / "compact", copy_of(mine), tmp_path / "clean")
    assert np.load(tmp_path / "clean/img_emb_0.npy").shape == (0, 4)
    apply(base / "compact", copy_of(tmp_path / "clean"), tmp_path / "again")
    assert (tmp_path / "again/img_emb_0.npy").read_bytes() == (tmp_path / "clean/img_emb_0.npy").read_bytes()


def test_the_plan_names_the_vectors(base: Path, tmp_path: Path) -> None:
    mine = write(tmp_path / "mine", make("half"))
    changes = {change.name: change for change in plan(base / "compact", copy_of(mine)).changes}
    assert changes["img_emb/img_emb_0.npy"].positions == GONE
    assert changes["img_emb/img_emb_0.npy"].bytes == (mine / "img_emb/img_emb_0.npy").stat().st_size


def test_arrays_of_other_lengths_are_refused(base: Path, tmp_path: Path) -> None:
    mine = write(tmp_path / "mine", make("half"))
    np.save(mine / "text_emb/text_emb_0.npy", make("half")[:-1])
    with pytest.raises(
        BadShard, match=r"text_emb_0\.npy: has 39 rows, but metadata/metadata_0\.parquet has 40"
    ):
        check(copy_of(mine), base / "compact")
    with pytest.raises(BadShard, match=r"text_emb_0\.npy: has 39 rows"):
        apply(base / "compact", copy_of(mine), tmp_path / "clean")
    assert not (tmp_path / "clean").exists()


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"not an array", "objects", "broken off", "a number"])
def test_what_is_no_array_is_named(content: bytes | str, base: Path, tmp_path: Path) -> None:
    mine = write(tmp_path / "mine", make("half"))
    path = mine / "img_emb/img_emb_0.npy"
    match content:
        case "objects":
            np.save(path, np.array([{"a": 1}] * ROWS, dtype=object), allow_pickle=True)
        case "broken off":
            path.write_bytes(path.read_bytes()[:-1])
        case "a number":
            np.save(path, np.float32(1))
        case bytes():
            path.write_bytes(content)
    with pytest.raises(BadShard, match=r"img_emb/img_emb_0\.npy: (cannot be read as an array|is no array)"):
        check(copy_of(mine), base / "compact")


def test_a_folder_of_arrays_may_be_named(base: Path, tmp_path: Path) -> None:
    mine, vectors = tmp_path / "mine", tmp_path / "vectors"
    mine.mkdir()
    vectors.mkdir()
    for number in range(2):
        rows = range(number * 20, number * 20 + 20)
        pq.write_table(pa.table({"url": [url_of(row) for row in rows]}), mine / f"part-{number:05d}.parquet")
        np.save(vectors / f"clip{number}.npy", np.arange(1, 21) + number * 20)
    apply(base / "compact", copy_of(mine, embeddings=vectors), tmp_path / "clean")
    assert np.load(tmp_path / "clean/vectors/clip1.npy").tolist() == list(range(21, 40))
    with locked([mine, vectors]):
        apply(base / "compact", copy_of(mine, embeddings=vectors), None)
    assert np.load(vectors / "clip0.npy").tolist() == [row + 1 for row in range(20) if row not in GONE]
    np.save(vectors / "clip9.npy", np.arange(3))
    with pytest.raises(
        UsageError, match=r"clip9\.npy: no manifest, or more than one, ends in the same number"
    ):
        copy_of(mine, embeddings=vectors)
    with pytest.raises(UsageError, match="is not a folder"):
        copy_of(mine, embeddings=vectors / "clip0.npy")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"holds no \.npy file"):
        copy_of(mine, embeddings=tmp_path / "empty")


def test_the_only_array_belongs_to_the_only_manifest(base: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "urls.txt").write_text(f"{url_of(1)}\n{url_of(3)}\n")
    np.save(mine / "vectors.npy", np.array([[1], [2]]))
    assert [path.name for path in copy_of(mine).ignored] == ["vectors.npy"]
    copy = copy_of(mine, embeddings=mine)
    assert copy.ignored == []
    with locked([mine]):
        apply(base / "compact", copy, None)
    assert np.load(mine / "vectors.npy").tolist() == [[1]]


def test_a_full_disk_is_told_before_the_map_is_written_to(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page of a map for which the disk has no room would end the process without a word."""
    path = write(base / "mine", make("half")) / "img_emb/img_emb_0.npy"
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    copy = copy_of(base / "mine")
    with locked([base / "mine"]), pytest.raises(OSError, match="No space left"):
        apply(base / "compact", copy, None)
    assert path.read_bytes() == before
    assert not [name for name in names_in(base / "mine") if "expunge-new" in name]


@pytest.mark.parametrize("form", ["compact", "aligned"])
def test_vectors_that_are_not_what_they_were_are_not_accepted(
    base: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    path = write(base / "mine", make("half")) / "img_emb/img_emb_0.npy"
    before = path.read_bytes()
    name = "_cut" if form == "compact" else "_zero"
    real = getattr(ArrayRows, name)

    def spoil(self: ArrayRows, new: Path, positions: list[int]) -> None:
        real(self, new, positions)
        flip_byte(new, new.stat().st_size - 40)

    monkeypatch.setattr(ArrayRows, name, spoil)
    copy = copy_of(base / "mine")
    with locked([base / "mine"]), pytest.raises(VerificationFailed, match=r"rows \d+ to \d+ are not what"):
        apply(base / form, copy, None)
    assert path.read_bytes() == before
