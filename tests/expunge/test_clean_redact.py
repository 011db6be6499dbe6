"""Making a clean release that redacts cells and elements of lists."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from expunge.errors import UsageError, VerificationFailed
from expunge.keys import KeyKind
from expunge.lists import Redaction, parse_entry
from expunge.manifest import read_keys, read_redacted, read_redacted_keys, read_release
from expunge.verify import verify_release
from tests.expunge.formats import (
    ALL,
    PARQUET,
    REQUIRED,
    TEXT,
    Layout,
    make_rows,
    md5_of,
    plain_bytes,
    read_rows,
    url_of,
    write_shard,
)
from tests.expunge.runs import names_in, release_of

if TYPE_CHECKING:
    from pathlib import Path

    from expunge.clean import CleanResult


def redact(entry: str, column: str | None = None) -> Redaction:
    return Redaction(parse_entry(entry, 7), column)


def redacted_of(
    base: Path, output: Path, *redactions: Redaction, remove: tuple[str, ...] = (), **options: Any
) -> CleanResult:
    result = release_of(base, remove, output, redactions=redactions, **options)
    verify_release(output, integrity_only=True)
    return result


def cells_of(result: CleanResult) -> list[tuple[str, int, str, int | None]]:
    """The lines of `diff/redacted.parquet`, shards by name."""
    names = {shard.base_sha256: shard.name for shard in result.shards}
    table = pq.read_table(result.path / "diff/redacted.parquet")
    assert table.schema.names == ["shard", "row", "column", "element"]
    lines = [tuple(line.values()) for line in table.to_pylist()]
    assert lines == sorted(lines, key=lambda line: (*line[:3], -1 if line[3] is None else line[3]))
    return [(names[shard], *rest) for shard, *rest in lines]


@pytest.mark.parametrize("layout", ALL, ids=str)
@pytest.mark.parametrize("form", ["compact", "aligned"])
def test_a_named_cell_is_null_and_nothing_else_changes(tmp_path: Path, layout: Layout, form: str) -> None:
    write_shard(tmp_path / "base", "one", make_rows(20), layout)
    column = "url" if layout.is_plain else "text"
    result = redacted_of(
        tmp_path / "base",
        tmp_path / "release",
        redact(url_of(3), column),
        redact(url_of(8), column),
        form=form,
    )
    expected = read_rows(next((tmp_path / "base").iterdir()))
    for row in (3, 8):
        there = expected[row]
        expected[row] = (None,) if layout.is_plain else (there[0], there[1], None, there[3])
    assert read_rows(next((tmp_path / "release/data").iterdir())) == expected
    assert result.release.cells_redacted == 2
    assert result.rows_removed == 0


def test_without_a_column_the_keys_own_cell_goes(tmp_path: Path) -> None:
    (tmp_path / "base.csv").write_text(f"id,url,md5\n7,{url_of(1)},{md5_of(1)}\n8,{url_of(2)},{md5_of(1)}\n")
    result = redacted_of(
        tmp_path / "base.csv", tmp_path / "release", redact(f"md5:{md5_of(1)}"), redact(url_of(2))
    )
    assert plain_bytes(result.path / "data/base.csv").decode() == f"id,url,md5\n7,{url_of(1)},\n8,,\n"
    assert [line[1:] for line in cells_of(result)] == [(0, "md5", None), (1, "md5", None), (1, "url", None)]


def test_an_element_of_a_list_goes_and_the_others_stay(tmp_path: Path) -> None:
    lists = [[url_of(1), url_of(2), url_of(1)], [], None, [None, url_of(2)], [url_of(3)]]
    pq.write_table(pa.table({"url": lists, "n": range(5)}), tmp_path / "base.parquet", row_group_size=2)
    result = redacted_of(
        tmp_path / "base.parquet", tmp_path / "release", redact(url_of(1)), redact(url_of(3))
    )
    found = pq.read_table(result.path / "data/base.parquet")["url"].to_pylist()
    assert found == [[url_of(2)], [], None, [None, url_of(2)], []]
    assert [line[1:] for line in cells_of(result)] == [(0, "url", 0), (0, "url", 2), (4, "url", 0)]
    assert result.release.cells_redacted == 3


def test_a_named_list_column_goes_whole(tmp_path: Path) -> None:
    lists = [[url_of(1), url_of(2)], [url_of(2)]]
    pq.write_table(pa.table({"url": lists}), tmp_path / "base.parquet")
    result = redacted_of(
        tmp_path / "base.parquet", tmp_path / "release", redact(url_of(1), "url"), redact(url_of(1))
    )
    assert pq.read_table(result.path / "data/base.parquet")["url"].to_pylist() == [None, [url_of(2)]]
    assert cells_of(result) == [("base.parquet", 0, "url", None)]


def test_lists_in_json_lines_lose_elements_and_a_value_alone_becomes_null(tmp_path: Path) -> None:
    rows = [{"url": [url_of(1), url_of(2)]}, {"url": url_of(1)}, {"url": [url_of(2)]}]
    (tmp_path / "base.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = redacted_of(tmp_path / "base.jsonl", tmp_path / "release", redact(url_of(1)))
    lines = (result.path / "data/base.jsonl").read_text().splitlines()
    assert [json.loads(line)["url"] for line in lines] == [[url_of(2)], None, [url_of(2)]]


@pytest.mark.parametrize("column", ["more", "late", "score"])
def test_a_column_of_any_type_can_be_redacted_in_json_lines(tmp_path: Path, column: str) -> None:
    rows: list[dict[str, Any]] = [{"url": url_of(n), "more": {"a": [1]}, "score": 1.5} for n in range(1200)]
    rows[1100]["late"] = True
    rows[0]["late"] = None
    (tmp_path / "base.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = redacted_of(tmp_path / "base.jsonl", tmp_path / "release", redact(url_of(1100), column))
    lines = (result.path / "data/base.jsonl").read_text().splitlines()
    rows[1100][column] = None
    assert [json.loads(line) for line in lines] == rows


@pytest.mark.parametrize("column", ["tags", "box", "price", "seen", "similarity"])
def test_a_column_of_any_type_can_be_redacted_in_parquet(tmp_path: Path, column: str) -> None:
    write_shard(tmp_path / "base", "one", make_rows(20), PARQUET[0])
    result = redacted_of(tmp_path / "base", tmp_path / "release", redact(f"md5:{md5_of(3)}", column))
    before = pq.read_table(tmp_path / "base/one.parquet")
    after = pq.read_table(result.path / "data/one.parquet")
    rows = before.to_pylist()
    rows[3][column] = None
    assert repr(after.to_pylist()) == repr(rows)  # a NaN is not equal to itself


def test_a_row_that_goes_is_not_redacted(tmp_path: Path) -> None:
    write_shard(tmp_path / "base", "one", make_rows(9), TEXT[0])
    result = redacted_of(
        tmp_path / "base",
        tmp_path / "release",
        redact(url_of(3), "text"),
        redact("host:img1.example.com", "md5"),
        remove=(url_of(3),),
    )
    assert [(shard.removed, shard.redacted) for shard in result.shards] == [(1, 2)]
    assert [line[1:] for line in cells_of(result)] == [(1, "md5", None), (6, "md5", None)]
    assert [(one.entry.kind, one.column) for one in result.unredacted] == [(KeyKind.URL_C1, "text")]
    assert all(one.entry.kind is KeyKind.HOST for one in read_redacted_keys(result.path))


def test_in_the_aligned_form_what_the_removal_leaves_of_a_row_is_redacted(tmp_path: Path) -> None:
    (tmp_path / "base.csv").write_text(f"id,url,note\n7,{url_of(1)},x\n8,{url_of(2)},y\n")
    result = redacted_of(
        tmp_path / "base.csv",
        tmp_path / "release",
        redact("id:7", "note"),
        redact("id:7", "url"),
        remove=(url_of(1),),
        form="aligned",
    )
    assert plain_bytes(result.path / "data/base.csv").decode() == f"id,url,note\n7,,\n8,{url_of(2)},y\n"
    assert cells_of(result) == [("base.csv", 0, "note", None)]


def test_release_json_says_what_was_redacted_and_by_what_it_is_found(tmp_path: Path) -> None:
    (tmp_path / "base.csv").write_text(
        f"id,url,caption\n1,{url_of(1)},a\n2,{url_of(1)},b\n3,{url_of(3)},c\n4,,d\n5,{url_of(5)},\n"
    )
    result = redacted_of(
        tmp_path / "base.csv",
        tmp_path / "release",
        *(redact(f"id:{n}", "text") for n in range(1, 6) if n != 2),
        redact(url_of(3), "CAPTION"),
    )
    said = json.loads((result.path / "release.json").read_bytes())
    assert said["format"] == "expunge-release/2"
    assert said["totals"]["cells_redacted"] == 3
    assert said["totals"]["shards_changed"] == 1
    assert said["shards"][0]["redacted"] == 3
    assert said["redacted"] == [
        {
            "column": "caption",
            "kinds": ["row.id"],
            "cells": 2,
        },  # the first shares its URL, the fourth has none
        {"column": "caption", "kinds": ["row.id", "url.c1.sha256"], "cells": 1},
    ]
    assert read_release(result.path) == result.release
    assert read_keys(result.path) == []
    assert sorted((one.entry.kind, one.column) for one in read_redacted_keys(result.path)) == [
        ("row.id", "caption"),
        ("row.id", "caption"),
        ("row.id", "caption"),
        ("url.c1.sha256", "caption"),
    ]


def test_a_raw_key_stands_for_a_row_that_shares_it_with_none(tmp_path: Path) -> None:
    (tmp_path / "base.csv").write_text(f"id,url,text\n1,{url_of(1)},a\n2,{url_of(2)},b\n3,{url_of(2)},c\n")
    result = redacted_of(
        tmp_path / "base.csv", tmp_path / "release", redact("id:1", "text"), redact("id:2", "text")
    )
    assert [(part.kinds, part.cells) for part in result.release.redacted] == [
        (("row.id",), 1),
        (("row.id", "url.raw.sha256"), 1),
    ]
    assert sorted(one.entry.kind for one in read_redacted_keys(result.path)) == [
        "row.id",
        "row.id",
        "url.raw.sha256",
    ]


def test_a_release_that_redacts_nothing_has_the_old_format(tmp_path: Path) -> None:
    write_shard(tmp_path / "base", "one", make_rows(9), TEXT[0])
    result = redacted_of(
        tmp_path / "base", tmp_path / "release", redact("https://no.example/"), remove=(url_of(3),)
    )
    said = json.loads((result.path / "release.json").read_bytes())
    assert said["format"] == "expunge-release/1"
    assert "redacted" not in said
    assert names_in(result.path / "diff") == {"keys.parquet", "removed.parquet"}
    assert len(result.unredacted) == 1


def test_each_shard_says_how_it_came_about(tmp_path: Path) -> None:
    write_shard(tmp_path / "base", "one", make_rows(9), TEXT[0])
    write_shard(tmp_path / "base", "two", make_rows(20)[9:], TEXT[0])
    result = redacted_of(tmp_path / "base", tmp_path / "release", redact(url_of(3), "text"))
    said = json.loads((result.path / "release.json").read_bytes())
    assert [shard["method"] for shard in said["shards"]] == ["spliced", "whole"]


def test_what_is_null_already_is_not_redacted_again(tmp_path: Path) -> None:
    write_shard(tmp_path / "base", "one", make_rows(9), PARQUET[0])
    first = redacted_of(tmp_path / "base", tmp_path / "one", redact(f"md5:{md5_of(1)}", "text"))
    again = redacted_of(first.path, tmp_path / "two", redact(f"md5:{md5_of(1)}", "text"))
    assert again.release.cells_redacted == 0
    assert again.shards[0].sha256 == first.shards[0].sha256


@pytest.mark.parametrize(
    ("redaction", "problem"),
    [
        (redact(url_of(3), "nope"), "Line 7 of the redactions: there is no column 'nope' to redact"),
        (redact(url_of(3), "sha1"), "Line 7 of the redactions: there is no column 'sha1' to redact"),
        (
            redact(f"md5:{md5_of(3)}", "url"),
            r"Line 7 of the redactions: one\.parquet: column 'url' is REQUIRED",
        ),
        (redact(url_of(3)), r"Line 7 of the redactions: one\.parquet: column 'url' is REQUIRED"),
        (
            Redaction(replace(parse_entry(url_of(3)), line=0), "nope"),
            "The redaction by url.c1.sha256: there is no column 'nope'",
        ),
    ],
)
def test_a_column_that_cannot_be_redacted_is_refused_and_nothing_is_left(
    tmp_path: Path, redaction: Redaction, problem: str
) -> None:
    write_shard(tmp_path / "base", "one", make_rows(9), REQUIRED)
    before = names_in(tmp_path)
    with pytest.raises(UsageError, match=problem):
        redacted_of(tmp_path / "base", tmp_path / "release", redaction)
    assert names_in(tmp_path) == before


def test_a_required_column_may_lose_elements(tmp_path: Path) -> None:
    schema = pa.schema([pa.field("url", pa.list_(pa.string()), nullable=False)])
    pq.write_table(pa.table({"url": [[url_of(1), url_of(2)]]}, schema=schema), tmp_path / "base.parquet")
    result = redacted_of(tmp_path / "base.parquet", tmp_path / "release", redact(url_of(1)))
    assert pq.read_table(result.path / "data/base.parquet")["url"].to_pylist() == [[url_of(2)]]


def test_a_writing_that_leaves_a_cell_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The read-back looks for the redactions anew."""
    write_shard(tmp_path / "base", "one", make_rows(9), TEXT[0])
    from expunge import clean

    monkeypatch.setattr(clean, "joined", lambda removal, _: removal)
    with pytest.raises(VerificationFailed, match=r"row 2 of the release still holds|still matches"):
        redacted_of(tmp_path / "base", tmp_path / "release", redact(url_of(3), "text"), remove=(url_of(2),))


def test_processes_give_the_same_bytes_as_one(tmp_path: Path) -> None:
    for name, layout in (("one", PARQUET[0]), ("two", TEXT[0])):
        write_shard(tmp_path / "base", name, make_rows(12), layout)
    roots = {
        redacted_of(
            tmp_path / "base",
            tmp_path / f"release{workers}",
            redact(url_of(3), "text"),
            redact(f"md5:{md5_of(4)}"),
            remove=(url_of(9),),
            workers=workers,
        ).root
        for workers in (1, 2)
    }
    assert len(roots) == 1


def test_shards_that_call_a_column_differently_are_redacted_by_its_role(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "base/a.csv").write_text(f"url,text\n{url_of(1)},a\n")
    (tmp_path / "base/b.csv").write_text(f"IMAGE_URL,Caption\n{url_of(1)},b\n")
    (tmp_path / "base/c.txt").write_text(f"{url_of(1)}\n")
    result = redacted_of(tmp_path / "base", tmp_path / "release", redact(url_of(1), "text"))
    assert [line[0::2] for line in cells_of(result)] in (
        [("a.csv", "text"), ("b.csv", "Caption")],
        [("b.csv", "Caption"), ("a.csv", "text")],
    )
    assert [one.column for one in read_redacted_keys(result.path)] == ["text"]
    cuts = read_redacted(result.path)
    assert [shard.base_sha256 in cuts for shard in result.shards] == [True, True, False]


def two_of_a_name(folder: Path) -> Path:
    """A shard in which two columns have one name, as Parquet allows."""
    folder.mkdir()
    columns = [pa.array([url_of(row) for row in range(5)]), pa.array(list("abcde")), pa.array(list("fghij"))]
    pq.write_table(pa.Table.from_arrays(columns, names=["url", "note", "note"]), folder / "a.parquet")
    return folder


def test_a_name_that_two_columns_have_is_refused_with_the_line(tmp_path: Path) -> None:
    base = two_of_a_name(tmp_path / "base")
    with pytest.raises(
        UsageError, match=r"^Line 7 of the redactions: a\.parquet: several columns are called 'note'"
    ):
        redacted_of(base, tmp_path / "release", redact(url_of(1), "note"))
    with pytest.raises(UsageError, match=r"a\.parquet: 2 columns are called 'note'"):
        release_of(base, [url_of(1)], tmp_path / "release", form="aligned", sensitive=["note"])
    assert names_in(tmp_path) == {"base", "base/a.parquet"}
    assert redacted_of(base, tmp_path / "release", redact(url_of(1), "url")).release.cells_redacted == 1
