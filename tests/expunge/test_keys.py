import base64
import hashlib
import json
from pathlib import Path

import pyarrow as pa
import pytest

from expunge.errors import UsageError
from expunge.keys import (
    ROLE_OF,
    KeyKind,
    Role,
    canonical_url,
    column_keys,
    is_public_suffix,
    keys_of_url,
    parse_digest,
    registrable_domain,
    url_domain,
    url_host,
    url_keys,
)

VECTORS = json.loads((Path(__file__).parent / "c1_vectors.json").read_text())
URL_KINDS = [kind for kind, role in ROLE_OF.items() if role is Role.URL]
MD5 = hashlib.md5(b"a").digest()
SHA1 = hashlib.sha1(b"a").digest()
SHA256 = hashlib.sha256(b"a").digest()


def sha256_or_none(text: str | None) -> bytes | None:
    return None if text is None else hashlib.sha256(text.encode()).digest()


# ----------------------------------------------------------------------------------------------------- the frozen vectors


def test_there_are_at_least_200_vectors_and_no_url_twice() -> None:
    assert len(VECTORS) >= 200
    assert len({vector["url"] for vector in VECTORS}) == len(VECTORS)


@pytest.mark.parametrize(
    "vector", VECTORS, ids=lambda vector: f"{vector['about']}: {ascii(vector['url'])[:60]}"
)
def test_c1_host_and_domain_are_as_frozen(vector: dict[str, str | None]) -> None:
    url = vector["url"]
    assert url is not None
    assert canonical_url(url) == vector["c1"]
    assert url_host(url) == vector["host"]
    assert url_domain(url) == vector["domain"]


def test_a_column_of_all_vectors_has_the_frozen_keys() -> None:
    column = pa.array([vector["url"] for vector in VECTORS])
    assert column_keys(KeyKind.URL_C1, column).to_pylist() == [
        sha256_or_none(vector["c1"]) for vector in VECTORS
    ]
    for kind, name in ((KeyKind.HOST, "host"), (KeyKind.DOMAIN, "domain")):
        keys = column_keys(kind, column).to_pylist()
        assert keys == [vector[name] and vector[name].encode() for vector in VECTORS]


# -------------------------------------------------------------------------------------------------------- one URL at a time


def test_every_kind_has_a_role() -> None:
    assert set(ROLE_OF) == set(KeyKind)
    assert set(ROLE_OF.values()) == set(Role)


def test_a_url_prints_its_four_keys() -> None:
    assert keys_of_url("HTTP://img.Example.com:80/a#b") == {
        KeyKind.URL_RAW: hashlib.sha256(b"HTTP://img.Example.com:80/a#b").hexdigest(),
        KeyKind.URL_C1: hashlib.sha256(b"http://img.example.com/a").hexdigest(),
        KeyKind.HOST: "img.example.com",
        KeyKind.DOMAIN: "example.com",
    }


def test_a_url_without_c1_has_a_raw_key_only() -> None:
    assert keys_of_url("s3://bucket/a") == {KeyKind.URL_RAW: hashlib.sha256(b"s3://bucket/a").hexdigest()}


def test_a_url_on_an_address_has_no_domain() -> None:
    assert KeyKind.DOMAIN not in keys_of_url("http://127.0.0.1/a")


def test_text_that_utf8_cannot_write_is_refused() -> None:
    assert canonical_url("http://example.com/\ud800") is None
    with pytest.raises(UsageError, match="UTF-8"):
        keys_of_url("http://example.com/\ud800")


def test_private_suffixes_keep_people_apart() -> None:
    assert registrable_domain("ann.github.io") == "ann.github.io"
    assert registrable_domain("github.io") is None
    assert is_public_suffix("github.io")
    assert is_public_suffix("co.uk.")
    assert is_public_suffix("localhost")
    assert not is_public_suffix("example.co.uk")
    assert not is_public_suffix("127.0.0.1")
    assert not is_public_suffix("[::1]")


# ------------------------------------------------------------------------------------------------------- hashes as written


@pytest.mark.parametrize("digest", [MD5, SHA1, SHA256], ids=["md5", "sha1", "sha256"])
def test_a_digest_is_read_from_every_spelling(digest: bytes) -> None:
    encoded = base64.b64encode(digest)
    spellings = [digest.hex(), digest.hex().upper(), encoded.decode(), encoded.rstrip(b"=").decode()]
    for spelling in spellings:
        assert parse_digest(spelling, len(digest)) == digest
        assert parse_digest(spelling.encode(), len(digest)) == digest


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0" * 31,
        "0" * 33,
        "g" * 32,
        " " + "0" * 31,
        "é" * 32,
        "\u0660" * 32,  # digits, but not ours
        "=" * 24,
        "A" * 21 + "B==",  # bits left over after the last byte
        "A" * 22 + "=",
        "A" * 22 + "===",
        "A" * 21 + "-==",
        "é" * 22,
        "0x" + "0" * 30,
        "0" * 40,
    ],
)
def test_what_is_no_md5_is_not_read_as_one(text: str) -> None:
    assert parse_digest(text, 16) is None
    assert column_keys(KeyKind.MD5, pa.array([text])).to_pylist() == [None]


def test_a_column_of_hashes_may_mix_spellings() -> None:
    values = [SHA1.hex(), None, SHA1.hex().upper(), base64.b64encode(SHA1).decode(), "nonsense", "", "g" * 40]
    assert column_keys(KeyKind.SHA1, pa.array(values)).to_pylist() == [
        SHA1,
        None,
        SHA1,
        SHA1,
        None,
        None,
        None,
    ]


def test_a_binary_column_may_hold_the_digests_themselves() -> None:
    fixed = pa.array([MD5, None], pa.binary(16))
    assert column_keys(KeyKind.MD5, fixed).to_pylist() == [MD5, None]
    loose = pa.array([SHA256, SHA256.hex().encode(), b"short", None])
    assert column_keys(KeyKind.SHA256, loose).to_pylist() == [SHA256, SHA256, None, None]


def test_text_as_long_as_a_digest_is_not_a_digest() -> None:
    assert column_keys(KeyKind.MD5, pa.array(["sixteen letters!"])).to_pylist() == [None]


# -------------------------------------------------------------------------------------------------------- columns in general


@pytest.mark.parametrize(
    "layout",
    [pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.large_binary(), pa.binary_view()],
    ids=str,
)
@pytest.mark.parametrize("kind", list(KeyKind), ids=str)
def test_the_layout_of_a_column_does_not_matter(kind: KeyKind, layout: pa.DataType) -> None:
    values = [
        "HTTP://Example.com/a b",
        None,
        "",
        "https://img.example.com/a.jpg",
        MD5.hex(),
        SHA1.hex(),
        SHA256.hex(),
    ]
    expected = column_keys(kind, pa.array(values))
    assert expected.type == pa.binary()
    assert len(expected) == len(values)
    assert expected.null_count < len(values)
    bytes_or_text = values if "string" in str(layout) else [value and value.encode() for value in values]
    column = pa.array([None if value is None else value for value in bytes_or_text], layout)
    assert column_keys(kind, column).equals(expected)
    assert column_keys(kind, column[2:5]).equals(expected[2:5])


def test_a_column_longer_than_is_hashed_at_once_has_each_key_in_its_place() -> None:
    urls = [
        None if n % 97 == 5 else f"https://img.example.com/{n}{'#x' * (n % 50 == 3)}" for n in range(5000)
    ]
    found = url_keys(URL_KINDS, pa.array(urls))
    assert found[KeyKind.URL_RAW].to_pylist() == [sha256_or_none(url) for url in urls]
    assert found[KeyKind.URL_C1].to_pylist() == [sha256_or_none(url and canonical_url(url)) for url in urls]
    assert set(found[KeyKind.DOMAIN].to_pylist()) == {b"example.com", None}


@pytest.mark.parametrize("layout", [pa.int64(), pa.list_(pa.string())], ids=str)
def test_several_kinds_at_once_refuse_a_column_of_another_kind(layout: pa.DataType) -> None:
    with pytest.raises(UsageError, match="cannot carry the key"):
        url_keys(URL_KINDS, pa.nulls(1, layout))


@pytest.mark.parametrize("kind", list(KeyKind), ids=str)
def test_a_dictionary_column_has_the_keys_of_its_values(kind: KeyKind) -> None:
    plain = pa.array(["https://example.com/a", None, "1", "https://example.com/a", MD5.hex()])
    assert column_keys(kind, plain.dictionary_encode()).equals(column_keys(kind, plain))


def test_a_null_inside_a_dictionary_has_no_key() -> None:
    column = pa.DictionaryArray.from_arrays(pa.array([0, 1, None, 0]), pa.array(["a", None]))
    assert column_keys(KeyKind.ROW_ID, column).to_pylist() == [b"a", None, None, b"a"]


@pytest.mark.parametrize("kind", list(KeyKind), ids=str)
@pytest.mark.parametrize("size", [0, 3])
def test_empty_and_null_columns_have_no_keys(kind: KeyKind, size: int) -> None:
    for layout in (pa.string(), pa.null(), pa.binary()):
        keys = column_keys(kind, pa.nulls(size, layout))
        assert keys.type == pa.binary()
        assert keys.to_pylist() == [None] * size


def test_raw_and_text_keys_are_of_the_exact_bytes() -> None:
    values = [" https://example.com/ ", "", "é", "e\u0301", None]
    expected = [sha256_or_none(value) for value in values]
    assert column_keys(KeyKind.URL_RAW, pa.array(values)).to_pylist() == expected
    assert column_keys(KeyKind.TEXT, pa.array(values)).to_pylist() == expected


def test_bytes_that_are_not_utf8_have_a_raw_key_only() -> None:
    column = pa.array([b"https://example.com/\xff"])
    assert (
        column_keys(KeyKind.URL_RAW, column)[0].as_py()
        == hashlib.sha256(b"https://example.com/\xff").digest()
    )
    for kind in (KeyKind.URL_C1, KeyKind.HOST, KeyKind.DOMAIN):
        assert column_keys(kind, column).to_pylist() == [None]


def test_a_row_id_is_its_text_form() -> None:
    assert column_keys(KeyKind.ROW_ID, pa.array(["a", "é", None])).to_pylist() == [b"a", "é".encode(), None]
    assert column_keys(KeyKind.ROW_ID, pa.array([1, -3, None, 2**62])).to_pylist() == [
        b"1",
        b"-3",
        None,
        b"%d" % 2**62,
    ]
    assert column_keys(KeyKind.ROW_ID, pa.array([2**64 - 1], pa.uint64())).to_pylist() == [
        b"18446744073709551615"
    ]


@pytest.mark.parametrize("kind", list(KeyKind), ids=str)
@pytest.mark.parametrize(
    "layout", [pa.float64(), pa.bool_(), pa.list_(pa.string()), pa.timestamp("s")], ids=str
)
def test_a_column_of_another_kind_is_refused(kind: KeyKind, layout: pa.DataType) -> None:
    with pytest.raises(UsageError, match="cannot carry the key"):
        column_keys(kind, pa.nulls(1, layout))


@pytest.mark.parametrize("kind", [kind for kind in KeyKind if kind is not KeyKind.ROW_ID], ids=str)
def test_whole_numbers_are_row_ids_and_nothing_else(kind: KeyKind) -> None:
    with pytest.raises(UsageError, match=f"int64 cannot carry the key {kind}"):
        column_keys(kind, pa.array([1]))
