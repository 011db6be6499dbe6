"""JSON Lines and plain text."""

from __future__ import annotations

import gzip
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

from expunge.errors import BadShard
from expunge.shards import Cut, ShardFile, open_shard
from tests.expunge.formats import zstd_compress

if TYPE_CHECKING:
    from pathlib import Path

    from expunge.shards import Shard


def shard_of(tmp_path: Path, data: bytes, name: str = "part.jsonl") -> Shard:
    (tmp_path / name).write_bytes(data)
    return open_shard(ShardFile(tmp_path / name, name))


def values(shard: Shard, column: str) -> list[object]:
    return [value for batch in shard.batches([column]) for value in batch.arrays[column].to_pylist()]


def rewritten(shard: Shard, positions: list[int], blank: tuple[str, ...] | None = None) -> bytes:
    target = shard.file.path.with_name(f"new-{shard.file.name}")
    rows = np.array(positions, dtype=np.int64)
    shard.rewrite(target, Cut.of_rows(rows, blank))
    shard.compare(open_shard(ShardFile(target, target.name, may_be_empty=True)), Cut.of_rows(rows, blank))
    return target.read_bytes()


def test_keys_that_an_object_lacks_are_null(tmp_path: Path) -> None:
    shard = shard_of(tmp_path, b'{"url":"https://a.example/"}\n\n{"id":7}\n{"url":null}\n')
    assert [(column.name, column.type) for column in shard.columns] == [("url", "string"), ("id", "int64")]
    assert values(shard, "url") == ["https://a.example/", None, None]
    assert values(shard, "id") == [None, "7", None]


def test_a_value_may_be_a_list(tmp_path: Path) -> None:
    shard = shard_of(
        tmp_path,
        b'{"url":["https://a.example/","https://b.example/"]}\n{"url":"https://c.example/"}\n{"url":null}\n',
    )
    assert values(shard, "url") == [
        ["https://a.example/", "https://b.example/"],
        ["https://c.example/"],
        None,
    ]


def test_blanking_changes_no_other_byte(tmp_path: Path) -> None:
    line = (
        b'  { "n" : 1.10, "big":123456789012345678901234567890, "e":1e400 ,"url" :"https:\\/\\/a.example\\/",'
        b'"o":{"url":"kept","l":[1, {"x":"}"}]},"url":"again" , "t":"\\u00e9\xc3\xa9\\"{" }\r\n'
    ).replace(b"1e400", b"1e300")
    expected = line.replace(b'"https:\\/\\/a.example\\/"', b"null").replace(b'"again"', b"null")
    shard = shard_of(tmp_path, line + b'{"url":"https://b.example/"}')
    assert rewritten(shard, [0, 1], ("url", "missing")) == expected + b'{"url":null}'


def test_numbers_of_any_length_can_be_blanked_around(tmp_path: Path) -> None:
    digits = b"9" * (sys.get_int_max_str_digits() + 1)
    shard = shard_of(tmp_path, b'{"url":"https://a.example/","n":0.' + digits + b"}\n")
    assert rewritten(shard, [0], ("url",)) == b'{"url":null,"n":0.' + digits + b"}\n"


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b'{"url":"https://a.example/"}\n{"url":\n', "line 2 is not JSON"),
        (b'["https://a.example/"]\n', "line 1 is not a JSON object"),
        (b'{"url":"https://\xff/"}\n', r"line 1 is not UTF-8 \(byte 17 of the line\)"),
        (b'{"url":"a\0b"}\n', "line 1 holds a NUL byte"),
        (b'{"url":"https://a.example/"}\n{"url":1.5}\n', "row 1: 'url' holds a double, not text"),
        (b'{"url":"https://a.example/"}\n{"url":{"a":1}}\n', "row 1: 'url' holds a struct, not text"),
        (b'{"url":"' + b"x" * (17 << 20) + b'"}\n', "line 1 is longer than 16 MiB"),
    ],
    ids=range(7),
)
def test_what_is_no_json_is_refused_by_line_or_row(tmp_path: Path, data: bytes, problem: str) -> None:
    with pytest.raises(BadShard, match=rf"^part\.jsonl: .*{problem}"):
        values(shard_of(tmp_path, data), "url")


def test_a_blank_line_of_plain_text_is_a_row_without_url(tmp_path: Path) -> None:
    shard = shard_of(tmp_path, b"https://a.example/\n\n  \r\nhttps://b.example/", "part.txt")
    assert values(shard, "url") == ["https://a.example/", None, None, "https://b.example/"]
    assert rewritten(shard, [0]) == b"\n  \r\nhttps://b.example/"


@pytest.mark.parametrize("data", [b"https://a.example/\rhttps://b.example/\n", b"https://a.example/\r\r\n"])
def test_a_line_of_plain_text_that_others_would_read_as_two_is_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(BadShard, match=r"part\.txt: line 2 holds a carriage return"):
        values(shard_of(tmp_path, b"https://c.example/\r\n" + data, "part.txt"), "url")


def test_the_last_line_blanked_gets_a_line_break(tmp_path: Path) -> None:
    shard = shard_of(tmp_path, b"\xef\xbb\xbfhttps://a.example/\r\nhttps://b.example/", "part.txt")
    assert rewritten(shard, [0, 1], ("url",)) == b"\xef\xbb\xbf\r\n\n"


def test_a_file_of_a_byte_order_mark_has_no_rows(tmp_path: Path) -> None:
    for name in ("part.txt", "part.jsonl"):
        assert values(shard_of(tmp_path, b"\xef\xbb\xbf", name), "url") == []


@pytest.mark.parametrize("name", ["part.txt.gz", "part.txt.zst"])
@pytest.mark.parametrize("change", ["cut", "damage", "garbage", "wrong"])
def test_a_broken_stream_is_refused(tmp_path: Path, name: str, change: str) -> None:
    plain = b"".join(b"https://a.example/%d\n" % n for n in range(5000))
    whole = gzip.compress(plain) if name.endswith(".gz") else zstd_compress(plain)
    middle = len(whole) // 2
    data = {
        "cut": whole[:middle],
        "damage": whole[:middle] + b"\0\xff" * 40 + whole[middle + 80 :],
        "garbage": whole + b"garbage",
        "wrong": plain,
    }[change]
    with pytest.raises(
        BadShard, match=rf"^{name}: cannot be decompressed beyond [\d,]+ lines: it is cut off or damaged"
    ):
        values(shard_of(tmp_path, data, name), "url")


def test_a_read_error_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shard = shard_of(tmp_path, b"https://a.example/\n", "part.txt")

    def fail(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("expunge.shards.streams.Window._read_on", fail)
    with pytest.raises(BadShard, match=r"part\.txt: cannot be read: Input/output error"):
        values(shard, "url")
