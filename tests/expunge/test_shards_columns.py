"""Which column carries which key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from expunge.errors import UsageError
from expunge.keys import Role
from expunge.shards import Column, ShardFile, bind_columns, check_binding, open_shard, parse_columns

if TYPE_CHECKING:
    from pathlib import Path


def named(*names: str) -> list[Column]:
    return [Column(name, "string", required=False) for name in names]


@pytest.mark.parametrize("name", ["url", "URL", "Url", "image_url", "IMG_URL", "link"])
def test_urls_are_found_under_the_usual_names(name: str) -> None:
    assert bind_columns(named("width", name)) == {Role.URL: name}


def test_the_first_usual_name_wins_and_each_role_has_its_own() -> None:
    found = bind_columns(named("link", "url", "caption", "MD5", "sha1", "image_sha256", "sample_id", "id"))
    assert found == {
        Role.URL: "url",
        Role.TEXT: "caption",
        Role.MD5: "MD5",
        Role.SHA1: "sha1",
        Role.SHA256: "image_sha256",
        Role.ROW_ID: "sample_id",
    }


def test_a_given_name_wins_by_role_or_by_key_kind() -> None:
    columns = named("url", "href", "hash")
    assert bind_columns(columns, {"url": "HREF", "content.md5": "hash"}) == {
        Role.URL: "href",
        Role.MD5: "hash",
    }


def test_an_empty_name_leaves_a_role_out() -> None:
    assert bind_columns(named("url", "md5"), {"md5": ""}) == {Role.URL: "url"}


def test_a_hint_is_tried_first_and_may_be_wrong() -> None:
    assert bind_columns(named("url", "href"), None, {Role.URL: "HREF"}) == {Role.URL: "href"}
    assert bind_columns(named("url"), None, {Role.URL: "href"}) == {Role.URL: "url"}
    assert bind_columns(named("url", "href"), {"url": "url"}, {Role.URL: "href"}) == {Role.URL: "url"}


@pytest.mark.parametrize(
    ("columns", "given", "problem"),
    [
        (named("width"), {}, "None of the 1 columns is known to carry a key"),
        (named("url", "URL"), {}, "2 columns are called 'url'"),
        (named("url", "url"), {"url": "url"}, "2 columns are called 'url'"),
        (named("url"), {"url": "href"}, r"There is no column 'href' to carry url \(columns: url\)"),
        (named("url"), {"pdq": "x"}, "There is no kind of column 'pdq'"),
    ],
)
def test_what_cannot_be_bound_is_refused(columns: list[Column], given: dict[str, str], problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        bind_columns(columns, given)


def test_an_exact_name_is_preferred_to_one_in_another_case() -> None:
    assert bind_columns(named("url", "URL"), {"url": "URL"}) == {Role.URL: "URL"}


def test_columns_are_parsed_by_kind() -> None:
    assert parse_columns({"text.sha256": "alt", "id": "n"}) == {Role.TEXT: "alt", Role.ROW_ID: "n"}


URLS = ["https://a.example/", "https://b.example/", None]


@pytest.mark.parametrize(
    ("role", "values", "fits"),
    [
        (Role.MD5, pa.array([1, 2, 3], pa.int64()), False),
        (Role.MD5, pa.array(["0cc175b9c0f1b6a831c399e269772661", None, "x"]), True),
        (Role.MD5, pa.array(["0cc175b9c0f1b6a831c399e269772661", "y", "x"]), False),
        (Role.MD5, pa.array([b"0" * 15 + b"\xff"] * 3, pa.binary(16)), True),
        (Role.SHA1, pa.array(["0cc175b9c0f1b6a831c399e269772661"] * 3), False),
        (Role.URL, pa.array([1.5, 2, 3]), False),
        (Role.URL, pa.array(["red", "green", "blue"]), False),
        (Role.URL, pa.array(["s3://bucket/a", "s3://bucket/b", None]), True),
        (Role.URL, pa.array(URLS).dictionary_encode(), True),
        (Role.URL, pa.array([URLS, None, []]), True),
        (Role.URL, pa.array([["red"], None, []]), False),
        (Role.URL, pa.array([None, None, None], pa.string()), True),
        (Role.TEXT, pa.array([1, 2, 3]), False),
        (Role.ROW_ID, pa.array([1, 2, 3]), True),
        (Role.ROW_ID, pa.array([1.5, 2, 3]), False),
    ],
)
def test_a_column_that_cannot_be_what_it_is_declared_to_be_is_refused(
    tmp_path: Path, role: Role, values: Any, *, fits: bool
) -> None:
    pq.write_table(pa.table({"c": values}), tmp_path / "part.parquet")
    shard = open_shard(ShardFile(tmp_path / "part.parquet", "part.parquet"))
    if fits:
        check_binding(shard, {role: "c"})
    else:
        with pytest.raises(UsageError, match=rf"part\.parquet: column 'c' \(.*\) cannot carry {role}"):
            check_binding(shard, {role: "c"})


def test_a_shard_without_rows_can_carry_anything(tmp_path: Path) -> None:
    (tmp_path / "part.csv").write_text("md5\n")
    check_binding(open_shard(ShardFile(tmp_path / "part.csv", "part.csv")), {Role.MD5: "md5"})
