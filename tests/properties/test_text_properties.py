"""The scan of a block and the exact parser agree on every row, every value and every error, wherever blocks end."""

from __future__ import annotations

import csv
import io
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

import numpy as np
import orjson
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from expunge.errors import BadShard
from expunge.shards import Cut, Positions, ShardFile, open_shard, streams
from expunge.shards.text import TextShard

if TYPE_CHECKING:
    from collections.abc import Iterator

thoroughly = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])

MARK = b"\xef\xbb\xbf"
# What decides about rows and fields, with little else beside; broken text, NUL and a second mark are rare.
LETTERS = (b"a", b"a", b",", b",", b'"', b'"', b'""', b" ", b"\r", b"\n", b"\n", b"\r\n", b"\t", "é".encode())
ODD = (
    *LETTERS,
    *LETTERS,
    *LETTERS,
    b"\0",
    b"\xff",
    MARK,
    b"\x85",
    b"\xc2\x85",
    b"\x0b",
    b"\x1c",
    b"\xed\xa0\x80",
    b"\xc0\x80",
    b"\xf4\x90\x80\x80",
)
VALUES = ("", "a", "a b", 'a"', '"', '""', ",", "a\nb", "\r\n", "\r", "é", "a\tb", " ", "\n")
JSON = (
    b"{}",
    b'{"u":"a"}',
    b'{"u":["a","b"]}',
    b'{"u":7}',
    b'{"u":null,"n":1.5}',
    b'{"u":1.5}',
    b'{"n":true}',
)
NOT_JSON = (b"[]", b"7", b"{", b'{"u":"\xff"}', b'{"u":"\0"}', b"{}{}", b"a", b'{"u":"a', b'b"}')

odd_bytes = st.lists(st.sampled_from(ODD), max_size=40).map(b"".join)
plain_bytes = st.lists(st.sampled_from(LETTERS), max_size=40).map(b"".join)
blocks = st.integers(1, 48)


@st.composite
def delimited_bytes(draw: st.DrawFn) -> bytes:
    """A table as writers make it, and sometimes then one change anywhere in it."""
    width = draw(st.integers(1, 3))
    end = draw(st.sampled_from(("\n", "\r\n")))
    text = io.StringIO()
    writer = csv.writer(
        text, lineterminator=end, quoting=csv.QUOTE_ALL if draw(st.booleans()) else csv.QUOTE_MINIMAL
    )
    writer.writerow([f"c{number}" for number in range(width)])
    row = st.lists(st.sampled_from(VALUES), min_size=width, max_size=width)
    if draw(st.integers(0, 3)) == 0:
        row = st.lists(st.sampled_from(VALUES), min_size=1, max_size=3)
    for values in draw(st.lists(row, min_size=1, max_size=8)):
        writer.writerow(values)
        text.write(draw(st.sampled_from(("", "", "", end))))
    data = text.getvalue().encode()
    if draw(st.booleans()):
        data = data.removesuffix(end.encode())
    if draw(st.booleans()):
        at = draw(st.integers(0, len(data)))
        data = data[:at] + draw(st.sampled_from(ODD)) + data[at + draw(st.integers(0, 2)) :]
    return draw(st.sampled_from((b"", MARK))) + data


@st.composite
def json_bytes(draw: st.DrawFn) -> bytes:
    """Lines, most of them objects."""
    good = st.sampled_from(JSON)
    line = draw(st.sampled_from((good, good, st.one_of(good, st.sampled_from(NOT_JSON)))))
    space = st.sampled_from((b"", b"", b" ", b"\t", b"\r"))
    parts = draw(
        st.lists(st.tuples(space, line, space, st.sampled_from((b"\n", b"\n", b"\r\n", b"\n\n", b"\n \n"))))
    )
    data = b"".join(b"".join(part) for part in parts)
    return (
        draw(st.sampled_from((b"", MARK)))
        + data
        + draw(st.one_of(st.just(b""), st.sampled_from((*JSON, *NOT_JSON))))
    )


@contextmanager
def shard_of(data: bytes, name: str, block: int, *, exactly: bool) -> Iterator[TextShard]:
    """A shard of these bytes, looked at in blocks of this many; `exactly` has no block scanned."""
    with tempfile.TemporaryDirectory() as folder, mock.patch.object(streams, "BLOCK_BYTES", block):
        path = Path(folder, name)
        path.write_bytes(data)
        shard = open_shard(ShardFile(path, name, may_be_empty=True))
        assert isinstance(shard, TextShard)
        if exactly:
            with mock.patch.object(type(shard), "scan", return_value=None):
                yield shard
        else:
            yield shard


@dataclass(frozen=True)
class Answer:
    """The bytes of each row, and of each column its values or the error that ended its reading; or the error in the rows."""

    rows: list[bytes] = field(default_factory=list)
    columns: dict[str, list[object] | str] = field(default_factory=dict)
    error: str = ""


def everything_read(data: bytes, name: str, block: int, *, exactly: bool) -> Answer:
    with shard_of(data, name, block, exactly=exactly) as shard:
        try:
            names = dict.fromkeys(column.name for column in shard.columns)
            count = sum(batch.rows for batch in shard.batches([]))
            found = list(shard._blocks())
        except BadShard as error:
            return Answer(error=str(error))
        assert b"".join(part.data for part in found) == data
        rows = [part.raw(row) for part in found for row in range(len(part))]
        assert len(rows) == count
        return Answer(rows, {column: column_read(shard, column) for column in names})


def column_read(shard: TextShard, column: str) -> list[object] | str:
    """Every value as a list: whether some value of a block is one decides how the others of that block are given."""
    try:
        values = [value for batch in shard.batches([column]) for value in batch.arrays[column].to_pylist()]
    except BadShard as error:
        return str(error)
    return [value if isinstance(value, list) else [] if value is None else [value] for value in values]


def both_agree(data: bytes, name: str, block: int) -> Answer:
    """What both ways read, which is the same."""
    scanned = everything_read(data, name, block, exactly=False)
    assert scanned == everything_read(data, name, 1 << 20, exactly=True)
    return scanned


@thoroughly
@given(st.one_of(delimited_bytes(), plain_bytes, odd_bytes), blocks, st.sampled_from(("s.csv", "s.tsv")))
def test_records_fields_and_errors_of_csv_are_those_of_the_exact_reader(
    data: bytes, block: int, name: str
) -> None:
    read = both_agree(data, name, block)
    if read.error:
        return
    text = data.removeprefix(MARK).decode()
    delimiter = "\t" if name == "s.tsv" else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    header, *rows = [record for record in reader if record]
    assert len(read.rows) == len(rows)
    for column, values in read.columns.items():
        assert values == [[row[header.index(column)]] if row[header.index(column)] else [] for row in rows]


@thoroughly
@given(st.one_of(json_bytes(), odd_bytes), blocks)
def test_lines_values_and_errors_of_jsonl_are_those_of_the_exact_parser(data: bytes, block: int) -> None:
    read = both_agree(data, "s.jsonl", block)
    if not read.error:
        objects = [orjson.loads(line) for line in data.removeprefix(MARK).split(b"\n") if line.strip()]
        assert [orjson.loads(raw) for raw in read.rows] == objects


@thoroughly
@given(odd_bytes, blocks)
def test_lines_of_plain_text_are_those_of_the_exact_parser(data: bytes, block: int) -> None:
    read = both_agree(data, "s.txt", block)
    if not read.error:
        assert b"".join(read.rows) == data.removeprefix(MARK)
        lines = data.removeprefix(MARK).decode().split("\n")
        lines = [line.removesuffix("\r") for line in (lines if lines[-1] else lines[:-1])]
        assert read.columns["url"] == [[line] if line.strip() else [] for line in lines]


@thoroughly
@given(
    st.one_of(
        st.tuples(st.one_of(delimited_bytes(), plain_bytes), st.just("s.csv")),
        st.tuples(json_bytes(), st.just("s.jsonl")),
        st.tuples(plain_bytes, st.just("s.txt")),
    ),
    blocks,
    st.sets(st.integers(0, 8)),
    st.sets(st.integers(0, 8)),
)
def test_what_is_written_is_the_same_wherever_blocks_end(
    given_file: tuple[bytes, str], block: int, dropped: set[int], emptied: set[int]
) -> None:
    data, name = given_file
    read = both_agree(data, name, block)
    if not read.columns:
        return
    with shard_of(data, name, block, exactly=True) as shard:
        names = [column.name for column in shard.columns]
    # A name that two columns have names none of them, and the cut would be refused.
    emptied_column = next((one for one in read.columns if names.count(one) == 1), None)
    emptied = emptied if emptied_column is not None else set()
    null = {} if emptied_column is None else {emptied_column: places(emptied, len(read.rows))}
    cut = Cut(drop=places(dropped, len(read.rows)), null=null)
    written = cut_from(data, name, block, cut, exactly=False)
    assert written == cut_from(data, name, 1 << 20, cut, exactly=True)
    after = everything_read(written, name, block, exactly=False)
    kept = [row for row in range(len(read.rows)) if row not in dropped]
    assert len(after.rows) == len(kept)
    for row, raw in zip(kept, after.rows, strict=True):
        assert row in emptied or raw == read.rows[row]
    for column, values in after.columns.items():
        before = read.columns[column]
        if isinstance(values, list) and isinstance(before, list):
            assert values == [
                [] if column == emptied_column and row in emptied else before[row] for row in kept
            ]


def places(rows: set[int], count: int) -> Positions:
    return np.array(sorted(row for row in rows if row < count), dtype=np.int64)


def cut_from(data: bytes, name: str, block: int, cut: Cut, *, exactly: bool) -> bytes:
    """What is written of a shard, after it was held against it."""
    with shard_of(data, name, block, exactly=exactly) as shard:
        target = shard.file.path.with_name(f"new-{name}")
        rows = shard.rewrite(target, cut).rows
        written = open_shard(ShardFile(target, target.name, may_be_empty=True))
        shard.compare(written, cut)
        assert isinstance(written, TextShard)
        assert sum(len(block) for block in written._blocks()) == rows
        return target.read_bytes()


def test_both_ways_are_taken() -> None:
    tables = {
        b'a,b\n1,2\n"x\n""y""",\r\n\n3,4\n': True,  # all that the RFC allows
        b'a,b\n1,2"\n3,4\n': False,  # a quote inside a field without quotes
        b"a,b\n1,2\r\r\n3,4\n": False,  # two returns, which the reader takes for one
    }
    for data, scanned in tables.items():
        with shard_of(data, "s.csv", 1 << 20, exactly=False) as shard:
            _, block = shard._blocks()
        assert (block.rows is None) is scanned
