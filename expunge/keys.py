"""Keys: what names a row without showing it.

A key is computed from one value of one column, and the same value gives the same key everywhere:

- `url.raw.sha256` SHA-256 of the URL's exact UTF-8 bytes, so that one line of SQL gives the same.
- `url.c1.sha256` SHA-256 of the canonical form c1. c1 is the WHATWG parse (ada-url) without fragment and userinfo, with
  `^` written `%5E` and percent-escapes in upper case. Scheme, non-default port, path, query and its order stay, an empty
  query (`?`) included. Frozen by `tests/expunge/c1_vectors.json`; a change would be c2.
- `host.c1`, `domain.c1` the host of c1, and its registrable domain.
- `content.*` the digest that a hash column holds. `text.sha256` SHA-256 of a text's exact UTF-8 bytes. `row.id` the
  UTF-8 of an id's text form.

Only http, https and ftp URLs have a c1: those are the ones that a row is fetched by. The WHATWG standard also parses
`s3://bucket/key`, `data:…` and `mailto:…`, but has changed its mind on what these mean, which a frozen key cannot.
What has no c1 (these, and everything that does not parse) still has its raw key.

Registrable domains follow the whole public suffix list, its private section included: `ann.github.io` is a domain of its
own, for whoever asks to have `ann.github.io` removed must not take everybody on `github.io` along. A host that is an IP
address, a single label or itself a public suffix has no registrable domain.
"""

import base64
import binascii
import re
from collections.abc import Collection, Mapping
from enum import StrEnum
from functools import cache, lru_cache
from hashlib import sha256
from types import MappingProxyType

import ada_url
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from publicsuffixlist import PublicSuffixList

from expunge.errors import UsageError


class KeyKind(StrEnum):
    """What a key is computed from, and how."""

    URL_RAW = "url.raw.sha256"
    URL_C1 = "url.c1.sha256"
    HOST = "host.c1"
    DOMAIN = "domain.c1"
    MD5 = "content.md5"
    SHA1 = "content.sha1"
    SHA256 = "content.sha256"
    TEXT = "text.sha256"
    ROW_ID = "row.id"


class Role(StrEnum):
    """What a column carries."""

    URL = "url"
    TEXT = "text"
    MD5 = "md5"
    SHA1 = "sha1"
    SHA256 = "sha256"
    ROW_ID = "id"


ROLE_OF: Mapping[KeyKind, Role] = MappingProxyType({
    KeyKind.URL_RAW: Role.URL,
    KeyKind.URL_C1: Role.URL,
    KeyKind.HOST: Role.URL,
    KeyKind.DOMAIN: Role.URL,
    KeyKind.MD5: Role.MD5,
    KeyKind.SHA1: Role.SHA1,
    KeyKind.SHA256: Role.SHA256,
    KeyKind.TEXT: Role.TEXT,
    KeyKind.ROW_ID: Role.ROW_ID,
})  # fmt: skip
"""The column that a key of each kind is computed from."""

DIGEST_SIZE: Mapping[KeyKind, int] = MappingProxyType(
    {
        KeyKind.URL_RAW: 32,
        KeyKind.URL_C1: 32,
        KeyKind.MD5: 16,
        KeyKind.SHA1: 20,
        KeyKind.SHA256: 32,
        KeyKind.TEXT: 32,
    }
)
"""Bytes in a key that is a digest, by kind."""

_CONTENT = (KeyKind.MD5, KeyKind.SHA1, KeyKind.SHA256)

# ---------------------------------------------------------------------------------------------- one value at a time

_C1_SCHEMES = ("http://", "https://", "ftp://")
_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")


def canonical_url(url: str) -> str | None:
    """Return the c1 form of `url`, or None where it has none."""
    try:
        href: str = ada_url.normalize_url(url)
    except ValueError:  # not a URL, or not text that UTF-8 can write
        return None
    if not href.startswith(_C1_SCHEMES):
        return None
    # In an href of these schemes the first "#" starts the fragment and a "/" ends the authority: elsewhere both are escaped.
    scheme, _, rest = href.partition("#")[0].partition("://")
    authority, _, path = rest.partition("/")
    href = f"{scheme}://{authority.rpartition('@')[2]}/{path}".replace("^", "%5E")
    return _ESCAPE.sub(lambda escape: escape[0].upper(), href) if "%" in href else href


def url_host(url: str) -> str | None:
    """Return the host of `url`'s c1 form, IPv6 in its brackets, or None where it has no c1 form."""
    canonical = canonical_url(url)
    return None if canonical is None else _host_of_canonical(canonical)


def url_domain(url: str) -> str | None:
    """Return the registrable domain of `url`, or None where it has no c1 form or its host has no such domain."""
    host = url_host(url)
    return None if host is None else registrable_domain(host)


def _host_of_canonical(canonical: str) -> str:
    return _host_of_authority(canonical.split("/", 3)[2])


def _host_of_authority(authority: str) -> str:
    return authority[: authority.index("]") + 1] if authority[0] == "[" else authority.partition(":")[0]


@cache
def _suffixes() -> PublicSuffixList:
    return PublicSuffixList()  # the list inside the package; nothing is fetched


@lru_cache(maxsize=65_536)
def registrable_domain(host: str) -> str | None:
    """Return the registrable domain of a canonical host, without a final dot; None for IP addresses and public suffixes."""
    name = host.removesuffix(".")
    if not _is_named(name):
        return None
    domain: str | None = _suffixes().privatesuffix(name)
    return domain


def is_public_suffix(host: str) -> bool:
    """Whether a canonical host is a whole public suffix: `com`, `co.uk`, `github.io`, and every single label."""
    name = host.removesuffix(".")
    return _is_named(name) and bool(_suffixes().is_public(name))


def _is_named(host: str) -> bool:
    """Whether a host without its final dot is a name: no IP address, and not one that ends in an empty label."""
    # WHATWG reads every host whose last label is a number as IPv4, so a canonical one that ends in a digit label is one.
    return not host.startswith("[") and not host.endswith(".") and not host.rpartition(".")[2].isdecimal()


def keys_of_url(url: str) -> dict[KeyKind, str]:
    """Return the keys of one URL as people read them: digests in hex, host and domain as text. Missing kinds are left out.

    Raises UsageError where `url` cannot be written as UTF-8.
    """
    try:
        keys = {KeyKind.URL_RAW: sha256(url.encode()).hexdigest()}
    except UnicodeEncodeError:
        raise UsageError("This URL is not valid UTF-8, so it has no key.") from None
    if (canonical := canonical_url(url)) is not None:
        keys[KeyKind.URL_C1] = sha256(canonical.encode()).hexdigest()
        keys[KeyKind.HOST] = _host_of_canonical(canonical)
        if (domain := registrable_domain(keys[KeyKind.HOST])) is not None:
            keys[KeyKind.DOMAIN] = domain
    return keys


def parse_digest(text: str | bytes, size: int) -> bytes | None:
    """Read a digest of `size` bytes from hex in either case or from base64 with or without padding; None if it is neither."""
    try:
        if len(text) == 2 * size:
            return binascii.unhexlify(text)
        if len(text.rstrip("=" if isinstance(text, str) else b"=")) == -(-size * 4 // 3):  # type: ignore[arg-type]  # str and bytes alike
            raw = text.encode("ascii") if isinstance(text, str) else text
            decoded = base64.b64decode(raw.rstrip(b"=") + b"=" * (-size % 3), validate=True)
            # One digest, one spelling: bits left over after the last byte must be zero, padding right or absent.
            well_formed = base64.b64encode(decoded)
            return decoded if raw in (well_formed, well_formed.rstrip(b"=")) else None
    except ValueError:  # binascii.Error and UnicodeEncodeError are both
        return None
    return None


# ------------------------------------------------------------------------------------------------ a column at a time


def column_keys(kind: KeyKind, values: pa.Array) -> pa.Array:
    """Return the key of each value as pa.binary(), same length as `values`, null where a row has no key of this kind.

    `values` is an array of strings, binaries (all layouts, dictionary-encoded or not) or, for `row.id`, also of integers.
    URLs and texts are taken byte for byte; a URL that is not valid UTF-8 has a raw key only. A content hash is read from
    hex, base64, or the digest itself in a binary column; what is none of these has no key. Digest keys hold the digest's
    bytes (16, 20 or 32), host, domain and row id their UTF-8. Raises UsageError where the type cannot carry such a key.
    """
    if ROLE_OF[kind] is Role.URL:
        return url_keys((kind,), values)[kind]
    if pa.types.is_dictionary(values.type):
        return column_keys(kind, values.dictionary).take(values.indices)
    data = _as_binary(kind, values)
    if kind is KeyKind.TEXT:
        return sha256_column(data)
    if kind is KeyKind.ROW_ID:
        return data.cast(pa.binary())
    return _digest_column(data, DIGEST_SIZE[kind], raw=not _is_text(values.type))


def url_keys(kinds: Collection[KeyKind], values: pa.Array) -> dict[KeyKind, pa.Array]:
    """Return what `column_keys` does for each of these kinds of a column of URLs, for hardly more than the dearest of them.

    Each URL is brought to c1 once, and one that is its own c1 form, as most are, is hashed once. Raises UsageError as
    `column_keys` does.
    """
    if pa.types.is_dictionary(values.type):
        of_values = url_keys(kinds, values.dictionary)
        return {kind: keys.take(values.indices) for kind, keys in of_values.items()}
    data = _as_binary(next(iter(kinds)), values)
    found: dict[KeyKind, pa.Array] = {}
    if KeyKind.URL_RAW in kinds:
        found[KeyKind.URL_RAW] = sha256_column(data)
    if not _OF_C1.isdisjoint(kinds):
        canonical, changed = _canonical_column(data)
        if KeyKind.URL_C1 in kinds:
            found[KeyKind.URL_C1] = _c1_keys(canonical, changed, found.get(KeyKind.URL_RAW))
        if KeyKind.HOST in kinds or KeyKind.DOMAIN in kinds:
            found |= _host_keys(kinds, canonical)
    return found


_OF_C1 = {KeyKind.URL_C1, KeyKind.HOST, KeyKind.DOMAIN}


def _c1_keys(canonical: pa.Array, changed: pa.Array, raw: pa.Array | None) -> pa.Array:
    """Hash c1 forms, but for those whose raw key is known and the same: `changed` says of which it may not be."""
    if raw is None:
        return sha256_column(canonical)
    return pc.replace_with_mask(raw, changed, sha256_column(canonical.filter(changed)))


def _host_keys(kinds: Collection[KeyKind], canonical: pa.Array) -> dict[KeyKind, pa.Array]:
    # A column names few authorities beside its rows: each is looked at once.
    authorities = pc.list_element(pc.split_pattern(canonical, b"/", max_splits=3), 2)
    encoded = authorities.dictionary_encode()
    hosts = [_host_of_authority(name.decode()) for name in encoded.dictionary.to_pylist()]
    found: dict[KeyKind, pa.Array] = {}
    for kind in (KeyKind.HOST, KeyKind.DOMAIN):
        if kind in kinds:
            names = hosts if kind is KeyKind.HOST else map(registrable_domain, hosts)
            keys = [None if name is None else name.encode() for name in names]
            found[kind] = pa.array(keys, pa.binary()).take(encoded.indices)
    return found


def _is_text(kind: pa.DataType) -> bool:
    return any((pa.types.is_string(kind), pa.types.is_large_string(kind), pa.types.is_string_view(kind)))


def _as_binary(kind: KeyKind, values: pa.Array) -> pa.Array:
    """Bring every accepted layout to large_binary, the one that no length can overflow."""
    found = values.type
    if kind is KeyKind.ROW_ID and pa.types.is_integer(found):
        values = values.cast(pa.string())
    elif not (
        _is_text(found)
        or pa.types.is_null(found)
        or pa.types.is_binary(found)
        or pa.types.is_large_binary(found)
        or pa.types.is_binary_view(found)
        or pa.types.is_fixed_size_binary(found)
    ):
        raise UsageError(
            f"A column of type {found} cannot carry the key {kind}: it must hold text{_ALSO.get(kind, '')}."
        )
    if pa.types.is_fixed_size_binary(found) or pa.types.is_binary_view(found):
        values = values.cast(pa.binary())
    return values.cast(pa.large_binary())


_ALSO = {KeyKind.ROW_ID: " or whole numbers", **dict.fromkeys(_CONTENT, " or binary digests")}


# As many values as stay in the cache with their digests: twice as fast as a whole batch at a time.
_HASH_ROWS = 2_048


def sha256_column(data: pa.Array) -> pa.Array:
    """Return the SHA-256 of each value of a binary column as pa.binary(), null where it is null."""
    present = data.drop_null() if data.null_count else data
    parts = [
        b"".join([sha256(value).digest() for value in present.slice(first, _HASH_ROWS).to_pylist()])
        for first in range(0, len(present), _HASH_ROWS)
    ]
    digests = np.frombuffer(b"".join(parts), np.uint8).reshape(-1, 32)
    if not data.null_count:
        return _fixed_rows(digests, None)
    rows = np.zeros((len(data), 32), np.uint8)
    valid = data.is_valid().to_numpy(zero_copy_only=False)
    rows[valid] = digests
    return _fixed_rows(rows, valid)


def _fixed_rows(rows: npt.NDArray[np.uint8], valid: npt.NDArray[np.bool_] | None) -> pa.Array:
    """Turn a matrix with a digest in each row into pa.binary(), null where `valid` is False."""
    bits = None if valid is None else pa.py_buffer(np.packbits(valid, bitorder="little"))
    layout = pa.binary(rows.shape[1])
    fixed = pa.FixedSizeBinaryArray.from_buffers(
        layout, len(rows), [bits, pa.py_buffer(np.ascontiguousarray(rows))]
    )
    return fixed.cast(pa.binary())


_NIBBLE = np.full(256, 255, np.uint8)
for _digit, _value in zip(b"0123456789abcdefABCDEF", [*range(16), *range(10, 16)], strict=True):
    _NIBBLE[_digit] = _value


def _digest_column(data: pa.Array, size: int, *, raw: bool) -> pa.Array:
    """Read digests of `size` bytes; those spelt in hex, the usual case, all at once."""
    lengths = pc.fill_null(pc.binary_length(data), -1).to_numpy(zero_copy_only=False)
    rows = np.zeros((len(data), size), np.uint8)
    valid = np.zeros(len(data), np.bool_)

    hexed = np.flatnonzero(lengths == 2 * size)
    nibbles = _NIBBLE[_joined(data, hexed).reshape(-1, 2 * size)]
    rows[hexed] = (nibbles[:, ::2] << 4) | (nibbles[:, 1::2] & 15)
    valid[hexed] = (nibbles < 16).all(axis=1)

    if raw:
        plain = np.flatnonzero(lengths == size)
        rows[plain] = _joined(data, plain).reshape(-1, size)
        # Hexadecimal digits alone are text, the hex of a shorter hash: a digest looks like that once in 10^17.
        valid[plain] = (_NIBBLE[rows[plain]] == 255).any(axis=1)

    encoded = np.flatnonzero((lengths > size) & (lengths < 2 * size))
    for row, value in zip(encoded.tolist(), data.take(pa.array(encoded)).to_pylist(), strict=True):
        if (digest := parse_digest(value, size)) is not None:
            rows[row] = np.frombuffer(digest, np.uint8)
            valid[row] = True
    return _fixed_rows(rows, valid)


def _joined(data: pa.Array, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
    """Return the bytes of the values at `rows`, one after the other."""
    return np.frombuffer(b"".join(data.take(pa.array(rows)).to_pylist()), np.uint8)


# Matches only what is its own c1 form, beyond doubt, so that most of a column needs no parser; the parser decides on the
# rest. So: no port; no label that is empty, that starts or ends with "-" or has "--" (so none starts with "xn--"); a last
# label that starts with a letter, for others may be IPv4; no path segment that starts with a dot, plain or escaped, for it
# may be "." or ".."; no character that WHATWG escapes; escapes in upper case; no fragment. A test holds it to
# canonical_url on mutated URLs.
_LABEL = r"[a-z0-9_]+(?:-[a-z0-9_]+)*"
_LAST_LABEL = r"[a-z][a-z0-9_]*(?:-[a-z0-9_]+)*"
_CHARACTER = r"-A-Za-z0-9!$&'()*+,:;=@|~_\[\]"
_SEGMENT = rf"(?:[{_CHARACTER}]|%[013-9A-F][0-9A-F]|%2[0-9A-DF])(?:[{_CHARACTER}.]|%[0-9A-F][0-9A-F])*"
_QUERY = r"(?:[-A-Za-z0-9!$&()*+,./:;=?@|~_\[\]{}]|%[0-9A-F][0-9A-F])*"
_IS_CANONICAL = rf"^https?://(?:{_LABEL}\.)*{_LAST_LABEL}(?:/(?:{_SEGMENT})?)+(?:\?{_QUERY})?$"


def _canonical_column(data: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Return the c1 forms of a column of URLs, null where there is none, and a mask of those that the parser decided on."""
    settled = pc.fill_null(pc.match_substring_regex(data, _IS_CANONICAL), True)  # a null stays as it is
    doubtful = pc.invert(settled)
    forms = [_canonical_bytes(url) for url in data.filter(doubtful).to_pylist()]
    if forms:
        data = pc.replace_with_mask(data, doubtful, pa.array(forms, pa.large_binary()))
    return data, doubtful


def _canonical_bytes(url: bytes) -> bytes | None:
    try:
        canonical = canonical_url(url.decode())
    except UnicodeDecodeError:
        return None
    return None if canonical is None else canonical.encode()
