"""The last look before a connection, whether its URL is excluded by now or its host has opted out.

The database is asked in a thread of its own, for every URL immediately before it is dialled. Those that come while an
answer is under way, or within a hundredth of a second, are asked together: so many links at once cost few statements, and
one link waits little longer than two of them take.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from django.db import connection

from expunge.keys import url_host
from registry.links.exclusion import excluded_urls

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping
    from concurrent.futures import Executor

    from registry.links.exclusion import Key

EXCLUDED = "excluded"
OPTED_OUT = "opted_out"
GATHER_SECONDS = 0.01  # before each statement: what is dialled is asked about right before, and with others


class LastLook:
    """A `before_dial` of the door, in one event loop. If the database does not answer, it raises what that raised.

    `recorded` are keys of URLs besides their own, `database` the one thread that asks; `opted_out(names)` are those of
    these hosts that opted out.
    """

    def __init__(
        self,
        database: Executor,
        recorded: Mapping[str, set[Key]],
        opted_out: Callable[[Collection[str]], set[str]] = lambda _names: set(),
    ) -> None:
        self._database = database
        self._recorded = recorded
        self._opted_out = opted_out
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
            await asyncio.sleep(GATHER_SECONDS)
            asked, self._waiting = self._waiting, []
            urls = {url for url, _ in asked}
            try:
                rules = await loop.run_in_executor(self._database, self._rules, urls)
            except Exception as error:  # noqa: BLE001  -- each of those who wait raises it
                for _, answer in asked:
                    if not answer.done():
                        answer.set_exception(error)
                continue
            for url, answer in asked:
                if not answer.done():  # else its fetch was given up
                    answer.set_result(rules.get(url))
        self._asking = None

    def _rules(self, urls: set[str]) -> dict[str, str]:
        """Of these URLs, those that must not be contacted, each with the rule why."""
        found = dict.fromkeys(excluded_urls(urls, self._recorded), EXCLUDED)
        hosts = {url: url_host(url) or "" for url in urls}
        out = self._opted_out(set(hosts.values()))
        return {url: OPTED_OUT for url, host in hosts.items() if host in out} | found


def hosts_opted_out(names: Collection[str]) -> set[str]:
    """Of these hosts, those that opted out by now, by themselves or by a host above that spoke for its subdomains."""
    above = {name: set(_above(name)) for name in names}
    with connection.cursor() as cursor:
        cursor.execute(_OPTED_OUT, [list(set(names).union(*above.values()))])
        out = dict(cursor.fetchall())
    covering = {name for name, covers in out.items() if covers}
    return {name for name in names if name in out or not covering.isdisjoint(above[name])}


def _above(name: str) -> Iterator[str]:
    """The host without its final dot, and the hosts above it."""
    rest = name.removesuffix(".")
    while rest:
        if rest != name:
            yield rest
        rest = rest.partition(".")[2]


_OPTED_OUT = (
    "SELECT name, covers_subdomains FROM registry_host WHERE name = ANY(%s) AND opted_out_at IS NOT NULL"
)
