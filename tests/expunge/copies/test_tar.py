"""Tars are cut by copying bytes, and refused where that is not safe."""

from __future__ import annotations

import io
import json
import tarfile
from dataclasses import replace
from hashlib import md5
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expunge.apply import apply
from expunge.check import Verdict, check
from expunge.copies import Going
from expunge.copies.tar import TarSamples, read_members, sample_key
from expunge.copies.targets import NewFolder
from expunge.errors import BadShard, VerificationFailed
from expunge.shards.cut import NO_ROWS
from tests.expunge.formats import url_of
from tests.expunge.runs import copy_of, names_in, release_of

if TYPE_CHECKING:
    from pathlib import Path

LONG = "folder/" + "x" * 180 + ".jpg"
FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


def pack(path: Path, files: dict[str, bytes], form: int = tarfile.GNU_FORMAT, **options: Any) -> Path:
    with tarfile.open(path, "w", format=form, **options) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def unpack(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as archive:
        return {info.name: archive.extractfile(info).read() for info in archive if info.isfile()}  # type: ignore[union-attr]  # files alone


def going(*keys: str) -> Going:
    return Going(0, NO_ROWS, frozenset(keys), aligned=False)


def cut(path: Path, folder: Path, *keys: str) -> Path:
    TarSamples(path, path.name).write(going(*keys), NewFolder(folder))
    return folder / path.name


def sample(number: int) -> dict[str, bytes]:
    meta = json.dumps({"url": url_of(number), "text": "x"}).encode()
    return {
        f"{number:05d}.jpg": b"image %d" % number * 100,
        f"{number:05d}.txt": b"x",
        f"{number:05d}.json": meta,
    }


def samples(*numbers: int) -> dict[str, bytes]:
    return {name: data for number in numbers for name, data in sample(number).items()}


@pytest.fixture
def release(tmp_path: Path) -> Path:
    (tmp_path / "base.txt").write_text("".join(f"{url_of(number)}\n" for number in range(10)))
    release_of(tmp_path / "base.txt", [url_of(1), url_of(3)], tmp_path / "release")
    return tmp_path / "release"


@pytest.mark.parametrize("form", FORMATS)
def test_kept_members_are_the_same_bytes_with_their_long_names(form: str, tmp_path: Path) -> None:
    long = LONG if form != "ustar" else "folder/" + "y" * 90 + "/" + "x" * 90 + ".jpg"
    files = {**sample(1), long: b"long" * 1000, **sample(2), long.replace(".jpg", "2.jpg"): b"", **sample(3)}
    tar = pack(tmp_path / "a.tar", files, FORMATS[form])
    written = cut(tar, tmp_path / "out", "00002", long.removesuffix(".jpg") + "2")
    assert unpack(written) == {
        name: data
        for name, data in files.items()
        if not name.startswith(("00002", long.replace(".jpg", "2")))
    }
    old, new = tar.read_bytes(), written.read_bytes()
    begins = {member.name: member for member in read_members(tar, "a.tar")}
    for member in read_members(written, "a.tar"):
        one = begins[member.name]
        assert new[member.begin : member.end] == old[one.begin : one.end]
    last = max(member.end for member in begins.values())
    assert new.endswith(old[last:])


def test_global_headers_stay_when_the_member_after_them_goes(tmp_path: Path) -> None:
    tar = pack(tmp_path / "a.tar", samples(1, 2), tarfile.PAX_FORMAT, pax_headers={"comment": "of all"})
    written = cut(tar, tmp_path / "out", "00001")
    with tarfile.open(written) as archive:
        assert archive.pax_headers == {"comment": "of all"}
        assert archive.getnames() == ["00002.jpg", "00002.txt", "00002.json"]


def test_a_tar_of_which_no_sample_is_left_is_an_empty_tar(tmp_path: Path) -> None:
    written = cut(pack(tmp_path / "a.tar", samples(1)), tmp_path / "out", "00001")
    assert unpack(written) == {}
    assert list(read_members(written, "a.tar")) == []
    assert check_members(written) == []


def check_members(path: Path) -> list[str]:
    return [one.key for one in TarSamples(path, path.name).samples(frozenset(), frozenset())]


def test_names_are_split_as_webdataset_splits_them() -> None:
    assert sample_key("a/b.c/00001.seg.PNG") == ("a/b.c/00001", "seg.png")
    assert sample_key("./00001.jpg") == ("00001", "jpg")
    assert sample_key(".hidden") == ("", "")
    assert sample_key("a/README") == ("", "")


def test_a_member_of_more_than_eight_gigabytes_is_passed_over(tmp_path: Path) -> None:
    size = (9 << 30) + 5
    info = tarfile.TarInfo("00001.bin")
    info.size = size
    header = info.tobuf(tarfile.GNU_FORMAT)
    other = tarfile.TarInfo("00002.txt")
    path = tmp_path / "big.tar"
    with path.open("wb") as sink:  # holes: it takes no space
        sink.write(header)
        sink.seek(512 + -(-size // 512) * 512)
        sink.write(other.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
    assert [(member.name, member.size) for member in read_members(path, "big.tar")] == [
        ("00001.bin", size),
        ("00002.txt", 0),
    ]
    written = cut(path, tmp_path / "out", "00001")
    assert written.stat().st_size == 512 + 1024


def special(kind: bytes, **fields: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo("00005.jpg")
    info.type = kind
    for name, value in fields.items():
        setattr(info, name, value)
    return info


BAD = {
    "hard link": (special(tarfile.LNKTYPE, linkname="00001.jpg"), "is a hard link"),
    "link": (special(tarfile.SYMTYPE, linkname="/etc/passwd"), "is a link"),
    "sparse": (special(tarfile.GNUTYPE_SPARSE), "is a sparse file"),
    "sparse by PAX": (special(tarfile.REGTYPE, pax_headers={"GNU.sparse.major": "1"}), "is a sparse file"),
    "device": (special(tarfile.CHRTYPE), "is of a kind that is not known"),
    "absolute": (special(tarfile.REGTYPE, name="/tmp/00005.jpg"), "is not a name inside a folder"),
    "climbing": (special(tarfile.REGTYPE, name="a/../../00005.jpg"), "is not a name inside a folder"),
    "twice": (special(tarfile.REGTYPE, name="00001.jpg"), "'00001.jpg' comes twice, or apart"),
    "apart": (special(tarfile.REGTYPE, name="00001.png"), "'00001.png' comes twice, or apart"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_cut_safely_is_named(case: str, release: Path, tmp_path: Path) -> None:
    info, problem = BAD[case]
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        for name, data in samples(1, 2).items():
            other = tarfile.TarInfo(name)
            other.size = len(data)
            archive.addfile(other, io.BytesIO(data))
        archive.addfile(info)
    before = (tmp_path / "a.tar").read_bytes()
    with pytest.raises(BadShard, match=rf"a\.tar: .*{problem}"):
        check(copy_of(tmp_path / "a.tar"), release)
    with pytest.raises(BadShard, match=r"a\.tar: "):
        apply(release, copy_of(tmp_path / "a.tar"), tmp_path / "clean")
    assert (tmp_path / "a.tar").read_bytes() == before
    assert not [name for name in names_in(tmp_path) if "clean" in name]


@pytest.mark.parametrize("length", [0, 100, 512, 700, 3000, -1024 * 8, -1])
def test_a_tar_that_is_broken_off_is_named(length: int, release: Path, tmp_path: Path) -> None:
    tar = pack(tmp_path / "a.tar", samples(1, 2))
    data = tar.read_bytes()
    end = max(member.end for member in read_members(tar, "a.tar"))
    tar.write_bytes(data[: end + 100 if length == -1 else min(length, end) if length >= 0 else end])
    with pytest.raises(BadShard, match=r"a\.tar: is broken off"):
        check(copy_of(tar), release)


def test_damage_and_what_follows_the_end_are_named(release: Path, tmp_path: Path) -> None:
    tar = pack(tmp_path / "a.tar", samples(1, 2))
    data = tar.read_bytes()
    tar.write_bytes(data + data)
    with pytest.raises(BadShard, match=r"a\.tar: goes on after its end, which follows '00002\.json'"):
        check(copy_of(tar), release)
    tar.write_bytes(data[:2560].replace(b"00001.txt", b"00009.txt") + data[2560:])
    with pytest.raises(BadShard, match=r"a\.tar: is damaged after '00001\.jpg'"):
        check(copy_of(tar), release)


def test_samples_without_a_url_are_counted(release: Path, tmp_path: Path) -> None:
    files = {
        **samples(1, 2),
        "00003.jpg": b"3",
        "00004.jpg": b"4",
        "00004.json": b"[" * 200_000,
        "README": b"x",
    }
    pack(tmp_path / "a.tar", files)
    checked = check(copy_of(tmp_path / "a.tar"), release)
    assert (checked.verdict, checked.rows, checked.affected) == (Verdict.AFFECTED, 4, 1)
    assert checked.parts[0].undetermined == (
        "2 samples have neither a row with a URL in a manifest nor a json with one, so nothing tells where they come from",
    )
    apply(release, copy_of(tmp_path / "a.tar"), tmp_path / "clean")
    again = check(copy_of(tmp_path / "clean"), release)
    assert again.verdict is Verdict.UNDETERMINED
    assert unpack(tmp_path / "clean/a.tar") == {
        name: data for name, data in files.items() if not name.startswith("00001")
    }


def test_a_tar_beside_any_kind_of_manifest_follows_it(release: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    pack(mine / "x.tar", {f"{number}.jpg": b"%d" % number for number in range(4)})
    (mine / "x.csv").write_text("key,url\n" + "".join(f"{number},{url_of(number)}\n" for number in range(4)))
    checked = check(copy_of(mine), release)
    assert [(part.name, sorted(part.present), part.undetermined) for part in checked.parts] == [
        ("x.csv", ["1", "3"], ())
    ]
    apply(release, copy_of(mine), tmp_path / "clean")
    assert unpack(tmp_path / "clean/x.tar") == {"0.jpg": b"0", "2.jpg": b"2"}
    assert check(copy_of(tmp_path / "clean"), release).verdict is Verdict.NOT_AFFECTED


def test_bytes_are_hashed_where_no_column_has_the_hash(tmp_path: Path) -> None:
    tar = pack(tmp_path / "x.tar", {**samples(1, 2), "00003.png": b"original"})
    digest = md5(b"original").hexdigest()
    (tmp_path / "base.csv").write_text(f"url,md5\n{url_of(8)},{digest}\n{url_of(9)},{'0' * 32}\n")
    release_of(tmp_path / "base.csv", [f"md5:{digest}"], tmp_path / "release")
    checked = check(copy_of(tar), tmp_path / "release")
    assert sorted(checked.parts[0].present) == ["00003"]


def test_a_sample_that_no_row_speaks_for_is_found_by_its_bytes(tmp_path: Path) -> None:
    """Its manifest is not affected, but the copy is."""
    (tmp_path / "mine").mkdir()
    pack(tmp_path / "mine/x.tar", {**samples(2), "00003.png": b"original"})
    (tmp_path / "mine/x.csv").write_text(f"key,url\n00002,{url_of(2)}\n")
    digest = md5(b"original").hexdigest()
    (tmp_path / "base.csv").write_text(f"url,md5\n{url_of(8)},{digest}\n{url_of(9)},{'0' * 32}\n")
    release_of(tmp_path / "base.csv", [f"md5:{digest}"], tmp_path / "release")
    checked = check(copy_of(tmp_path / "mine"), tmp_path / "release")
    assert (checked.verdict, sorted(checked.parts[0].present)) == (Verdict.AFFECTED, ["00003"])


def test_a_tar_that_lacks_a_member_that_stays_is_not_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tar = pack(tmp_path / "a.tar", samples(1, 2, 3))
    real = TarSamples._copy_edited

    def lose_one(self: TarSamples, new: Path, edits: Any) -> str:
        first = replace(edits[0], member=next(read_members(self.path, self.name)))
        return real(self, new, [first, *edits])

    monkeypatch.setattr(TarSamples, "_copy_edited", lose_one)
    with pytest.raises(VerificationFailed, match=r"a\.tar: the written tar has not the members"):
        cut(tar, tmp_path / "new", "00002")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("a.zip", "it is compressed, so nothing"),
        ("a.csv.BZ2", "it is compressed, so nothing"),
        ("a.arrow", "it is an Arrow file, so nothing"),
        ("a.avro", "it is an Avro file, so nothing"),
        ("more", "it is a link to a folder, which is not followed"),
    ],
)
def test_what_may_hold_rows_and_cannot_be_read_is_undetermined(
    release: Path, tmp_path: Path, name: str, reason: str
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/urls.txt").write_text(f"{url_of(5)}\n")
    if name == "more":
        (tmp_path / "mine" / name).symlink_to(tmp_path)
    else:
        (tmp_path / "mine" / name).write_bytes(b"x")
    checked = check(copy_of(tmp_path / "mine"), release)
    assert checked.verdict is Verdict.UNDETERMINED
    assert checked.parts[0].undetermined[0].startswith(reason)
    apply(release, copy_of(tmp_path / "mine"), tmp_path / "clean")
    assert names_in(tmp_path / "clean") == {"urls.txt"}


def test_a_compressed_tar_is_said_to_be_unread(release: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    with tarfile.open(tmp_path / "mine/a.tar.gz", "w:gz"):
        pass
    (tmp_path / "mine/urls.txt").write_text(f"{url_of(5)}\n")
    checked = check(copy_of(tmp_path / "mine"), release)
    assert checked.verdict is Verdict.UNDETERMINED
    assert checked.parts[0].undetermined == ("it is compressed, so nothing in it could be looked at",)
    apply(release, copy_of(tmp_path / "mine"), tmp_path / "clean")
    assert names_in(tmp_path / "clean") == {"urls.txt"}


names = st.text(st.characters(codec="utf-8", exclude_characters="/.\0\\"), min_size=1, max_size=130)


@settings(max_examples=40, deadline=None)
@given(
    files=st.dictionaries(names, st.binary(max_size=2000), min_size=1, max_size=8),
    form=st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
    seed=st.integers(0, 255),
)
def test_any_tar_keeps_all_but_what_goes(
    files: dict[str, bytes], form: int, seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("tar")
    tar = pack(folder / "a.tar", {f"{key}.bin": data for key, data in files.items()}, form)
    gone = [key for place, key in enumerate(files) if seed >> place & 1]
    written = cut(tar, folder / "out", *gone)
    assert unpack(written) == {f"{key}.bin": data for key, data in files.items() if key not in gone}
    again = cut(written, folder / "again", *gone)
    assert again.read_bytes() == written.read_bytes()
    assert not TarSamples(written, "a.tar").changes(going(*gone))


def test_positions_do_not_matter_to_a_tar(tmp_path: Path) -> None:
    tar = pack(tmp_path / "a.tar", samples(1))
    rows = Going(9, np.array([0, 1]), frozenset(), aligned=False)
    assert TarSamples(tar, "a.tar").changes(rows) == []
