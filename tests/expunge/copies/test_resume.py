"""A copy whose writing was interrupted goes on where it stopped, and comes out the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from expunge.apply import apply
from expunge.journal import read_finished
from expunge.rewrite import write_piece
from tests.expunge.copies.test_tar import pack, samples
from tests.expunge.formats import url_of
from tests.expunge.runs import copy_of, flip_byte, names_in, release_of

if TYPE_CHECKING:
    from pathlib import Path

PARTS = 3


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    """Two releases of one list, and a copy in three parts: a manifest with a tar beside it each."""
    (tmp_path / "base.txt").write_text("".join(f"{url_of(number)}\n" for number in range(10)))
    for name, gone in (("release", (1, 4, 7)), ("other", (1, 4, 8))):
        release_of(tmp_path / "base.txt", [url_of(number) for number in gone], tmp_path / name)
    (tmp_path / "mine").mkdir()
    for part in range(PARTS):
        numbers = range(part * 3, part * 3 + 3)
        columns = {name: [url_of(number) for number in numbers] for name in ("url", "link")}
        keys = {"key": [f"{number:05d}" for number in numbers]}
        pq.write_table(pa.table({**keys, **columns}), tmp_path / f"mine/{part}.parquet")
        pack(tmp_path / f"mine/{part}.tar", samples(*numbers))
    return tmp_path


def interrupt(scene: Path, parts: int) -> Path:
    """Stop a run once so many parts are written; returns the folder that it leaves."""

    def report(stage: str, done: int, total: int) -> None:
        if stage == "Writing" and done >= parts * 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        apply(scene / "release", copy_of(scene / "mine"), scene / "clean", progress=report)
    return scene / ".clean.partial"


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in names_in(folder) if (folder / name).is_file()}


def written_by(scene: Path, monkeypatch: pytest.MonkeyPatch, release: str, **options: Any) -> int:
    """How many manifests the next run writes; what it makes is what a whole run makes."""
    names: list[str] = []

    def write(item: Any, **arguments: Any) -> Any:
        names.append(item.source.name)
        return write_piece(item, **arguments)

    with monkeypatch.context() as patch:
        patch.setattr("expunge.apply.write_piece", write)
        apply(scene / release, copy_of(scene / "mine"), scene / "clean", **options)
    apply(scene / release, copy_of(scene / "mine"), scene / "whole", **options)
    assert contents(scene / "clean") == contents(scene / "whole")
    return len(names)


def test_the_next_run_keeps_what_is_finished(scene: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    partial = interrupt(scene, 2)
    assert set(read_finished(partial)) == {"0.parquet", "0.tar", "1.parquet", "1.tar"}
    assert not (scene / "clean").exists()
    assert written_by(scene, monkeypatch, "release") == 1
    assert not partial.exists()


def test_parts_made_with_another_release_are_written_anew(
    scene: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where they would lose the same rows: what they were verified against is not the same."""
    interrupt(scene, 2)
    assert written_by(scene, monkeypatch, "other") == PARTS


def test_other_columns_start_anew(scene: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupt(scene, 2)
    assert written_by(scene, monkeypatch, "release", columns={"url": "link"}) == PARTS


@pytest.mark.parametrize("name", ["1.tar", "1.parquet"])
def test_a_part_of_which_a_file_changed_since_is_written_anew(
    scene: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    flip_byte(interrupt(scene, 2) / name, 9)
    assert written_by(scene, monkeypatch, "release") == 2


def test_a_part_of_which_a_source_changed_since_is_written_anew(
    scene: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt(scene, 2)
    pack(scene / "mine/1.tar", samples(3, 4))
    assert written_by(scene, monkeypatch, "release") == 2


def test_a_line_that_names_a_file_elsewhere_counts_for_nothing(scene: Path) -> None:
    partial = interrupt(scene, 2)
    (scene / "precious").touch()
    lines = partial.joinpath(".finished").read_bytes()
    partial.joinpath(".finished").write_bytes(lines.replace(b'"1.tar"', b'"../precious"'))
    assert "../precious" not in read_finished(partial)
    apply(scene / "release", copy_of(scene / "mine"), scene / "clean")
    assert (scene / "precious").exists()
