"""From a request to a result: the gate, the names, the judgement, the dial, and all of it again for each redirect."""

from __future__ import annotations

import asyncio
import logging
from contextlib import nullcontext
from time import monotonic
from typing import TYPE_CHECKING, Self

from registry.lib.safe_http.crowds import CROWDED
from registry.lib.safe_http.policy import Policy
from registry.lib.safe_http.resolver import Resolver
from registry.lib.safe_http.results import (
    REDIRECTS,
    Headers,
    Hop,
    Outcome,
    Refused,
    Request,
    Response,
    Stop,
    header_lines,
)
from registry.lib.safe_http.slots import Slots
from registry.lib.safe_http.transfers import Transfers
from registry.lib.safe_http.urls import check, redirected

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType

    from registry.lib.safe_http.crowds import Crowds
    from registry.lib.safe_http.handles import Answer
    from registry.lib.safe_http.resolver import Addresses
    from registry.lib.safe_http.urls import Target

    BeforeDial = Callable[[str], str | Awaitable[str | None] | None]

logger = logging.getLogger(__name__)

CONCURRENCY = 256
_POOL = 2  # connections, in use and kept, for each request under way
_MAX_TRIED = 3  # addresses of one host
# What the caller set goes along to another origin only where it cannot be a secret.
_TO_ELSEWHERE = frozenset({"accept", "accept-language", "range", "user-agent"})
_NEXT_ADDRESS = frozenset({Outcome.CONNECT_REFUSED, Outcome.CONNECT_TIMEOUT})


class Client:
    """Many requests in flight on one event loop; an async context manager.

    `concurrency` is how many are under way at once, the others wait in `fetch`; one that waits uses none of its time.
    Each takes one socket, and as many connections are kept for hosts that are asked again.

    `before_dial(url)` is called immediately before each connection is used, redirects and further addresses of a host
    included. It gets the URL as the request has it, or for a redirect as it is dialled, and returns None, or the name of
    the rule why not, which ends the fetch as `policy_no_fetch`. It must not block; it may return an awaitable.

    With `crowds` one address gets but a few requests at once, whatever names lead there. Who waits for a place uses none
    of its time and leaves its slot to others; who gets none ends as `policy_no_fetch`, by the rule `crowded`.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        concurrency: int = CONCURRENCY,
        before_dial: BeforeDial | None = None,
        crowds: Crowds | None = None,
    ) -> None:
        self._policy = policy
        self._concurrency = concurrency
        self._before_dial = before_dial
        self._crowds = crowds

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._slots = Slots(self._concurrency)
        self._resolver = Resolver(self._policy.name_servers)
        self._lookup_seconds = self._resolver.longest(self._concurrency)
        self._transfers = Transfers(self._policy, pool_size=_POOL * self._concurrency)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._transfers.close()
        await self._resolver.close()

    async def fetch(self, request: Request) -> Response | Refused:
        """Ask, following redirects of GET and HEAD, and return what came of it.

        Raises nothing for what others do; OSError when this process cannot open more sockets.
        """
        if not self._slots.takes():
            await self._slots.wait()
        began = monotonic()
        deadline = began + request.limits.total_seconds
        hops: list[Hop] = []
        try:
            target = check(request.url, self._policy)
            address, answer = await self._reach(target, request.url, request, request.lines, deadline)
            if answer.status in REDIRECTS and request.limits.redirects and request.method != "POST":
                target, address, answer = await self._follow(
                    target, address, answer, request=request, hops=hops, deadline=deadline
                )
        except Stop as stop:
            if stop.outcome in {Outcome.SSRF_BLOCKED, Outcome.INVALID_URL}:
                logger.info("an outgoing request was refused: %s %s", stop.outcome, stop.rule)
            return Refused(stop.outcome, stop.rule, tuple(hops), monotonic() - began)
        finally:
            self._slots.leave()
        return Response(
            target.url,
            answer.status,
            Headers(answer.head),
            answer.body,
            answer.cut,
            address,
            tuple(hops),
            monotonic() - began,
        )

    async def _follow(
        self,
        first: Target,
        address: str,
        answer: Answer,
        *,
        request: Request,
        hops: list[Hop],
        deadline: float,
    ) -> tuple[Target, str, Answer]:
        """The last hop's target, address and answer; the hops before it are added to `hops`. Raises Stop."""
        target = first
        seen = {target.url}
        while answer.status in REDIRECTS:
            location = _location(answer)
            if location is None:
                break
            hops.append(Hop(target.url, answer.status))
            if len(hops) > request.limits.redirects:
                raise Stop(Outcome.REDIRECT_LOOP, "too_many")
            target = check(redirected(target, location), self._policy)
            if target.url in seen:  # without cookies it would only go round
                raise Stop(Outcome.REDIRECT_LOOP, "again")
            seen.add(target.url)
            lines = request.lines
            if target.origin != first.origin:
                away = ((k, v) for k, v in request.headers.items() if k.lower() in _TO_ELSEWHERE)
                lines = header_lines(request.method, tuple(away))
            address, answer = await self._reach(target, target.url, request, lines, deadline)
        return target, address, answer

    async def _reach(
        self, target: Target, url: str, request: Request, lines: list[str], deadline: float
    ) -> tuple[str, Answer]:
        """One hop: the address that answered, and its answer. Raises Stop."""
        addresses = (target.literal,) if target.literal else self._resolver.known(target.host)
        if addresses is None:
            addresses = await self._looked_up(target.host, deadline)
        for address in addresses:  # one bad answer refuses all
            rule = self._policy.refuses(address, target.port)
            if rule is not None:
                raise Stop(Outcome.SSRF_BLOCKED, rule)
        for tried, address in enumerate(addresses[:_MAX_TRIED], 1):
            if self._crowds is not None and not self._crowds.takes(address):
                deadline += await self._place(self._crowds, address)
            try:
                if self._before_dial is not None:
                    await self._last_look(self._before_dial(url))
                handle = self._transfers.dial(
                    target, address, request=request, lines=lines, seconds=self._left(deadline)
                )
                try:
                    answer = await handle.done
                except asyncio.CancelledError:
                    self._transfers.abandon(handle)
                    raise
            except Stop as stop:
                # Nothing was sent yet, so even a POST may try elsewhere.
                if stop.outcome not in _NEXT_ADDRESS or tried == min(len(addresses), _MAX_TRIED):
                    raise
            else:
                return address, answer
            finally:
                if self._crowds is not None:
                    self._crowds.leave(address)
        raise AssertionError("a host has an address")  # pragma: no cover

    @staticmethod
    async def _last_look(said: str | Awaitable[str | None] | None) -> None:
        """Heed what `before_dial` said. Raises Stop."""
        rule = said if said is None or isinstance(said, str) else await said
        if rule is not None:
            raise Stop(Outcome.POLICY_NO_FETCH, rule)

    async def _place(self, crowds: Crowds, address: str) -> float:
        """Wait for a place at an address, without a slot meanwhile; returns the seconds. Raises Stop where there is none."""
        began = monotonic()
        self._slots.leave()
        try:
            found = await crowds.wait(address)
        except asyncio.CancelledError:
            self._slots.overdraw()  # for `fetch` leaves it again
            raise
        try:
            if not self._slots.takes():
                await self._slots.wait()
        except asyncio.CancelledError:
            self._slots.overdraw()
            if found:
                crowds.leave(address)
            raise
        if not found:
            raise Stop(Outcome.POLICY_NO_FETCH, CROWDED)
        return monotonic() - began

    async def _looked_up(self, host: str, deadline: float) -> Addresses:
        """The addresses of a name, not yet judged. Raises Stop."""
        left = self._left(deadline)
        try:  # a lookup has a limit of its own, so mostly none is needed here
            async with asyncio.timeout(left) if left < self._lookup_seconds else nullcontext():
                return await self._resolver.addresses(host)
        except TimeoutError:
            raise Stop(Outcome.DNS_FAILURE, "dns_timeout") from None

    def _left(self, deadline: float) -> float:
        """Seconds until `deadline`. Raises Stop when there are none."""
        left = deadline - monotonic()
        if left <= 0:
            raise Stop(Outcome.READ_TIMEOUT, "total")
        return left


def fetch(
    request: Request, *, policy: Policy | None = None, before_dial: BeforeDial | None = None
) -> Response | Refused:
    """Ask once; see `Client.fetch`. `policy` is the installation's unless given.

    Raises RuntimeError within an event loop, which it would block.
    """
    if _in_a_loop():
        raise RuntimeError("within an event loop use Client: this would block it")

    async def once() -> Response | Refused:
        async with Client(policy or Policy.from_settings(), concurrency=1, before_dial=before_dial) as client:
            return await client.fetch(request)

    return asyncio.run(once())


def _in_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _location(answer: Answer) -> str | None:
    """Where an answer redirects to, or None. An answer that names several never comes this far."""
    return Headers(answer.head).get("location") or None
