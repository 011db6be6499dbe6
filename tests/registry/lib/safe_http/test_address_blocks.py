"""Every special block is refused from its first address to its last, and nothing beside it is."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

import pytest

from registry.lib.safe_http.addresses import judge

V4 = [
    ip_network(text)
    for text in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "168.63.129.16/32", "169.254.0.0/16"),
        *("172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24"),
        *("192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24"),
        *("203.0.113.0/24", "224.0.0.0/3"),
    )
]
# Within 2000::/3, outside of which nothing passes at all.
V6 = [
    ip_network(text) for text in ("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20")
]
UNICAST = ip_network("2000::/3")
BLOCKS = [*V4, *V6]


def passes(number: int, block: IPv4Network | IPv6Network) -> bool:
    """Whether an ordinary program may be sent there, by the blocks above alone."""
    address = ip_address(number) if block.version == 4 else ip_address(number.to_bytes(16))
    return (block.version == 4 or address in UNICAST) and not any(address in one for one in BLOCKS)


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_a_block_is_refused_to_both_of_its_ends(block: IPv4Network | IPv6Network) -> None:
    half = block.num_addresses // 2
    for place in (0, max(0, half - 1), half, -1):
        assert judge(str(block[place])) is not None


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_what_lies_beside_a_block_is_judged_for_itself(block: IPv4Network | IPv6Network) -> None:
    for number in (int(block[0]) - 1, int(block[-1]) + 1):
        if 0 <= number < 2**block.max_prefixlen:
            address = str(ip_address(number) if block.version == 4 else ip_address(number.to_bytes(16)))
            assert (judge(address) is None) == passes(number, block), address


def test_global_unicast_is_known_to_both_of_its_ends() -> None:
    assert judge("2000::") is None
    assert judge("3fff:1000::") is None
    for address in ("1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "4000::"):
        assert judge(address) == "not_global_unicast"
