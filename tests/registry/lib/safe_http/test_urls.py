from __future__ import annotations

import json
from pathlib import Path

import ada_url
import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.lib.safe_http import urls
from registry.lib.safe_http.policy import Policy
from registry.lib.safe_http.results import Outcome, Stop
from registry.lib.safe_http.urls import PORTS, check, redirected

POLICY = Policy(own_names=("expunge.org",))
HERE = Path(__file__).parent


def lines(name: str) -> list[str]:
    written = [line for line in (HERE / name).read_text().splitlines() if not line.startswith("#")]
    return [json.loads('"' + line.replace('"', '\\"').replace("\t", "\\t") + '"') for line in written]


REFUSED = lines("urls_refused.txt")
ACCEPTED = [line.split("\t") for line in lines("urls_accepted.txt")]


def verdict(url: str) -> str | None:
    """The rule that refuses the URL before anything is resolved or, for an address in it, before anything is dialled."""
    try:
        target = check(url, POLICY)
    except Stop as stop:
        return stop.rule if stop.outcome in {Outcome.INVALID_URL, Outcome.SSRF_BLOCKED} else None
    return POLICY.refuses(target.literal, target.port) if target.literal else None


def test_there_are_at_least_a_hundred_vectors() -> None:
    assert len(set(REFUSED)) >= 100


@pytest.mark.parametrize("url", REFUSED, ids=ascii)
def test_it_refuses_every_url_of_the_list(url: str) -> None:
    assert verdict(url) is not None


@pytest.mark.parametrize(("url", "dialled"), ACCEPTED, ids=[ascii(url) for url, _ in ACCEPTED])
def test_it_takes_an_ordinary_url_and_writes_it_one_way(url: str, dialled: str) -> None:
    assert verdict(url) is None
    target = check(url, POLICY)
    assert target.url == dialled
    assert check(dialled, POLICY) == target


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("http://127.0.0.1/", "loopback"),
        ("http://127.1/", "address_not_canonical"),
        ("http://user:pw@example.com/", "user_info"),
        ("http://example.com\\@127.0.0.1/", "characters"),
        ("http://example.com:22/", "port"),
        ("ftp://example.com/", "scheme"),
        ("http:/127.0.0.1/", "scheme"),
        ("http:///127.0.0.1/", "no_host"),
        ("http://ex%61mple.com/", "authority"),
        ("http://printer.local/", "inner_name"),
        ("http://localhost/", "inner_name"),
        ("http://intern/", "host_name"),
        ("http://www.expunge.org/", "own_name"),
        ("http://expunge.org/", "own_name"),
        ("http://EXPUNGE.ORG/", "own_name"),
        ("http://example.com/" + "a" * 8192, "too_long"),
        ("http://example.com/" + "ü" * 2000, "too_long"),  # once escaped
    ],
)
def test_a_refusal_names_its_rule(url: str, rule: str) -> None:
    assert verdict(url) == rule


def test_a_name_that_only_ends_like_ours_is_not_ours() -> None:
    assert verdict("http://notexpunge.org/") is None


def test_labels_and_names_have_their_longest() -> None:
    assert verdict(f"http://{'a' * 63}.com/") is None
    assert verdict(f"http://{'a' * 64}.com/") == "host_name"
    assert verdict(f"http://{'a.' * 125}com/") is None
    assert verdict(f"http://{'a.' * 126}com/") == "host_name"


@given(st.text(max_size=60).map(lambda tail: f"http://{tail}"))
def test_whatever_passes_is_canonical_and_means_the_same_to_a_parser(url: str) -> None:
    try:
        target = check(url, POLICY)
    except Stop:
        return
    parsed = ada_url.URL(target.url)
    assert target.url.isascii()
    assert parsed.href == target.url
    assert (parsed.hostname, parsed.username, parsed.password, parsed.hash) == (target.host, "", "", "")
    assert target.port in PORTS
    assert check(target.url, POLICY) == target


@given(st.from_regex(urls._PLAIN, fullmatch=True))
def test_the_short_way_says_what_the_long_one_says(url: str) -> None:
    quick = urls._plain(url, POLICY)
    if quick is not None:
        parsed = ada_url.URL(url)
        assert parsed.href == url
        assert (parsed.hostname, parsed.port or None) == (
            quick.host,
            url.split("/")[2].partition(":")[2] or None,
        )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(urls, "_plain", lambda *_: None)
        try:
            slow = check(url, POLICY)
        except Stop:
            assert quick is None
        else:
            assert quick in {None, slow}


def test_the_short_way_is_the_usual_one() -> None:
    assert urls._plain("https://upload.example.com/a/b_c-1.jpg?width=640&x=y", POLICY) is not None
    for odd in (
        "http://example.com/../x",
        "http://example.com:80/",
        "http://xn--a.com/",
        "http://example.com/%61",
    ):
        assert urls._plain(odd, POLICY) is None


@given(
    st.lists(
        st.sampled_from([*"aA0179.-_:@/\\?#%[]x", "127", "0x", "%2e", "。", "①", "\t", "::1", "xn--"])
    ).map("".join)
)
def test_no_spelling_of_an_address_passes_for_a_name(authority: str) -> None:
    url = f"http://{authority}/"
    if verdict(url) is None:
        target = check(url, POLICY)
        assert target.literal or any(c.isalpha() for c in target.host.rpartition(".")[2])


@pytest.mark.parametrize(
    ("location", "url"),
    [
        ("/b", "https://example.com/b"),
        ("b?c", "https://example.com/a/b?c"),
        ("../../b", "https://example.com/b"),
        ("?q", "https://example.com/a/x?q"),
        ("//other.com/b", "https://other.com/b"),
        ("http://other.com/b", "http://other.com/b"),
        ("http://2130706433/", "http://2130706433/"),  # as written, so that the gate sees how
        ("/\xe4", "https://example.com/%E4"),
        ("", "https://example.com/a/x"),
    ],
)
def test_a_location_is_read_against_where_it_was_given(location: str, url: str) -> None:
    assert redirected(check("https://example.com/a/x", POLICY), location) == url


@pytest.mark.parametrize(
    "location",
    ["http://a.com/\rX: y", "/a b", "/a\tb", "\\\\127.0.0.1\\", "/\\127.0.0.1", "/" + "a" * 9000, "/\x00"],
    ids=lambda text: ascii(text)[:20],
)
def test_a_location_that_could_be_read_in_two_ways_is_refused(location: str) -> None:
    with pytest.raises(Stop) as refused:
        redirected(check("https://example.com/a/x", POLICY), location)
    assert refused.value.outcome == Outcome.INVALID_URL


@pytest.mark.parametrize(
    "location",
    [
        "http:/127.0.0.1/", "http:127.0.0.1", "///127.0.0.1/", "//127.1/", "//user:pw@example.com/", "file:///etc/passwd",
        "FILE:/etc/passwd", "gopher://example.com/", "//[::1]/", "https:\u002f127.0.0.1", "//0x08080808/", "//\xe4.com/",
        "http://localhost:80/", "//example.com:22/", "data:,x", "javascript:1",
    ],
)  # fmt: skip
def test_a_redirect_goes_through_the_whole_gate(location: str) -> None:
    base = check("https://example.com/a/x", POLICY)
    assert verdict(redirected(base, location)) is not None
