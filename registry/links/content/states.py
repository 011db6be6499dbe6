"""What the content of a link is, told by hashes alone, and whether it still is what it was.

`facts` reads one answer: kind, length, the hash of its first 64 KiB and, where all of it came, of the whole. `judge`
compares that with what the dataset recorded, or with what the link gave when it was first read; `after` is the
hysteresis. All are pure functions, and none keeps a byte.

Another hash is common and mostly harmless (5 to 15 % of living links), so it is graded: the same picture in other bytes
is `near_identical`; another picture, another kind of content, or what the host shows under many addresses is
`replaced`; the rest is `changed`. A server may show us something else for a day, so `replaced` takes two looks,
`APART` from each other.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from django.db import models

from expunge.keys import KeyKind
from registry.links.states import APART

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime

    from registry.lib.safe_http import Response

PREFIX_BYTES = 64 * 1024
WHOLE_BYTES = 10 * 1024**2  # what is longer is told by its beginning and its length
NEAR = 31  # bits of 256 in which two PDQ hashes of the same picture differ at most, as its authors say
FAR = 90  # and more: another picture; between the two it may be cut or coloured otherwise

HASHES = {KeyKind.MD5: "md5", KeyKind.SHA1: "sha1", KeyKind.SHA256: "sha256"}
"""What a dataset records of content, and the function that makes it."""


class ContentChecks(models.TextChoices):
    """How far a dataset's maintainer lets content be read."""

    OFF = "off", "Headers only"
    BYTES = "bytes", "Compare bytes, by their hashes"
    IMAGES = "images", "Compare bytes, and pictures by how they look"


class ContentState(models.TextChoices):
    """Whether the content of a link is what it was."""

    UNKNOWN = "unknown", "Not known"
    IDENTICAL = "identical", "Identical"
    REVALIDATED = "revalidated", "Not modified"
    NEAR_IDENTICAL = "near_identical", "Looks the same"
    CHANGED = "changed", "Changed"
    REPLACED = "replaced", "Replaced"


class Evidence(models.TextChoices):
    """What a state of content rests on, or why there is none."""

    RECORDED_HASH = "recorded_hash", "The hash that the dataset recorded"
    WHOLE = "whole", "The hash of the whole, as first read"
    PREFIX = "prefix", "Its length and the hash of its beginning, as first read"
    VALIDATOR = "validator", "The server says that it was not modified"
    PERCEPTUAL = "perceptual", "How the picture looks"
    KIND = "kind", "Another kind of content"
    PLACEHOLDER = "placeholder", "The same content under many addresses of its host"
    FIRST_SIGHT = "first_sight", "Read for the first time, with nothing to compare it with"
    OPTED_OUT = "opted_out", "Its host or its answer declares an opt-out"
    ENCODED = "encoded", "Sent in another encoding than asked for"
    NOT_FOUND_PAGE = "not_found_page", "What its host shows where nothing is"
    WRONG_RANGE = "wrong_range", "Sent another part than asked for"
    EMPTY = "empty", "Sent nothing"
    NO_CONTENT = "no_content", "Answers, but did not send its content"


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a body. `length` is of the whole, None where nobody said; hashes are SHA-256 but for `pdq`.

    `digests` are the hashes of the whole by kind of key, none where not all of it was read.
    """

    kind: str
    length: int | None
    prefix: bytes
    digests: Mapping[str, bytes] = field(default_factory=dict)
    pdq: bytes | None = None
    etag: str = ""
    modified: str = ""

    @property
    def whole(self) -> bytes | None:
        """The SHA-256 of the whole."""
        return self.digests.get(KeyKind.SHA256)


@dataclass(frozen=True, slots=True)
class Unread:
    """Nothing that could be compared, and why."""

    why: Evidence
    opt_outs: tuple[str, ...] = ()  # what was declared, where that is why


@dataclass(frozen=True, slots=True)
class NotModified:
    """The server says that the content is what we last saw (304)."""


Reading = Facts | Unread | NotModified


@dataclass(frozen=True, slots=True)
class Standing:
    """How the content of a link stands. `first` is what it is compared with, `last` what was read last.

    `suspect_at` is since when it looks replaced, without a look in between that said otherwise.
    """

    state: ContentState = ContentState.UNKNOWN
    evidence: Evidence | None = None
    first: Facts | None = None
    last: Facts | None = None
    suspect_at: datetime | None = None


def facts(answer: Response) -> Reading:
    """Read an answer to a request for content, whole or for its first PREFIX_BYTES."""
    headers = answer.headers
    if answer.status == 304:
        return NotModified()
    if answer.status not in {200, 206}:
        return Unread(Evidence.NO_CONTENT)
    if (headers.get("content-encoding") or "identity").strip().lower() != "identity":
        return Unread(Evidence.ENCODED)  # decoding it could fill any memory, and other hashes mean nothing
    if answer.status == 206 and not _is_beginning(answer):
        return Unread(Evidence.WRONG_RANGE)
    length = _length(answer)
    if not answer.body:
        return Unread(Evidence.EMPTY)
    is_whole = not answer.cut and (answer.status == 200 or length == len(answer.body))
    return Facts(
        kind=_kind(answer.body, headers.get("content-type") or ""),
        length=len(answer.body) if is_whole else length,
        prefix=hashlib.sha256(answer.body[:PREFIX_BYTES]).digest(),
        digests=_digests(answer.body) if is_whole else {},
        etag=_validator(headers.get("etag")),
        modified=_validator(headers.get("last-modified")),
    )


def judge(
    before: Standing, seen: Facts, *, url: str, recorded: Collection[tuple[str, bytes]], is_shared: bool
) -> Standing:
    """Return how content stands after one look, before any hysteresis.

    `recorded` are the hashes that versions recorded, as (kind, digest): that of any of them will do. `is_shared` tells
    that other URLs of the host give the same. What the dataset recorded weighs most, for it is older than our first look.
    """
    comparable = {(kind, digest) for kind, digest in recorded if kind in seen.digests}
    if not comparable.isdisjoint(seen.digests.items()):
        return Standing(ContentState.IDENTICAL, Evidence.RECORDED_HASH, _fuller(before.first, seen), seen)
    first = before.first
    if first is not None and comparable and comparable.isdisjoint(first.digests.items()):
        first = None  # our first look saw something else than the dataset did, so it proves nothing
    if is_shared and (comparable or (first is not None and first.prefix != seen.prefix)):
        return Standing(ContentState.REPLACED, Evidence.PLACEHOLDER, first, seen)
    if _is_other_kind(first, seen, url):
        return Standing(ContentState.REPLACED, Evidence.KIND, first, seen)
    if is_shared:  # and nobody knows of anything else that was there: it may be one picture in several places
        return Standing(ContentState.UNKNOWN, Evidence.PLACEHOLDER, None, seen)
    if first is None:
        if comparable:
            return Standing(ContentState.CHANGED, Evidence.RECORDED_HASH, None, seen)
        return Standing(ContentState.UNKNOWN, Evidence.FIRST_SIGHT, seen, seen)
    state, evidence = _compared(first, seen)
    if comparable and evidence is not Evidence.PERCEPTUAL:
        evidence = Evidence.RECORDED_HASH
    if evidence is Evidence.WHOLE and state is ContentState.IDENTICAL:
        first = _fuller(first, seen)
    return Standing(state, evidence, first, seen)


def after(
    before: Standing,
    reading: Reading,
    at: datetime,
    *,
    url: str,
    recorded: Collection[tuple[str, bytes]] = (),
    is_shared: bool = False,
) -> Standing:
    """Return how the content of `url` stands after a reading at `at`.

    What could not be read changes nothing that was known before, but for an opt-out, which makes us forget it all.
    """
    if isinstance(reading, Unread):
        if reading.why is Evidence.OPTED_OUT:
            return Standing(evidence=Evidence.OPTED_OUT)
        return before if before.last else replace(before, evidence=reading.why)
    if isinstance(reading, NotModified):
        if not may_revalidate(before):  # nobody asked whether
            return before
        return replace(before, state=ContentState.REVALIDATED, evidence=Evidence.VALIDATOR)
    now = judge(before, reading, url=url, recorded=recorded, is_shared=is_shared)
    if now.state is not ContentState.REPLACED:
        return replace(now, suspect_at=None)
    since = before.suspect_at or at
    certain = before.state is ContentState.REPLACED or at - since >= APART
    return replace(now, suspect_at=since, state=ContentState.REPLACED if certain else ContentState.CHANGED)


def may_revalidate(standing: Standing) -> bool:
    """Whether "not modified" would say that the content is as it was: not where we last saw something else."""
    same = {ContentState.IDENTICAL, ContentState.REVALIDATED}
    return standing.last is not None and (
        standing.state in same or (standing.evidence is Evidence.FIRST_SIGHT and standing.first is not None)
    )


def is_worth_reading_whole(seen: Facts, *, recorded: Collection[tuple[str, bytes]], images: bool) -> bool:
    """Whether more than the beginning is needed, and all of it is short enough."""
    if seen.digests or seen.length is None or seen.length > WHOLE_BYTES:
        return False
    return bool(recorded) or (images and seen.kind == "image")


def distance(one: bytes, other: bytes) -> int:
    """In how many bits two PDQ hashes differ."""
    return (int.from_bytes(one) ^ int.from_bytes(other)).bit_count()


def _fuller(first: Facts | None, seen: Facts) -> Facts:
    """Of two readings of the same bytes, the one that knows how the picture looks."""
    return first if first is not None and first.whole == seen.whole and first.pdq else seen


def _compared(first: Facts, seen: Facts) -> tuple[ContentState, Evidence]:
    if first.whole and seen.whole:
        evidence, same = Evidence.WHOLE, first.whole == seen.whole
    else:
        evidence = Evidence.PREFIX
        same = first.prefix == seen.prefix and first.length == seen.length
    if same:
        return ContentState.IDENTICAL, evidence
    if not first.pdq or not seen.pdq:
        return ContentState.CHANGED, evidence
    bits = distance(first.pdq, seen.pdq)
    if bits <= NEAR:
        return ContentState.NEAR_IDENTICAL, Evidence.PERCEPTUAL
    return (ContentState.REPLACED if bits >= FAR else ContentState.CHANGED), Evidence.PERCEPTUAL


def _is_other_kind(first: Facts | None, seen: Facts, url: str) -> bool:
    """Whether a picture became a page, and the like. Before anything was read, the URL says what to expect."""
    if first is None:
        return seen.kind == "page" and bool(_PICTURE_PATH.search(urlsplit(url).path))
    return bool(first.kind and seen.kind) and first.kind != seen.kind


_PICTURE_PATH = re.compile(r"\.(?:jpe?g|png|gif|webp|bmp|tiff?|avif)$", re.IGNORECASE)
_RANGE = re.compile(r"bytes 0-([0-9]{1,15})/([0-9]{1,15}|\*)", re.IGNORECASE)

# By its first bytes, which tell more than what a server calls it.
_SIGNS = (
    ("image", re.compile(rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|GIF8[79]a|RIFF.{4}WEBP|BM.{4}\0{4}|II\*\0|MM\0\*|.{4}ftyp(?:avif|avis|heic|mif1)", re.DOTALL)),
    ("video", re.compile(rb".{4}ftyp|\x1aE\xdf\xa3|RIFF.{4}AVI ", re.DOTALL)),
    ("audio", re.compile(rb"ID3|OggS|fLaC|RIFF.{4}WAVE", re.DOTALL)),
    ("document", re.compile(rb"%PDF-")),
)  # fmt: skip
_PAGE = re.compile(rb"<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE)
_BY_TYPE = {
    "image/svg+xml": "drawing",
    "text/html": "page",
    "application/xhtml+xml": "page",
    "application/pdf": "document",
}
_FAMILIES = {"image": "image", "video": "video", "audio": "audio", "text": "text"}


def _kind(body: bytes, declared: str) -> str:
    """What sort of content it is, in our words; "" where that cannot be told."""
    for kind, sign in _SIGNS:
        if sign.match(body):
            return kind
    beginning = body[:1024].removeprefix(b"\xef\xbb\xbf").lstrip()
    if beginning.startswith(b"<") and _PAGE.search(beginning):
        return "page"
    media_type = declared.partition(";")[0].strip().lower()
    return _BY_TYPE.get(media_type) or _FAMILIES.get(media_type.partition("/")[0], "")


def _is_beginning(answer: Response) -> bool:
    """Whether a part that came is the beginning, as asked for, and as long as it says."""
    told = _RANGE.fullmatch(answer.headers.get("content-range") or "")
    if told is None:
        return False
    sent, came = int(told[1]) + 1, len(answer.body)
    return (sent == came or (answer.cut and sent > came)) and (told[2] == "*" or int(told[2]) >= sent)


def _length(answer: Response) -> int | None:
    """The length of the whole; None where nobody says."""
    if answer.status == 206:
        told = _RANGE.fullmatch(answer.headers.get("content-range") or "")
        return int(told[2]) if told is not None and told[2] != "*" else None
    length = answer.headers.get("content-length") or ""
    return int(length) if length.isascii() and length.isdigit() and len(length) < 16 else None


def _digests(body: bytes) -> dict[str, bytes]:
    return {
        kind.value: hashlib.new(name, body, usedforsecurity=False).digest() for kind, name in HASHES.items()
    }


def _validator(value: str | None) -> str:
    """A validator that can be sent back, else ""."""
    return value if value and len(value) <= 200 and value.isascii() and value.isprintable() else ""
