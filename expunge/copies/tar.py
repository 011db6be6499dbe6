"""Tars of samples, as webdataset reads them: cut by copying the bytes of everything that stays as it is.

A member is its headers and its data, each padded to blocks of 512 bytes: the header itself, and before it those that
lend it a long name or other attributes (PAX `x`, GNU `L` and `K`). Only headers are read, and no member is ever held in
memory, so a tar may be of any length.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, BinaryIO

from expunge.copies.cells import redacted_meta
from expunge.copies.part import Change, Sample, Samples
from expunge.errors import BadShard, VerificationFailed
from expunge.keys import KeyKind
from expunge.manifest import file_digest

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Sequence
    from pathlib import Path

    from expunge.copies.cells import SampleCells
    from expunge.copies.part import Digest, Going
    from expunge.copies.targets import Target

_BLOCK = 512
_COPY_BYTES = 1 << 20
_MOST_HEADER_BYTES = 1 << 20

_SAMPLE = re.compile(r"(?s)((?:.*/)?[^./]+)\.([^/]+)")

_FILES = (b"0", b"\0", b"7")
_FOLDER = b"5"
_REFUSED = {b"1": "a hard link", b"2": "a link", b"S": "a sparse file"}

HASHES = {KeyKind.MD5: "md5", KeyKind.SHA1: "sha1", KeyKind.SHA256: "sha256"}
"""The algorithm of each kind of content hash."""

META = "json"
MOST_META_BYTES = 16 << 20
"""What is read of a sample's json; one that is longer is none."""

TEXT = "txt"


@dataclass(frozen=True, slots=True)
class Member:
    """A file in a tar. Its headers begin at `begin`, its `size` bytes at `data`, and what comes next at `end`.

    `lent_size` says whether a header before its own holds the size. `key` is that of the sample it belongs to, empty for
    none, and `ending` what it is of it: `jpg`, `txt`, `json`.
    """

    name: str
    key: str
    ending: str
    begin: int
    data: int
    size: int
    end: int
    lent_size: bool = False


def sample_key(name: str) -> tuple[str, str]:
    """The key and the ending of a file of a sample: its path up to the first dot of the last part, and the rest.

    Both are empty for a name without a dot, or that begins with one: no sample has it.
    """
    match = _SAMPLE.fullmatch(name.removeprefix("./"))
    return (match[1], match[2].lower()) if match else ("", "")


def content_digests(source: BinaryIO, size: int, kinds: frozenset[KeyKind]) -> frozenset[Digest]:
    """The hashes of the next `size` bytes of a file."""
    running = {kind: hashlib.new(HASHES[kind], usedforsecurity=False) for kind in kinds}
    while size and (block := source.read(min(size, _COPY_BYTES))):
        size -= len(block)
        for digest in running.values():
            digest.update(block)
    return frozenset((kind, digest.digest()) for kind, digest in running.items())


@dataclass(frozen=True)
class TarSamples(Samples):
    """The samples of one tar."""

    def samples(self, vouched: Container[str], hashing: frozenset[KeyKind]) -> Iterator[Sample]:
        """Every sample in the order of the tar."""
        seen: set[str] = set()
        with self.path.open("rb") as source:
            for key, members in groupby(read_members(self.path, self.name), key=lambda member: member.key):
                if not key:
                    continue
                endings: set[str] = set()
                meta: bytes | None = None
                digests: frozenset[Digest] = frozenset()
                captioned = False
                for member in members:
                    if key in seen or member.ending in endings:
                        raise self.bad(f"{member.name!r} comes twice, or apart from the rest of its sample.")
                    endings.add(member.ending)
                    source.seek(member.data)
                    if member.ending == META:
                        if key not in vouched:
                            meta = source.read(min(member.size, MOST_META_BYTES))
                    elif member.ending == TEXT:
                        captioned = member.size > 0
                    elif hashing:
                        digests |= content_digests(source, member.size, hashing)
                seen.add(key)
                yield Sample(key, meta, digests, captioned)

    def changes(self, going: Going) -> list[Change]:
        """The members that would go, and those that would be written anew."""
        edits, _ = self._divided(self.path, going)
        size = self.path.stat().st_size
        found: list[Change] = []
        for what, anew in (("samples", False), ("cells", True)):
            members = [one.member for one in edits if (one.content is not None) == anew]
            if members:
                keys = sorted({member.key for member in members})
                names = [member.name for member in members]
                found.append(Change(self.name, what, 0 if found else size, keys=keys, members=names))  # type: ignore[arg-type]  # both are of the Literal
        return found

    def write(self, going: Going, target: Target) -> None:
        """Copy the bytes of all members but those that go or are redacted, and read them back."""
        before = self.path.stat()
        edits, kept = self._divided(self.path, going)
        if not edits:
            target.keep(self.path, self.name)
            return
        new = target.new(self.path, self.name)
        digest = self._copy_edited(new, edits)
        after = self.path.stat()
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            raise self.bad("changed while it was read. Let the writer finish, then start again.")
        if file_digest(new) != digest:
            raise VerificationFailed(f"{self.name}: what is on disk is not what was written.")
        if self._divided(new, going) != ([], kept):
            raise VerificationFailed(f"{self.name}: the written tar has not the members that were to stay.")

    def _divided(self, path: Path, going: Going) -> tuple[list[_Edit], str]:
        """What is done to members, and a digest of the names of those that stay."""
        edits: list[_Edit] = []
        if not going.keys and not going.cells:
            return edits, ""
        names = hashlib.sha256()
        with path.open("rb") as source:
            for member in read_members(path, self.name):
                if member.key in going.keys:
                    edits.append(_Edit(member, None))
                    continue
                names.update(member.name.encode("utf-8", "surrogateescape") + b"\0")
                content = self._redacted(source, member, going.cells.get(member.key))
                if content is not None:
                    edits.append(_Edit(member, content))
        return edits, names.hexdigest()

    def _redacted(self, source: BinaryIO, member: Member, cells: SampleCells | None) -> bytes | None:
        """The member's new content, or None where it stays as it is."""
        if cells is None:
            return None
        if member.ending == TEXT:
            return b"" if cells.text and member.size else None
        if member.ending != META or member.size > MOST_META_BYTES:
            return None
        source.seek(member.data)
        meta = source.read(member.size)
        redacted = redacted_meta(meta, cells)
        return None if redacted == meta else redacted

    def _copy_edited(self, new: Path, edits: Sequence[_Edit]) -> str:
        """Copy everything outside the edited members, global headers and the end of the archive too; its SHA-256."""
        digest = hashlib.sha256()
        with self.path.open("rb") as source, new.open("xb") as sink:

            def put(data: bytes) -> None:
                digest.update(data)
                sink.write(data)

            def copy(begin: int, end: int | None) -> None:
                source.seek(begin)
                left = -1 if end is None else end - begin
                while left and (block := source.read(_COPY_BYTES if left < 0 else min(left, _COPY_BYTES))):
                    put(block)
                    left = left - len(block) if left > 0 else left

            at = 0
            for edit in edits:
                member = edit.member
                if edit.content is None:
                    copy(at, member.begin)
                else:
                    copy(at, member.data - _BLOCK)  # what stands before the header lends it a name, and stays
                    source.seek(member.data - _BLOCK)
                    put(self._resized(source.read(_BLOCK), member, len(edit.content)))
                    put(edit.content.ljust(_padded(len(edit.content)), b"\0"))
                at = member.end
            copy(at, None)
            sink.flush()
            os.fsync(sink.fileno())
        return digest.hexdigest()

    def _resized(self, header: bytes, member: Member, size: int) -> bytes:
        """The header of a member with another size, its checksum being right."""
        if member.lent_size:
            raise self.bad(f"{member.name!r} has its size in a header before its own. Pack the tar anew.")
        said = header[:124] + b"%011o\0" % size + header[136:148] + b" " * 8 + header[156:]
        return said[:148] + b"%06o\0 " % sum(said) + said[156:]


@dataclass(frozen=True, slots=True)
class _Edit:
    """A member that goes or, with a content, is written anew."""

    member: Member
    content: bytes | None


def read_members(path: Path, name: str) -> Iterator[Member]:
    """The files of a tar, in order; folders are passed over.

    Raises `BadShard`, naming tar and member, when the tar is broken off or damaged, or holds something whose bytes lie
    elsewhere or that would be written elsewhere: links, sparse files, absolute names.
    """
    with path.open("rb") as source:
        yield from _Reader(source, path, name)


class _Reader:
    """One pass over the headers of a tar."""

    def __init__(self, source: BinaryIO, path: Path, name: str) -> None:
        self._source = source
        self._path = path
        self._name = name
        self._size = os.fstat(source.fileno()).st_size
        self._last = "the beginning"

    def __iter__(self) -> Iterator[Member]:
        at = begin = 0
        lent: dict[str, str] = {}
        while (header := self._read(at, _BLOCK)) != bytes(_BLOCK):
            kind, size = self._header(header)
            data = at + _BLOCK
            if kind in {b"x", b"L", b"K", b"g"}:
                lent |= self._lent(kind, data, size)
                at = data + _padded(size)
                if kind == b"g":  # belongs to all members after it
                    begin = at
                continue
            member_name = lent.get("path") or _name(header)
            size = self._number(lent["size"].encode(), 10) if "size" in lent else size
            self._check(kind, member_name, lent)
            at = data + (0 if kind == _FOLDER else _padded(size))
            if data + size > self._size or at > self._size:
                raise self._bad(f"is broken off inside {member_name!r}. Was its download finished?")
            if kind != _FOLDER and not member_name.endswith("/"):
                yield Member(member_name, *sample_key(member_name), begin, data, size, at, "size" in lent)
            self._last = repr(member_name)
            begin = at
            lent = {}
        self._check_end(at)

    def _header(self, header: bytes) -> tuple[bytes, int]:
        """The kind and the size that a header says, its checksum being right."""
        said = self._number(header[148:156], 8)
        total = sum(header) - sum(header[148:156]) + 8 * ord(" ")
        if said != total and said != total - 256 * sum(
            byte > 127 for byte in header
        ):  # some sum signed bytes
            raise self._bad(f"is damaged after {self._last}: what should be a header is none.")
        return header[156:157], self._number(header[124:136], 8)

    def _lent(self, kind: bytes, data: int, size: int) -> dict[str, str]:
        """What an extension header says of the member after it."""
        if kind == b"g":
            return {}
        if size > _MOST_HEADER_BYTES:
            raise self._bad(f"has a header of {size:,} bytes after {self._last}.")
        content = self._read(data, size)
        if kind == b"K":
            return {}
        if kind == b"L":
            return {"path": _text(content.split(b"\0")[0])}
        records: dict[str, str] = {}
        while content:
            length, space, _ = content.partition(b" ")
            end = self._number(length, 10)
            record = content[len(length) + len(space) : end - 1]
            name, equals, value = record.partition(b"=")
            if not equals or end <= len(length) + 1 or content[end - 1 : end] != b"\n":
                raise self._bad(f"is damaged after {self._last}: a PAX header cannot be read.")
            records[_text(name)] = _text(value)
            content = content[end:]
        return records

    def _check(self, kind: bytes, member: str, lent: dict[str, str]) -> None:
        if any(name.startswith("GNU.sparse.") for name in lent):
            kind = b"S"
        if kind in _REFUSED:
            raise self._bad(
                f"{member!r} is {_REFUSED[kind]}, which cannot be cut safely. Unpack it and pack it anew."
            )
        if kind != _FOLDER and kind not in _FILES:
            raise self._bad(f"{member!r} is of a kind that is not known ({kind!r}).")
        if not member or member.startswith("/") or ".." in member.split("/"):
            raise self._bad(f"{member!r} is not a name inside a folder. Unpack it and pack it anew.")

    def _check_end(self, at: int) -> None:
        """After the end of the archive there must be zeros alone: what a reader might still find there was not looked at."""
        self._source.seek(at)
        while block := self._source.read(_COPY_BYTES):
            if block.count(0) != len(block):
                raise self._bad(
                    f"goes on after its end, which follows {self._last}. Unpack it and pack it anew."
                )

    def _read(self, at: int, size: int) -> bytes:
        found = os.pread(self._source.fileno(), size, at)
        if len(found) < size:
            raise self._bad(f"is broken off after {self._last}. Was its download finished?")
        return found

    def _number(self, field: bytes, base: int) -> int:
        """A number of a header, in digits or, where they would be too many, in base 256. Raises `BadShard` where it is none."""
        if field[:1] == b"\x80":
            return int.from_bytes(field[1:])
        digits = field.split(b"\0")[0].strip(b" \0") or b"0"
        try:
            number = int(digits, base)
        except ValueError:
            number = -1
        if number < 0:
            raise self._bad(f"is damaged after {self._last}: a header holds no number.")
        return number

    def _bad(self, what: str) -> BadShard:
        return BadShard(f"{self._name}: {what}", str(self._path))


def _name(header: bytes) -> str:
    name = header[:100].split(b"\0")[0]
    prefix = header[345:500].split(b"\0")[0] if header[257:263] == b"ustar\0" else b""
    return _text(prefix + b"/" + name if prefix else name)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _padded(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK
