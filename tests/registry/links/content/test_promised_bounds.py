"""The bounds within which content counts as the same, in numbers that stand here and are not read from the code."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

import pytest

from registry.lib.safe_http import Headers, Response
from registry.links.content.reading import _BEGINNING, _RANGE, _WHOLE
from registry.links.content.states import (
    ContentState,
    Evidence,
    Facts,
    Standing,
    after,
    facts,
    is_worth_reading_whole,
)

START = datetime(2026, 1, 1, tzinfo=UTC)
URL = "https://a.example.com/1.jpg"
SAME, CHANGED, REPLACED = ContentState.NEAR_IDENTICAL, ContentState.CHANGED, ContentState.REPLACED


def picture(name: str, bits: int) -> Facts:
    """A picture of these bytes, whose perceptual hash has so many bits set."""
    digest = hashlib.sha256(name.encode()).digest()
    return Facts("image", len(name), digest, {"content.sha256": digest}, ((1 << bits) - 1).to_bytes(32))


@pytest.mark.parametrize(
    ("bits", "state"),
    [(0, SAME), (30, SAME), (31, SAME), (32, CHANGED), (89, CHANGED), (90, REPLACED), (128, REPLACED)],
)
def test_31_bits_are_the_same_picture_and_90_another(bits: int, state: ContentState) -> None:
    standing = after(Standing(), picture("one", 0), START, url=URL)
    for look in (1, 2):
        standing = after(standing, picture("two", bits), START + look * timedelta(hours=72), url=URL)
    assert (standing.state, standing.evidence) == (state, Evidence.PERCEPTUAL)


@pytest.mark.parametrize(
    ("apart", "state"),
    [(timedelta(hours=72) - timedelta(seconds=1), CHANGED), (timedelta(hours=72), REPLACED)],
)
def test_two_looks_make_it_replaced_72_hours_apart_and_not_a_second_earlier(
    apart: timedelta, state: ContentState
) -> None:
    standing = after(Standing(), picture("one", 0), START, url=URL)
    for look in (1, 2):
        standing = after(standing, picture("two", 200), START + look * apart, url=URL)
    assert standing.state is state


def test_the_beginning_is_64_kib_and_asked_for_as_that() -> None:
    assert _RANGE == {"Range": "bytes=0-65535"}
    assert _BEGINNING.body_bytes == 65_536
    body = bytes(65_536) + b"what is behind it tells nothing"
    answer = Response(URL, 200, Headers(b"Content-Length: 99999"), body, True, "192.0.2.1", (), 0.1)
    found = facts(answer)
    assert isinstance(found, Facts)
    assert found.prefix == hashlib.sha256(bytes(65_536)).digest()


@pytest.mark.parametrize(("length", "worth"), [(10_485_760, True), (10_485_761, False), (None, False)])
def test_all_of_it_is_read_up_to_10_mib(length: int | None, *, worth: bool) -> None:
    assert _WHOLE.body_bytes == 10_485_760
    part = Facts("image", length, b"p")
    assert is_worth_reading_whole(part, recorded={("content.md5", b"m")}, images=True) is worth


@pytest.mark.parametrize("encoding", ["gzip", "br", "GZIP", "deflate, gzip", "zstd"])
def test_what_comes_in_another_encoding_is_not_read(encoding: str) -> None:
    head = Headers(f"Content-Encoding: {encoding}".encode())
    answer = Response(URL, 200, head, b"x", cut=False, address="192.0.2.1", hops=(), seconds=0.1)
    assert facts(answer).__class__.__name__ == "Unread"
