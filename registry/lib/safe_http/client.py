"""From a request to a result: the gate, the names, the judgement, the dial, and all of it again for each redirect."""

from __future__ import annotations

import asyncio
import logging
from contextlib import nullcontext
from typing import TYPE_CHECKING, Self

from registry.lib.safe_http.policy import Policy
from registry.lib.safe_http.resolver import LOOKUP_SECONDS, Resolver
from registry.lib.safe_http.results import Headers, Hop, Outcome, Refused, Request, Response, Stop
from registry.lib.safe_http.transfers import Transfers
from registry.lib.safe_http.urls import check, redirected

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from registry.lib.safe_http.handles import Answer
    from registry.lib.safe_http.resolver import Addresses
    from registry.lib.safe_http.urls import Target

    BeforeDial = Callable[[str], str | None]

logger = logging.getLogger(__name__)

CONCURRENCY = 256
_POOL = 2  # connections, in use and kept, for each request under way
_MAX_TRIED = 3  # addresses of one host
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
# What the caller set goes along to another origin only where it cannot be a secret.
_TO_ELSEWHERE = frozenset({"accept", "accept-language", "range", "user-agent"})
# libcurl's own: without these lines it would send some of them with values of its choice.
_ALWAYS = {"accept": "Accept: */*", "accept-encoding": "Accept-Encoding: identity"}
_POST_ONLY = {"expect": "Expect:", "content-type": "Content-Type: application/octet-stream"}
_NEXT_ADDRESS = frozenset({Outcome.CONNECT_REFUSED, Outcome.CONNECT_TIMEOUT})


class Client:
    """Many requests in flight on one event loop; an async context manager.

    `concurrency` is how many are under way at once, the others wait in `fetch`; one that waits uses none of its time.
    Each takes one socket, and as many connections are kept for hosts that are asked again.

    `before_dial(url)` is called immediately before each connection is used, redirects and further addresses of a host
    included. It gets the URL as the request has it, or for a redirect as it is dialled, and returns None, or the name of
    the rule why not, which ends the fetch as `policy_no_fetch`. It must not block.
    """

    def __init__(
        self, policy: Policy, *, concurrency: int = CONCURRENCY, before_dial: BeforeDial | None = None
    ) -> None:
        self._policy = policy
        self._concurrency = concurrency
        self._before_dial = before_dial
        self._header_lines: dict[tuple[tuple[str, str], ...], list[str]] = {}

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._slots = asyncio.Semaphore(self._concurrency)
        self._resolver = Resolver(self._policy.name_servers)
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
        async with self._slots:
            began = self._loop.time()
            hops: list[Hop] = []
            try:
                target, address, answer = await self._follow(
                    request, hops, began + request.limits.total_seconds
                )
            except Stop as stop:
                if stop.outcome in {Outcome.SSRF_BLOCKED, Outcome.INVALID_URL}:
                    logger.info("an outgoing request was refused: %s %s", stop.outcome, stop.rule)
                return Refused(stop.outcome, stop.rule, tuple(hops), self._loop.time() - began)
            return Response(
                url=target.url,
                status=answer.status,
                headers=Headers(answer.head),
                body=answer.body,
                cut=answer.cut,
                address=address,
                hops=tuple(hops),
                seconds=self._loop.time() - began,
            )

    async def _follow(self, request: Request, hops: list[Hop], deadline: float) -> tuple[Target, str, Answer]:
        """The last hop's target, address and answer; the hops before it are added to `hops`. Raises Stop."""
        url = request.url
        target = first = check(url, self._policy)
        seen = {target.url}
        may_follow = request.limits.redirects if request.method != "POST" else 0
        while True:
            headers = request.headers
            if target is not first and target.origin != first.origin:
                headers = {k: v for k, v in headers.items() if k.lower() in _TO_ELSEWHERE}
            address, answer = await self._reach(target, url, request, headers, deadline)
            if not may_follow or answer.status not in _REDIRECTS:
                return target, address, answer
            location = _location(answer)
            if location is None:
                return target, address, answer
            hops.append(Hop(target.url, answer.status))
            if len(hops) > may_follow:
                raise Stop(Outcome.REDIRECT_LOOP, "too_many")
            target = check(redirected(target, location), self._policy)
            url = target.url
            if url in seen:  # without cookies it would only go round
                raise Stop(Outcome.REDIRECT_LOOP, "again")
            seen.add(url)

    async def _reach(
        self, target: Target, url: str, request: Request, headers: Mapping[str, str], deadline: float
    ) -> tuple[str, Answer]:
        """One hop: the address that answered, and its answer. Raises Stop."""
        addresses = await self._judged(target, deadline)
        lines = self._lines(request, headers)
        for tried, address in enumerate(addresses[:_MAX_TRIED], 1):
            if self._before_dial is not None:
                rule = self._before_dial(url)
                if rule is not None:
                    raise Stop(Outcome.POLICY_NO_FETCH, rule)
            try:
                answer = await self._transfers.dial(
                    target,
                    address,
                    method=request.method,
                    headers=lines,
                    body=request.body,
                    limits=request.limits,
                    seconds=self._left(deadline),
                )
            except Stop as stop:
                # Nothing was sent yet, so even a POST may try elsewhere.
                if stop.outcome not in _NEXT_ADDRESS or tried == min(len(addresses), _MAX_TRIED):
                    raise
            else:
                return address, answer
        raise AssertionError("a host has an address")  # pragma: no cover

    async def _judged(self, target: Target, deadline: float) -> Addresses:
        """Every address of the target, all of which may be reached. Raises Stop: one bad answer refuses all."""
        if target.literal is not None:
            addresses: Addresses | None = (target.literal,)
        else:
            addresses = self._resolver.known(target.host)
        if addresses is None:
            left = self._left(deadline)
            try:  # a lookup has a limit of its own, so mostly none is needed here
                async with asyncio.timeout(left) if left < LOOKUP_SECONDS else nullcontext():
                    addresses = await self._resolver.addresses(target.host)
            except TimeoutError:
                raise Stop(Outcome.DNS_FAILURE, "dns_timeout") from None
        for address in addresses:
            rule = self._policy.refuses(address, target.port)
            if rule is not None:
                raise Stop(Outcome.SSRF_BLOCKED, rule)
        return addresses

    def _left(self, deadline: float) -> float:
        """Seconds until `deadline`. Raises Stop when there are none."""
        left = deadline - self._loop.time()
        if left <= 0:
            raise Stop(Outcome.READ_TIMEOUT, "total")
        return left

    def _lines(self, request: Request, headers: Mapping[str, str]) -> list[str]:
        """The header lines to send; the same list for the same headers, which a transfer then need not set again."""
        key = (("method", request.method), *headers.items())
        lines = self._header_lines.get(key)
        if lines is None:
            if len(self._header_lines) >= CONCURRENCY:
                self._header_lines.clear()
            wanted = {**_ALWAYS, **(_POST_ONLY if request.method == "POST" else {})}
            wanted |= {name.lower(): f"{name}: {value}" for name, value in headers.items()}
            lines = self._header_lines[key] = list(wanted.values())
        return lines


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
