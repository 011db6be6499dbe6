"""CSV and TSV as people write them."""

from __future__ import annotations

import gzip
import resource
from typing import TYPE_CHECKING

import numpy as np
import pytest

from expunge.errors import BadShard
from expunge.shards import Cut, ShardFile, open_shard

if TYPE_CHECKING:
    from pathlib import Path

    from expunge.shards import Shard


def shard_of(tmp_path: Path, data: bytes, name: str = "part.csv") -> Shard:
    (tmp_path / name).write_bytes(data)
    return open_shard(ShardFile(tmp_path / name, name))


def values(shard: Shard, column: str) -> list[str | None]:
    return [value for batch in shard.batches([column]) for value in batch.arrays[column].to_pylist()]


def rewritten(shard: Shard, positions: list[int], blank: tuple[str, ...] | None = None) -> bytes:
    target = shard.file.path.with_name(f"new-{shard.file.name}")
    target.unlink(missing_ok=True)
    rows = np.array(positions, dtype=np.int64)
    shard.rewrite(target, Cut.of_rows(rows, blank))
    shard.compare(open_shard(ShardFile(target, target.name, may_be_empty=True)), Cut.of_rows(rows, blank))
    return target.read_bytes()


def test_fields_hold_commas_quotes_and_line_breaks(tmp_path: Path) -> None:
    data = b'url,note\r\nhttps://a.example/?x=1,"one, ""two""\r\nthree"\r\nhttps://b.example/,\r\n'
    shard = shard_of(tmp_path, data)
    assert values(shard, "note") == ['one, "two"\r\nthree', None]
    assert rewritten(shard, [0]) == b"url,note\r\nhttps://b.example/,\r\n"


def test_a_blanked_row_keeps_its_other_fields(tmp_path: Path) -> None:
    data = b'url,note,n\nhttps://a.example/,"a\nb\rc, ""d""",1.50\nhttps://b.example/,x,2\n'
    shard = shard_of(tmp_path, data)
    blanked = rewritten(shard, [0], ("url",))
    assert blanked == b'url,note,n\n,"a\nb\rc, ""d""",1.50\nhttps://b.example/,x,2\n'


def test_a_blanked_row_of_one_column_is_still_a_row(tmp_path: Path) -> None:
    shard = shard_of(tmp_path, b"url\nhttps://a.example/\nhttps://b.example/")
    assert rewritten(shard, [0, 1], ("url",)) == b'url\n""\n""'
    assert values(shard_of(tmp_path, b'url\n""\n""'), "url") == [None, None]


def test_blank_lines_are_no_rows_and_stay(tmp_path: Path) -> None:
    shard = shard_of(tmp_path, b"\n\nurl\n\nhttps://a.example/\n\n")
    assert [column.name for column in shard.columns] == ["url"]
    assert values(shard, "url") == ["https://a.example/"]
    assert rewritten(shard, [0]) == b"\n\nurl\n\n\n"


def test_a_byte_order_mark_before_a_quoted_header_is_no_part_of_it(tmp_path: Path) -> None:
    shard = shard_of(tmp_path, b'\xef\xbb\xbf"url","x"\nhttps://a.example/,1\n')
    assert [column.name for column in shard.columns] == ["url", "x"]
    assert rewritten(shard, [0]) == b'\xef\xbb\xbf"url","x"\n'


def test_tabs_separate_a_tsv_and_commas_do_not(tmp_path: Path) -> None:
    shard = shard_of(tmp_path, b'url\tnote\nhttps://a.example/a,b\t"x\ty"\n', "part.tsv")
    assert values(shard, "url") == ["https://a.example/a,b"]
    assert values(shard, "note") == ["x\ty"]


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"url,n\nhttps://a.example/,1\nhttps://b.example/\n", "row 1 has 1 fields, the header has 2"),
        (b"url,n\nhttps://a.example/,1,2\n", "row 0 has 3 fields, the header has 2"),
        (b"url\nhttps://a.example/\nhttps://\xff.example/\n", r"line 3 is not UTF-8 \(byte 9 of the line\)"),
        (b"url\nhttps://a.example/\0\n", "line 2 holds a NUL byte"),
        (b'url\n"https://a.example/\n', "the row that begins on line 2 is not well-formed"),
        (b'url\n"https://a.example/"x\n', "the row that begins on line 2 is not well-formed"),
        (b"url\rhttps://a.example/\r", "the row that begins on line 1 is not well-formed"),
        (b"\n\n", "has no header"),
    ],
)
def test_what_is_no_csv_is_refused_by_line_or_row(tmp_path: Path, data: bytes, problem: str) -> None:
    shard = shard_of(tmp_path, data)
    with pytest.raises(BadShard, match=rf"^part\.csv: .*{problem}"):
        values(shard, shard.columns[0].name)


@pytest.mark.parametrize("name", ["part.csv", "part.csv.gz"])
@pytest.mark.parametrize("quoted", [True, False])
def test_a_field_of_100_mb_is_refused_within_bounded_memory(
    tmp_path: Path, name: str, *, quoted: bool
) -> None:
    line = b"x" * 999 + (b"\n" if quoted else b"y")
    path = tmp_path / name
    with gzip.open(path, "wb", 1) if name.endswith(".gz") else path.open("wb") as sink:
        sink.write(b'url\nhttps://a.example/\n"' if quoted else b"url\nhttps://a.example/\n")
        for _ in range(100):
            sink.write(line * 1000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    shard = open_shard(ShardFile(path, name))
    with pytest.raises(BadShard, match=r"line 3 is longer than 16 MiB. Is a quote not closed"):
        values(shard, "url")
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 100 * 1024, f"{grown} KiB more"


def test_many_rows_come_in_batches(tmp_path: Path) -> None:
    data = b"url\n" + b"".join(b"https://a.example/%d\n" % n for n in range(140_000))
    shard = shard_of(tmp_path, data)
    batches = list(shard.batches(["url"]))
    assert len(batches) > 1
    assert [batch.first for batch in batches] == list(np.cumsum([0, *[batch.rows for batch in batches]])[:-1])
    assert sum(batch.rows for batch in batches) == 140_000
    edge = batches[1].first
    kept = rewritten(shard, [edge - 1, edge, 139_999])
    assert kept.count(b"\n") == 140_001 - 3
    assert b"/%d\n" % (edge - 1) not in kept
    assert b"/%d\n" % edge not in kept
