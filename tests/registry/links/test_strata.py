from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from expunge.keys import keys_of_url
from registry.links.models import Host, Panel
from registry.links.strata import (
    MAX_HOST,
    NO_LIMIT,
    STRATA,
    Stratum,
    link_host,
    link_weights,
    panel_limits,
    panel_links,
    strata_of,
    stratum_of,
    stratum_place,
)

LABELS = st.sampled_from(
    [
        "a",
        "www",
        "com",
        "de",
        "org",
        "co",
        "uk",
        "museum",
        "x-y",
        "x--y",
        "xn--p1ai",
        "1",
        "0x7f",
        "_a",
        "-",
        "",
        "é",
    ]
)
HOSTS = st.one_of(
    st.lists(LABELS, min_size=1, max_size=5).map(".".join),
    st.sampled_from(
        ["127.0.0.1", "[::1]", "2130706433", "localhost", "a.com.", "EXAMPLE.COM", "a" * 300 + ".com"]
    ),
)
URLS = st.builds(
    "{}{}{}{}{}".format,
    st.sampled_from(
        ["http://", "https://", "HTTP://", "ftp://", "s3://", "data:", "//", "http:/", "", " https://"]
    ),
    st.sampled_from(["", "", "", "user@", "a.com:1@"]),
    HOSTS,
    st.sampled_from(["", "", ":80", ":99999", ":x"]),
    st.one_of(
        st.sampled_from(
            ["", "/", "?x", "#x", "/a.de/b", "\\@b.org/", "/\0", "/\x01", " ", "\n", "/" + "x" * 300]
        ),
        st.text(max_size=8),
    ),
)


@given(st.lists(st.one_of(URLS.map(lambda url: url.encode(errors="surrogatepass")), st.binary(max_size=30))))
@example(
    [
        b"https://a.com/\xff",
        b"https://a.com/\x00",
        b"https://a.com\\.de/",
        b"https://" + b"a." * 126 + b"com/",
    ]
)
@example([b"https://" + b"a." * 125 + b"com/"])
def test_a_column_at_a_time_gives_the_same_as_the_name_of_each_host(urls: list[bytes]) -> None:
    told = [STRATA[code] for code in strata_of(pa.array(urls, pa.large_binary()))]
    assert told == [stratum_of(link_host(url)) for url in urls]


@pytest.mark.parametrize(
    ("host", "stratum"),
    [
        ("example.com", Stratum.COM),
        ("a.b.example.com.", Stratum.COM),
        ("com.example.org", Stratum.GENERIC),
        ("example.photography", Stratum.GENERIC),
        ("xn--e1afmkfd.xn--p1ai", Stratum.GENERIC),
        ("example.de", Stratum.COUNTRY),
        ("example.co.uk", Stratum.COUNTRY),
        ("127.0.0.1", Stratum.NONE),
        ("[2001:db8::1]", Stratum.NONE),
        ("localhost", Stratum.NONE),
        ("com", Stratum.NONE),
        ("a..", Stratum.NONE),
        ("", Stratum.NONE),
        (None, Stratum.NONE),
    ],
)
def test_the_last_label_of_a_host_tells_its_kind(host: str | None, stratum: Stratum) -> None:
    assert stratum_of(host) is stratum


@pytest.mark.django_db
def test_the_database_tells_the_same_kind() -> None:
    ends = [
        "",
        ".",
        "..",
        "com",
        "com.",
        "de",
        "DE",
        "d1",
        "org",
        "c",
        "museum",
        "xn--p1ai",
        "1",
        "42",
        "1.",
        "]",
        "x].",
    ]
    begins = ["", ".", "a.", "a.b.", "com.", "co.", "[", "[::1", "10.0.0.", "a-b.", "\n."]
    names = {begin + end for begin in begins for end in ends}
    Host.objects.bulk_create(Host(name=name) for name in names)
    told = dict(Host.objects.values_list("name", stratum_place("name")))
    assert {name: STRATA[place] for name, place in told.items()} == {name: stratum_of(name) for name in names}


def test_the_host_of_a_link_is_that_of_its_key() -> None:
    url = "https://user@Img.Example.com:8080/a"
    assert link_host(url.encode()) == {kind.value: key for kind, key in keys_of_url(url).items()}["host.c1"]


@pytest.mark.parametrize(
    "url",
    [
        b"",
        b"not a url",
        b"data:,x",
        b"https://a.com/\0",
        b"https://a.com/\xff",
        b"https://" + b"a." * 150 + b"com/",
    ],
)
def test_what_cannot_be_asked_for_has_no_host(url: bytes) -> None:
    assert link_host(url) is None


def test_a_name_of_the_greatest_length_still_has_one() -> None:
    host = link_host(b"https://" + b"a." * 126 + b"com/")
    assert host is not None
    assert len(host) == MAX_HOST


def test_what_was_drawn_more_densely_counts_for_less() -> None:
    limits = {Stratum.COM: 1_000, Stratum.GENERIC: 1_000, Stratum.COUNTRY: 4_000, Stratum.NONE: 8_000}
    strata = np.array([STRATA.index(one) for one in (Stratum.COM, Stratum.COUNTRY, Stratum.NONE)], np.uint8)
    assert link_weights(strata, limits).tolist() == [1, 0.25, 0.125]
    assert link_weights(strata, {}).tolist() == [1, 1, 1]


def test_a_panel_that_wrote_nothing_down_was_drawn_alike_throughout() -> None:
    assert panel_limits(Panel(size=10), 10) == {}
    assert set(panel_limits(Panel(size=10), 9).values()) == {NO_LIMIT}
    assert not panel_links(Panel(size=2), [(0, [1]), (2, [2])]).is_whole
    assert panel_links(Panel(size=3), [(0, [1]), (2, [2])]).is_whole


def test_what_leads_to_no_host_comes_behind_on_hosts_of_its_own() -> None:
    written = {stratum.value: str(100 if stratum is Stratum.COM else 200) for stratum in STRATA}
    com, country = STRATA.index(Stratum.COM), STRATA.index(Stratum.COUNTRY)
    links = panel_links(
        Panel(size=1, urls_unusable=2, limits=written), [(com, [7, 7]), (country, [9]), (com, [])]
    )
    assert links.hosts.tolist() == [7, 7, 9, -2, -1]
    assert [STRATA[place].value for place in links.strata] == ["com", "com", "country", "none", "none"]
    assert links.weights.tolist() == [1, 1, 0.5, 0.5, 0.5]
    assert not links.is_whole
    assert links.part(np.array([True, False, True, False, False])) == pytest.approx(1.5 / 3.5)
