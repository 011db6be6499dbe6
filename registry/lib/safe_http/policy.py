"""What the door is told about the place it stands in. Nothing here comes from a request."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from ipaddress import ip_address
from pathlib import Path
from ssl import get_default_verify_paths
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from registry.lib.safe_http.addresses import canonical, judge
from registry.lib.safe_http.urls import PORTS

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True)
class Policy:
    """Names, name servers and exceptions. The default is that of a stranger on the public internet."""

    user_agent: str = "Expunge"
    name_servers: tuple[
        str, ...
    ] = ()  # `address` or `address:port`; none: those that the machine is set up with
    own_names: tuple[str, ...] = ()  # this site's; with everything below them they are never fetched
    test_targets: frozenset[tuple[str, int]] = (
        frozenset()
    )  # loopback (address, port) pairs that may be reached
    ca_file: str = ""  # whom to trust; none: the machine's certificates

    @classmethod
    def from_settings(cls) -> Policy:
        """The policy of this installation. Raises ValueError for settings that make no sense or are not allowed."""
        from django.conf import settings  # noqa: PLC0415  -- the rest of this package works without Django

        if settings.LINKS_TEST_TARGETS and settings.MODE == "production":
            raise ValueError("LINKS_TEST_TARGETS is for EXPUNGE_MODE=demo and test only")
        names = (urlsplit(settings.SITE_URL).hostname or "", *settings.ALLOWED_HOSTS)
        return cls(
            user_agent=f"Expunge (+{settings.SITE_URL})",
            name_servers=tuple(map(_name_server, settings.NAME_SERVERS)),
            own_names=tuple(name.lower().lstrip("*.").rstrip(".") for name in names),
            test_targets=read_test_targets(settings.LINKS_TEST_TARGETS),
        )

    @cached_property
    def test_ports(self) -> frozenset[int]:
        """Ports that a URL may name besides the usual ones."""
        return frozenset(port for _, port in self.test_targets)

    @cached_property
    def certificates(self) -> str:
        """The file of trusted certificates, or "" where the machine has none: then no HTTPS server is trusted."""
        found = self.ca_file or get_default_verify_paths().cafile or ""
        return found if Path(found).is_file() else ""

    @cached_property
    def _own(self) -> tuple[str, ...]:
        return tuple(f".{name}" for name in self.own_names if name)

    def is_own_name(self, host: str) -> bool:
        """Tell whether `host` is this site's name or below one."""
        return f".{host}".endswith(self._own)

    def refuses(self, address: str, port: int) -> str | None:
        """Return the rule that refuses to connect to `address` (canonical) and `port`, or None."""
        if self.test_targets and (address, port) in self.test_targets:
            return None
        return judge(address) or (None if port in PORTS else "port")


def read_test_targets(written: Iterable[str]) -> frozenset[tuple[str, int]]:
    """Read `127.0.0.1:8099` or `[::1]:8099`. Raises ValueError for anything that is not loopback."""
    targets = set()
    for text in written:
        address, port = endpoint(text)
        if port is None or not ip_address(address).is_loopback:
            raise ValueError(f"not a loopback address with a port: {text!r}")
        targets.add((address, port))
    return frozenset(targets)


def _name_server(text: str) -> str:
    """Check one of NAME_SERVERS and return it. Raises ValueError."""
    endpoint(text)
    return text


def endpoint(text: str) -> tuple[str, int | None]:
    """Read `address`, `address:port` or `[address]:port`. Raises ValueError."""
    found = _ENDPOINT.fullmatch(text.strip())
    if found is None or (found["port"] and not 0 < int(found["port"]) < 65536):
        raise ValueError(f"not an address, or an address with a port: {text!r}")
    return canonical(found["v6"] or found["bare"] or found["v4"]), int(found["port"]) if found[
        "port"
    ] else None


_ENDPOINT = re.compile(
    r"(?P<bare>[0-9a-f:]*:[0-9a-f:.]*:[0-9a-f.:]*)|(?:\[(?P<v6>[0-9a-f:.]+)\]|(?P<v4>[0-9.]+))(?::(?P<port>[0-9]{1,5}))?",
    re.IGNORECASE,
)
