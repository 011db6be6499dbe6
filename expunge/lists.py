"""Removal lists: what must go, as people write it.

A text list has one entry a line: a URL, or KIND:VALUE.

    https://img.example.com/a.jpg       every row whose c1 key is that of this URL
    url:s3://bucket/a.jpg               the same for what does not look like a web address
    host:img.example.com                every row on this host
    domain:example.com                  every row on this registrable domain
    md5:0cc175b9c0f1b6a831c3…           a content hash in hex or base64; also sha1: and sha256:
    id:1234567                          a row id
    text:some words                     every row whose text is exactly this
    url.raw.sha256:ca978112…            any key by its full name; digests in hex or base64

A URL that has no c1 form (see keys.py) removes the rows whose URL is byte for byte the same. White space around a line
and after its KIND: is no part of it; blank lines, and lines that are `#` or start with `# `, are skipped. Lines may end in
CRLF and the file may start with a byte order mark. CSV and Parquet lists have the columns `kind` (as above, without the
colon) and `value`; other columns are ignored, and there the value of `text` and `id` is taken exactly as it stands. The
format is judged by the name: .parquet, .csv, and text for all others; CSV and text also as .gz or .zst.

A redaction list names cells instead of rows. It is CSV or Parquet with the columns `kind`, `value` and `column`, one
line a cell: in every row that the entry names, the cell of that column becomes null. The column is named as the data
name it, or by its role (`url`, `text`, `md5`, `sha1`, `sha256`, `id`); where it is left out it is the one that carries
the key, and if that one holds lists, only the element that matches goes.

No message repeats a value: it names the file and the line.
"""

import csv
import gzip
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import IO, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from expunge.errors import BadList
from expunge.keys import (
    DIGEST_SIZE,
    KeyKind,
    canonical_url,
    column_keys,
    is_public_suffix,
    parse_digest,
    registrable_domain,
    url_host,
)

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing to remove. `text` is what was written, for messages to whoever wrote it; `line` counts from 1, 0 is unknown."""

    kind: KeyKind
    key: bytes
    text: str
    line: int


@dataclass(frozen=True, slots=True)
class RemovalList:
    """The distinct entries of a list in its order, and those that repeat an earlier one."""

    entries: list[Entry]
    duplicates: list[Entry]

    def by_kind(self) -> dict[KeyKind, pa.Array]:
        """Return the keys of each kind that occurs, as pa.binary() in the order of the entries."""
        keys: dict[KeyKind, list[bytes]] = {}
        for entry in self.entries:
            keys.setdefault(entry.kind, []).append(entry.key)
        return {kind: pa.array(found, pa.binary()) for kind, found in keys.items()}


@dataclass(frozen=True, slots=True)
class Redaction:
    """One cell to make null in each row that `entry` names. `column` is a name or a role, or None: the entry's own."""

    entry: Entry
    column: str | None


@dataclass(frozen=True, slots=True)
class RedactionList:
    """The distinct redactions of a list in its order, and those that repeat an earlier one."""

    redactions: list[Redaction]
    duplicates: list[Redaction]


class _Written(NamedTuple):
    """An entry before it is understood; `kind` is None in a text list, where the line names its kind or is a URL."""

    kind: str | None
    value: str
    text: str
    line: int
    column: str | None = None


_KIND_OF_WORD = {
    "url": KeyKind.URL_C1,
    "host": KeyKind.HOST,
    "domain": KeyKind.DOMAIN,
    "md5": KeyKind.MD5,
    "sha1": KeyKind.SHA1,
    "sha256": KeyKind.SHA256,
    "text": KeyKind.TEXT,
    "id": KeyKind.ROW_ID,
}
_KIND_OF_NAME = {kind.value: kind for kind in KeyKind}
_KINDS_IN_WORDS = ", ".join([*_KIND_OF_WORD, *_KIND_OF_NAME])

# None of the words and names above is a URL scheme, so what stands before the first colon says which of the two a line is.
_PREFIX = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_LOOKS_LIKE_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_NOT_IN_HOST = re.compile(r"[\s/\\?#@]|^[^\[]*:|\]:")

_BATCH = 8_192  # entries whose URLs are hashed together


def parse_entry(text: str, line: int = 0) -> Entry:
    """Read one entry: a URL, or KIND:VALUE. Raises BadList, naming the line and what to write instead."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise _bad(line, "is not valid UTF-8.") from None
    return _understand(_Written(None, text.strip(), text, line))


def read_list(path: Path) -> RemovalList:
    """Read a removal list of any format. Raises BadList, naming the file and the line (in Parquet, the row)."""
    with _named(path):
        written = _read_parquet(path) if path.name.lower().endswith(".parquet") else _read_lines(path)
        return _distinct(_understand_all(written))


def read_redactions(path: Path) -> RedactionList:
    """Read a redaction list, CSV or Parquet. Raises BadList, naming the file and the line (in Parquet, the row)."""
    with _named(path):
        if path.name.lower().endswith(".parquet"):
            written = list(_read_parquet(path))
        elif _is_csv(path):
            written = list(_read_lines(path))
        else:
            raise BadList(
                "a redaction list is a .csv or .parquet file with the columns kind, value and column."
            )
        result = RedactionList([], [])
        seen: set[tuple[KeyKind, bytes, str | None]] = set()
        for one, entry in zip(written, _understand_all(written), strict=True):
            redaction = Redaction(entry, (one.column or "").strip() or None)
            cell = (entry.kind, entry.key, redaction.column)
            (result.duplicates if cell in seen else result.redactions).append(redaction)
            seen.add(cell)
        return result


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Name the file in what is said of reading it."""
    try:
        yield
    except BadList as error:
        raise BadList(f"{path}: {error}") from error
    except (EOFError, zstd.ZstdError, gzip.BadGzipFile) as error:
        raise BadList(
            f"{path}: the compressed file is damaged or cut off. Make or download it again."
        ) from error
    except OSError as error:
        raise BadList(
            f"{path}: {error.strerror or error}. Check the name and that you may read it."
        ) from error


# --------------------------------------------------------------------------------------------------- reading the file


def _read_lines(path: Path) -> Iterator[_Written]:
    with _opened(path) as file:
        lines = _decoded(file)
        if _is_csv(path):
            yield from _read_csv(lines)
            return
        for number, line in enumerate(lines, 1):
            value = line.strip()
            if value and value != "#" and not value.startswith("# "):
                yield _Written(None, value, value, number)


def _is_csv(path: Path) -> bool:
    return path.name.lower().removesuffix(".gz").removesuffix(".zst").endswith(".csv")


def _opened(path: Path) -> IO[bytes] | gzip.GzipFile | zstd.ZstdFile:
    match path.suffix.lower():
        case ".gz":
            return gzip.open(path)
        case ".zst":
            return zstd.open(path)
        case _:
            return path.open("rb")


def _decoded(lines: Iterable[bytes]) -> Iterator[str]:
    for number, line in enumerate(lines, 1):
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError:
            raise _bad(number, "is not valid UTF-8. Save the list as UTF-8 text.") from None
        if "\0" in text:
            raise _bad(number, "holds a NUL byte, so this is no text list. Write one entry a line.")
        yield text


def _read_csv(lines: Iterator[str]) -> Iterator[_Written]:
    reader = csv.reader(lines, strict=True)
    try:
        header = [column.strip().lower() for column in next(reader, [])]
        kind_at, value_at, column_at = _columns(header)
        for row in reader:
            if not row:
                continue
            if len(row) != len(header):
                raise _bad(reader.line_num, f"has {len(row)} fields where the header has {len(header)}.")
            kind, value = row[kind_at], row[value_at]
            column = None if column_at is None else row[column_at]
            yield _Written(kind, value, f"{kind}:{value}", reader.line_num, column)
    except csv.Error as error:
        raise _bad(reader.line_num, f"is not valid CSV: {error}.") from error


def _read_parquet(path: Path) -> Iterator[_Written]:
    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            columns = [None if at is None else names[at] for at in _columns([name.lower() for name in names])]
            line = 0
            for batch in file.iter_batches(_BATCH, columns=[name for name in columns if name]):
                kinds, values, cells = (
                    _strings(batch.column(name), name) if name else [None] * batch.num_rows
                    for name in columns
                )
                for kind, value, cell in zip(kinds, values, cells, strict=True):
                    line += 1
                    yield _Written(kind or "", value or "", f"{kind}:{value}", line, cell)
    except pa.ArrowException as error:
        raise BadList("this is not a readable Parquet file. Make or download it again.") from error


def _columns(header: list[str]) -> tuple[int, int, int | None]:
    """The places of `kind`, `value` and, if there is one, `column`."""
    if header.count("kind") != 1 or header.count("value") != 1:
        raise BadList("the list needs one column named kind and one named value.")
    if header.count("column") > 1:
        raise BadList("the list has several columns named column.")
    return header.index("kind"), header.index("value"), header.index("column") if "column" in header else None


def _strings(column: pa.Array, name: str) -> list[str | None]:
    try:
        strings: list[str | None] = column.cast(pa.large_string()).to_pylist()
    except (pa.ArrowException, UnicodeDecodeError):
        raise BadList(f"column {name} must hold text in UTF-8; it holds {column.type}.") from None
    return strings


# ------------------------------------------------------------------------------------------------ understanding entries


def _understand_all(written: Iterable[_Written]) -> Iterator[Entry]:
    """Understand entries in order, hashing the URLs of a batch together."""
    remaining = iter(written)
    while batch := list(islice(remaining, _BATCH)):
        plain = [one.value if _is_plain_url(one) else None for one in batch]
        keys = column_keys(KeyKind.URL_C1, pa.array(plain, pa.string())).to_pylist()
        for one, key in zip(batch, keys, strict=True):
            yield _understand(one) if key is None else Entry(KeyKind.URL_C1, key, one.text, one.line)


def _is_plain_url(one: _Written) -> bool:
    """Whether this is certainly a URL and nothing else."""
    return one.kind in (None, "url") and one.value.startswith(("https://", "http://"))


def _distinct(entries: Iterable[Entry]) -> RemovalList:
    seen: dict[KeyKind, set[bytes]] = {kind: set() for kind in KeyKind}
    result = RemovalList([], [])
    for entry in entries:
        keys = seen[entry.kind]
        (result.duplicates if entry.key in keys else result.entries).append(entry)
        keys.add(entry.key)
    return result


def _understand(one: _Written) -> Entry:
    if one.kind is None:
        word, value = _split(one.value, one.line)
    else:
        word, value = one.kind.strip().lower(), one.value
    kind = _KIND_OF_WORD.get(word) or _KIND_OF_NAME.get(word)
    if kind is None:
        raise _bad(
            one.line,
            f"has the unknown kind “{word[:40]}”. Known are {_KINDS_IN_WORDS}. A URL of an unusual scheme is written url:….",
        )
    if not value.strip():
        raise _bad(one.line, f"has nothing after “{word}”. Write a value, or take the line out.")
    if word == "url":
        return _url_entry(one, value.strip())
    if word == "text":
        key = sha256(value.encode()).digest()
    elif kind is KeyKind.ROW_ID:
        key = value.encode()
    elif kind is KeyKind.HOST:
        key = _host_key(value.strip(), one.line)
    elif kind is KeyKind.DOMAIN:
        key = _domain_key(value.strip(), one.line)
    else:
        key = _digest_key(kind, word, value.strip(), one.line)
    return Entry(kind, key, one.text, one.line)


def _split(text: str, line: int) -> tuple[str, str]:
    """Split an entry of a text list into the word for its kind and its value."""
    prefix = _PREFIX.match(text)
    word = prefix[1].lower() if prefix else ""
    if word in _KIND_OF_WORD or word in _KIND_OF_NAME:
        return word, text[len(word) + 1 :].lstrip()
    if _LOOKS_LIKE_URL.match(text) or canonical_url(text) is not None:
        return "url", text
    if prefix is None:
        raise _bad(line, "is neither a URL nor KIND:VALUE. Write https://…, url:…, host:… or domain:….")
    return word, text[len(word) + 1 :]


def _url_entry(one: _Written, url: str) -> Entry:
    if (canonical := canonical_url(url)) is not None:
        return Entry(KeyKind.URL_C1, sha256(canonical.encode()).digest(), one.text, one.line)
    return Entry(KeyKind.URL_RAW, sha256(url.encode()).digest(), one.text, one.line)


def _host_key(value: str, line: int) -> bytes:
    host = None if _NOT_IN_HOST.search(value) else url_host(f"http://{value}/")
    if host is None:
        raise _bad(
            line,
            "does not name a host. Write the host alone, as in host:img.example.com: no https://, port or path; "
            "IPv6 in brackets.",
        )
    return host.encode()


def _domain_key(value: str, line: int) -> bytes:
    host = _host_key(value, line).decode()
    if is_public_suffix(host):
        raise _bad(
            line,
            "names a public suffix, which would remove everybody under it. "
            "Write one registrable domain, as in domain:example.com, or host:… for one host.",
        )
    domain = registrable_domain(host)
    if domain is None:
        raise _bad(line, "names an address, not a domain. Write host:… instead of domain:….")
    if domain != host.removesuffix("."):
        raise _bad(
            line,
            "names a host below a registrable domain. "
            "Write host:… for this host alone, or domain:… with the registrable domain for all of it.",
        )
    return domain.encode()


def _digest_key(kind: KeyKind, word: str, value: str, line: int) -> bytes:
    size = DIGEST_SIZE[kind]
    digest = parse_digest(value, size)
    if digest is None:
        raise _bad(
            line,
            f"is not a well-formed {word}: it has {len(value)} characters, and should be {2 * size} hexadecimal digits.",
        )
    return digest


def _bad(line: int, problem: str) -> BadList:
    return BadList(f"line {line} {problem}" if line else f"This entry {problem}")
