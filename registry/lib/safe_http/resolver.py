"""Names to addresses, asked of the name servers by ourselves.

The C library's resolver is never used: it knows search domains, `/etc/hosts` and other sources, its answers cannot be
judged before somebody connects to them, and it blocks. Names are asked as fully qualified, by UDP with TCP where an
answer is too long for it, both address families at once.

c-ares writes and reads the messages. It works in the event loop, never in a thread of its own: that thread would wait for
the interpreter with every answer, and what waits so on a busy machine is given up as not answered.
"""

from __future__ import annotations

import asyncio
import socket
import time
from functools import partial
from math import ceil
from typing import TYPE_CHECKING

import pycares

from registry.lib.safe_http.addresses import canonical
from registry.lib.safe_http.results import Outcome, Stop
from registry.lib.safe_http.slots import Slots

if TYPE_CHECKING:
    from collections.abc import Sequence

LOOKUP_SECONDS = 5.0
CACHE_SECONDS = 300.0
MAX_ANSWERS = 16
MAX_ALIASES = 8
CACHE_NAMES = 20_000
# Names asked for at once, two questions each. Their answers fit into the receive buffer that Linux gives a UDP socket
# (some 270 of these packets): of more, those that come while this process is busy would be lost.
IN_FLIGHT = 100

# The second try waits twice as long, and LOOKUP_SECONDS ends the third.
_TRY_SECONDS, _TRIES = 1.0, 3
_TICK_SECONDS = 0.25
_FLAGS = (
    pycares.ARES_FLAG_NOSEARCH  # no search domains
    | pycares.ARES_FLAG_NOALIASES  # nor the file that HOSTALIASES names
    | pycares.ARES_FLAG_NO_DFLT_SVR  # nor whoever listens on this machine
    | pycares.ARES_FLAG_EDNS
)
_DNS_ONLY = "b"  # no /etc/hosts
_MAKINGS = 10  # of a channel until it is one that works
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
        self._slots = Slots(IN_FLIGHT)
        # c-ares remembers answers too, for up to an hour and however many, and cannot be told otherwise: so a channel is
        # used for CACHE_SECONDS and CACHE_NAMES. Those before it are kept until their last questions are over.
        self._channels: list[_Channel] = []
        self._channel_until = 0.0
        self._closed = False

    async def close(self) -> None:
        """End all lookups, also those that somebody asks for afterwards: whoever waits is cancelled."""
        self._closed = True
        for task in self._asking.values():
            task.cancel()
        for channel in self._channels:
            channel.close()

    @staticmethod
    def longest(lookups: int) -> float:
        """How many seconds the last of so many lookups may take, which wait for each other."""
        return LOOKUP_SECONDS * ceil(lookups / IN_FLIGHT)

    def known(self, host: str) -> Addresses | None:
        """Return the addresses of `host` if they are remembered."""
        found = self._known.get(host)
        if found is None or found[0] <= time.monotonic():
            return None
        return found[1]

    async def addresses(self, host: str) -> Addresses:
        """Return the addresses of `host` (lower-case ASCII), IPv4 first, each in its canonical form.

        Raises Stop with `dns_nxdomain`, `dns_nodata` or `dns_failure`, and OSError when this process cannot open another
        socket. Whoever asks for a name that is already being asked for waits for the same answer.
        """
        known = self.known(host)
        if known is not None:
            return known
        task = self._asking.get(host)
        if task is None:
            task = asyncio.create_task(self._ask(host))
            self._asking[host] = task
            task.add_done_callback(partial(self._asked, host))
        # One waiter's cancellation must not take the answer from the others.
        return await asyncio.shield(task)

    def _asked(self, host: str, task: asyncio.Task[Addresses]) -> None:
        self._asking.pop(host, None)
        if not task.cancelled():
            task.exception()  # where all who waited gave up, asyncio would log it as one that nobody looked at

    async def _ask(self, host: str) -> Addresses:
        if not self._slots.takes():
            await self._slots.wait()
        try:  # the time to wait for an answer begins when the name is asked for
            async with asyncio.timeout(LOOKUP_SECONDS):
                found = await self._channel().lookup(host)
        except TimeoutError:
            raise Stop(Outcome.DNS_FAILURE, "dns_timeout") from None
        except pycares.AresError as error:
            number = error.args[0]
            if number not in _OUTCOMES:
                socket.socket().close()  # raises OSError where that is why
            outcome = _OUTCOMES.get(number, Outcome.DNS_FAILURE)
            name = str(pycares.errno.errorcode.get(number, number)).removeprefix("ARES_E").lower()
            raise Stop(outcome, f"dns_{name}") from None
        finally:
            self._slots.leave()
        if len(found.nodes) > MAX_ANSWERS:
            raise Stop(Outcome.DNS_FAILURE, "dns_too_many_answers")
        if len(found.cnames) > MAX_ALIASES:
            raise Stop(Outcome.DNS_FAILURE, "dns_too_many_aliases")
        # Stable: else in the server's order.
        nodes = sorted(found.nodes, key=lambda node: node.family != socket.AF_INET)
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

    def _channel(self) -> _Channel:
        if self._closed:
            raise asyncio.CancelledError
        now = time.monotonic()
        if now >= self._channel_until or self._channels[-1].asked >= CACHE_NAMES:
            self._channels.append(_Channel(self._name_servers))
            self._channel_until = now + CACHE_SECONDS
            for channel in self._channels[:-1]:
                if not channel.waiting:
                    channel.close()
                    self._channels.remove(channel)
        return self._channels[-1]


class _Channel:
    """A channel of c-ares whose sockets the event loop watches; it counts its lookups and knows those not yet answered."""

    def __init__(self, name_servers: Sequence[str]) -> None:
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._sockets: set[int] = set()
        self.asked = 0
        self.waiting: set[asyncio.Future[pycares.AddrInfoResult]] = set()
        # pycares frees the memory with `lookups` before c-ares copies it. Nearly always it is still as it was.
        for _ in range(_MAKINGS):
            self._cares = pycares.Channel(
                servers=name_servers or None,
                timeout=_TRY_SECONDS,
                tries=_TRIES,
                flags=_FLAGS,
                lookups=_DNS_ONLY,
                sock_state_cb=self._watch,
            )
            if self._asks_servers():
                break

    def _asks_servers(self) -> bool:
        """Whether it looks names up at all. It is tried by what is no name, for which nobody is asked."""
        said: list[int | None] = []
        self._cares.getaddrinfo(
            "a..b.", None, family=socket.AF_UNSPEC, callback=lambda _, error: said.append(error)
        )
        return said != [pycares.errno.ARES_ECONNREFUSED]

    def close(self) -> None:
        """End all lookups."""
        self._cares.cancel()  # closes the sockets with the questions
        self._cares.close()
        if self._timer is not None:
            self._timer.cancel()
        for descriptor in list(self._sockets):
            self._watch(descriptor, readable=False, writable=False)

    def lookup(self, host: str) -> asyncio.Future[pycares.AddrInfoResult]:
        """Ask for the addresses of `host`. The future raises AresError."""
        answer: asyncio.Future[pycares.AddrInfoResult] = self._loop.create_future()

        def take(found: pycares.AddrInfoResult | None, error: int | None) -> None:
            self.waiting.discard(answer)
            if answer.done():  # given up
                return
            if found is None or error is not None:
                answer.set_exception(pycares.AresError(error))
            else:
                answer.set_result(found)

        self.asked += 1
        self.waiting.add(answer)
        try:
            self._cares.getaddrinfo(
                f"{host}.",
                None,
                family=socket.AF_UNSPEC,
                type=socket.SOCK_STREAM,
                flags=_NO_SORT,
                callback=take,
            )
        except pycares.AresError as error:  # it is no name at all; `take` may have been told already
            take(None, error.args[0])
        return answer

    def _watch(self, descriptor: int, readable: bool, writable: bool) -> None:  # noqa: FBT001  -- c-ares calls it so
        """C-ares says what it waits for on one of its sockets."""
        bad = pycares.ARES_SOCKET_BAD
        if readable:
            self._loop.add_reader(descriptor, self._cares.process_fd, descriptor, bad)
            self._sockets.add(descriptor)
        else:
            self._loop.remove_reader(descriptor)
        if writable:
            self._loop.add_writer(descriptor, self._cares.process_fd, bad, descriptor)
            self._sockets.add(descriptor)
        else:
            self._loop.remove_writer(descriptor)
        if not readable and not writable:
            self._sockets.discard(descriptor)
        elif self._timer is None:
            self._timer = self._loop.call_later(_TICK_SECONDS, self._tick)

    def _tick(self) -> None:
        """Let c-ares ask again what was not answered in time."""
        self._timer = None
        if self._sockets:
            self._cares.process_fd(pycares.ARES_SOCKET_BAD, pycares.ARES_SOCKET_BAD)
            if self._sockets and self._timer is None:
                self._timer = self._loop.call_later(_TICK_SECONDS, self._tick)
