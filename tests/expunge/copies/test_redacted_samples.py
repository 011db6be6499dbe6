"""Redactions followed into what img2dataset downloaded: json and text beside the images, in tars and folders."""

from __future__ import annotations

import io
import json
import tarfile
from hashlib import md5
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from expunge.apply import apply, plan
from expunge.check import Verdict, check
from expunge.copies.cells import SampleCells, redacted_meta
from expunge.copies.targets import locked
from expunge.errors import BadShard
from expunge.lists import Redaction, parse_entry
from tests.expunge.formats import url_of
from tests.expunge.runs import copy_of, expunge, names_in, release_of

if TYPE_CHECKING:
    from pathlib import Path

COUNT = 6
SECRET = "Ann Smith, 7 Main Street"
LAYOUTS = ("tar", "files")


def caption_of(row: int) -> str:
    return f"{SECRET} {row}"


def hash_of(row: int) -> str:
    return md5(str(row).encode()).hexdigest()


def row_of(row: int) -> dict[str, Any]:
    """A row of img2dataset's manifest, which is a sample's json too."""
    return {
        "url": url_of(row),
        "caption": caption_of(row),
        "key": f"{row:09d}",
        "status": "success",
        "error_message": None,
        "width": 256,
        "height": 256,
        "original_width": 640,
        "original_height": 480,
        "exif": "{}",
        "md5": hash_of(row),
    }


def sample_of(row: int) -> dict[str, bytes]:
    meta = json.dumps(row_of(row), indent=4).encode()
    return {"jpg": b"image %d" % row * 200, "json": meta, "txt": caption_of(row).encode()}


def write_copy(
    folder: Path, layout: str, *, manifest: bool = True, pax: dict[str, str] | None = None
) -> Path:
    """What img2dataset leaves of one shard."""
    folder.mkdir()
    files = {f"{row:09d}.{end}": data for row in range(COUNT) for end, data in sample_of(row).items()}
    if layout == "tar":
        with tarfile.open(folder / "00000.tar", "w", format=tarfile.PAX_FORMAT) as tar:
            for name, data in files.items():
                info = tarfile.TarInfo(name)
                info.size, info.mtime, info.uname, info.pax_headers = (
                    len(data),
                    1_700_000_000,
                    "bigdata",
                    pax or {},
                )
                tar.addfile(info, io.BytesIO(data))
    else:
        (folder / "00000").mkdir()
        for name, data in files.items():
            (folder / "00000" / name).write_bytes(data)
    if manifest:
        pq.write_table(pa.Table.from_pylist([row_of(row) for row in range(COUNT)]), folder / "00000.parquet")
        stats = {
            "count": COUNT,
            "successes": COUNT,
            "failed_to_download": 0,
            "failed_to_resize": 0,
            "status_dict": {},
        }
        (folder / "00000_stats.json").write_text(
            json.dumps(stats | {"status_dict": {"success": COUNT}}, indent=4)
        )
    return folder


def read_samples(folder: Path) -> dict[str, bytes]:
    if (tar := folder / "00000.tar").exists():
        with tarfile.open(tar) as archive:
            return {info.name: archive.extractfile(info).read() for info in archive}  # type: ignore[union-attr]  # all are files
    return {path.name: path.read_bytes() for path in (folder / "00000").iterdir()}


def release(folder: Path, *asked: tuple[str, str | None], removed: tuple[str, ...] = ()) -> Path:
    """A release of the list that was downloaded, with these redactions."""
    rows = [{"URL": url_of(row), "TEXT": caption_of(row), "md5": hash_of(row)} for row in range(COUNT)]
    pq.write_table(pa.Table.from_pylist(rows), folder / "list.parquet")
    redactions = [Redaction(parse_entry(entry), column) for entry, column in asked]
    release_of(folder / "list.parquet", removed, folder / "release", redactions=redactions)
    return folder / "release"


def in_place(release: Path, folder: Path) -> Any:
    with locked([folder]):
        return apply(release, copy_of(folder), None)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("manifest", [True, False])
def test_a_redacted_caption_leaves_json_and_text_and_nothing_else_changes(
    layout: str,
    manifest: bool,  # noqa: FBT001  -- a parameter of the test
    tmp_path: Path,
) -> None:
    clean = release(tmp_path, (url_of(1), "TEXT"), (url_of(4), "TEXT"))
    mine = write_copy(tmp_path / "mine", layout, manifest=manifest)
    before = read_samples(mine)
    checked = check(copy_of(mine), clean)
    assert (checked.verdict, checked.cells, checked.affected) == (Verdict.AFFECTED, 2, 0)
    assert all(not part.undetermined for part in checked.parts)

    applied = apply(clean, copy_of(mine), tmp_path / "clean")
    assert (applied.cells_redacted, applied.undetermined) == (2, {})
    after = read_samples(tmp_path / "clean")
    assert list(after) == list(before) or layout == "files"
    for name, data in before.items():
        row, ending = int(name.split(".")[0]), name.split(".")[1]
        if row not in (1, 4) or ending == "jpg":
            assert after[name] == data
        elif ending == "txt":
            assert after[name] == b""
        else:
            assert after[name] == json.dumps(row_of(row) | {"caption": None}, indent=4).encode()
    for path in (tmp_path / "clean").rglob("*"):
        held = path.read_bytes() if path.is_file() and path.suffix != ".parquet" else b""
        assert caption_of(1).encode() not in held, path
    again = check(copy_of(tmp_path / "clean"), clean)
    assert (again.verdict, again.cells) == (Verdict.NOT_AFFECTED, 0)

    in_place(clean, mine)
    assert read_samples(mine) == after
    state = {path: path.stat().st_mtime_ns for path in mine.rglob("*")}
    assert in_place(clean, mine).cells_redacted == 0
    if not manifest:
        assert {path: path.stat().st_mtime_ns for path in mine.rglob("*")} == state


def test_the_tar_is_the_old_one_around_what_is_written_anew(tmp_path: Path) -> None:
    clean = release(tmp_path, (url_of(1), "TEXT"))
    mine = write_copy(tmp_path / "mine", "tar", pax={"comment": "kept"})
    before = (mine / "00000.tar").read_bytes()
    in_place(clean, mine)
    after = (mine / "00000.tar").read_bytes()
    with tarfile.open(mine / "00000.tar") as archive:
        infos = {info.name: info for info in archive}
    assert infos["000000001.txt"].size == 0
    assert {info.pax_headers["comment"] for info in infos.values()} == {"kept"}
    assert {(info.mtime, info.uname) for info in infos.values()} == {(1_700_000_000, "bigdata")}
    assert after[: infos["000000001.json"].offset] == before[: infos["000000001.json"].offset]
    assert before.endswith(after[infos["000000002.jpg"].offset :])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_copy_whose_manifest_alone_was_redacted_is_still_affected(layout: str, tmp_path: Path) -> None:
    clean = release(tmp_path, (url_of(2), "TEXT"))
    mine = write_copy(tmp_path / "mine", layout)
    rows = [row_of(row) | ({"caption": None} if row == 2 else {}) for row in range(COUNT)]
    pq.write_table(pa.Table.from_pylist(rows), mine / "00000.parquet")
    checked = check(copy_of(mine), clean)
    assert (checked.verdict, checked.cells) == (Verdict.AFFECTED, 1)
    assert checked.to_dict()["shards"][0]["redacted_samples"] == ["000000002"]
    in_place(clean, mine)
    assert check(copy_of(mine), clean).verdict is Verdict.NOT_AFFECTED


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_sample_without_json_follows_its_row(layout: str, tmp_path: Path) -> None:
    clean = release(tmp_path, (url_of(3), "TEXT"))
    mine = write_copy(tmp_path / "mine", layout)
    files = {name: data for name, data in read_samples(mine).items() if not name.endswith(".json")}
    if layout == "files":
        for path in (mine / "00000").glob("*.json"):
            path.unlink()
    else:
        with tarfile.open(mine / "00000.tar", "w") as tar:
            for name, data in files.items():
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    in_place(clean, mine)
    assert read_samples(mine) == files | {"000000003.txt": b""}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_redacted_hash_leaves_the_image(layout: str, tmp_path: Path) -> None:
    clean = release(tmp_path, (url_of(5), "md5"))
    mine = write_copy(tmp_path / "mine", layout)
    before = read_samples(mine)
    in_place(clean, mine)
    after = read_samples(mine)
    assert json.loads(after.pop("000000005.json")) == row_of(5) | {"md5": None}
    assert after == {name: data for name, data in before.items() if name != "000000005.json"}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_sample_goes_whose_url_is_redacted_and_its_row_says_nothing_of_it(
    layout: str, tmp_path: Path
) -> None:
    clean = release(tmp_path, (url_of(2), "URL"))
    mine = write_copy(tmp_path / "mine", layout)
    before = read_samples(mine)
    checked = check(copy_of(mine), clean)
    assert (checked.verdict, sorted(checked.parts[0].present)) == (Verdict.AFFECTED, ["000000002"])
    in_place(clean, mine)
    assert read_samples(mine) == {
        name: data for name, data in before.items() if not name.startswith("000000002")
    }
    rows = pq.read_table(mine / "00000.parquet").to_pylist()
    assert rows[2] == dict.fromkeys(rows[0]) | {"key": "000000002", "caption": caption_of(2)}
    assert rows[1] == row_of(1)
    assert json.loads((mine / "00000_stats.json").read_text())["successes"] == COUNT - 1
    assert check(copy_of(mine), clean).verdict is Verdict.NOT_AFFECTED


def test_rows_go_and_cells_are_redacted_in_one_run(tmp_path: Path) -> None:
    clean = release(tmp_path, (url_of(1), "TEXT"), (url_of(2), "TEXT"), removed=(url_of(2),))
    mine = write_copy(tmp_path / "mine", "tar")
    applied = in_place(clean, mine)
    assert (applied.rows_removed, applied.cells_redacted) == (1, 1)
    after = read_samples(mine)
    assert not [name for name in after if name.startswith("000000002")]
    assert after["000000001.txt"] == b""


def test_a_dry_run_lists_the_members_to_be_written_anew(tmp_path: Path) -> None:
    clean = release(tmp_path, (url_of(1), "TEXT"), (url_of(2), "URL"))
    for layout, name in (("tar", "00000.tar"), ("files", "00000")):
        mine = write_copy(tmp_path / layout, layout)
        changes = {(one["name"], one["what"]): one for one in plan(clean, copy_of(mine)).to_dict()["changes"]}
        assert changes[name, "cells"]["samples"] == ["000000001"]
        assert sorted(changes[name, "cells"]["members"]) == ["000000001.json", "000000001.txt"]
        assert changes[name, "samples"]["samples"] == ["000000002"]
        assert changes["00000.parquet", "rows"]["positions"] == [1, 2]
    said = expunge("apply", clean, tmp_path / "tar", "--in-place", "--dry-run", "--integrity-only")
    assert SECRET not in said.stdout + said.stderr


def test_a_run_that_was_stopped_goes_on(tmp_path: Path) -> None:
    clean = release(tmp_path, (url_of(1), "TEXT"))
    mine = write_copy(tmp_path / "mine", "tar")

    def stop(stage: str, done: int, _total: int) -> None:
        if stage == "Writing" and done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        apply(clean, copy_of(mine), tmp_path / "clean", progress=stop)
    (partial,) = (path for path in tmp_path.iterdir() if path.name.startswith(".clean"))
    assert "00000.tar" in names_in(partial)
    apply(clean, copy_of(mine), tmp_path / "clean")
    assert read_samples(tmp_path / "clean")["000000001.txt"] == b""


def test_json_that_is_none_is_not_believed_to_be_clean(tmp_path: Path) -> None:
    clean = release(tmp_path, (url_of(1), "TEXT"))
    mine = write_copy(tmp_path / "mine", "files")
    (mine / "00000/000000001.json").write_text(f"{{caption: {SECRET}}}")
    in_place(clean, mine)
    checked = check(copy_of(mine), clean)
    assert checked.verdict is Verdict.UNDETERMINED
    assert "1 samples are redacted whose json is none" in checked.parts[0].undetermined[0]


def test_a_size_that_stands_elsewhere_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    clean = release(tmp_path, (url_of(1), "TEXT"))
    mine = tmp_path / "mine"
    mine.mkdir()
    tar = mine / "00000.tar"
    meta = sample_of(1)["json"]
    with tarfile.open(tar, "w", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo("000000001.json")
        info.size, info.pax_headers = len(meta), {"size": str(len(meta))}
        archive.addfile(info, io.BytesIO(meta))
    before = tar.read_bytes()
    with pytest.raises(BadShard, match="has its size in a header before its own"):
        in_place(clean, mine)
    assert tar.read_bytes() == before
    assert not [name for name in names_in(mine) if "expunge" in name]


@pytest.mark.parametrize(
    "style", [{"indent": 4}, {}, {"separators": (",", ":")}, {"indent": 2, "ensure_ascii": False}]
)
def test_json_keeps_the_style_in_which_it_was_written(style: dict[str, Any]) -> None:
    fields = {"a": "ä", "b": 1.5, "c": [1, 2, 3], "d": {"a": "stays"}}
    cells = SampleCells(frozenset({"a", "absent"}), frozenset({("c", 1), ("b", 0)}))
    meta = json.dumps(fields, **style).encode()
    redacted = redacted_meta(meta, cells)
    assert redacted == json.dumps(fields | {"a": None, "c": [1, 3]}, **style).encode()
    assert redacted_meta(redacted, SampleCells(frozenset({"a"}))) == redacted


def test_json_in_a_style_of_its_own_is_written_as_img2dataset_does() -> None:
    assert (
        redacted_meta(b'{"a" :1, "b":2}', SampleCells(frozenset({"a"})))
        == b'{\n    "a": null,\n    "b": 2\n}'
    )
    assert redacted_meta(b"[1]", SampleCells(frozenset({"a"}))) == b"[1]"
