"""Bringing a copy to a release."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest

import expunge.apply as apply_module
from expunge.apply import apply
from expunge.errors import BadShard, UsageError
from expunge.manifest import BadRelease
from tests.expunge.formats import (
    PARQUET,
    REQUIRED,
    TEXT,
    make_rows,
    md5_of,
    plain_bytes,
    read_rows,
    url_of,
    write_shard,
)
from tests.expunge.runs import copy_of, names_in, release_of

if TYPE_CHECKING:
    from pathlib import Path

CSV = TEXT[0]


@pytest.fixture
def base(tmp_path: Path) -> Path:
    write_shard(tmp_path / "base", "one", make_rows(20), PARQUET[0])
    write_shard(tmp_path / "base", "two", make_rows(30)[20:], CSV)
    return tmp_path / "base"


def test_the_diff_alone_is_enough(base: Path, tmp_path: Path) -> None:
    release = tmp_path / "release"
    release_of(base, [url_of(3), url_of(25)], release)
    kept = {path.name: path.read_bytes() for path in (release / "data").iterdir()}
    shutil.rmtree(release / "data")
    applied = apply(release, copy_of(base), tmp_path / "copy", workers=2)
    assert {path.name: path.read_bytes() for path in (tmp_path / "copy").iterdir()} == kept
    assert (applied.rows_before, applied.rows_removed, applied.rows_after) == (30, 2, 28)
    assert (applied.shards, applied.shards_changed, applied.undetermined) == (2, 2, {})


def test_columns_that_the_release_knows_need_not_be_named_again(tmp_path: Path) -> None:
    base = tmp_path / "base"
    base.mkdir()
    (base / "a.csv").write_text(f"n,href,hash\n1,{url_of(1)},{md5_of(1)}\n2,{url_of(2)},{md5_of(2)}\n")
    columns = {"url": "href", "md5": "hash", "id": ""}
    for form in ("compact", "aligned"):
        release_of(base, [url_of(1)], tmp_path / form, columns=columns, form=form)
        apply(tmp_path / form, copy_of(base), tmp_path / f"copy {form}")
        copied = (tmp_path / f"copy {form}/a.csv").read_bytes()
        assert copied == (tmp_path / form / "data/a.csv").read_bytes()
        (tmp_path / "mine.csv").write_text(f"hash,HREF\n{md5_of(2)},{url_of(2)}\n{md5_of(1)},{url_of(1)}\n")
        apply(tmp_path / form, copy_of(tmp_path / "mine.csv"), tmp_path / f"mine {form}")
        assert url_of(1) not in (tmp_path / f"mine {form}/mine.csv").read_text()
        assert url_of(2) in (tmp_path / f"mine {form}/mine.csv").read_text()


def test_a_column_left_out_of_the_release_is_left_alone_in_its_base(tmp_path: Path) -> None:
    write_shard(tmp_path / "base", "a", make_rows(5), CSV)
    release_of(tmp_path / "base", [url_of(1)], tmp_path / "release", columns={"text": ""}, form="aligned")
    apply(tmp_path / "release", copy_of(tmp_path / "base"), tmp_path / "copy")
    copied = plain_bytes(tmp_path / "copy/a.csv")
    assert copied == plain_bytes(tmp_path / "release/data/a.csv")
    assert b'1,,"with, a comma"' in copied


def test_a_text_copy_of_which_no_row_is_left_can_be_applied_to_again(base: Path, tmp_path: Path) -> None:
    release_of(base, ["domain:example.com"], tmp_path / "release")
    (tmp_path / "mine.txt").write_text(f"{url_of(1)}\n")
    apply(tmp_path / "release", copy_of(tmp_path / "mine.txt"), tmp_path / "copy")
    assert (tmp_path / "copy/mine.txt").read_bytes() == b""
    again = apply(tmp_path / "release", copy_of(tmp_path / "copy"), tmp_path / "again")
    assert (again.rows_before, again.undetermined) == (0, {})


def test_rows_that_only_a_missing_column_finds_are_told_of(tmp_path: Path) -> None:
    (tmp_path / "base.csv").write_text(
        f"url,md5\nhttps://a.example/,{md5_of(1)}\nhttps://a.example/,{md5_of(2)}\n"
    )
    release_of(tmp_path / "base.csv", [f"md5:{md5_of(1)}"], tmp_path / "release")
    (tmp_path / "mine.txt").write_text("https://a.example/\nhttps://a.example/\n")
    applied = apply(tmp_path / "release", copy_of(tmp_path / "mine.txt"), tmp_path / "copy")
    assert applied.rows_removed == 0
    (reason,) = applied.undetermined["mine.txt"]
    assert reason == "1 removed rows can only be found by content.md5, for which it has no column"


def test_a_copy_without_urls_is_told_of_and_hashes_are_used(base: Path, tmp_path: Path) -> None:
    release_of(base, [url_of(3), f"md5:{md5_of(4)}"], tmp_path / "release")
    (tmp_path / "mine.csv").write_text(f"md5\n{md5_of(3)}\n{md5_of(4)}\n")
    applied = apply(tmp_path / "release", copy_of(tmp_path / "mine.csv"), tmp_path / "copy")
    assert applied.rows_removed == 1
    assert "no column for url.raw.sha256" in applied.undetermined["mine.csv"][0]


def test_other_names_are_blanked_in_a_copy(base: Path, tmp_path: Path) -> None:
    release_of(base, [url_of(3)], tmp_path / "release", form="aligned", sensitive=["similarity"])
    (tmp_path / "mine.csv").write_text(f"link,alt,similarity,other\n{url_of(3)},x,1,2\n{url_of(4)},x,1,2\n")
    apply(tmp_path / "release", copy_of(tmp_path / "mine.csv"), tmp_path / "copy")
    assert (tmp_path / "copy/mine.csv").read_text() == f"link,alt,similarity,other\n,,,2\n{url_of(4)},x,1,2\n"


def test_a_required_column_of_the_copy_is_refused(base: Path, tmp_path: Path) -> None:
    release_of(base, [url_of(3)], tmp_path / "release", form="aligned")
    write_shard(tmp_path / "mine", "one", make_rows(9), REQUIRED)
    with pytest.raises(UsageError, match=r"one\.parquet: column 'url' is REQUIRED"):
        apply(tmp_path / "release", copy_of(tmp_path / "mine"), tmp_path / "copy")
    assert not [name for name in names_in(tmp_path) if "copy" in name]


def test_a_copy_known_by_its_id_alone_has_nothing_to_empty(tmp_path: Path) -> None:
    (tmp_path / "base.csv").write_text("id,url\n1,https://a.example/\n2,https://b.example/\n")
    release_of(tmp_path / "base.csv", ["id:1"], tmp_path / "release", form="aligned")
    (tmp_path / "mine.csv").write_text("id,n\n1,2\n2,3\n")
    with pytest.raises(UsageError, match=r"mine\.csv: the release leaves columns empty, but none is known"):
        apply(tmp_path / "release", copy_of(tmp_path / "mine.csv"), tmp_path / "copy")


def test_two_rows_of_one_url_both_go(base: Path, tmp_path: Path) -> None:
    release_of(base, [url_of(3)], tmp_path / "release")
    rows = make_rows(5)
    path = write_shard(tmp_path / "mine", "x", [*rows, rows[3], rows[3]], TEXT[9])
    apply(tmp_path / "release", copy_of(path), tmp_path / "copy")
    assert [row[0] for row in read_rows(tmp_path / "copy" / path.name)] == ["0", "1", "2", "4"]


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("diff/keys.parquet", "is not the file that was published"),
        ("diff/removed.parquet", "is not the file that was published"),
        ("release.json", "is not the file that was published"),
    ],
)
def test_a_changed_or_missing_diff_is_refused(base: Path, tmp_path: Path, name: str, problem: str) -> None:
    release_of(base, [url_of(3)], tmp_path / "release")
    path = tmp_path / "release" / name
    whole = path.read_bytes()
    path.write_bytes(whole + b" ")
    with pytest.raises(BadRelease, match=rf"{name} {problem}"):
        apply(tmp_path / "release", copy_of(base), tmp_path / "copy")
    path.unlink()
    with pytest.raises(BadRelease, match=rf"{name} is missing"):
        apply(tmp_path / "release", copy_of(base), tmp_path / "copy")
    assert not [found for found in names_in(tmp_path) if "copy" in found]


def test_a_bad_copy_is_named_and_leaves_nothing(base: Path, tmp_path: Path) -> None:
    release_of(base, [url_of(3)], tmp_path / "release")
    (tmp_path / "mine.csv").write_bytes(b"")
    with pytest.raises(BadShard, match=r"mine\.csv: has no header"):
        apply(tmp_path / "release", copy_of(tmp_path / "mine.csv"), tmp_path / "copy")
    assert not [found for found in names_in(tmp_path) if "copy" in found]


def test_a_copy_in_parquet_keeps_its_own_settings(base: Path, tmp_path: Path) -> None:
    release_of(base, [url_of(3)], tmp_path / "release")
    path = write_shard(tmp_path / "mine", "x", make_rows(20), PARQUET[3])
    apply(tmp_path / "release", copy_of(path), tmp_path / "copy")
    assert pq.read_metadata(tmp_path / "copy/x.parquet").row_group(0).column(0).compression == "GZIP"


def test_a_stopped_run_goes_on_where_it_was(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release_of(base, [url_of(3), url_of(25)], tmp_path / "release")
    written: list[str] = []
    write = apply_module._write_manifest

    def stop(work: Any, one: Any, shard: Any, target: Any) -> None:
        if written:
            raise KeyboardInterrupt
        written.append(one.name)
        write(work, one, shard, target)

    monkeypatch.setattr(apply_module, "_write_manifest", stop)
    with pytest.raises(KeyboardInterrupt):
        apply(tmp_path / "release", copy_of(base), tmp_path / "copy")
    before = (tmp_path / ".copy.partial/one.parquet").stat()
    monkeypatch.setattr(apply_module, "_write_manifest", write)
    apply(tmp_path / "release", copy_of(base), tmp_path / "copy")
    assert (tmp_path / "copy/one.parquet").stat().st_ino == before.st_ino
    for name in ("one.parquet", "two.csv"):
        copied = (tmp_path / "copy" / name).read_bytes()
        assert copied == (tmp_path / "release/data" / name).read_bytes()
    assert names_in(tmp_path / "copy") == {"one.parquet", "two.csv"}


def test_what_a_stopped_run_wrote_of_another_release_is_written_again(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release_of(base, [url_of(3)], tmp_path / "first")
    release_of(base, [url_of(4)], tmp_path / "second")

    def stop(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(apply_module, "_sizes", stop)
        patched.setattr(apply_module, "_check", lambda *arguments: None)
        with pytest.raises(KeyboardInterrupt):
            apply(tmp_path / "first", copy_of(base), tmp_path / "copy")
    assert (tmp_path / ".copy.partial/one.parquet").exists()
    apply(tmp_path / "second", copy_of(base), tmp_path / "copy")
    assert (tmp_path / "copy/one.parquet").read_bytes() == (tmp_path / "second/data/one.parquet").read_bytes()
