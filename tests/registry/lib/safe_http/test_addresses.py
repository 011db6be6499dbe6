from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.lib.safe_http.addresses import canonical, judge

VECTORS = [
    tuple(line.split("\t"))
    for line in (Path(__file__).parent / "addresses.tsv").read_text().splitlines()
    if not line.startswith("#")
]
SPECIAL = [
    ip_network(text)
    for text in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15"),
        *("198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3"),
    )
]


def test_there_are_at_least_a_hundred_vectors_of_both_kinds() -> None:
    assert len(VECTORS) >= 100
    assert len({address for address, _, _ in VECTORS}) == len(VECTORS)
    assert sum(expect == "allow" for _, expect, _ in VECTORS) >= 30


@pytest.mark.parametrize(("address", "expect", "why"), VECTORS, ids=[address for address, _, _ in VECTORS])
def test_it_judges_every_address_as_its_vector_says(address: str, expect: str, why: str) -> None:
    rule = judge(address)
    assert (rule is None) == (expect == "allow"), (rule, why)


def test_a_refusal_names_its_rule() -> None:
    assert judge("127.0.0.1") == "loopback"
    assert judge("169.254.169.254") == "link_local"
    assert judge("168.63.129.16") == "cloud_host"
    assert judge("::ffff:8.8.8.8") == "ipv4_mapped"
    assert judge("2001:0:4136:e378::1") == "teredo"
    assert judge("4000::1") == "not_global_unicast"
    assert judge("") == judge("8.8.8.8\0") == judge("8.8.8.8\n") == judge("８.8.8.8") == "not_an_address"  # noqa: RUF001  -- full-width


@given(st.integers(0, 2**32 - 1))
def test_no_special_ipv4_address_passes(number: int) -> None:
    address = IPv4Address(number)
    if any(address in network for network in SPECIAL):
        assert judge(str(address)) is not None


@given(st.integers(0, 2**128 - 1))
def test_nothing_outside_global_unicast_passes(number: int) -> None:
    address = IPv6Address(number)
    if judge(str(address)) is None:
        assert address in ip_network("2000::/3")


@given(st.integers(0, 2**32 - 1), st.sampled_from(["::", "::ffff:", "::ffff:0:", "64:ff9b::", "64:ff9b:1::"]))
def test_no_address_within_another_passes(number: int, prefix: str) -> None:
    assert judge(f"{prefix}{IPv4Address(number)}") is not None


def test_spellings_of_one_address_become_one() -> None:
    assert canonical("2606:4700:4700:0:0:0:0:1111") == "2606:4700:4700::1111"
    assert canonical("127.0.0.1") == str(ip_address("127.0.0.1"))
    with pytest.raises(ValueError, match="not an address"):
        canonical("localhost")
