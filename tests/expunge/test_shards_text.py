"""What all text formats share: rows found by scanning blocks, bytes copied around those that a cut touches."""

from __future__ import annotations

import errno
import gzip
import os
import resource
import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest

from expunge.errors import BadShard, UsageError, VerificationFailed
from expunge.shards import Cut, ShardFile, bind_columns, check_binding, open_shard
from expunge.shards.delimited import DelimitedShard
from expunge.shards.scan import field_breaks, record_breaks
from expunge.shards.shard import HashingFile
from tests.expunge.formats import plain_bytes, zstd_compress

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from expunge.shards import Shard


def shard_of(tmp_path: Path, data: bytes, name: str) -> Shard:
    (tmp_path / name).write_bytes(data)
    return open_shard(ShardFile(tmp_path / name, name))


def written_of(path: Path) -> Shard:
    return open_shard(ShardFile(path, path.name, may_be_empty=True))


def cut_out(shard: Shard, cut: Cut) -> bytes:
    """The decompressed bytes of what is written, after it was held against its base."""
    target = shard.file.path.with_name(f"new-{shard.file.name}")
    target.unlink(missing_ok=True)
    written = shard.rewrite(target, cut)
    shard.compare(written_of(target), cut)
    assert written.method == "spliced"
    assert written.rows == sum(batch.rows for batch in written_of(target).batches([]))
    return plain_bytes(target)


def rows(*numbers: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array(numbers, dtype=np.int64)


def elements(*pairs: tuple[int, int]) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    return np.array(pairs, dtype=np.int64)


# ------------------------------------------------------------------------------------------------------- scanning


@pytest.mark.parametrize(
    "doubtful",
    [
        b'a,b"c\n',  # a quote inside a field without quotes, which the reader takes for a letter
        b'a,"b"c\n',  # something after a closing quote
        b'a, "b"\n',  # a space before an opening one
        b'a,\r"b"\n',
        b"a\rb\n",  # a return that ends no line
        b"a\r\r\n",
        b'"a"\rb\n',
        b"no line feed",
        b'"a\n',  # the only one is inside quotes
        b"",
    ],
)
def test_the_scan_vouches_for_nothing_in_doubt(doubtful: bytes) -> None:
    assert record_breaks(doubtful, ord(",")) is None


@pytest.mark.parametrize(
    ("data", "breaks"),
    [
        (b"a\nb\n", [1, 3]),
        (b'"a\nb"\nc\n', [5, 7]),
        (b'"a""\n""b",""\n"', [13 - 1]),  # and a quote that the next block closes
        (b'a,"b\r\rc"\r\n\n', [9, 10]),
        (b'"""",""""""\nx', [11]),
    ],
)
def test_the_scan_finds_where_records_end(data: bytes, breaks: list[int]) -> None:
    found = record_breaks(data, ord(","))
    assert found is not None
    assert found.tolist() == breaks


def test_a_row_too_short_is_not_made_up_for_by_a_blank_line() -> None:
    data = b"\na\n,\n"
    assert field_breaks(data, rows(2, 4), 2, ord(",")) is None
    assert field_breaks(b"\na,\n,\n", rows(3, 5), 2, ord(",")) is not None


@pytest.mark.parametrize("name", ["part.csv", "part.tsv", "part.jsonl", "part.txt"])
def test_rows_longer_than_a_block_are_found(tmp_path: Path, name: str) -> None:
    values = ["a", "b" * (3 << 20), "c", "d" * (1 << 20), "e"]
    lines = {
        "part.csv": [b"url\n", *(b'"%s\n"\n' % value.encode() for value in values)],
        "part.tsv": [b"url\n", *(b"%s\n" % value.encode() for value in values)],
        "part.jsonl": [b"", *(b'{"url":"%s"}\n' % value.encode() for value in values)],
        "part.txt": [b"", *(b"%s\n" % value.encode() for value in values)],
    }[name]
    shard = shard_of(tmp_path, b"".join(lines), name)
    found = [value for batch in shard.batches(["url"]) for value in batch.arrays["url"].to_pylist()]
    assert [value.strip() for value in found] == values
    for row in range(len(values)):
        expected = b"".join(lines[: row + 1] + lines[row + 2 :])
        assert cut_out(shard, Cut(drop=rows(row))) == expected


@pytest.mark.parametrize("name", ["part.csv", "part.jsonl", "part.txt"])
def test_an_error_names_the_line_far_into_the_file(tmp_path: Path, name: str) -> None:
    line = {"part.csv": b'"a\n",b\n', "part.jsonl": b'{"u":1}\n', "part.txt": b"https://a.example/\n"}[name]
    count = (5 << 20) // len(line)
    head = b"u,v\n" if name == "part.csv" else b""
    shard = shard_of(tmp_path, head + line * count + b"\xff\n", name)
    before = (head + line * count).count(b"\n")
    with pytest.raises(BadShard, match=f"line {before + 1} is not UTF-8"):
        list(shard.batches([]))


def test_a_ragged_row_far_into_the_file_is_named(tmp_path: Path) -> None:
    count = 400_000
    shard = shard_of(tmp_path, b"u,v\n" + b"a,b\n" * count + b"a\n" + b"a,b\n" * 1000, "part.csv")
    with pytest.raises(BadShard, match=f"row {count} has 1 fields, the header has 2"):
        list(shard.batches([]))


def test_clean_tables_are_never_read_row_by_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("parsed")

    data = b"url,note\n" + b'https://a.example/,"x, ""y""\nz"\r\n\nhttps://b.example/,\n' * 50_000
    shard = shard_of(tmp_path, data, "part.csv")
    assert shard.columns
    monkeypatch.setattr(DelimitedShard, "parse", refuse)
    assert sum(batch.rows for batch in shard.batches(["url", "note"])) == 100_000
    assert len(cut_out(shard, Cut(drop=rows(7)))) == len(data) - len(b"https://b.example/,\n")


# --------------------------------------------------------------------------------------------- writing, comparing

LINES = b"".join(b"https://a.example/%d\n" % number for number in range(200_000))


PACK: dict[str, Callable[[bytes], bytes]] = {"": bytes, ".gz": gzip.compress, ".zst": zstd_compress}


@pytest.mark.parametrize("compression", PACK)
@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda data: data.replace(b"/150000\n", b"/15000x\n"), "differs from what stays of rows"),
        (lambda data: data[:-1], "differs from what stays of rows"),
        (lambda data: data + b"\n", "goes on after the last row"),
    ],
    ids=["changed", "shorter", "longer"],
)
def test_one_changed_byte_is_noticed(
    tmp_path: Path, compression: str, change: Callable[[bytes], bytes], problem: str
) -> None:
    pack, name = PACK[compression], f"part.txt{compression}"
    shard = shard_of(tmp_path, pack(LINES), name)
    (tmp_path / "copy").mkdir()
    other = shard_of(tmp_path / "copy", pack(change(LINES)), name)
    with pytest.raises(VerificationFailed, match=problem):
        shard.compare(other, Cut())


def test_a_row_that_should_have_gone_is_noticed(tmp_path: Path) -> None:
    shard = shard_of(tmp_path, LINES, "part.txt")
    target = tmp_path / "new.txt"
    shard.rewrite(target, Cut(drop=rows(1, 70_000)))
    for other in ((1,), (1, 70_001), (1, 70_000, 70_001)):
        with pytest.raises(VerificationFailed):
            shard.compare(written_of(target), Cut(drop=rows(*other)))


@pytest.mark.parametrize("compression", [".gz", ".zst"])
def test_compressed_files_hold_the_same_text_and_are_the_same_each_time(
    tmp_path: Path, compression: str
) -> None:
    pack = PACK[compression]
    shard = shard_of(tmp_path, pack(LINES[:999]) + pack(LINES[999:]), f"part.txt{compression}")
    cut = Cut(drop=rows(0, 99_999, 199_999))
    expected = b"".join(
        line + b"\n" for n, line in enumerate(LINES.splitlines()) if n not in {0, 99_999, 199_999}
    )
    assert cut_out(shard, cut) == expected
    first = (tmp_path / f"new-part.txt{compression}").read_bytes()
    assert cut_out(shard, cut) == expected
    assert (tmp_path / f"new-part.txt{compression}").read_bytes() == first


@pytest.mark.parametrize("name", ["part.txt", "part.txt.gz"])
def test_a_full_disk_is_told_and_no_thread_stays(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: object, part: bytes) -> int:
        if len(part) > 1000:  # what comes before is the header of gzip
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return len(part)

    data = np.random.default_rng(3).integers(97, 123, 20 << 20, dtype=np.uint8).tobytes()
    text = b"\n".join(data[at : at + 99] for at in range(0, len(data), 99)) + b"\n"
    shard = shard_of(tmp_path, gzip.compress(text, 1) if name.endswith(".gz") else text, name)
    monkeypatch.setattr(HashingFile, "write", full)
    threads = threading.active_count()
    with pytest.raises(OSError, match="No space left"):
        shard.rewrite(tmp_path / "new.txt", Cut(drop=rows(1)))
    assert threading.active_count() == threads


@pytest.mark.parametrize("length", [20, 15 << 20])
def test_memory_does_not_grow_with_the_file_or_its_rows(tmp_path: Path, length: int) -> None:
    line = b'{"url":"%s"}\n' % (b"x" * length)
    with gzip.open(tmp_path / "part.jsonl.gz", "wb", 1) as sink:
        for _ in range((100 << 20) // len(line) // 1000 or 1):
            sink.write(line * min(1000, (100 << 20) // len(line)))
    shard = open_shard(ShardFile(tmp_path / "part.jsonl.gz", "part.jsonl.gz"))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    cut_out_length = shard.rewrite(tmp_path / "new.jsonl.gz", Cut(drop=rows(0))).rows
    assert cut_out_length > 0
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 90 << 10, f"{grown} KiB more"


# ------------------------------------------------------------------------------------------------------ redacting


def redacted(tmp_path: Path, line: bytes, cut: Cut, name: str = "part.jsonl") -> bytes:
    return cut_out(shard_of(tmp_path, line, name), cut)


@pytest.mark.parametrize(
    ("line", "places", "expected"),
    [
        (b'{"u":["a","b","c"]}', (1,), b'{"u":["a","c"]}'),
        (b'{"u":["a","b","c"]}', (0,), b'{"u":["b","c"]}'),
        (b'{"u":["a","b","c"]}', (2,), b'{"u":["a","b"]}'),
        (b'{"u":["a","b","c"]}', (0, 1, 2), b'{"u":[]}'),
        (b'{"u" : [ "a" ,\t"b", "c" ] , "n":1}', (1,), b'{"u" : [ "a", "c" ] , "n":1}'),
        (b'{"u":["]","[\\"]",",","b"]}', (1,), b'{"u":["]",",","b"]}'),
        (b'{"u":["\\\\","b"]}', (0,), b'{"u":["b"]}'),
        (b'{"n":[["x"],{"u":["y"]}],"u":["a","b"]}', (0,), b'{"n":[["x"],{"u":["y"]}],"u":["b"]}'),
        ('{"u":["é","\\u00e9",null]}'.encode(), (0,), b'{"u":["\\u00e9",null]}'),
        (b'{"\\u0075":["a","b"]}', (1,), b'{"\\u0075":["a"]}'),
        (b'{"u":"a"}', (0,), b'{"u":null}'),
        # A key twice: the last list is the one that was read; the first may not show what it lost.
        (b'{"u":["b","x"],"n":1,"u":["a","b"]}', (1,), b'{"u":["a"],"n":1,"u":["a"]}'),
    ],
)
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b""])
def test_elements_go_from_a_list_and_every_other_byte_stays(
    tmp_path: Path, line: bytes, places: tuple[int, ...], expected: bytes, end: bytes
) -> None:
    other = b'{"u":["z","z"]}\n'
    cut = Cut(elements={"u": elements(*((1, place) for place in places))})
    assert redacted(tmp_path, other + line + end, cut) == other + expected + end


def test_elements_that_are_lists_or_objects_go_whole(tmp_path: Path) -> None:
    line = b'{"u":[ ["a", "]"] , {"b": [1, "}"]}, 1.50, true ]}\n'
    for place, expected in enumerate((
        b'{"u":[ {"b": [1, "}"]}, 1.50, true ]}\n',
        b'{"u":[ ["a", "]"], 1.50, true ]}\n',
        b'{"u":[ ["a", "]"] , {"b": [1, "}"]}, true ]}\n',
        b'{"u":[ ["a", "]"] , {"b": [1, "}"]}, 1.50 ]}\n',
    )):  # fmt: skip
        assert redacted(tmp_path, line, Cut(elements={"u": elements((0, place))})) == expected


@pytest.mark.parametrize("line", [b'{"u":["a"]}\n', b'{"u":"a"}\n', b'{"u":null}\n', b'{"u":[]}\n'])
def test_an_element_that_is_not_there_is_refused(tmp_path: Path, line: bytes) -> None:
    shard = shard_of(tmp_path, b'{"u":["a","b"]}\n' + line, "part.jsonl")
    place = 0 if line in {b'{"u":null}\n', b'{"u":[]}\n'} else 1
    with pytest.raises(ValueError, match="no element at this place"):
        shard.rewrite(tmp_path / "new.jsonl", Cut(elements={"u": elements((1, place))}))


def test_the_greater_loss_counts(tmp_path: Path) -> None:
    data = b'{"u":["a","b"]}\n{"u":["c","d"]}\n{"u":["e","f"]}\n'
    cut = Cut(drop=rows(0), null={"u": rows(0, 1)}, elements={"u": elements((0, 0), (1, 0), (2, 0))})
    assert redacted(tmp_path, data, cut) == b'{"u":null}\n{"u":["f"]}\n'


def test_an_object_deeper_than_python_recurses_can_be_blanked_around(tmp_path: Path) -> None:
    deep = b"[" * 1000 + b"]" * 1000
    assert redacted(tmp_path, b'{"n":%s,"u":"a"}\n' % deep, Cut(null={"u": rows(0)})) == (
        b'{"n":%s,"u":null}\n' % deep
    )


def test_a_return_between_members_is_white_space(tmp_path: Path) -> None:
    assert redacted(tmp_path, b'{\r"n":1,\r"u"\r:\r"a"\r}\r\n', Cut(null={"u": rows(0)})) == (
        b'{\r"n":1,\r"u"\r:\rnull\r}\r\n'
    )


def test_a_line_that_is_no_object_cannot_be_redacted(tmp_path: Path) -> None:
    for line, problem in ((b"{]\n", "row 1 is not JSON"), (b"[]\n", "row 1 is not a JSON object")):
        shard = shard_of(tmp_path, b'{"u":"a"}\n{"u":"b"}\n', "part.jsonl")
        assert shard.columns
        (tmp_path / "part.jsonl").write_bytes(b'{"u":"a"}\n' + line)
        with pytest.raises(BadShard, match=problem):
            shard.rewrite(tmp_path / "new.jsonl", Cut(null={"u": rows(1)}))
        (tmp_path / "new.jsonl").unlink()


@pytest.mark.parametrize(
    ("line", "column", "expected"),
    [
        (b"a,b,c", "u", b",b,c"),
        (b"a,b,c", "w", b"a,b,"),
        (b'"a,""x""","b\nb",c', "u", b',"b\nb",c'),
        (b'"a,""x""","b\nb",c', "v", b'"a,""x""",,c'),
        (b'"a",b, c ', "v", b'"a",, c '),
        (b'a"a,b""b,c"', "v", b'a"a,,c"'),  # quotes that do not begin a field are letters
        (b",,", "v", b",,"),
    ],
)
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b""])
def test_a_cell_goes_and_the_others_keep_their_bytes(
    tmp_path: Path, line: bytes, column: str, expected: bytes, end: bytes
) -> None:
    head = b'u,"v",w\n1,2,3\n'
    cut = Cut(null={column: rows(1), "elsewhere": rows(0)})
    assert redacted(tmp_path, head + line + end, cut, "part.csv") == head + expected + end


def test_text_formats_without_lists_have_no_elements_to_lose(tmp_path: Path) -> None:
    for name, data in (("part.csv", b"url\na\n"), ("part.txt", b"a\n"), ("part.jsonl", b'{"url":"a"}\n')):
        with pytest.raises(UsageError, match="'url' holds no lists"):
            redacted(tmp_path, data, Cut(elements={"url": elements((0, 0))}), name)


# -------------------------------------------------------------------------------------------------------- numbers


def test_a_column_of_numbers_carries_ids_and_nothing_else(tmp_path: Path) -> None:
    shard = shard_of(tmp_path, b'{"id":7,"url":7}\n{"id":"a","url":"https://a.example/"}\n', "part.jsonl")
    assert [column.type for column in shard.columns] == ["int64", "int64"]
    assert [batch.arrays["id"].to_pylist() for batch in shard.batches(["id"])] == [["7", "a"]]
    with pytest.raises(UsageError, match=r"column 'url' \(int64\) cannot carry url: it should hold URLs"):
        check_binding(shard, bind_columns(shard.columns))
    check_binding(shard, bind_columns(shard.columns, {"url": ""}))


def test_a_list_of_numbers_is_no_list_of_urls(tmp_path: Path) -> None:
    shard = shard_of(tmp_path, b'{"url":[]}\n{"url":["https://a.example/",7]}\n', "part.jsonl")
    assert [column.type for column in shard.columns] == ["list<int64>"]
    with pytest.raises(UsageError, match=r"'url' \(list<int64>\) cannot carry url"):
        check_binding(shard, bind_columns(shard.columns))


def test_a_number_far_into_a_column_of_text_is_refused_by_row(tmp_path: Path) -> None:
    data = b'{"url":"https://a.example/"}\n' * 5000 + b'{"url":7}\n'
    shard = shard_of(tmp_path, data, "part.jsonl")
    with pytest.raises(BadShard, match="row 5000: 'url' holds a number, not text"):
        list(shard.batches(["url"]))
    assert sum(batch.rows for batch in shard.batches([])) == 5001
