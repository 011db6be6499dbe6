"""Names to addresses, asked of the name servers by ourselves.

The C library's resolver is never used: it knows search domains, `/etc/hosts` and other sources, its answers cannot be
judged before somebody connects to them, and it blocks. Names are asked as fully qualified, by UDP with TCP where an
answer is too long for it, both address families at once.
"""

from __future__ import annotations

import asyncio
import socket
import time
from typing import TYPE_CHECKING

import aiodns
import pycares

from registry.lib.safe_http.addresses import canonical
from registry.lib.safe_http.results import Outcome, Stop

if TYPE_CHECKING:
    from collections.abc import Sequence

LOOKUP_SECONDS = 5.0
CACHE_SECONDS = 300.0
MAX_ANSWERS = 16
MAX_ALIASES = 8
CACHE_NAMES = 20_000

# The second try waits twice as long, and LOOKUP_SECONDS ends the third.
_TRY_SECONDS, _TRIES = 1.0, 3
_FLAGS = (
    pycares.ARES_FLAG_NOSEARCH  # no search domains
    | pycares.ARES_FLAG_NOALIASES  # nor the file that HOSTALIASES names
    | pycares.ARES_FLAG_NO_DFLT_SVR  # nor whoever listens on this machine
    | pycares.ARES_FLAG_EDNS
)
_DNS_ONLY = "b"  # no /etc/hosts
# c-ares would sort the answers by connecting a UDP socket to each of them, before they are judged. pycares has no name
# for this flag of ares_getaddrinfo.
_NO_SORT = 1 << 7
_OUTCOMES = {
    pycares.errno.ARES_ENOTFOUND: Outcome.DNS_NXDOMAIN,
    pycares.errno.ARES_ENODATA: Outcome.DNS_NODATA,
}

Addresses = tuple[str, ...]


class Resolver:
    """Looks names up and remembers the answers for as long as they say, five minutes at most.

    Belongs to the event loop in which it is made; `close` ends its channels.
    """

    def __init__(self, name_servers: Sequence[str] = ()) -> None:
        self._name_servers = list(name_servers)
        self._known: dict[str, tuple[float, Addresses]] = {}
        self._asking: dict[str, asyncio.Task[Addresses]] = {}
        # c-ares remembers answers too, for up to an hour, and cannot be told otherwise: so a channel is used for
        # CACHE_SECONDS. The one before it is kept until its last questions are over.
        self._channels: list[aiodns.DNSResolver] = []
        self._channel_until = 0.0

    async def close(self) -> None:
        """End all lookups."""
        for task in self._asking.values():
            task.cancel()
        for channel in self._channels:
            await channel.close()
        self._channels.clear()
        self._channel_until = 0.0

    def known(self, host: str) -> Addresses | None:
        """Return the addresses of `host` if they are remembered."""
        found = self._known.get(host)
        if found is None or found[0] <= time.monotonic():
            return None
        return found[1]

    async def addresses(self, host: str) -> Addresses:
        """Return the addresses of `host` (lower-case ASCII), IPv4 first, each in its canonical form.

        Raises Stop with `dns_nxdomain`, `dns_nodata` or `dns_failure`. Whoever asks for a name that is already being
        asked for waits for the same answer.
        """
        known = self.known(host)
        if known is not None:
            return known
        task = self._asking.get(host)
        if task is None:
            task = asyncio.create_task(self._ask(host))
            self._asking[host] = task
            task.add_done_callback(lambda _: self._asking.pop(host, None))
        # One waiter's cancellation must not take the answer from the others.
        return await asyncio.shield(task)

    async def _ask(self, host: str) -> Addresses:
        try:
            async with asyncio.timeout(LOOKUP_SECONDS):
                found = await (await self._channel()).getaddrinfo(
                    f"{host}.", family=socket.AF_UNSPEC, type=socket.SOCK_STREAM, flags=_NO_SORT
                )
        except TimeoutError:
            raise Stop(Outcome.DNS_FAILURE, "dns_timeout") from None
        except aiodns.error.DNSError as error:
            number = error.args[0]
            outcome = _OUTCOMES.get(number, Outcome.DNS_FAILURE)
            name = str(pycares.errno.errorcode.get(number, number)).removeprefix("ARES_E").lower()
            raise Stop(outcome, f"dns_{name}") from None
        if len(found.nodes) > MAX_ANSWERS:
            raise Stop(Outcome.DNS_FAILURE, "dns_too_many_answers")
        if len(found.cnames) > MAX_ALIASES:
            raise Stop(Outcome.DNS_FAILURE, "dns_too_many_aliases")
        nodes = sorted(
            found.nodes, key=lambda node: node.family != socket.AF_INET
        )  # stable: the server's order
        addresses = tuple(dict.fromkeys(canonical(node.addr[0].decode()) for node in nodes))
        if not addresses:
            raise Stop(Outcome.DNS_NODATA, "dns_nodata")
        lifetimes = [node.ttl for node in nodes] + [alias.ttl for alias in found.cnames]
        self._remember(host, addresses, min(*lifetimes, CACHE_SECONDS))
        return addresses

    def _remember(self, host: str, addresses: Addresses, seconds: float) -> None:
        if seconds <= 0:
            return
        self._known.pop(host, None)
        while len(self._known) >= CACHE_NAMES:
            del self._known[next(iter(self._known))]  # the one that was asked for first
        self._known[host] = time.monotonic() + seconds, addresses

    async def _channel(self) -> aiodns.DNSResolver:
        now = time.monotonic()
        if now >= self._channel_until:
            self._channel_until = now + CACHE_SECONDS
            retired, self._channels = self._channels[:-1], self._channels[-1:]
            self._channels.append(
                aiodns.DNSResolver(
                    nameservers=self._name_servers or None,
                    timeout=_TRY_SECONDS,
                    tries=_TRIES,
                    flags=_FLAGS,
                    lookups=_DNS_ONLY,
                )
            )
            for channel in retired:
                await channel.close()
        return self._channels[-1]
