"""What the real img2dataset downloaded, brought to a release: it resumes afterwards, and what went stays away."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest

from expunge.apply import apply, plan
from expunge.check import Verdict, check
from expunge.copies import Source
from expunge.copies.targets import locked
from expunge.errors import BadShard, UsageError
from tests.expunge.copies.crawl import BROKEN, COUNT, Images, download, serving, write_list
from tests.expunge.runs import copy_of, names_in, release_of, shards_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

LAYOUTS = ("webdataset", "files", "parquet")
REMOVED = {3, 7, 12, 17, 24}
"""Rows of the list; 17 could not be downloaded."""
GONE = {f"{row // 10:05d}{row % 10}" for row in REMOVED}
PRESENT = GONE - {"000017"}


@pytest.fixture(scope="module")
def images() -> Iterator[Images]:
    with serving() as served:
        yield served


@pytest.fixture(scope="module")
def crawl(images: Images, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The list, two releases of it, and what was downloaded of it in each layout that was asked for."""
    folder = tmp_path_factory.mktemp("crawl")
    write_list(folder / "list/part-0.parquet", images)
    entries = [images.url(row) for row in sorted(REMOVED)]
    for form in ("compact", "aligned"):
        release_of(folder / "list", entries, folder / form, form=form)
        shutil.rmtree(folder / form / "data")
    return folder


@pytest.fixture
def fresh(crawl: Path, tmp_path: Path) -> Callable[[str], Path]:
    """A copy of what was downloaded in a layout."""

    def make(layout: str) -> Path:
        if not (crawl / layout).exists():
            download(crawl / "list", crawl / layout, layout)
        shutil.copytree(crawl / layout, tmp_path / layout)
        return tmp_path / layout

    return make


def in_place(release: Path, folder: Path, **options: Any) -> Any:
    with locked([folder]):
        return apply(release, copy_of(folder), None, **options)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def members(tar: Path) -> dict[str, bytes]:
    with tarfile.open(tar) as archive:
        return {info.name: archive.extractfile(info).read() for info in archive}  # type: ignore[union-attr]  # all are files


def samples(folder: Path) -> dict[str, bytes]:
    """Every file of every sample, and the images in Parquet, by name."""
    found: dict[str, bytes] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".tar":
            found |= members(path)
        elif path.parent != folder and path.is_file():
            found[path.name] = path.read_bytes()
        elif path.suffix == ".parquet" and "jpg" in pq.read_schema(path).names:
            rows = pq.read_table(path).to_pylist()
            found |= {f"{row['key']}.jpg": row["jpg"] for row in rows if row["jpg"] is not None}
    return found


@pytest.mark.parametrize("layout", LAYOUTS)
def test_check_finds_the_samples_by_their_rows(
    layout: str, crawl: Path, fresh: Callable[[str], Path]
) -> None:
    folder = fresh(layout)
    before = contents(folder)
    checked = check(copy_of(folder), crawl / "compact")
    assert (checked.verdict, checked.rows, checked.affected) == (Verdict.AFFECTED, COUNT, len(REMOVED))
    if layout != "parquet":
        assert {key for part in checked.parts for key in part.present} == PRESENT
    assert contents(folder) == before


@pytest.mark.parametrize("layout", LAYOUTS)
def test_img2dataset_resumes_and_asks_for_nothing_that_went(
    layout: str, crawl: Path, images: Images, fresh: Callable[[str], Path]
) -> None:
    folder = fresh(layout)
    before = samples(folder)
    applied = in_place(crawl / "compact", folder)
    assert (applied.rows_before, applied.rows_removed, applied.undetermined) == (COUNT, len(REMOVED), {})
    after = samples(folder)
    assert after == {name: data for name, data in before.items() if name.split(".")[0] not in GONE}
    assert check(copy_of(folder), crawl / "compact").verdict is Verdict.NOT_AFFECTED
    cleaned = contents(folder)
    assert not [name for name in cleaned if "expunge" in name]
    for row in REMOVED - BROKEN:
        assert not any(f"/{row}.png".encode() in data for data in cleaned.values())
    assert in_place(crawl / "compact", folder).rows_removed == 0
    assert contents(folder) == cleaned

    images.asked.clear()
    download(crawl / "list", folder, layout)
    assert not images.asked
    assert contents(folder) == cleaned
    if layout != "webdataset":
        return
    # A shard that is not done yet is downloaded with the keys it always had, and nothing else is touched.
    (folder / "00001_stats.json").unlink()
    download(crawl / "list", folder, layout)
    assert set(images.asked) == set(range(10, 20))
    assert {name: data for name, data in contents(folder).items() if name.startswith("00000")} == {
        name: data for name, data in cleaned.items() if name.startswith("00000")
    }
    assert check(copy_of(folder), crawl / "compact").affected == 2


def test_an_unfinished_download_goes_on_with_the_aligned_list(
    crawl: Path, images: Images, fresh: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = fresh("webdataset")
    for path in folder.glob("00002*"):
        path.unlink()
    in_place(crawl / "aligned", folder)
    apply(crawl / "aligned", copy_of(crawl / "list"), tmp_path / "list")
    images.asked.clear()
    download(tmp_path / "list", folder, "webdataset")
    assert set(images.asked) == {20, 21, 22, 23}
    assert check(copy_of(folder), crawl / "aligned").verdict is Verdict.NOT_AFFECTED
    assert "000020.jpg" in members(folder / "00002.tar")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_aligned_form_keeps_rows_and_counts_what_is_left(
    layout: str, crawl: Path, fresh: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = fresh(layout)
    apply(crawl / "aligned", copy_of(folder), tmp_path / "clean")
    assert PRESENT.isdisjoint(name.split(".")[0] for name in samples(tmp_path / "clean"))
    for number, gone in ((0, {"000003", "000007"}), (1, {"000012", "000017"}), (2, {"000024"})):
        old = pq.read_table(folder / f"0000{number}.parquet").to_pylist()
        new = pq.read_table(tmp_path / f"clean/0000{number}.parquet").to_pylist()
        assert [row["key"] for row in new] == [row["key"] for row in old]
        for one, other in zip(old, new, strict=True):
            assert other == (dict.fromkeys(one) | {"key": one["key"]} if one["key"] in gone else one)
        stats = json.loads((tmp_path / f"clean/0000{number}_stats.json").read_bytes())
        assert stats["count"] == len(old) - len(gone)
        assert stats["count"] == stats["successes"] + stats["failed_to_download"]
        assert sum(stats["status_dict"].values()) == stats["count"]
    again = apply(crawl / "aligned", copy_of(tmp_path / "clean"), tmp_path / "again")
    assert again.rows_removed == 0
    assert contents(tmp_path / "again") == contents(tmp_path / "clean")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_new_folder_is_what_in_place_gives(
    layout: str, crawl: Path, fresh: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = fresh(layout)
    before = contents(folder)
    applied = apply(crawl / "compact", copy_of(folder), tmp_path / "clean", workers=2)
    assert (applied.rows_removed, applied.rows_after, applied.shards_changed) == (5, COUNT - 5, 3)
    assert contents(folder) == before
    in_place(crawl / "compact", folder)
    assert contents(folder) == contents(tmp_path / "clean")
    stats = json.loads((folder / "00001_stats.json").read_bytes())
    assert (stats["count"], stats["successes"], stats["failed_to_download"]) == (8, 8, 0)
    assert stats["status_dict"] == {"success": 8}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # it leaves the tar open
def test_webdataset_reads_the_tar_afterwards(crawl: Path, fresh: Callable[[str], Path]) -> None:
    webdataset = pytest.importorskip("webdataset")
    folder = fresh("webdataset")
    in_place(crawl / "compact", folder)
    keys: list[str] = []
    for tar in sorted(folder.glob("*.tar")):
        for sample in webdataset.WebDataset(str(tar), shardshuffle=False, empty_check=False):
            assert set(sample) >= {"jpg", "txt", "json"}
            keys.append(sample["__key__"])
    assert set(keys) == {f"{row // 10:05d}{row % 10}" for row in range(COUNT) if row not in REMOVED | BROKEN}


def test_a_dry_run_lists_every_file_and_writes_nothing(crawl: Path, fresh: Callable[[str], Path]) -> None:
    folder = fresh("webdataset")
    before = contents(folder)
    planned = plan(crawl / "compact", copy_of(folder))
    assert contents(folder) == before
    said = {change["name"]: change for change in planned.to_dict()["changes"]}
    assert set(said) == {
        f"0000{number}{ending}" for number in range(3) for ending in (".parquet", ".tar", "_stats.json")
    }
    tar = said["00002.tar"]
    assert tar["samples"] == ["000024"]
    assert sorted(tar["members"]) == ["000024.jpg", "000024.json", "000024.txt"]
    assert tar["bytes"] == (folder / "00002.tar").stat().st_size
    keys = pq.read_table(folder / "00002.parquet")["key"].to_pylist()
    assert said["00002.parquet"]["positions"] == [keys.index("000024")]
    assert "127.0.0.1" not in json.dumps(planned.to_dict())


def test_a_tar_without_its_manifest_is_judged_by_its_json(crawl: Path, fresh: Callable[[str], Path]) -> None:
    folder = fresh("webdataset")
    (folder / "00000.parquet").unlink()
    checked = check(copy_of(folder / "00000.tar"), crawl / "compact")
    assert (checked.verdict, checked.affected) == (Verdict.AFFECTED, 2)
    (part,) = checked.parts
    assert (part.name, sorted(part.present), part.undetermined) == ("00000.tar", ["000003", "000007"], ())
    in_place(crawl / "compact", folder / "00000.tar")
    assert {"000003.jpg", "000007.json"}.isdisjoint(members(folder / "00000.tar"))
    assert check(copy_of(folder / "00000.tar"), crawl / "compact").verdict is Verdict.NOT_AFFECTED


def test_a_folder_without_its_manifest_is_judged_by_its_json(
    crawl: Path, fresh: Callable[[str], Path]
) -> None:
    folder = fresh("files")
    for path in folder.glob("*.parquet"):
        path.unlink()
    checked = check(copy_of(folder), crawl / "compact")
    assert (checked.verdict, checked.affected, [part.name for part in checked.parts]) == (
        Verdict.AFFECTED,
        len(PRESENT),
        ["00000", "00001", "00002"],
    )
    in_place(crawl / "compact", folder)
    assert PRESENT.isdisjoint(name.split(".")[0] for name in samples(folder))
    assert check(copy_of(folder), crawl / "compact").verdict is Verdict.NOT_AFFECTED


def test_a_tar_whose_manifest_alone_was_cut_is_still_affected(
    crawl: Path, fresh: Callable[[str], Path], tmp_path: Path
) -> None:
    for form in ("compact", "aligned"):
        folder = fresh("webdataset")
        for path in folder.glob("*.parquet"):
            apply(crawl / form, copy_of(path), tmp_path / "alone" / path.name)
            shutil.copyfile(tmp_path / "alone" / path.name / path.name, path)
        checked = check(copy_of(folder), crawl / form)
        assert checked.verdict is Verdict.AFFECTED
        assert {key for part in checked.parts for key in part.present} == PRESENT
        in_place(crawl / form, folder)
        assert PRESENT.isdisjoint(name.split(".")[0] for name in samples(folder))
        shutil.rmtree(folder)
        shutil.rmtree(tmp_path / "alone")


def without_json(tar: Path) -> None:
    """The tar with its images alone, as many pack it."""
    kept = {name: data for name, data in members(tar).items() if name.endswith(".jpg")}
    with tarfile.open(tar, "w") as archive:
        for name, data in kept.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


def test_a_tar_that_tells_nothing_is_undetermined(
    crawl: Path, fresh: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = fresh("webdataset")
    without_json(folder / "00000.tar")
    copy = copy_of(folder / "00000.tar")
    checked = check(copy, crawl / "compact")
    assert checked.verdict is Verdict.UNDETERMINED
    assert checked.parts[0].undetermined == (
        "it has no manifest beside it and no json with a URL in it, so nothing tells where its samples come from",
    )
    applied = apply(crawl / "compact", copy, tmp_path / "clean")
    assert list(applied.undetermined) == ["00000.tar"]
    assert members(tmp_path / "clean/00000.tar") == members(folder / "00000.tar")


def test_keys_say_which_row_of_the_list_they_were(
    crawl: Path, fresh: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = fresh("webdataset")
    for path in folder.iterdir():
        path.unlink() if path.suffix != ".tar" else without_json(path)
    source = Source(shards_of(crawl / "list"), samples=10)
    checked = check(copy_of(folder), crawl / "compact", source=source)
    assert checked.verdict is Verdict.AFFECTED
    assert {key for part in checked.parts for key in part.present} == PRESENT
    with locked([folder]):
        apply(crawl / "compact", copy_of(folder), None, source=source)
    assert PRESENT.isdisjoint(name.split(".")[0] for name in samples(folder))
    assert check(copy_of(folder), crawl / "compact", source=source).verdict is Verdict.NOT_AFFECTED
    (tmp_path / "other").mkdir()
    table = pq.read_table(crawl / "list/part-0.parquet")
    pq.write_table(table, tmp_path / "other/part-0.parquet", compression="none")
    with pytest.raises(UsageError, match=r"part-0\.parquet is no shard of the release's base"):
        check(copy_of(folder), crawl / "compact", source=Source(shards_of(tmp_path / "other"), samples=10))


def test_a_shard_that_is_not_done_is_named_and_nothing_is_lost(
    crawl: Path, fresh: Callable[[str], Path]
) -> None:
    folder = fresh("webdataset")
    tar = folder / "00001.tar"
    tar.write_bytes(tar.read_bytes()[:3000])
    before = contents(folder)
    for act in (
        lambda: check(copy_of(folder), crawl / "compact"),
        lambda: in_place(crawl / "compact", folder),
    ):
        with pytest.raises(BadShard, match=r"00001\.tar: is broken off .* Was its download finished\?"):
            act()
    assert contents(folder) == before


def test_two_rows_of_one_key_are_refused(crawl: Path, fresh: Callable[[str], Path]) -> None:
    folder = fresh("webdataset")
    table = pq.read_table(folder / "00000.parquet")
    keys = table["key"].to_pylist()
    place = table.schema.get_field_index("key")
    pq.write_table(table.set_column(place, "key", [[keys[0], *keys[:-1]]]), folder / "00000.parquet")
    with pytest.raises(BadShard, match=r"00000\.parquet: rows 0 and 1 have the same key"):
        check(copy_of(folder), crawl / "compact")


def test_stored_originals_are_found_by_their_bytes(
    crawl: Path, images: Images, fresh: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = fresh("webdataset")
    tar = folder / "00000.tar"
    data = members(tar)["000003.jpg"]
    (tmp_path / "hashes.csv").write_text(f"sha256\n{sha256(data).hexdigest()}\n{'0' * 64}\n")
    release_of(tmp_path / "hashes.csv", [f"sha256:{sha256(data).hexdigest()}"], tmp_path / "release")
    without_json(tar)
    checked = check(copy_of(tar), tmp_path / "release")
    assert (checked.verdict, sorted(checked.parts[0].present)) == (Verdict.AFFECTED, ["000003"])
    in_place(tmp_path / "release", tar)
    assert "000003.jpg" not in members(tar)
    assert check(copy_of(tar), tmp_path / "release").verdict is Verdict.UNDETERMINED


def test_the_captions_of_a_folder_are_no_shards(crawl: Path, fresh: Callable[[str], Path]) -> None:
    copy = copy_of(fresh("files"))
    assert [(part.name, part.samples is not None) for part in copy.parts] == [
        (f"0000{number}.parquet", True) for number in range(3)
    ]
    assert copy.ignored == []


def test_no_litter_is_left_in_a_folder_of_samples(crawl: Path, fresh: Callable[[str], Path]) -> None:
    folder = fresh("files")
    in_place(crawl / "compact", folder)
    assert not [name for name in names_in(folder) if name.split("/")[-1].startswith(".")]
