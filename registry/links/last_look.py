"""The last look before a connection, whether its URL is excluded by now.

The database is asked in a thread of its own, for every URL immediately before it is dialled. Those that come while an
answer is under way are asked together when it is there: so many links at once cost few statements, and one link waits no
longer than two of them take.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from registry.links.exclusion import excluded_urls

if TYPE_CHECKING:
    from collections.abc import Mapping
    from concurrent.futures import Executor

    from registry.links.exclusion import Key

RULE = "excluded"


class LastLook:
    """A `before_dial` of the door, in one event loop. If the database does not answer, it raises what that raised.

    `recorded` are keys of URLs besides their own, `database` the one thread that asks.
    """

    def __init__(self, database: Executor, recorded: Mapping[str, set[Key]]) -> None:
        self._database = database
        self._recorded = recorded
        self._waiting: list[tuple[str, asyncio.Future[str | None]]] = []
        self._asking: asyncio.Task[None] | None = None

    def __call__(self, url: str) -> asyncio.Future[str | None]:
        """Return what will be None, or the rule why the URL must not be contacted."""
        answer: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self._waiting.append((url, answer))
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask())
        return answer

    async def _ask(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            asked, self._waiting = self._waiting, []
            urls = {url for url, _ in asked}
            try:
                found = await loop.run_in_executor(self._database, excluded_urls, urls, self._recorded)
            except Exception as error:  # noqa: BLE001  -- each of those who wait raises it
                for _, answer in asked:
                    if not answer.done():
                        answer.set_exception(error)
                continue
            for url, answer in asked:
                if not answer.done():  # else its fetch was given up
                    answer.set_result(RULE if url in found else None)
        self._asking = None
