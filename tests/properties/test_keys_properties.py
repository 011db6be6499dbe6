"""c1 on URLs that hypothesis makes: as the WHATWG standard has it, and the same in a column as alone."""

import hashlib
import random
import re
import string

import ada_url
import pyarrow as pa
import pyarrow.compute as pc
from hypothesis import assume, example, given
from hypothesis import strategies as st

from expunge import keys
from expunge.keys import (
    KeyKind,
    canonical_url,
    column_keys,
    registrable_domain,
    url_domain,
    url_host,
    url_keys,
)

NASTY = (
    "%^#?/\\@:.[]{}|`'\"<> \t\n\x00\x7f-_~&=+;éß\u3002\uff0e\u2603\U0001f600"
    + string.ascii_letters
    + string.digits
)
PIECES = r"""
http https HTTP ftp ws s3 file :// :/ : / \ // . .. ... %2e %2E .%2e /./ /../ %2f %5e %5E ^ %e9 %E9 %zz % ? # @ :80 :443 :21
:8080 example.com EXAMPLE.com a.b.co.uk xn--bcher-kva.de xn--a xn-- bücher.de 127.1 0x7f.1 [::1] 1.2.3.4 user:pass@ -a- a--b
a_b A z 0 x&y=1 'q' {b} [c] | ~ é 😀 ..b .b b..
"""
pieces = st.sampled_from([*PIECES.split(), "\t", "\n", " ", "\x00"])
glued = st.lists(pieces, max_size=14).map("".join)
rests = st.text(NASTY, max_size=30)
urls = st.one_of(
    st.builds("{}://{}{}".format, st.sampled_from(["http", "https", "ftp", "HTTP"]), glued, rests),
    st.builds("http://example.com/{}{}".format, glued, rests),
    st.builds(
        "https://img{}.example.{}/{}".format, glued, st.sampled_from(["com", "co.uk", "de.", "1"]), rests
    ),
    glued,
    st.text(max_size=40),
)


URL_KINDS = (KeyKind.URL_RAW, KeyKind.URL_C1, KeyKind.HOST, KeyKind.DOMAIN)


def same_for_whatwg(url: str) -> str:
    """Return c1 by another way: the setters of the URL standard do the taking away."""
    parsed = ada_url.URL(url)
    parsed.hash = ""
    parsed.username = ""
    parsed.password = ""
    return re.sub("%[0-9a-fA-F]{2}", lambda escape: escape[0].upper(), parsed.href.replace("^", "%5E"))


@given(urls)
def test_c1_is_idempotent(url: str) -> None:
    canonical = canonical_url(url)
    assume(canonical is not None)
    assert canonical is not None
    assert canonical_url(canonical) == canonical


@given(urls)
def test_c1_is_the_whatwg_href_apart_from_the_stated_changes(url: str) -> None:
    canonical = canonical_url(url)
    if canonical is None:
        assert not ada_url.check_url(url) or ada_url.URL(url).protocol not in ("http:", "https:", "ftp:")
    else:
        assert canonical == same_for_whatwg(url)


@given(urls)
def test_the_whatwg_href_of_a_url_has_the_same_c1(url: str) -> None:
    assume(ada_url.check_url(url))
    assert canonical_url(ada_url.normalize_url(url)) == canonical_url(url)


@given(urls, st.text(NASTY, max_size=10))
def test_a_fragment_changes_nothing(url: str, fragment: str) -> None:
    assume(
        "#" not in url and canonical_url(url) is not None and url == url.strip("".join(map(chr, range(33))))
    )
    assert canonical_url(f"{url}#{fragment}") == canonical_url(url)


@given(urls)
def test_host_and_domain_agree_with_c1(url: str) -> None:
    canonical, host, domain = canonical_url(url), url_host(url), url_domain(url)
    assert (canonical is None) == (host is None)
    if canonical is None or host is None:
        assert domain is None
        return
    assert host == ada_url.URL(canonical).hostname
    assert url_host(f"http://{host}/") == host
    assert domain == registrable_domain(host)
    if domain is not None:
        name = host.removesuffix(".")
        assert name == domain or name.endswith(f".{domain}")
        assert url_domain(f"http://{domain}/") == domain


def expected_keys(kind: KeyKind, url: str | None) -> bytes | None:
    if url is None:
        return None
    if kind is KeyKind.URL_RAW:
        return hashlib.sha256(url.encode()).digest()
    found = {KeyKind.URL_C1: canonical_url, KeyKind.HOST: url_host, KeyKind.DOMAIN: url_domain}[kind](url)
    if found is None:
        return None
    return hashlib.sha256(found.encode()).digest() if kind is KeyKind.URL_C1 else found.encode()


@given(st.lists(st.none() | urls, max_size=20))
@example(["https://example.com/a\n"])
@example(["https://example.com/.\t./a", "https://example.com/%2E./a"])
def test_a_column_has_the_keys_of_its_values(column: list[str | None]) -> None:
    for kind in URL_KINDS:
        expected = [expected_keys(kind, url) for url in column]
        assert column_keys(kind, pa.array(column, pa.string())).to_pylist() == expected


@given(st.lists(st.none() | urls, max_size=20), st.sets(st.sampled_from(URL_KINDS), min_size=1))
def test_several_kinds_at_once_are_each_as_alone(column: list[str | None], kinds: set[KeyKind]) -> None:
    values = pa.array(column, pa.string())
    for layout in (values, values.dictionary_encode(), values.cast(pa.large_binary())):
        found = url_keys(kinds, layout)
        assert found.keys() == kinds
        assert all(found[kind].equals(column_keys(kind, values)) for kind in kinds)


def test_what_the_guard_lets_through_is_canonical_beyond_doubt() -> None:
    """Mutates URLs by a character or a piece and holds the guard against the parser, a few hundred thousand times."""
    chance = random.Random(20240101)
    seeds = [
        "https://img1.example.com/wp-content/uploads/a_b-c.jpg?w=300&h=%C3%A9",
        "http://a-b.example.co.uk/a/b/../c/.d/%2E%2e/e~f;g=1,2@3:4",
        "https://x.de/",
    ]
    alphabet = [
        *NASTY,
        "%2E",
        "%2e",
        "%2F",
        "%5E",
        "/.",
        "/..",
        "--",
        "xn--",
        ".1",
        ".0x",
        ":80",
        "//",
        "%41",
        "%4",
        "''",
    ]
    mutated = []
    for _ in range(150_000):
        url = chance.choice(seeds)
        for _ in range(chance.randint(1, 3)):
            at = chance.randrange(len(url) + 1)
            url = url[:at] + chance.choice(alphabet) + url[at + chance.choice([0, 0, 1, 2]) :]
        mutated.append(url)
    settled = pc.match_substring_regex(
        pa.array(mutated).cast(pa.large_binary()), keys._IS_CANONICAL
    ).to_pylist()
    assert 20_000 < sum(settled) < 130_000  # both ways are taken
    assert [
        url for url, done in zip(mutated, settled, strict=True) if done and canonical_url(url) != url
    ] == []
