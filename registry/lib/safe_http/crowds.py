"""How many requests one address gets at once, whatever names lead there.

Being polite to each host is not being polite to a machine: whoever points a thousand names at somebody's address would
have us ask all of them at a time. So an address has a few places, and who finds them taken waits.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field

AT_ONCE = 4
APART = 0.05  # seconds between the beginnings of two requests, but that those at once may begin together
CROWDED = "crowded"  # the rule by which a request is refused that found no place in time


@dataclass(slots=True)
class _Places:
    """Those of one address: how many are taken, when the next request may begin, and who waits."""

    taken: int = 0
    next_at: float = 0.0
    waiting: deque[asyncio.Future[None]] = field(default_factory=deque)
    wakes: bool = False


class Crowds:
    """The places of all addresses, in one event loop. At `closes`, a time of that loop, waiting ends for everybody.

    `sharers` processes may ask at a time, which know nothing of each other: each then keeps to its share of AT_ONCE,
    which is one at least, and of how many may begin in a second.
    """

    def __init__(self, closes: float, *, sharers: int = 1) -> None:
        self._closes = closes
        self._at_once = max(1, AT_ONCE // sharers)
        self._apart = APART * sharers
        self._loop = asyncio.get_running_loop()
        self._addresses: dict[str, _Places] = {}

    def takes(self, address: str) -> bool:
        """Take a place if one is free and nobody waits for it; else the caller has to `wait`."""
        places = self._addresses.get(address)
        if places is None:
            places = self._addresses[address] = _Places()
        return not places.waiting and self._take(places) <= 0

    async def wait(self, address: str) -> bool:
        """Wait for a place; returns whether there was one in time."""
        places = self._addresses[address]
        mine = self._loop.create_future()
        places.waiting.append(mine)
        self._hand_on(places)
        try:
            async with asyncio.timeout_at(self._closes):
                await mine
        except (TimeoutError, asyncio.CancelledError) as end:
            if not mine.cancelled():  # it was there in the same moment
                self.leave(address)
            if isinstance(end, TimeoutError):
                return False
            raise
        return True

    def leave(self, address: str) -> None:
        """Give a place back."""
        places = self._addresses[address]
        places.taken -= 1
        if places.waiting:
            self._hand_on(places)

    def _take(self, places: _Places) -> float:
        """Take a place, or return how many seconds to try again after: infinitely many when all are taken."""
        if places.taken >= self._at_once:
            return float("inf")
        now = self._loop.time()
        begins = max(places.next_at, now)
        early = begins - now - (self._at_once - 1) * self._apart
        if early > 0:
            return early
        places.taken += 1
        places.next_at = begins + self._apart
        return 0.0

    def _hand_on(self, places: _Places) -> None:
        """Give places to those who wait longest."""
        while places.waiting:
            if places.waiting[0].done():  # it was given up
                places.waiting.popleft()
                continue
            seconds = self._take(places)
            if seconds > 0:
                if seconds < float("inf") and not places.wakes:
                    places.wakes = True
                    self._loop.call_later(seconds, self._wake, places)
                return
            places.waiting.popleft().set_result(None)

    def _wake(self, places: _Places) -> None:
        places.wakes = False
        self._hand_on(places)
