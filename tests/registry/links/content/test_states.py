from __future__ import annotations

import hashlib
import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.lib.safe_http import Headers, Response
from registry.links.content.states import (
    FAR,
    NEAR,
    PREFIX_BYTES,
    WHOLE_BYTES,
    ContentState,
    Evidence,
    Facts,
    NotModified,
    Standing,
    Unread,
    after,
    distance,
    facts,
    is_worth_reading_whole,
    may_revalidate,
)

START = datetime(2026, 1, 1, tzinfo=UTC)
URL = "https://a.example.com/1.jpg"


def answer(body: bytes, headers: str = "", *, status: int = 200, cut: bool = False) -> Response:
    return Response("http://a/", status, Headers(headers.encode()), body, cut, "192.0.2.1", (), 0.1)


def body(name: str, *, kind: str = "image", pdq: int | None = None) -> Facts:
    """Facts of a short body."""
    sha = hashlib.sha256(name.encode()).digest()
    look = None if pdq is None else pdq.to_bytes(32)
    return Facts(kind, len(name), sha, {"content.sha256": sha}, look)


def bits(number: int) -> int:
    return (1 << number) - 1


def walk(*readings: Facts | Unread | NotModified, hours: int = 24) -> Standing:
    standing = Standing()
    for place, reading in enumerate(readings):
        standing = after(standing, reading, START + timedelta(hours=hours * place), url=URL)
    return standing


@pytest.mark.parametrize(
    ("differ", "state"),
    [
        (0, ContentState.NEAR_IDENTICAL),
        (NEAR, ContentState.NEAR_IDENTICAL),
        (NEAR + 1, ContentState.CHANGED),
        (FAR - 1, ContentState.CHANGED),
        (FAR, ContentState.REPLACED),
        (256, ContentState.REPLACED),
    ],
)
def test_pictures_are_graded_by_how_far_they_look_apart(differ: int, state: ContentState) -> None:
    found = walk(body("one", pdq=0), *[body("two", pdq=bits(differ))] * 4)
    assert (found.state, found.evidence) == (state, Evidence.PERCEPTUAL)


def test_replaced_takes_two_looks_three_days_apart() -> None:
    page = body("page", kind="page")
    assert walk(body("one"), page, page, page, hours=24).state is ContentState.CHANGED
    assert walk(body("one"), page, page, page, page, hours=24).state is ContentState.REPLACED
    assert walk(body("one"), page, body("one"), page, page, hours=70).state is ContentState.CHANGED
    assert walk(body("one"), page, page, body("one"), hours=80).state is ContentState.IDENTICAL


def test_what_is_compared_never_moves() -> None:
    """So a picture that changes a little at each look does not stay the same for ever."""
    steps = [body(str(place), pdq=bits(20 * place)) for place in range(11)]
    assert walk(*steps).state is ContentState.REPLACED


def test_a_look_that_brings_nothing_changes_nothing() -> None:
    known = walk(body("one"), body("one"))
    for why in Evidence:
        found = after(known, Unread(why), START, url=URL)
        assert found == (Standing(evidence=why) if why is Evidence.OPTED_OUT else known)


def test_not_modified_means_something_only_where_it_was_as_before() -> None:
    assert walk(body("one"), NotModified()).state is ContentState.REVALIDATED
    changed = walk(body("one"), body("two"))
    assert not may_revalidate(changed)
    assert after(changed, NotModified(), START, url=URL) == changed
    assert walk(NotModified()) == Standing()


def test_a_first_look_proves_nothing_against_what_the_dataset_recorded() -> None:
    recorded = {("content.sha256", body("real").digests["content.sha256"])}
    first = after(Standing(), body("swapped"), START, url=URL)
    again = after(first, body("swapped"), START, url=URL, recorded=recorded)
    assert (again.state, again.evidence, again.first) == (
        ContentState.CHANGED,
        Evidence.RECORDED_HASH,
        None,
    )
    real = after(again, body("real"), START, url=URL, recorded=recorded)
    assert (real.state, real.first) == (ContentState.IDENTICAL, body("real"))


def test_what_the_dataset_recorded_is_content_even_if_many_urls_give_it() -> None:
    recorded = {("content.sha256", body("real").digests["content.sha256"])}
    found = after(Standing(), body("real"), START, url=URL, recorded=recorded, is_shared=True)
    assert found.state is ContentState.IDENTICAL


def test_a_placeholder_is_never_what_later_looks_are_compared_with() -> None:
    shared = after(Standing(), body("placeholder"), START, url=URL, is_shared=True)
    assert (shared.evidence, shared.first) == (Evidence.PLACEHOLDER, None)
    assert after(shared, body("real"), START, url=URL).evidence is Evidence.FIRST_SIGHT


def test_reading_pictures_later_gives_the_same_bytes_a_look() -> None:
    found = walk(body("one"), body("one", pdq=5), body("two", pdq=5))
    assert found.state is ContentState.NEAR_IDENTICAL


@pytest.mark.parametrize(
    ("sent", "kind"),
    [
        (b"\xff\xd8\xff\xe0", "image"), (b"\x89PNG\r\n\x1a\n", "image"), (b"GIF89a", "image"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "image"), (b"\0\0\0\x1cftypavif", "image"), (b"\0\0\0\x1cftypisom", "video"),
        (b"\x1aE\xdf\xa3", "video"), (b"ID3\x04", "audio"), (b"%PDF-1.7", "document"),
        (b"<!DOCTYPE  html>", "page"), (b"\xef\xbb\xbf \n<HTML lang=en>", "page"), (b"<!-- a --><html>", "page"),
        (b"<svg xmlns=''>", ""), (b"plain html", ""), (b"\0\1\2", ""),
    ],
)  # fmt: skip
def test_the_kind_is_told_by_the_first_bytes(sent: bytes, kind: str) -> None:
    found = facts(answer(sent))
    assert isinstance(found, Facts)
    assert found.kind == kind


@pytest.mark.parametrize(
    ("declared", "kind"),
    [("text/HTML; charset=x", "page"), ("image/svg+xml", "drawing"), ("image/x-odd", "image"), ("audio/x", "audio"),
     ("text/plain", "text"), ("application/json", ""), ("", ""), ("nonsense", "")],
)  # fmt: skip
def test_else_by_what_the_server_calls_it(declared: str, kind: str) -> None:
    found = facts(answer(b"\0\1", f"Content-Type: {declared}"))
    assert isinstance(found, Facts)
    assert found.kind == kind


def test_hostile_beginnings_cost_no_time() -> None:
    began = time.process_time()
    for hostile in (
        b"<!--" * 16_000,
        b"<!---->" * 9_000,
        b" " * 65_000 + b"<",
        b"<html" * 13_000,
        b"<" * 65_000,
    ):
        facts(answer(hostile))
    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    ("written", "cut", "length"),
    [
        ("bytes 0-9/900", False, 900), ("Bytes 0-9/900", False, 900), ("bytes 0-9/*", False, None),
        ("bytes 0-99/900", True, 900), ("bytes 0-9/10", False, 10),
        ("bytes 0-99/900", False, "wrong"), ("bytes 1-10/900", False, "wrong"), ("bytes 0-9/5", False, "wrong"),
        ("bytes */900", False, "wrong"), ("", False, "wrong"), ("bytes 0-9/9" + "9" * 40, False, "wrong"),
        ("0-9/900", False, "wrong"),
    ],
)  # fmt: skip
def test_a_part_counts_only_if_it_is_the_beginning(written: str, cut: bool, length: int | str | None) -> None:  # noqa: FBT001  -- a parameter of the table above
    found = facts(answer(b"0123456789", f"Content-Range: {written}", status=206, cut=cut))
    if length == "wrong":
        assert found == Unread(Evidence.WRONG_RANGE)
    else:
        assert isinstance(found, Facts)
        assert found.length == length
        assert bool(found.digests) == (length == 10)


def test_the_whole_is_hashed_only_where_all_of_it_came() -> None:
    cut = facts(answer(bytes(PREFIX_BYTES), "Content-Length: 999999", cut=True))
    assert isinstance(cut, Facts)
    assert (cut.length, cut.digests) == (999999, {})
    whole = facts(answer(b"abc", "Content-Length: 3"))
    assert isinstance(whole, Facts)
    assert whole.digests["content.md5"].hex() == "900150983cd24fb0d6963f7d28e17f72"
    assert whole.whole == whole.prefix == hashlib.sha256(b"abc").digest()
    unknown = facts(answer(b"abc", "Content-Length: -1"))
    assert isinstance(unknown, Facts)
    assert unknown.length == 3


@pytest.mark.parametrize("etag", ['"' + "x" * 300, '"\xff"', ""])
def test_only_a_validator_that_can_be_sent_back_is_kept(etag: str) -> None:
    found = facts(answer(b"x", f"ETag: {etag}"))
    assert isinstance(found, Facts)
    assert found.etag == ""


def test_all_of_it_is_read_only_where_that_tells_more_and_is_bounded() -> None:
    part = Facts("image", 200_000, b"p")
    wanted = {("content.md5", b"m")}
    assert is_worth_reading_whole(part, recorded=wanted, images=False)
    assert is_worth_reading_whole(part, recorded=(), images=True)
    assert not is_worth_reading_whole(part, recorded=(), images=False)
    assert not is_worth_reading_whole(Facts("page", 200_000, b"p"), recorded=(), images=True)
    for length in (None, WHOLE_BYTES + 1):
        assert not is_worth_reading_whole(Facts("image", length, b"p"), recorded=wanted, images=True)
    assert not is_worth_reading_whole(body("all of it"), recorded=wanted, images=True)


LOOKS = st.lists(
    st.tuples(
        st.integers(1, 100),
        st.one_of(
            st.builds(
                body,
                st.sampled_from("abc"),
                kind=st.sampled_from(["image", "page", ""]),
                pdq=st.sampled_from([None, 0, bits(20), bits(60), bits(200)]),
            ),
            st.builds(Unread, st.sampled_from(Evidence)),
            st.just(NotModified()),
        ),
        st.booleans(),
    ),
    max_size=20,
)


@given(LOOKS)
def test_nothing_is_replaced_that_was_seen_otherwise_within_three_days(
    looks: list[tuple[int, Facts | Unread | NotModified, bool]],
) -> None:
    standing, at = Standing(), START
    for hours, reading, is_shared in looks:
        at += timedelta(hours=hours)
        before, standing = standing, after(standing, reading, at, url=URL, is_shared=is_shared)
        if standing.state is ContentState.REPLACED:
            assert standing.suspect_at
            assert before.state is ContentState.REPLACED or at - standing.suspect_at >= timedelta(hours=72)
        if isinstance(reading, Facts) and standing.state is ContentState.IDENTICAL:
            assert standing.first is not None
            assert standing.first.whole == reading.whole


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_a_distance_is_a_number_of_bits(one: bytes, other: bytes) -> None:
    assert distance(one, one) == 0
    assert distance(one, other) == distance(other, one) <= 256
