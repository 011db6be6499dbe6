"""Verifying a release."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from expunge.errors import UsageError, VerificationFailed
from expunge.keys import KeyKind
from expunge.manifest import file_digest, format_sums, read_sums, write_keys, write_positions
from expunge.signing import Signer, generate_keys
from expunge.verify import trusted_diff, verify_release
from tests.expunge.formats import PARQUET, TEXT, make_rows, url_of, write_shard
from tests.expunge.runs import flip_byte, names_in, release_of

if TYPE_CHECKING:
    from expunge.signing import KeyFiles
    from tests.expunge.formats import Layout


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> KeyFiles:
    return generate_keys(tmp_path_factory.mktemp("keys") / "pair")


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory, keys: KeyFiles) -> Path:
    folder = tmp_path_factory.mktemp("signed")
    write_shard(folder / "base", "a/one", make_rows(20), PARQUET[0])
    write_shard(folder / "base", "two", make_rows(10), TEXT[0])
    signer = Signer.from_files(keys.minisign_key, keys.oms_key)
    release_of(folder / "base", [url_of(3), url_of(12)], folder / "release", signer=signer)
    return folder / "release"


@pytest.fixture
def release(signed: Path, tmp_path: Path) -> Path:
    shutil.copytree(signed, tmp_path / "release")
    return tmp_path / "release"


FILES = (
    "SHA256SUMS",
    "SHA256SUMS.minisig",
    "dataset.sig",
    "data/a/one.parquet",
    "data/two.csv",
    "diff/keys.parquet",
    "diff/removed.parquet",
    "release.json",
)


def resum(folder: Path) -> None:
    """Make the sums fit the files again, as somebody without the keys can."""
    digests = {name: file_digest(folder / name) for name in read_sums(folder)}
    (folder / "SHA256SUMS").write_bytes(format_sums(digests))


def rewrite_json(folder: Path, change: Any) -> None:
    said = json.loads((folder / "release.json").read_bytes())
    change(said)
    (folder / "release.json").write_bytes(json.dumps(said).encode())
    resum(folder)


def test_the_release_has_these_files_and_verifies(release: Path, keys: KeyFiles) -> None:
    assert {name for name in names_in(release) if (release / name).is_file()} == set(FILES)
    for options in (
        {"minisign_pub": keys.minisign_pub, "oms_pub": keys.oms_pub},
        {"minisign_pub": keys.minisign_pub},
        {"oms_pub": keys.oms_pub},
        {"integrity_only": True},
    ):
        verified = verify_release(release, workers=2, **options)
        assert len(verified.signatures) == sum(name.endswith("pub") for name in options)


def test_removed_rows_without_a_key_are_refused(release: Path) -> None:
    """A copy in another order would pass for not affected."""
    write_keys(release / "diff/keys.parquet", [])
    resum(release)
    with pytest.raises(
        VerificationFailed, match=r"keys\.parquet is empty, but release\.json tells of removed"
    ):
        verify_release(release, integrity_only=True)


def test_hidden_rows_without_their_kind_of_key_are_refused(tmp_path: Path) -> None:
    (tmp_path / "base.csv").write_text("url,md5\n" + "".join(f"{url_of(1)},{n:032x}\n" for n in range(3)))
    release_of(tmp_path / "base.csv", [f"md5:{1:032x}"], tmp_path / "release")
    write_keys(tmp_path / "release/diff/keys.parquet", [(KeyKind.URL_RAW, bytes(32))])
    resum(tmp_path / "release")
    with pytest.raises(VerificationFailed, match=r"keys\.parquet has no key of content\.md5"):
        verify_release(tmp_path / "release", integrity_only=True)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("where", [0.0, 0.3, 0.6, 0.9])
def test_a_byte_changed_in_any_file_is_noticed(
    release: Path, keys: KeyFiles, name: str, where: float
) -> None:
    data = (release / name).read_bytes()
    at = int(len(data) * where)
    if (
        name == "SHA256SUMS.minisig"
    ):  # its first line is a comment that nothing signs, as minisign says itself
        start = data.index(b"\n") + 1
        at = start + int((len(data) - start) * where)
    flip_byte(release / name, at)
    with pytest.raises(VerificationFailed):
        verify_release(release, minisign_pub=keys.minisign_pub, oms_pub=keys.oms_pub)


@pytest.mark.parametrize("name", ["SHA256SUMS", "release.json", "diff/removed.parquet"])
def test_every_byte_of_a_small_file_counts(release: Path, keys: KeyFiles, name: str) -> None:
    whole = (release / name).read_bytes()
    for at in range(0, len(whole), 7):
        flip_byte(release / name, at)
        with pytest.raises(VerificationFailed):
            verify_release(release, minisign_pub=keys.minisign_pub)
        (release / name).write_bytes(whole)
    for at in range(0, len(whole), 7):  # the sums are in one form only, so this holds without any key
        flip_byte(release / name, at)
        with pytest.raises(VerificationFailed):
            verify_release(release, integrity_only=True)
        (release / name).write_bytes(whole)


def test_without_a_key_it_says_that_nothing_proves_who_made_it(release: Path) -> None:
    with pytest.raises(VerificationFailed, match="Without a key nothing proves who made this release"):
        verify_release(release)


def test_another_key_is_refused(release: Path, tmp_path: Path) -> None:
    other = generate_keys(tmp_path / "other")
    with pytest.raises(VerificationFailed):
        verify_release(release, minisign_pub=other.minisign_pub)
    with pytest.raises(VerificationFailed, match="made with another key"):
        verify_release(release, oms_pub=other.oms_pub)
    with pytest.raises(UsageError, match="not a minisign public key"):
        verify_release(release, minisign_pub=other.oms_pub)


def test_a_missing_signature_is_told(release: Path, keys: KeyFiles) -> None:
    (release / "SHA256SUMS.minisig").unlink()
    with pytest.raises(VerificationFailed, match="the release is not signed with this kind of key"):
        verify_release(release, minisign_pub=keys.minisign_pub)


def test_a_partial_download_verifies_when_asked_for(release: Path, keys: KeyFiles) -> None:
    (release / "data/two.csv").unlink()
    with pytest.raises(VerificationFailed, match=r"data/two\.csv is missing"):
        verify_release(release, minisign_pub=keys.minisign_pub)
    verified = verify_release(release, minisign_pub=keys.minisign_pub, partial=True)
    assert verified.absent == ("data/two.csv",)
    flip_byte(release / "data/a/one.parquet", 50)
    with pytest.raises(VerificationFailed, match=r"data/a/one\.parquet is not the file that was published"):
        verify_release(release, minisign_pub=keys.minisign_pub, partial=True)


def test_a_file_or_link_too_many_is_refused(release: Path, tmp_path: Path) -> None:
    (release / "data/extra.csv").write_text("url\n")
    with pytest.raises(VerificationFailed, match=r"data/extra\.csv is not listed in SHA256SUMS"):
        verify_release(release, integrity_only=True)
    (release / "data/extra.csv").unlink()
    (release / "data/away").symlink_to(tmp_path)
    with pytest.raises(VerificationFailed, match="data/away is not listed in SHA256SUMS"):
        verify_release(release, integrity_only=True)


def test_links_instead_of_files_or_folders_are_refused(release: Path, tmp_path: Path) -> None:
    (release / "data/two.csv").rename(tmp_path / "two.csv")
    (release / "data/two.csv").symlink_to(tmp_path / "two.csv")
    (release / "data/a").rename(tmp_path / "a")
    (release / "data/a").symlink_to(tmp_path / "a")
    with pytest.raises(VerificationFailed) as raised:
        verify_release(release, integrity_only=True)
    assert {"data/two.csv is a link.", "data/a/one.parquet is a link."} <= set(raised.value.differences)


def test_a_link_to_the_release_is_the_release(release: Path, tmp_path: Path) -> None:
    (tmp_path / "latest").symlink_to(release)
    assert verify_release(tmp_path / "latest", integrity_only=True).release.serial == 1


def set_to(*path: Any, to: Any) -> Any:
    def change(said: dict[str, Any]) -> None:
        for name in path[:-1]:
            said = said[name]
        said[path[-1]] = to(said[path[-1]]) if callable(to) else to

    return change


def one_more(value: int) -> int:
    return value + 1


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (set_to("totals", "rows_before", to=one_more), r"totals\.rows_before is not the sum"),
        (set_to("totals", "rows_removed", to=one_more), r"totals\.rows_removed is not the sum"),
        (set_to("totals", "rows_after", to=one_more), r"totals\.rows_after is not the sum"),
        (set_to("totals", "bytes", to=one_more), r"totals\.bytes is not the sum"),
        (set_to("totals", "shards", to=one_more), r"totals\.shards is not the sum"),
        (set_to("totals", "shards_changed", to=one_more), r"totals\.shards_changed is not the sum"),
        (set_to("base", "rows", to=one_more), r"base\.rows is not the sum"),
        (set_to("base", "root", to="0" * 64), "another root of the base"),
        (set_to("shards", 0, "rows", to=one_more), "is not the sum"),
        (set_to("shards", 0, "sha256", to="0" * 64), "has one SHA-256 in release.json and another"),
        (set_to("shards", 0, "path", to="data/b.csv"), r"data/b\.csv is listed in release\.json only"),
        (set_to("shards", 0, "path", to="data/../../b.csv"), "is not a name inside a folder"),
        (set_to("shards", 0, "path", to="/etc/passwd"), "is not a name inside a folder"),
        (set_to("shards", 0, "path", to="diff/b.csv"), "is not in data/"),
        (set_to("shards", 0, "base_sha256", to="0" * 64), "count removed rows differently"),
        (set_to("shards", 0, "rows", to=-1), "is not a count"),
        (set_to("shards", 0, "rows", to=True), "is not a count"),
        (set_to("shards", 0, "rows", to="7"), "missing or not of type int"),
        (set_to("shards", to={}), "shards is missing or not of type list"),
        (set_to("shards", 0, to=7), r"shards\[0\] is not an object"),
        (set_to("columns", "url", to="nope"), None),
        (set_to("columns", to={"pdq": "x"}), "is not a valid Role"),
        (set_to("hidden", to=[{"kinds": ["x"], "rows": 1}]), "is not a valid KeyKind"),
        (set_to("hidden", to=[{"kinds": [7], "rows": 1}]), "is not a list of text"),
        (set_to("created", to="yesterday"), "Invalid isoformat"),
        (set_to("form", to="round"), "form is not well-formed"),
        (set_to("format", to="expunge-release/9"), "this command reads"),
        (set_to("serial", to=None), "serial is missing"),
    ],
)
def test_a_release_json_that_does_not_add_up_is_refused(
    release: Path, change: Any, problem: str | None
) -> None:
    rewrite_json(release, change)
    if problem is None:  # a name is a hint: the usual names are tried too
        verify_release(release, integrity_only=True)
        return
    with pytest.raises(VerificationFailed, match=problem):
        verify_release(release, integrity_only=True)


def test_rows_counted_wrong_in_one_shard_are_noticed(release: Path) -> None:
    def change(said: dict[str, Any]) -> None:
        said["shards"][0]["rows"] += 1
        said["shards"][1]["rows"] -= 1

    rewrite_json(release, change)
    with pytest.raises(
        VerificationFailed, match=r"has 19 rows where its base leaves 18|rows where its base leaves"
    ):
        verify_release(release, integrity_only=True)


@pytest.mark.parametrize("rows", [[3, 99], [-1, 3]])
def test_positions_outside_the_base_are_refused(release: Path, rows: list[int]) -> None:
    said = json.loads((release / "release.json").read_bytes())
    one, two = (shard["base_sha256"] for shard in said["shards"])
    (release / "diff/removed.parquet").unlink()
    positions = [(one, np.array(rows)), (two, np.array([3]))]
    write_positions(release / "diff/removed.parquet", positions)
    resum(release)
    with pytest.raises(
        VerificationFailed, match=r"names rows that the base of data/a/one.parquet does not have"
    ):
        verify_release(release, integrity_only=True)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda text: text.replace("  data", " data", 1), "line 1 is not a SHA-256, two spaces and a path"),
        (lambda text: text.replace("data/two.csv", "../two.csv"), "line 2: '../two.csv' is not a name"),
        (lambda text: text.replace("data/two.csv", "/two.csv"), "line 2: '/two.csv' is not a name"),
        (lambda text: text.removesuffix("\n"), "was not written by expunge"),
        (lambda text: text + text, "was not written by expunge"),
        (lambda text: "\n".join(text.splitlines()[:-1]) + "\n", "release.json is not listed in SHA256SUMS"),
        (lambda text: "\n".join(text.splitlines()[1:]) + "\n", "one.parquet is not listed in SHA256SUMS"),
        (lambda text: "\xff", "line 1 is not"),
    ],
)
def test_sums_in_another_form_are_refused(release: Path, change: Any, problem: str) -> None:
    path = release / "SHA256SUMS"
    path.write_text(change(path.read_text()))
    with pytest.raises(VerificationFailed, match=problem):
        verify_release(release, integrity_only=True)


def test_what_is_no_release_is_told(tmp_path: Path, release: Path) -> None:
    with pytest.raises(VerificationFailed, match=r"Is .* a release"):
        verify_release(tmp_path, integrity_only=True)
    (release / "SHA256SUMS").write_bytes(b"\xff\xfe")
    with pytest.raises(VerificationFailed, match=r"cannot be read. Is"):
        verify_release(release, integrity_only=True)


def test_a_diff_whose_sums_do_not_list_it_is_not_trusted(release: Path) -> None:
    sums = {name: digest for name, digest in read_sums(release).items() if name != "release.json"}
    (release / "SHA256SUMS").write_bytes(format_sums(sums))
    with pytest.raises(Exception, match=r"does not list release\.json"):
        trusted_diff(release, minisign_pub=None, oms_pub=None)


def test_a_diff_is_trusted_by_either_key_without_the_data(release: Path, keys: KeyFiles) -> None:
    shutil.rmtree(release / "data")
    for options in (
        {"minisign_pub": keys.minisign_pub, "oms_pub": None},
        {"minisign_pub": None, "oms_pub": keys.oms_pub},
    ):
        assert trusted_diff(release, **options).dataset == "links"
    flip_byte(release / "SHA256SUMS", 3)
    with pytest.raises(VerificationFailed):
        trusted_diff(release, minisign_pub=None, oms_pub=keys.oms_pub)


def test_many_differences_are_cut_short(release: Path) -> None:
    for number in range(30):
        (release / f"data/x{number:02}.csv").touch()
    with pytest.raises(VerificationFailed, match="… and 10 more") as raised:
        verify_release(release, integrity_only=True)
    assert len(raised.value.differences) == 20


def test_paths_that_are_folders_are_missing_files(release: Path) -> None:
    (release / "diff/keys.parquet").unlink()
    Path(release / "diff/keys.parquet").mkdir()
    with pytest.raises(VerificationFailed, match=r"diff/keys\.parquet is missing"):
        verify_release(release, integrity_only=True)


@pytest.mark.parametrize("layout", [PARQUET[0], TEXT[0]], ids=str)
def test_a_shard_that_keeps_what_its_twin_lost_is_refused(tmp_path: Path, layout: Layout) -> None:
    """A row is known by the digest of its shard, so it is gone from all shards of that digest or from none."""
    for name in ("one", "two"):
        write_shard(tmp_path / "base", name, make_rows(20), layout)
    release_of(tmp_path / "base", [url_of(3)], tmp_path / "release")
    kept = tmp_path / "release/data" / f"two.{layout.extension}"
    kept.unlink()
    shutil.copy(tmp_path / "base" / kept.name, kept)

    def keep(said: Any) -> None:
        shard = said["shards"][1]
        shard |= {"sha256": file_digest(kept), "bytes": kept.stat().st_size, "method": "whole"}
        shard |= {"removed": 0, "rows": shard["base_rows"]}
        totals = {"rows_removed": "removed", "rows_after": "rows", "bytes": "bytes"}
        said["totals"] |= {name: sum(one[part] for one in said["shards"]) for name, part in totals.items()}
        said["totals"]["shards_changed"] = 1

    rewrite_json(tmp_path / "release", keep)
    with pytest.raises(VerificationFailed, match="count removed rows differently"):
        verify_release(tmp_path / "release", integrity_only=True)


@pytest.mark.parametrize("column", ["shard", "row"])
def test_a_removed_row_without_its_shard_or_number_is_refused(release: Path, column: str) -> None:
    file = release / "diff/removed.parquet"
    table = pq.read_table(file)
    broken = table.set_column(
        table.column_names.index(column), column, pa.nulls(table.num_rows, table[column].type)
    )
    pq.write_table(pa.concat_tables([table, broken]), file)
    resum(release)
    with pytest.raises(VerificationFailed, match="names no shard or row"):
        verify_release(release, integrity_only=True)


def test_shards_of_the_same_bytes_in_two_formats_are_refused(tmp_path: Path) -> None:
    text = "url\n" + "".join(f"{url_of(n)}\n" for n in range(6))
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text(text)
    bases = [tmp_path / "a.csv", tmp_path / "b.csv"]
    release_of(bases, [url_of(3)], tmp_path / "release")
    (tmp_path / "release/data/b.csv").rename(tmp_path / "release/data/b.txt")
    sums = {name.replace("b.csv", "b.txt"): one for name, one in read_sums(tmp_path / "release").items()}
    (tmp_path / "release/SHA256SUMS").write_bytes(format_sums(sums))

    def rename(said: Any) -> None:
        said["shards"][1]["path"] = "data/b.txt"

    rewrite_json(tmp_path / "release", rename)
    with pytest.raises(
        VerificationFailed, match=r"data/b\.txt is made of the same bytes as a shard of another"
    ):
        verify_release(tmp_path / "release", integrity_only=True)
