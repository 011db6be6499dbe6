"""Making a clean release."""

from __future__ import annotations

import json
import shutil
import subprocess
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from expunge.manifest import read_keys, read_positions, read_release
from expunge.signing import Signer, generate_keys
from expunge.verify import verify_release
from tests.expunge.formats import TEXT, make_rows, md5_of, plain_bytes, url_of, write_shard
from tests.expunge.runs import CREATED, make_base, names_in, release_of

if TYPE_CHECKING:
    from pathlib import Path

CSV = TEXT[0]


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return make_base(tmp_path)


def test_a_release_has_its_files_and_says_what_it_is(base: Path, tmp_path: Path) -> None:
    result = release_of(base, [url_of(3), url_of(15)], tmp_path / "out/release")
    folder = tmp_path / "out/release"
    assert names_in(folder) == {
        "SHA256SUMS",
        "data",
        "data/train",
        "data/train/one.parquet",
        "data/two.csv",
        "diff",
        "diff/keys.parquet",
        "diff/removed.parquet",
        "release.json",
    }
    said = json.loads((folder / "release.json").read_bytes())
    assert said["totals"] == {
        "rows_before": 30,
        "rows_removed": 3,
        "rows_after": 27,
        "bytes": sum((folder / shard.path).stat().st_size for shard in result.shards),
        "shards": 2,
        "shards_changed": 2,
    }
    assert (said["dataset"], said["version"], said["serial"], said["form"]) == (
        "links",
        "2026-11-23",
        1,
        "compact",
    )
    assert said["created"] == "2026-11-23T12:00:00.000000Z"
    assert read_release(folder) == result.release
    assert (result.rows_before, result.rows_removed, result.rows_after) == (30, 3, 27)
    assert result.hits == [2, 1]
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"], cwd=folder, check=True)


def test_the_diff_has_positions_and_keys_and_no_reason(base: Path, tmp_path: Path) -> None:
    result = release_of(
        base, [url_of(3), f"md5:{md5_of(15)}", "https://absent.example/"], tmp_path / "release"
    )
    one, two = result.shards
    positions = {digest: rows.tolist() for digest, rows in read_positions(tmp_path / "release").items()}
    assert positions == {one.base_sha256: [3, 15], two.base_sha256: [3]}
    kinds = [entry.kind for entry in read_keys(tmp_path / "release")]
    assert sorted(kinds) == ["content.md5", "url.c1.sha256", "url.raw.sha256", "url.raw.sha256"]
    assert [entry.text for entry in result.unmatched] == ["https://absent.example/"]
    assert pq.read_table(tmp_path / "release/diff/keys.parquet").column_names == ["kind", "key"]


def test_an_untouched_shard_is_the_same_bytes(base: Path, tmp_path: Path) -> None:
    release_of(base, [url_of(15)], tmp_path / "release")
    assert (tmp_path / "release/data/two.csv").read_bytes() == (base / "two.csv").read_bytes()
    assert not (tmp_path / "release/data/two.csv").samefile(base / "two.csv")


def test_an_untouched_shard_can_be_linked(base: Path, tmp_path: Path) -> None:
    release_of(base, [url_of(15)], tmp_path / "release", link=True)
    assert (tmp_path / "release/data/two.csv").samefile(base / "two.csv")
    verify_release(tmp_path / "release", integrity_only=True)


def test_a_row_whose_raw_key_a_kept_row_shares_is_hidden(tmp_path: Path) -> None:
    """The diff must not give the raw key away: it would take the kept row from everybody's copy."""
    (tmp_path / "base.csv").write_text(
        f"url,md5\nhttps://a.example/,{md5_of(1)}\nhttps://a.example/,{md5_of(2)}\n,{md5_of(1)}\n"
    )
    result = release_of(tmp_path / "base.csv", [f"md5:{md5_of(1)}"], tmp_path / "release")
    assert result.rows_removed == 2
    assert [(part.kinds, part.rows) for part in result.release.hidden] == [(("content.md5",), 2)]
    assert [entry.kind for entry in read_keys(tmp_path / "release")] == ["content.md5"]


def test_each_element_of_a_list_is_a_key(tmp_path: Path) -> None:
    table = pa.table({"url": [[url_of(1), url_of(2)], [], None, [url_of(3), None]]})
    pq.write_table(table, tmp_path / "base.parquet")
    result = release_of(tmp_path / "base.parquet", [url_of(2)], tmp_path / "release")
    assert pq.read_table(tmp_path / "release/data/base.parquet")["url"].to_pylist() == [
        [],
        None,
        [url_of(3), None],
    ]
    assert result.rows_removed == 1


def test_one_host_one_id_and_hosts_of_many_lengths(tmp_path: Path) -> None:
    (tmp_path / "base.csv").write_text(
        "id,url\n12345678,https://img.example.com/\n9,https://x.io/\n1234567890,https://y.example/a\n"
    )
    result = release_of(
        tmp_path / "base.csv", ["host:img.example.com", "id:1234567890"], tmp_path / "release"
    )
    assert plain_bytes(tmp_path / "release/data/base.csv") == b"id,url\n9,https://x.io/\n"
    assert result.hits == [1, 1]


def test_shards_of_equal_bytes_lose_the_same_rows(tmp_path: Path) -> None:
    for name in ("a", "b/a"):
        write_shard(tmp_path / "base", name, make_rows(10), CSV)
    result = release_of(tmp_path / "base", [url_of(4)], tmp_path / "release")
    assert [shard.removed for shard in result.shards] == [1, 1]
    assert len(read_positions(tmp_path / "release")) == 1
    verify_release(tmp_path / "release", integrity_only=True)


def test_shards_may_name_their_columns_differently_or_lack_some(tmp_path: Path) -> None:
    base = tmp_path / "base"
    base.mkdir()
    (base / "a.csv").write_text(f"url,md5\n{url_of(1)},{md5_of(1)}\n")
    (base / "b.csv").write_text(f"IMAGE_URL\n{url_of(1)}\n{url_of(2)}\n")
    (base / "c.txt").write_text(f"{url_of(1)}\n")
    result = release_of(base, [url_of(1), f"md5:{md5_of(1)}"], tmp_path / "release")
    assert [shard.rows for shard in result.shards] == [0, 1, 0]
    verify_release(tmp_path / "release", integrity_only=True)


def test_the_aligned_form_empties_a_row_named_by_its_id(tmp_path: Path) -> None:
    (tmp_path / "base.csv").write_text("id,url,text\n7,https://a.example/,x\n8,https://b.example/,y\n")
    release_of(tmp_path / "base.csv", ["id:7"], tmp_path / "release", form="aligned")
    assert plain_bytes(tmp_path / "release/data/base.csv") == b"id,url,text\n7,,\n8,https://b.example/,y\n"
    verify_release(tmp_path / "release", integrity_only=True)


def test_the_aligned_form_empties_sensitive_columns_too(base: Path, tmp_path: Path) -> None:
    shutil.rmtree(base / "train")
    release_of(base, [url_of(1)], tmp_path / "release", form="aligned", sensitive=["similarity"])
    assert plain_bytes(tmp_path / "release/data/two.csv").splitlines()[2] == b"1,,,,"
    assert read_release(tmp_path / "release").blanked == ("Text", "URL", "md5", "similarity")


def test_all_rows_may_go(base: Path, tmp_path: Path) -> None:
    result = release_of(base, ["domain:example.com"], tmp_path / "release")
    assert result.rows_after == 0
    verify_release(tmp_path / "release", integrity_only=True)


def test_nothing_may_match(base: Path, tmp_path: Path) -> None:
    result = release_of(base, ["https://absent.example/"], tmp_path / "release")
    assert (result.rows_removed, len(result.unmatched)) == (0, 1)
    verify_release(tmp_path / "release", integrity_only=True)


def test_processes_give_the_same_bytes_as_one(base: Path, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    roots = {
        release_of(
            base, [url_of(3)], tmp_path / f"release{n}", workers=n, progress=lambda *now: told.append(now)
        ).root
        for n in (1, 2)
    }
    assert len(roots) == 1
    assert {stage for stage, _, _ in told} == {
        "Locating rows",
        "Writing shards",
        "Reading back",
        "Looking again",
    }


def test_a_time_is_written_in_utc(base: Path, tmp_path: Path) -> None:
    made = datetime(2026, 11, 23, 13, tzinfo=timezone(timedelta(hours=1)))
    one = release_of(base, [url_of(3)], tmp_path / "one", created=made)
    two = release_of(base, [url_of(3)], tmp_path / "two", created=CREATED)
    assert one.root == two.root
    now = release_of(base, [url_of(3)], tmp_path / "three", created=None).release.created
    assert abs(now - datetime.now(UTC)) < timedelta(minutes=1)


def test_it_is_signed_with_the_keys_given(base: Path, tmp_path: Path) -> None:
    keys = generate_keys(tmp_path / "keys")
    release_of(
        base, [url_of(3)], tmp_path / "release", signer=Signer.from_files(keys.minisign_key, keys.oms_key)
    )
    verified = verify_release(tmp_path / "release", minisign_pub=keys.minisign_pub, oms_pub=keys.oms_pub)
    assert verified.signatures == ("SHA256SUMS.minisig", "dataset.sig")
    assert verified.trusted_comment == "links@2026-11-23 serial 1"
