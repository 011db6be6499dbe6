import gzip
import hashlib
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from expunge.errors import BadList
from expunge.keys import KeyKind, canonical_url
from expunge.lists import Entry, parse_entry, read_list

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MD5 = hashlib.md5(b"a").digest()
SHA1 = hashlib.sha1(b"a").digest()
SHA256 = hashlib.sha256(b"a").digest()


def sha256(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def listed(entries: list[Entry]) -> list[tuple[KeyKind, bytes, int]]:
    return [(entry.kind, entry.key, entry.line) for entry in entries]


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str | bytes], Path]:
    def write(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


Write = Callable[[str, str | bytes], Path]

# ------------------------------------------------------------------------------------------------------------- one entry

C1_OF_A = sha256("https://example.com/a")


@pytest.mark.parametrize(
    ("text", "kind", "key"),
    [
        ("https://example.com/a", KeyKind.URL_C1, C1_OF_A),
        ("HTTPS://Example.com:443/a#b", KeyKind.URL_C1, C1_OF_A),
        ("https:example.com/a", KeyKind.URL_C1, C1_OF_A),
        ("  https://example.com/a\t", KeyKind.URL_C1, C1_OF_A),
        ("url:https://example.com/a", KeyKind.URL_C1, C1_OF_A),
        ("url: https://example.com/a", KeyKind.URL_C1, C1_OF_A),
        ("URL:https://example.com/a", KeyKind.URL_C1, C1_OF_A),
        ("http://exa mple.com/", KeyKind.URL_RAW, sha256("http://exa mple.com/")),
        ("s3://bucket/A b", KeyKind.URL_RAW, sha256("s3://bucket/A b")),
        ("url:data:,a", KeyKind.URL_RAW, sha256("data:,a")),
        ("url://example.com/a", KeyKind.URL_RAW, sha256("//example.com/a")),
        ("host:IMG.Example.com", KeyKind.HOST, b"img.example.com"),
        ("host.c1:img.example.com", KeyKind.HOST, b"img.example.com"),
        ("host:bücher.de", KeyKind.HOST, b"xn--bcher-kva.de"),
        ("host:127.1", KeyKind.HOST, b"127.0.0.1"),
        ("host:[::0:1]", KeyKind.HOST, b"[::1]"),
        ("host:github.io", KeyKind.HOST, b"github.io"),
        ("host:localhost", KeyKind.HOST, b"localhost"),
        ("domain:Example.com", KeyKind.DOMAIN, b"example.com"),
        ("domain:example.com.", KeyKind.DOMAIN, b"example.com"),
        ("domain.c1:example.co.uk", KeyKind.DOMAIN, b"example.co.uk"),
        ("domain:ann.github.io", KeyKind.DOMAIN, b"ann.github.io"),
        (f"md5:{MD5.hex()}", KeyKind.MD5, MD5),
        (f"MD5: {MD5.hex().upper()}", KeyKind.MD5, MD5),
        (f"content.md5:{MD5.hex()}", KeyKind.MD5, MD5),
        (f"sha1:{SHA1.hex()}", KeyKind.SHA1, SHA1),
        (f"sha256:{SHA256.hex()}", KeyKind.SHA256, SHA256),
        ("sha256:ypeBEsobvcr6wjGzmiPcTaeG7/gUfE5yuYB3ha/uSLs=", KeyKind.SHA256, SHA256),
        (f"url.raw.sha256:{SHA256.hex()}", KeyKind.URL_RAW, SHA256),
        (f"url.c1.sha256:{SHA256.hex()}", KeyKind.URL_C1, SHA256),
        (f"text.sha256:{SHA256.hex()}", KeyKind.TEXT, SHA256),
        ("text:a", KeyKind.TEXT, SHA256),
        ("text: a ", KeyKind.TEXT, SHA256),
        ("id: 7", KeyKind.ROW_ID, b"7"),
        ("text:https://example.com/a", KeyKind.TEXT, C1_OF_A),
        ("id:1234567", KeyKind.ROW_ID, b"1234567"),
        ("id:https://example.com/a", KeyKind.ROW_ID, b"https://example.com/a"),
        ("row.id:é:b", KeyKind.ROW_ID, "é:b".encode()),
    ],
)
def test_an_entry_means_its_key(text: str, kind: KeyKind, key: bytes) -> None:
    assert parse_entry(text, 7) == Entry(kind, key, text, 7)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "neither a URL nor KIND:VALUE"),
        ("example.com/a.jpg", "neither a URL nor KIND:VALUE"),
        ("//example.com/a.jpg", "neither a URL nor KIND:VALUE"),
        ("12:34", "neither a URL nor KIND:VALUE"),
        ("sha512:00", "unknown kind “sha512”"),
        ("pdq:00", "unknown kind “pdq”"),
        ("data:,a", "written url:"),
        ("http:", "unknown kind “http”"),
        ("md5:", "nothing after “md5”"),
        ("text:  ", "nothing after “text”"),
        ("url:", "nothing after “url”"),
        (f"md5:{SHA1.hex()}", "not a well-formed md5: it has 40 characters, and should be 32"),
        (f"md5:{MD5.hex()[:-1]}g", "not a well-formed md5"),
        (f"sha256:{MD5.hex()}", "should be 64"),
        (f"url.raw.sha256:{MD5.hex()}", "not a well-formed url.raw.sha256"),
        ("url.c1.sha256:https://example.com/", "not a well-formed url.c1.sha256"),
        ("host:https://example.com/", "Write the host alone"),
        ("host:example.com/a", "Write the host alone"),
        ("host:example.com:8080", "Write the host alone"),
        ("host:[::1]:80", "Write the host alone"),
        ("host:::1", "IPv6 in brackets"),
        ("host:user@example.com", "Write the host alone"),
        ("host:example.com?a", "Write the host alone"),
        ("host:example.com#a", "Write the host alone"),
        ("host:exa mple.com", "Write the host alone"),
        ("host:exa\tmple.com", "Write the host alone"),
        ("host:1.2.3.256", "Write the host alone"),
        ("domain:https://example.com/", "does not name a host"),
        ("domain:com", "public suffix"),
        ("domain:co.uk", "public suffix"),
        ("domain:github.io", "public suffix"),
        ("domain:localhost", "public suffix"),
        ("domain:127.0.0.1", "names an address"),
        ("domain:[::1]", "names an address"),
        ("domain:a..b", "not a domain"),
        ("domain:img.example.com", "below a registrable domain"),
        ("https://example.com/\udc80", "not valid UTF-8"),
    ],
)
def test_a_malformed_entry_is_refused_with_its_line(text: str, problem: str) -> None:
    with pytest.raises(BadList) as refused:
        parse_entry(text, 12)
    assert str(refused.value).startswith("line 12 ")
    assert problem in str(refused.value)


def test_a_host_has_no_wildcards() -> None:
    assert parse_entry("host:*.example.com").key == b"*.example.com"  # a host as WHATWG has it, and no other


def test_no_message_repeats_a_value() -> None:
    for text in ("md5:secret", "host:https://secret/", "domain:secret.example.com", "secret words"):
        with pytest.raises(BadList) as refused:
            parse_entry(text)
        assert "secret" not in str(refused.value)


def test_an_entry_without_a_line_is_called_this_entry() -> None:
    with pytest.raises(BadList, match=r"^This entry has nothing after “id”"):
        parse_entry("id:")


# --------------------------------------------------------------------------------------------------------------- text lists

TEXT = (
    "# what must go\r\n"
    "\r\n"
    "https://example.com/a\r\n"
    "  host:img.example.com  \r\n"
    "#\r\n"
    "http://exa mple.com/\r\n"
    f"md5:{MD5.hex()}"
)
FROM_TEXT = [
    (KeyKind.URL_C1, C1_OF_A, 3),
    (KeyKind.HOST, b"img.example.com", 4),
    (KeyKind.URL_RAW, sha256("http://exa mple.com/"), 6),
    (KeyKind.MD5, MD5, 7),
]


@pytest.mark.parametrize(
    "name", ["list.txt", "list", "list.removals", "list.txt.gz", "list.txt.zst", "LIST.GZ"]
)
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "byte order mark"])
def test_a_text_list_is_read_whole(write: Write, name: str, mark: bytes) -> None:
    content = mark + TEXT.encode()
    if name.lower().endswith(".gz"):
        content = gzip.compress(content)
    elif name.endswith(".zst"):
        content = zstd.compress(content)
    found = read_list(write(name, content))
    assert listed(found.entries) == FROM_TEXT
    assert found.duplicates == []


def test_an_empty_list_has_no_entries(write: Write) -> None:
    found = read_list(write("list.txt", "\n# nothing today\n"))
    assert (found.entries, found.by_kind()) == ([], {})


def test_entries_that_say_the_same_are_collected(write: Write) -> None:
    found = read_list(
        write(
            "l.txt",
            f"https://example.com/a\nhttps://EXAMPLE.com/a\nmd5:{MD5.hex()}\nid:a\nmd5:{MD5.hex().upper()}\n",
        )
    )
    assert [entry.line for entry in found.entries] == [1, 3, 4]
    assert [(entry.text, entry.line) for entry in found.duplicates] == [
        ("https://EXAMPLE.com/a", 2),
        (f"md5:{MD5.hex().upper()}", 5),
    ]


def test_the_same_bytes_of_another_kind_are_no_duplicate(write: Write) -> None:
    found = read_list(write("l.txt", f"sha256:{SHA256.hex()}\ntext:a\nurl.raw.sha256:{SHA256.hex()}\n"))
    assert len(found.entries) == 3


def test_keys_come_by_kind_in_order(write: Write) -> None:
    keys = read_list(write("l.txt", "id:b\nhttps://example.com/a\nid:a\n")).by_kind()
    assert {kind: array.to_pylist() for kind, array in keys.items()} == {
        KeyKind.ROW_ID: [b"b", b"a"],
        KeyKind.URL_C1: [C1_OF_A],
    }
    assert all(array.type == pa.binary() for array in keys.values())


def test_a_bad_line_names_file_and_line(write: Write) -> None:
    path = write("l.txt", "https://example.com/a\n\nfoo:bar\n")
    with pytest.raises(BadList) as refused:
        read_list(path)
    assert str(refused.value).startswith(f"{path}: line 3 has the unknown kind “foo”")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"https://example.com/\nhttps://\xff/\n", "line 2 is not valid UTF-8"),
        ("https://example.com/a\n".encode("utf-16"), "line 1 is not valid UTF-8"),
        (b"https://example.com/\0\n", "line 1 holds a NUL byte"),
        (b"#no comment\n", "line 1 is neither"),
    ],
)
def test_a_file_that_is_no_text_list_is_refused(write: Write, content: bytes, problem: str) -> None:
    with pytest.raises(BadList, match=problem):
        read_list(write("l.txt", content))


@pytest.mark.parametrize("name", ["l.txt.gz", "l.txt.zst", "l.csv.gz"])
@pytest.mark.parametrize("damage", ["cut", "random", "empty tail"])
def test_a_damaged_compressed_list_is_refused(write: Write, name: str, damage: str) -> None:
    whole = TEXT.encode() * 50 if name != "l.csv.gz" else b"kind,value\nid,1\n" * 50
    packed = gzip.compress(whole) if name.endswith(".gz") else zstd.compress(whole)
    content = {
        "cut": packed[:-9],
        "random": b"\x00\x01\x02\x03" * 20,
        "empty tail": packed[: len(packed) // 2],
    }[damage]
    with pytest.raises(BadList, match="damaged or cut off"):
        read_list(write(name, content))


def test_a_list_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadList, match=r"absent\.txt: No such file"):
        read_list(tmp_path / "absent.txt")
    with pytest.raises(BadList, match="Is a directory"):
        read_list(tmp_path)


# ---------------------------------------------------------------------------------------------------------- CSV and Parquet


def test_a_csv_list_has_kind_and_value(write: Write) -> None:
    found = read_list(
        write(
            "l.csv",
            '\ufeffreason,Kind,VALUE\r\nx,url,https://example.com/a\r\n,text,"a, ""b""\r\nc "\r\n\r\n,ID, 7\r\n',
        )
    )
    assert listed(found.entries) == [
        (KeyKind.URL_C1, C1_OF_A, 2),
        (KeyKind.TEXT, sha256('a, "b"\r\nc '), 4),
        (KeyKind.ROW_ID, b" 7", 6),
    ]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "one column named kind"),
        ("url\nhttps://example.com/\n", "one column named kind"),
        ("kind,value,value\n", "one column named kind"),
        ("kind,value\nurl\n", "line 2 has 1 fields where the header has 2"),
        ("kind,value\nurl,a,b\n", "line 2 has 3 fields"),
        ('kind,value\nurl,"a\n', "is not valid CSV"),
        ('kind,value\nurl,"a"b\n', "line 2 is not valid CSV"),
        ("kind,value\nsha512,00\n", "line 2 has the unknown kind"),
        ("kind,value\n,https://example.com/\n", "line 2 has the unknown kind “”"),
        ("kind,value\nmd5,\n", "line 2 has nothing after"),
    ],
)
def test_a_malformed_csv_list_is_refused(write: Write, content: str, problem: str) -> None:
    path = write("l.csv", content)
    with pytest.raises(BadList, match=problem) as refused:
        read_list(path)
    assert str(refused.value).startswith(f"{path}: ")


def test_a_parquet_list_has_kind_and_value(tmp_path: Path) -> None:
    path = tmp_path / "l.parquet"
    kinds = pa.array(["url", "md5", "url", "text"]).dictionary_encode()
    pq.write_table(
        pa.table(
            {
                "value": ["https://example.com/a", MD5.hex(), "s3://b/k", " a "],
                "kind": kinds,
                "n": [1, 2, 3, 4],
            }
        ),
        path,
    )
    assert listed(read_list(path).entries) == [
        (KeyKind.URL_C1, C1_OF_A, 1),
        (KeyKind.MD5, MD5, 2),
        (KeyKind.URL_RAW, sha256("s3://b/k"), 3),
        (KeyKind.TEXT, sha256(" a "), 4),
    ]


@pytest.mark.parametrize(
    ("columns", "problem"),
    [
        ({"url": ["a"]}, "one column named kind"),
        ({"kind": ["id"], "value": [[1]]}, "column value must hold text"),
        ({"kind": ["text"], "value": [b"\xff"]}, "column value must hold text"),
        ({"kind": ["id", None], "value": ["1", "2"]}, "line 2 has the unknown kind"),
        ({"kind": ["id", "id"], "value": ["1", None]}, "line 2 has nothing after"),
    ],
)
def test_a_malformed_parquet_list_is_refused(
    tmp_path: Path, columns: dict[str, list[object]], problem: str
) -> None:
    path = tmp_path / "l.parquet"
    pq.write_table(pa.table(columns), path)
    with pytest.raises(BadList, match=problem):
        read_list(path)


def test_a_damaged_parquet_list_is_refused(write: Write) -> None:
    with pytest.raises(BadList, match="not a readable Parquet file"):
        read_list(write("l.parquet", b"PAR1 and then nothing"))


# ------------------------------------------------------------------------------------------------------------------- bulk


def test_a_batch_of_urls_means_what_each_alone_means(write: Write) -> None:
    lines = [f"{'HTTP' if n % 3 else 'http'}://img{n}.example.com/{n % 7}/../{n}#{n}" for n in range(20_000)]
    lines[9_000:9_002] = ["http://exa mple.com/", "id:7"]
    found = read_list(write("l.txt", "\n".join(lines)))
    assert found.entries == [parse_entry(line, number) for number, line in enumerate(lines, 1)]


def test_a_long_list_is_read_whole_and_in_order(write: Write) -> None:
    lines = [
        f"https://img{n % 5000}.example.com/wp-content/uploads/photo-{n}-1024x768.jpg" for n in range(50_000)
    ]
    found = read_list(write("l.txt", "\n".join(lines)))
    assert [entry.text for entry in found.entries] == lines
    assert canonical_url(found.entries[-1].text) == lines[-1]
