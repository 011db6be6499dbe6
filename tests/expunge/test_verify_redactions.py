"""Verifying a release that redacts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from expunge.errors import ExpungeError, VerificationFailed
from expunge.keys import KeyKind
from expunge.lists import Redaction, parse_entry
from expunge.manifest import file_digest, format_sums, read_sums, write_redacted, write_redacted_keys
from expunge.shards import Cut
from expunge.verify import trusted_diff, verify_release
from tests.expunge.formats import TEXT, make_rows, url_of, write_shard
from tests.expunge.runs import release_of
from tests.expunge.test_verify import one_more, resum, rewrite_json, set_to

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def redacted(tmp_path: Path) -> Path:
    write_shard(tmp_path / "base", "one", make_rows(9), TEXT[0])
    cells = [Redaction(parse_entry(url_of(n)), "text") for n in (1, 4)]
    release_of(tmp_path / "base", [url_of(3)], tmp_path / "redacted", redactions=cells)
    return tmp_path / "redacted"


def refill(folder: Path, old: bytes, new: bytes) -> None:
    """Change the one shard, and make all else fit it."""
    path = folder / "data/one.csv"
    path.write_bytes(path.read_bytes().replace(old, new))
    resum(folder)

    def change(said: dict[str, Any]) -> None:
        said["shards"][0]["sha256"] = file_digest(path)
        said["shards"][0]["bytes"] = said["totals"]["bytes"] = path.stat().st_size

    rewrite_json(folder, change)


def test_a_release_that_redacts_verifies_and_its_diff_is_trusted(redacted: Path) -> None:
    assert verify_release(redacted, integrity_only=True).release.cells_redacted == 2
    assert trusted_diff(redacted, minisign_pub=None, oms_pub=None).redacted


@pytest.mark.parametrize("url", [url_of(1), "https://elsewhere.example/"])
def test_a_redacted_cell_that_came_back_is_refused(redacted: Path, url: str) -> None:
    """By its key, and by its place where the key is gone."""
    refill(redacted, f"{url_of(1)},,".encode(), f"{url},again,".encode())
    found = (
        "row 1 matches a redacted key"
        if url == url_of(1)
        else "row 1 holds something in 'Text', which is to be"
    )
    with pytest.raises(VerificationFailed, match=found):
        verify_release(redacted, integrity_only=True)


def test_a_redacted_column_that_a_shard_does_not_have_is_refused(redacted: Path) -> None:
    """Or nothing would be looked at."""
    base = json.loads((redacted / "release.json").read_bytes())["shards"][0]["base_sha256"]
    write_redacted(redacted / "diff/redacted.parquet", {base: Cut(null={"Txt": np.array([1, 4])})})
    resum(redacted)
    with pytest.raises(VerificationFailed, match=r"names a column 'Txt' that one\.csv does not have"):
        verify_release(redacted, integrity_only=True)


@pytest.mark.parametrize("column", [None, "md5"])
def test_a_redaction_without_its_keys_is_refused(redacted: Path, column: str | None) -> None:
    """A copy in another order would pass for not affected."""
    keys = [(KeyKind.MD5, bytes(16), None)] if column is None else [(KeyKind.URL_C1, bytes(32), column)]
    write_redacted_keys(redacted / "diff/redacted_keys.parquet", keys)
    resum(redacted)
    with pytest.raises(
        VerificationFailed, match=r"has no key of url\.c1\.sha256, by which release\.json says"
    ):
        verify_release(redacted, integrity_only=True)


@pytest.mark.parametrize("row", [-1, 99, 3])
def test_cells_outside_the_base_or_of_removed_rows_are_refused(redacted: Path, row: int) -> None:
    base = json.loads((redacted / "release.json").read_bytes())["shards"][0]["base_sha256"]
    write_redacted(redacted / "diff/redacted.parquet", {base: Cut(null={"Text": np.array(sorted((row, 4)))})})
    resum(redacted)
    problem = (
        "names cells of data/one.csv that diff/removed.parquet takes"
        if row == 3
        else "names rows that the base"
    )
    with pytest.raises(VerificationFailed, match=problem):
        verify_release(redacted, integrity_only=True)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (set_to("totals", "cells_redacted", to=one_more), r"totals\.cells_redacted is not the sum"),
        (set_to("shards", 0, "redacted", to=one_more), "redacted does not count the cells of the shards"),
        (set_to("redacted", 0, "cells", to=one_more), "redacted does not count the cells of the shards"),
        (set_to("redacted", to=[]), "redacted is empty"),
        (set_to("redacted", 0, "kinds", to=["x"]), "is not a valid KeyKind"),
        (set_to("redacted", 0, "column", to=""), "column is not well-formed"),
        (set_to("shards", 0, "method", to="magic"), "method is not well-formed"),
        (
            set_to("format", to="expunge-release/1"),
            "redacted.parquet is listed in SHA256SUMS, but release.json tells",
        ),
    ],
)
def test_a_release_json_that_counts_cells_wrong_is_refused(redacted: Path, change: Any, problem: str) -> None:
    rewrite_json(redacted, change)
    with pytest.raises(VerificationFailed, match=problem):
        verify_release(redacted, integrity_only=True)


@pytest.mark.parametrize("name", ["diff/redacted.parquet", "diff/redacted_keys.parquet"])
def test_the_files_of_a_redacting_diff_must_all_be_there(redacted: Path, name: str) -> None:
    (redacted / name).unlink()
    with pytest.raises(ExpungeError, match=rf"{name} is missing"):
        trusted_diff(redacted, minisign_pub=None, oms_pub=None)
    sums = {path: digest for path, digest in read_sums(redacted).items() if path != name}
    (redacted / "SHA256SUMS").write_bytes(format_sums(sums))
    with pytest.raises(VerificationFailed, match=rf"{name} is not listed"):
        verify_release(redacted, integrity_only=True)


def test_cells_counted_in_the_wrong_shard_are_noticed(redacted: Path) -> None:
    write_redacted(redacted / "diff/redacted.parquet", {"0" * 64: Cut(null={"Text": np.array([1, 4])})})
    resum(redacted)
    with pytest.raises(VerificationFailed, match="count redacted cells differently"):
        verify_release(redacted, integrity_only=True)
