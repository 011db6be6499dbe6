"""Which addresses are an ordinary place on the public internet.

The tables follow IANA's special-purpose registries for IPv4 and IPv6. For IPv6 only what is allocated as global unicast
passes, less the special ranges within; whatever carries an IPv4 address inside (mapped, compatible, translated, NAT64,
6to4, Teredo) is refused whole, even with a public address in it: no honest name server answers so, and each is a second
spelling of an address that the IPv4 table judges. `ipaddress.is_global` is not used: it passes several of these.
"""

from __future__ import annotations

import socket

# network, and the name of the rule that a refusal gives
_IPV4 = {
    "0.0.0.0/8": "this_host",
    "10.0.0.0/8": "private",
    "100.64.0.0/10": "shared_address_space",  # carriers' NAT, and the metadata service of one cloud
    "127.0.0.0/8": "loopback",
    "168.63.129.16/32": "cloud_host",  # public by its number, but answered by the machine's own host in one cloud
    "169.254.0.0/16": "link_local",  # metadata services of most clouds
    "172.16.0.0/12": "private",
    "192.0.0.0/24": "protocol_assignment",
    "192.0.2.0/24": "documentation",
    "192.31.196.0/24": "as112",
    "192.52.193.0/24": "amt",
    "192.88.99.0/24": "relay_6to4",
    "192.168.0.0/16": "private",
    "192.175.48.0/24": "as112",
    "198.18.0.0/15": "benchmark",
    "198.51.100.0/24": "documentation",
    "203.0.113.0/24": "documentation",
    "224.0.0.0/4": "multicast",
    "240.0.0.0/4": "reserved",  # with broadcast
}
# Told apart only for their names: everything outside 2000::/3 is refused anyway.
_IPV6_OUTSIDE = {
    "::/128": "unspecified",
    "::1/128": "loopback",
    "::/96": "ipv4_compatible",
    "::ffff:0:0/96": "ipv4_mapped",
    "::ffff:0:0:0/96": "ipv4_translated",
    "64:ff9b::/96": "nat64",
    "64:ff9b:1::/48": "nat64",
    "100::/64": "discard",
    "fc00::/7": "private",
    "fe80::/10": "link_local",
    "fec0::/10": "site_local",
    "ff00::/8": "multicast",
}
_IPV6_INSIDE = {
    "2001::/32": "teredo",
    "2001::/23": "protocol_assignment",
    "2001:db8::/32": "documentation",
    "2002::/16": "relay_6to4",
    "2620:4f:8000::/48": "as112",
    "3fff::/20": "documentation",
}
_IPV6_GLOBAL_UNICAST = "2000::/3"

_Network = tuple[int, int, str]  # how far to shift an address, what is then left of the network, the rule


def judge(address: str) -> str | None:
    """Return the name of the rule that refuses `address`, or None for an ordinary public unicast address.

    What is not an address in its plain form (a name, a zone id, octal or hexadecimal parts) is refused too.
    """
    family, bits, table = (
        (socket.AF_INET6, _IPV6_BITS, _IPV6_TABLE)
        if ":" in address
        else (socket.AF_INET, _IPV4_BITS, _IPV4_TABLE)
    )
    try:
        number = int.from_bytes(socket.inet_pton(family, address))
    except (OSError, ValueError):  # ValueError: a NUL inside, or characters beyond ASCII
        return "not_an_address"
    for shift, network, rule in table:
        if number >> shift == network:
            return rule
    if bits == _IPV6_BITS and number >> _UNICAST[0] != _UNICAST[1]:
        return "not_global_unicast"
    return None


def canonical(address: str) -> str:
    """Return the one spelling of an address; raises ValueError for what is none."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        return socket.inet_ntop(family, socket.inet_pton(family, address))
    except OSError as error:
        raise ValueError(f"not an address: {address!r}") from error


def _table(networks: dict[str, str], bits: int) -> list[_Network]:
    table = []
    for network, rule in networks.items():
        address, _, length = network.partition("/")
        family = socket.AF_INET if bits == _IPV4_BITS else socket.AF_INET6
        shift = bits - int(length)
        table.append((shift, int.from_bytes(socket.inet_pton(family, address)) >> shift, rule))
    return table


_IPV4_BITS, _IPV6_BITS = 32, 128
_IPV4_TABLE = _table(_IPV4, _IPV4_BITS)
_IPV6_TABLE = _table(_IPV6_INSIDE | _IPV6_OUTSIDE, _IPV6_BITS)
_UNICAST = _table({_IPV6_GLOBAL_UNICAST: ""}, _IPV6_BITS)[0]
