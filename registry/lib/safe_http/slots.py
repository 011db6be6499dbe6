"""How many are under way at once, the others waiting in order."""

from __future__ import annotations

import asyncio
from collections import deque


class Slots:
    """So many slots as are `free`, in one event loop: `takes` one, or `wait` for it, and `leave` it in any case.

    An asyncio.Semaphore would take two coroutines where one is free.
    """

    def __init__(self, free: int) -> None:
        self._free = free
        self._waiting: deque[asyncio.Future[None]] = deque()

    def takes(self) -> bool:
        """Take a slot if one is free; else the caller has to `wait`."""
        if self._free > 0:
            self._free -= 1
            return True
        return False

    async def wait(self) -> None:
        """Wait until somebody who leaves hands a slot on."""
        mine = asyncio.get_running_loop().create_future()
        self._waiting.append(mine)
        try:
            await mine
        except asyncio.CancelledError:
            if not mine.cancelled():  # it was ours already; else `leave` passes it over
                self.leave()
            raise

    def leave(self) -> None:
        """Hand a slot to whoever waits longest, or keep it free."""
        while self._waiting and self._free >= 0:  # fewer are free after `overdraw`, until this takes it back
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        self._free += 1

    def overdraw(self) -> None:
        """Take a slot without waiting, for one that `leave` is about to be called for though it is not held any more."""
        self._free -= 1
