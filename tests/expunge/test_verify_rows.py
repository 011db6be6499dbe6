"""Verifying the rows of a release: those that were written anew and, when asked for, all."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from expunge.errors import VerificationFailed
from expunge.keys import KeyKind, column_keys
from expunge.manifest import file_digest, read_keys, read_release, write_keys, write_positions
from expunge.verify import verify_release
from tests.expunge.formats import PARQUET, TEXT, make_rows, url_of, write_shard
from tests.expunge.runs import release_of
from tests.expunge.test_verify import resum, rewrite_json, set_to

if TYPE_CHECKING:
    from tests.expunge.formats import Layout


@pytest.fixture
def release(tmp_path: Path) -> Path:
    write_shard(tmp_path / "base", "a/one", make_rows(20), PARQUET[0])
    write_shard(tmp_path / "base", "two", make_rows(10), TEXT[0])
    release_of(tmp_path / "base", [url_of(3), url_of(12)], tmp_path / "release")
    return tmp_path / "release"


@pytest.mark.parametrize("layout", [PARQUET[0], TEXT[0]], ids=str)
def test_every_removed_row_of_an_aligned_release_must_be_empty(tmp_path: Path, layout: Layout) -> None:
    write_shard(tmp_path / "base", "one", make_rows(20), layout)
    release_of(tmp_path / "base", [url_of(3)], tmp_path / "release", form="aligned")
    base = json.loads((tmp_path / "release/release.json").read_bytes())["shards"][0]["base_sha256"]
    write_positions(tmp_path / "release/diff/removed.parquet", [(base, np.array([4]))])
    resum(tmp_path / "release")
    with pytest.raises(VerificationFailed, match="row 4 holds something in '"):
        verify_release(tmp_path / "release", integrity_only=True)


def test_a_shard_with_other_rows_or_length_than_counted_is_refused(release: Path) -> None:
    path = release / "data/two.csv"
    path.write_bytes(path.read_bytes() + f"77,{url_of(77)},,,\n".encode())
    resum(release)
    rewrite_json(release, set_to("shards", 1, "sha256", to=file_digest(path)))
    with pytest.raises(VerificationFailed) as raised:
        verify_release(release, integrity_only=True)
    assert raised.value.differences == [
        "data/two.csv has 10 rows and release.json says 9.",
        "data/two.csv has not the length that release.json says.",
    ]


def test_a_removed_row_that_came_back_is_refused(release: Path) -> None:
    path = release / "data/two.csv"
    lines = path.read_bytes().splitlines(keepends=True)
    lines[1] = lines[1].replace(url_of(0).encode(), url_of(3).encode())
    path.write_bytes(b"".join(lines))
    resum(release)
    rewrite_json(release, set_to("shards", 1, "sha256", to=file_digest(path)))
    with pytest.raises(VerificationFailed, match=r"two\.csv: row 0 matches a key of the diff"):
        verify_release(release, integrity_only=True)


@pytest.mark.parametrize(("row", "anew"), [(1, True), (6, True), (9, False), (19, False)])
def test_rows_written_anew_are_always_looked_at_and_copied_ones_when_asked_for(
    tmp_path: Path, row: int, *, anew: bool
) -> None:
    """Row groups of 7 rows: the first lost row 3, the others are copies."""
    write_shard(tmp_path / "base", "one", make_rows(20), PARQUET[0])
    release = tmp_path / "release"
    release_of(tmp_path / "base", [url_of(3)], release)
    verify_release(release, integrity_only=True, thorough=True)
    raw = column_keys(KeyKind.URL_RAW, pa.array([url_of(row)])).to_pylist()
    keys = [(entry.kind, entry.key) for entry in read_keys(release)]
    (release / "diff/keys.parquet").unlink()
    write_keys(release / "diff/keys.parquet", [*keys, (KeyKind.URL_RAW, raw[0])])
    resum(release)
    problem = rf"one\.parquet: row {row - (row > 3)} matches a key of the diff"
    if anew:
        with pytest.raises(VerificationFailed, match=problem):
            verify_release(release, integrity_only=True)
    else:
        verify_release(release, integrity_only=True)
    with pytest.raises(VerificationFailed, match=problem):
        verify_release(release, integrity_only=True, thorough=True)


def test_the_rows_of_an_untouched_parquet_shard_are_counted_in_its_footer(tmp_path: Path) -> None:
    write_shard(tmp_path / "base", "one", make_rows(20), PARQUET[0])
    write_shard(tmp_path / "base", "two", make_rows(30)[20:], PARQUET[0])
    release = tmp_path / "release"
    release_of(tmp_path / "base", [url_of(3)], release)

    def change(said: dict[str, Any]) -> None:
        said["shards"][1]["rows"] += 1
        said["shards"][1]["base_rows"] += 1
        said["totals"]["rows_before"] += 1
        said["totals"]["rows_after"] += 1
        said["base"]["rows"] += 1

    rewrite_json(release, change)
    with pytest.raises(VerificationFailed, match=r"two\.parquet has 10 rows and release\.json says 11"):
        verify_release(release, integrity_only=True)


def test_a_file_that_changes_after_it_was_hashed_is_noticed(
    release: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = release / "data/a/one.parquet"

    def change(folder: Path) -> Any:
        path.write_bytes(path.read_bytes())
        return read_release(folder)

    monkeypatch.setattr("expunge.verify.read_release", change)
    with pytest.raises(VerificationFailed, match=r"a/one\.parquet: changed while it was read"):
        verify_release(release, integrity_only=True)


def test_a_shard_of_another_format_than_its_name_is_refused(release: Path) -> None:
    path = release / "data/two.csv"
    path.write_bytes((release / "data/a/one.parquet").read_bytes())
    resum(release)
    rewrite_json(release, set_to("shards", 1, "sha256", to=file_digest(path)))
    with pytest.raises(VerificationFailed, match=r"two\.csv: line \d+"):
        verify_release(release, integrity_only=True)


def test_a_shard_without_any_key_is_refused(release: Path) -> None:
    path = release / "data/two.csv"
    path.write_text("a,b\n1,2\n")
    resum(release)
    rewrite_json(release, set_to("shards", 1, "sha256", to=file_digest(path)))
    with pytest.raises(VerificationFailed, match="A shard has not the columns"):
        verify_release(release, integrity_only=True)


@pytest.mark.parametrize("layout", [PARQUET[0], TEXT[0]], ids=str)
def test_a_shard_that_lost_nothing_must_be_its_bases(tmp_path: Path, layout: Layout) -> None:
    write_shard(tmp_path / "base", "one", make_rows(20), layout)
    write_shard(tmp_path / "base", "two", make_rows(30)[20:], layout)
    release = tmp_path / "release"
    made = release_of(tmp_path / "base", [url_of(3)], release)
    whole = made.shards[1].path
    write_shard(tmp_path / "other", "two", make_rows(40)[30:], layout)
    shutil.copy(tmp_path / "other" / Path(whole).name, release / whole)
    resum(release)
    rewrite_json(release, set_to("shards", 1, "sha256", to=file_digest(release / whole)))
    with pytest.raises(VerificationFailed, match=f"{whole} lost nothing, but is not its base's file"):
        verify_release(release, integrity_only=True)
