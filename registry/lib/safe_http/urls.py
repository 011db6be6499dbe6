"""The URL gate: one strict reading, so that who checks a URL and who dials it cannot mean different hosts.

A URL is first held against a pattern that leaves no room for readings (no user info, backslash, percent sign or odd
port in the authority), then parsed as the WHATWG standard says, and what the parser makes of it is what is dialled.
Addresses must be written in their canonical form: `127.1`, `0x7f.1`, `2130706433` and full-width digits are addresses
to some programs and names to others.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import ada_url

from registry.lib.safe_http.addresses import canonical
from registry.lib.safe_http.results import Outcome, Stop

if TYPE_CHECKING:
    from registry.lib.safe_http.policy import Policy

MAX_URL_BYTES = 8 * 1024
PORTS = frozenset({80, 443, 8000, 8080, 8443})

# re.ASCII: else the s of https also matches U+017F.
_SHAPE = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9a-f:.]+\]|[^\[\]/?#@%:\\]+)(?::(?P<port>[1-9][0-9]{0,4}))?(?=[/?#]|\Z)",
    re.ASCII | re.IGNORECASE,
)
_ABSOLUTE = re.compile(r"[a-z][a-z0-9+.-]*:", re.ASCII | re.IGNORECASE)
# Two labels or more of letters, digits and inner hyphens; the last begins with a letter.
_NAME = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+([a-z](?:[a-z0-9-]{0,61}[a-z0-9])?)")
_MAX_NAME = 253
# What most URLs look like, and what the parser is sure to write back as it is (a property test holds the two together).
# So it need not be asked: that takes half the time of the whole gate.
_PLAIN = re.compile(
    rf"(https?)://({_NAME.pattern})(?::([1-9][0-9]{{0,4}}))?/[A-Za-z0-9._~!$&()*+,;=:@/?-]*", re.ASCII
)
_IPV4 = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}")
# Never delegated in the public DNS; a resolver that knows them knows an inner network.
_INNER = frozenset({
    "alt", "arpa", "corp", "example", "home", "i2p", "internal", "intranet", "invalid", "lan", "local", "localdomain",
    "localhost", "onion", "test",
})  # fmt: skip


class Target(NamedTuple):
    """A URL that passed. `url` is canonical ASCII without a fragment; `literal` is the host if it is an address, without brackets."""

    url: str
    scheme: str
    host: str
    port: int
    literal: str | None

    @property
    def origin(self) -> tuple[str, str, int]:
        """Scheme, host and port."""
        return self.scheme, self.host, self.port


def check(url: str, policy: Policy) -> Target:
    """Return what `url` means. Raises Stop: `invalid_url` for what cannot be dialled, `ssrf_blocked` for what may not.

    An address in the URL is not judged here but where all addresses are.
    """
    if len(url) > MAX_URL_BYTES:
        raise Stop(Outcome.INVALID_URL, "too_long")
    plain = _plain(url, policy)
    if plain is not None:
        return plain
    if not url.isprintable() or " " in url or "\\" in url:
        raise Stop(Outcome.INVALID_URL, "characters")
    shape = _SHAPE.match(url)
    if shape is None:
        raise Stop(Outcome.INVALID_URL, _misshapen(url))
    try:
        href: str = ada_url.normalize_url(url).partition("#")[0]
    except ValueError:
        raise Stop(Outcome.INVALID_URL, "unparsable") from None
    if len(href) > MAX_URL_BYTES:
        raise Stop(Outcome.INVALID_URL, "too_long")
    written, port_text = shape["host"], shape["port"]
    if href != url:
        shape = _SHAPE.match(href)
        if shape is None:
            raise Stop(Outcome.INVALID_URL, "unparsable")
    scheme, host = shape["scheme"], shape["host"]
    port = int(port_text) if port_text else (443 if scheme == "https" else 80)
    if port not in PORTS and port not in policy.test_ports:
        raise Stop(Outcome.INVALID_URL if port > 65535 else Outcome.SSRF_BLOCKED, "port")
    if host[0] == "[" or _IPV4.fullmatch(host):  # the parser leaves no other spelling of an address
        if written.lower() != host:
            raise Stop(Outcome.SSRF_BLOCKED, "address_not_canonical")
        return Target(href, scheme, host, port, canonical(host.strip("[]")))
    _check_name(host)
    if policy.is_own_name(host):
        raise Stop(Outcome.SSRF_BLOCKED, "own_name")
    return Target(href, scheme, host, port, None)


def _plain(url: str, policy: Policy) -> Target | None:
    """Return what a URL of the most usual form means, if all is well with it; None leaves it to the long way."""
    plain = _PLAIN.fullmatch(url)
    if (
        plain is None or "/." in url or "xn--" in url
    ):  # the parser resolves dot segments, and IDNA is checked apart
        return None
    scheme, host, top, port_text = plain.groups()
    default = 443 if scheme == "https" else 80
    port = int(port_text) if port_text else default
    if port not in PORTS and port not in policy.test_ports:
        return None
    if port_text and port == default:  # the parser drops it
        return None
    if len(host) > _MAX_NAME or top in _INNER or policy.is_own_name(host):
        return None
    return Target(url, scheme, host, port, None)


def redirected(base: Target, location: str) -> str:
    """Return the URL that a `Location` header means, not yet checked. Raises Stop (`invalid_url`).

    One that names a host is handed on as it is written, so that `check` sees how. It would not, after a parser.
    """
    # Bytes beyond ASCII are escaped one by one: in a path this is what they mean, in a host the gate refuses it.
    location = "".join(c if c < "\x80" else f"%{ord(c):02X}" for c in location[: MAX_URL_BYTES + 1])
    if len(location) > MAX_URL_BYTES:
        raise Stop(Outcome.INVALID_URL, "too_long")
    if not location.isprintable() or " " in location or "\\" in location:
        raise Stop(Outcome.INVALID_URL, "characters")
    if location.startswith("//"):
        return f"{base.scheme}:{location}"
    if _ABSOLUTE.match(location):
        return location
    try:
        joined: str = ada_url.join_url(base.url, location)
    except ValueError:
        raise Stop(Outcome.INVALID_URL, "unparsable") from None
    return joined


def _check_name(host: str) -> None:
    """Raise Stop unless the name could be one in the public DNS."""
    name = _NAME.fullmatch(host)
    if name is None or len(host) > _MAX_NAME:
        inner = host.rstrip(".").rpartition(".")[2] in _INNER
        raise Stop(
            Outcome.SSRF_BLOCKED if inner else Outcome.INVALID_URL, "inner_name" if inner else "host_name"
        )
    if name[1] in _INNER:
        raise Stop(Outcome.SSRF_BLOCKED, "inner_name")
    if "xn--" in host and not _is_idna(host):
        raise Stop(Outcome.INVALID_URL, "host_name")


@lru_cache(maxsize=1024)
def _is_idna(host: str) -> bool:
    """Tell whether every `xn--` label stands for the Unicode that it says."""
    text = ada_url.idna_to_unicode(host)
    return "xn--" not in text and ada_url.idna_to_ascii(text) == host.encode()


def _misshapen(url: str) -> str:
    """Name what is wrong with a URL that the pattern refused."""
    scheme, found, rest = url.partition("://")
    if not found or not scheme.isascii() or scheme.lower() not in {"http", "https"}:
        return "scheme"
    authority = re.split("[/?#]", rest, maxsplit=1)[0]
    if "@" in authority:
        return "user_info"
    return "authority" if authority else "no_host"
