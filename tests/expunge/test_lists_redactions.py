"""Reading redaction lists."""

from __future__ import annotations

import gzip
import hashlib
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from expunge.errors import BadList
from expunge.keys import KeyKind
from expunge.lists import read_redactions
from tests.expunge.formats import zstd_compress

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Write = Callable[[str, str], Path]

MD5 = hashlib.md5(b"a").digest()
C1_OF_A = hashlib.sha256(b"https://example.com/a").digest()


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(name: str, content: str) -> Path:
        path = tmp_path / name
        path.write_text(content)
        return path

    return write


def redacted(path: Path) -> list[tuple[KeyKind, bytes, str | None, int]]:
    found = read_redactions(path).redactions
    return [(one.entry.kind, one.entry.key, one.column, one.entry.line) for one in found]


@pytest.mark.parametrize("name", ["cells.csv", "cells.csv.gz", "cells.csv.zst", "cells.parquet"])
def test_a_redaction_list_names_cells_by_entry_and_column(tmp_path: Path, name: str) -> None:
    lines = [("url", "https://example.com/a", "caption"), ("id", "7", ""), ("md5", MD5.hex(), "text")]
    path = tmp_path / name
    if name.endswith(".parquet"):
        columns = dict(zip(("kind", "value", "column"), zip(*lines, strict=True), strict=True))
        pq.write_table(pa.table({key: list(values) for key, values in columns.items()}), path)
    else:
        data = ("kind,value,column\n" + "".join(",".join(line) + "\n" for line in lines)).encode()
        data = (
            gzip.compress(data)
            if name.endswith(".gz")
            else zstd_compress(data)
            if name.endswith(".zst")
            else data
        )
        path.write_bytes(data)
    first = 1 if name.endswith(".parquet") else 2
    assert redacted(path) == [
        (KeyKind.URL_C1, C1_OF_A, "caption", first),
        (KeyKind.ROW_ID, b"7", None, first + 1),
        (KeyKind.MD5, MD5, "text", first + 2),
    ]


def test_the_column_may_be_left_out_and_others_are_ignored(write: Write) -> None:
    assert redacted(write("a.csv", "kind,value\nid,7\n")) == [(KeyKind.ROW_ID, b"7", None, 2)]
    assert redacted(write("b.csv", "note,VALUE,Column,kind\nx,7, text ,id\n")) == [
        (KeyKind.ROW_ID, b"7", "text", 2)
    ]


def test_one_cell_comes_once_and_several_cells_of_a_row_each(write: Write) -> None:
    path = write(
        "a.csv",
        "kind,value,column\nurl,https://example.com/a,text\nurl,https://EXAMPLE.com/a,text\n"
        "url,https://example.com/a,url\nurl,https://example.com/a,\n",
    )
    found = read_redactions(path)
    assert [one.column for one in found.redactions] == ["text", "url", None]
    assert [one.entry.line for one in found.duplicates] == [3]


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.txt", "https://example.com/a\n", r"a\.txt: a redaction list is a \.csv or \.parquet file"),
        ("a.csv", "value,column\na,b\n", r"a\.csv: the list needs one column named kind"),
        ("a.csv", "kind,value,column,column\nid,7,a,b\n", "several columns named column"),
        ("a.csv", "kind,value,column\nid,7\n", r"a\.csv: line 2 has 2 fields where the header has 3"),
        ("a.csv", "kind,value,column\nid,7,a\nmd5,12,a\n", r"a\.csv: line 3 is not a well-formed md5"),
        ("a.csv.gz", "kind", "the compressed file is damaged"),
        ("a.parquet", "PAR1", "not a readable Parquet file"),
    ],
)
def test_a_redaction_list_that_cannot_be_read_is_refused_by_line(
    write: Write, name: str, content: str, problem: str
) -> None:
    with pytest.raises(BadList, match=problem):
        read_redactions(write(name, content))
