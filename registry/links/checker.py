"""Asking the links of a batch, politely.

Each host is asked by one task of the event loop: one request at a time, `delay` apart, its robots.txt first. Redirects
are not followed by the door but here, a round later, for the next hop is a request like any other: it waits for its
host, whose robots.txt and opt-out hold, and which must not be another worker's just now.

1. In each round every host gets the URLs that are to be asked of it: first the links, then where they redirected to.
2. `HEAD` first. Where a host will not answer that (403, 404, 405, 501, 5xx, silence), one `GET` for a single byte.
3. Immediately before every connection the URL's keys are looked up once more: an excluded link is never contacted.
4. A host that asks us to come later, or is silent three times, is left alone; what was not asked stays due.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import connection
from django.utils import timezone

from expunge.keys import url_host
from registry.lib.safe_http import (
    Client,
    Hop,
    Limits,
    Policy,
    Refused,
    Request,
    Response,
    Stop,
    check,
    redirected,
)
from registry.lib.safe_http import Outcome as Failure
from registry.links import robots
from registry.links.content.pictures import Pictures
from registry.links.content.reading import WHOLE_AT_ONCE, Contents, Reader
from registry.links.content.states import Evidence, Unread
from registry.links.content.store import content_may_be_read, content_plans, host_signatures
from registry.links.last_look import LastLook
from registry.links.models import MAX_DELAY
from registry.links.outcomes import Outcome, seen
from registry.links.schedule import Attempt, batch_record, hosts_take
from registry.links.states import ALIVE, MOVED, TROUBLE, LinkState, Standing, after

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import datetime

    from registry.links.content.reading import Plan
    from registry.links.content.states import Reading
    from registry.links.exclusion import Key
    from registry.links.models import Host, Link
    from registry.links.outcomes import Seen
    from registry.links.schedule import Batch

BATCH_SECONDS = 240.0
MAX_HOPS = 5
MANY_HOSTS = 50  # enough to tell our resolver's failure from theirs
SILENCES = 3  # in a row, and a host is left alone
REST = timedelta(minutes=15)  # after a silence, or a limit without a time; doubled each time
MAX_REST = timedelta(hours=24)

_LIMITS = Limits(redirects=0, body_bytes=0)
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_NO_HEAD = frozenset({403, 404, 405, 501})
_NO_ANSWER = frozenset({Failure.READ_TIMEOUT, Failure.RESET, Failure.PROTOCOL_ERROR})
_UNREACHED = frozenset({
    Failure.DNS_NXDOMAIN, Failure.DNS_NODATA, Failure.DNS_FAILURE, Failure.CONNECT_REFUSED, Failure.CONNECT_TIMEOUT,
    Failure.TLS_ERROR,
})  # fmt: skip
_NO_NAME = frozenset({Failure.DNS_NXDOMAIN, Failure.DNS_NODATA})
_REDIRECTED = frozenset({Outcome.REDIRECT_SAME_SITE, Outcome.REDIRECT_CROSS_SITE})
_ROBOTS = Refused(Failure.POLICY_NO_FETCH, "robots", (), 0.0)
_OPTED_OUT = Refused(Failure.POLICY_NO_FETCH, "opted_out", (), 0.0)

Result = Response | Refused


@dataclass(slots=True)
class Walk:
    """One link on its way: the URL to ask now, the redirects behind it, and what came of it in the end."""

    link: Link
    url: str
    hops: list[Hop] = field(default_factory=list)
    seconds: float = 0.0
    result: Result | None = None
    reading: Reading | None = None  # of its content, where that is asked for
    at: datetime | None = None

    def step(self, result: Result) -> bool:
        """Take what one request brought; returns whether another hop is to be asked."""
        self.seconds += result.seconds
        self.at = timezone.now()
        location = None
        if isinstance(result, Response) and result.status in _REDIRECTS:
            location = result.headers.get("location")
        if location is None or not isinstance(result, Response):
            self.result = replace(result, hops=tuple(self.hops))
            return False
        try:
            onward = _redirected(result.url, location)
        except Stop as stop:
            self.result = Refused(stop.outcome, stop.rule, tuple(self.hops), 0.0)
            return False
        before = {hop.url for hop in self.hops} | {result.url}
        self.hops.append(Hop(result.url, result.status))
        if onward in before or len(self.hops) > MAX_HOPS:
            self.result = Refused(Failure.REDIRECT_LOOP, "again", tuple(self.hops), 0.0)
            return False
        self.url = onward
        return True


def policy() -> Policy:
    """The door's policy, with who we are and where that is explained."""
    return replace(Policy.from_settings(), user_agent=f"{robots.AGENT} (+{settings.SITE_URL}/about/links/)")


def _redirected(url: str, location: str) -> str:
    """Where a redirect from `url` leads. Raises Stop."""
    return redirected(check(url, policy()), location)


class NoResolverError(Exception):
    """Not one name of a whole batch could be looked up: that says something of our resolver and nothing of the links."""


def _is_our_own_fault(walks: Sequence[Walk]) -> bool:
    """Whether every lookup of many failed for want of an answer."""
    results = [walk.result for walk in walks if walk.result is not None]
    hosts = {walk.link.host_id for walk in walks if walk.result is not None}
    return len(hosts) >= MANY_HOSTS and all(
        isinstance(result, Refused) and result.outcome == Failure.DNS_FAILURE for result in results
    )


def batch_check(batch: Batch) -> int:
    """Ask every link of the batch, or as many as time allows, and write what was seen; returns how many.

    Raises NoResolverError, with nothing written, where no name of many could be looked up.
    """
    walks = [Walk(link, link.url) for link in batch.links]
    pending, ends = walks, timezone.now() + timedelta(seconds=BATCH_SECONDS)
    known = {host.name: host for host in batch.hosts.values()}
    plans = content_plans(batch.links)
    while pending and timezone.now() < ends:
        by_host: dict[str, list[Walk]] = defaultdict(list)
        for walk in pending:
            by_host[url_host(walk.url) or ""].append(walk)
        for walk in by_host.pop("", []):  # redirected to what is no URL of ours; the door says what it is
            walk.result = Refused(Failure.INVALID_URL, "no_host", tuple(walk.hops), 0.0)
        known |= hosts_take(batch, by_host.keys() - known.keys())
        # Links that lead to a host which another worker asks now, or which rests, wait.
        turns = {known[name]: of_host for name, of_host in by_host.items() if name in known}
        if plans:
            new = {host.pk for host in turns} - batch.signatures.keys()
            batch.signatures |= host_signatures(new)
        pending = asyncio.run(_round(batch, plans, turns, ends))
    if _is_our_own_fault(walks):
        raise NoResolverError
    waiting = [walk.link.pk for walk in walks if walk.hops and walk.result is None]
    missing = {one.missing_target for one in batch.signatures.values()} - {""}
    return batch_record(batch, _attempts(walks, missing), waiting=waiting)


async def _round(
    batch: Batch, plans: Mapping[int, Plan], turns: dict[Host, list[Walk]], ends: datetime
) -> list[Walk]:
    """Ask one hop of each walk, and for the content of those that arrived, by their plans; returns those that go on."""
    recorded: dict[str, set[Key]] = defaultdict(set)
    for walk in (walk for walks in turns.values() for walk in walks):
        recorded[walk.url] |= batch.recorded.get(walk.link.pk, set())
    loop = asyncio.get_running_loop()
    # The database is asked in a thread of its own, before every connection: the only way to be sure.
    with ThreadPoolExecutor(1) as database:
        last_look = LastLook(database, recorded)

        async def may_read(link: int) -> bool:
            return await loop.run_in_executor(database, content_may_be_read, link)

        try:
            async with Client(policy(), before_dial=last_look) as client, Pictures() as pictures:
                bodies = asyncio.Semaphore(WHOLE_AT_ONCE)
                contents = Contents(plans, batch.signatures, may_read, pictures, bodies)
                onward = await asyncio.gather(
                    *(Turn(client, host, ends, contents).ask(walks) for host, walks in turns.items())
                )
        finally:
            database.submit(lambda: connection.close()).result()  # noqa: PLW0108  -- of that thread, so looked up there
    return [walk for walks in onward for walk in walks]


class Turn:
    """One host's turn in a round: the only one who asks it, and who waits between two requests."""

    def __init__(self, client: Client, host: Host, ends: datetime, contents: Contents | None = None) -> None:
        self._client = client
        self._contents = contents
        self._host = host
        self._ends = ends
        self._silences = 0
        self._failed: Refused | None = None  # why no link of the host can be reached

    async def ask(self, walks: Iterable[Walk]) -> list[Walk]:
        """Ask each walk's URL, until the host wants rest or time is over; returns the walks that go on."""
        onward: list[Walk] = []
        rules: robots.Rules | None = None
        for walk in walks:
            if self._host.opted_out_at:
                walk.step(_OPTED_OUT)
                continue
            if self._failed is not None:
                walk.step(self._failed)
                continue
            if self._host.next_at > self._ends or timezone.now() > self._ends:
                break
            if rules is None:
                self._failed = await self._robots(walk.url)
                if self._failed is not None:
                    walk.step(self._failed)
                    continue
                if self._host.next_at > self._ends:
                    break
                rules = robots.Rules.of(self._host)
                self._host.delay = max(self._host.delay, rules.delay)
            if not rules.allow(walk.url):
                walk.step(_ROBOTS)
                continue
            result = await self.request(Request(walk.url, method="HEAD", limits=_LIMITS), rules.delay)
            if _wants_get(result) and self._host.next_at <= self._ends:
                headers = {"Range": "bytes=0-0"}
                result = await self.request(Request(walk.url, headers=headers, limits=_LIMITS), rules.delay)
            if walk.step(result):
                onward.append(walk)
            else:
                await self._read(walk, rules)
        return onward

    async def _read(self, walk: Walk, rules: robots.Rules) -> None:
        """Read the content of a link that answered, where its datasets want that and its answer does not object."""
        plan = self._contents.plans.get(walk.link.pk) if self._contents else None
        if self._contents is None or plan is None or walk.result is None:
            return
        one = seen(walk.link.url, walk.result)
        if one.outcome not in ALIVE | MOVED:
            return
        if one.opt_outs:
            walk.reading = Unread(Evidence.OPTED_OUT, one.opt_outs)
            return
        signature = self._contents.signatures[self._host.pk]
        reader = Reader(
            signature, rules, ask=self._ask_politely, redirected=_redirected, contents=self._contents
        )
        reading = await reader.read(walk.link.pk, walk.url, plan)
        if isinstance(reading, Refused):  # excluded since it was asked for its headers
            walk.result = replace(reading, hops=tuple(walk.hops))
        else:
            walk.reading = reading

    async def _ask_politely(self, request: Request, *, link: int | None = None) -> Result | None:
        """As `content.reading.Ask`."""
        if max(self._host.next_at, timezone.now()) > self._ends:
            return None
        await self._wait()
        if link is not None and self._contents is not None and not await self._contents.may_read(link):
            return None
        return await self.request(request, robots.Rules.of(self._host).delay)

    async def _robots(self, url: str) -> Refused | None:
        """Make sure that the host's robots.txt is known; returns why the host cannot be reached, if it cannot."""
        if robots.is_known(self._host, timezone.now()):
            return None
        asked, result = robots.robots_url(url), None
        for _ in range(MAX_HOPS + 1):
            result = await self.request(Request(asked, limits=robots.LIMITS), 0)
            if not isinstance(result, Response):
                return result
            location = result.headers.get("location") if result.status in _REDIRECTS else None
            if location is None:
                break
            try:
                asked = _redirected(result.url, location)
            except Stop:
                break
        if isinstance(result, Response):
            robots.remember(self._host, result, timezone.now())
        return None

    async def request(self, request: Request, floor: float) -> Result:
        """Wait for the host's turn, ask, and learn how to go on with it; `floor` is its least pause in seconds."""
        host = self._host
        await self._wait()
        result = await self._client.fetch(request)
        now = timezone.now()
        if isinstance(result, Refused) and result.outcome in _UNREACHED:
            self._silences += 1
            self._failed = result if result.outcome in _NO_NAME else None
            if self._silences >= SILENCES or self._failed:
                self._rest(min(REST * 2 ** min(host.fails, 10), MAX_REST))
                return result
        elif isinstance(result, Response):
            self._silences = 0
            if result.status in {429, 503}:
                host.delay = min(host.delay * 2, MAX_DELAY)
                self._rest(retry_after(result) or min(REST * 2 ** min(host.fails, 10), MAX_REST))
                return result
            if result.status >= 500:
                host.delay = min(host.delay * 2, MAX_DELAY)
            else:
                host.fails = 0
                host.delay = max(host.delay * 0.9, floor, 1.0)
        host.next_at = now + timedelta(seconds=host.delay)
        return result

    async def _wait(self) -> None:
        await asyncio.sleep(max(0.0, (self._host.next_at - timezone.now()).total_seconds()))

    def _rest(self, how_long: timedelta) -> None:
        self._host.fails = min(self._host.fails + 1, 1_000)
        self._host.next_at = timezone.now() + how_long


def retry_after(answer: Response) -> timedelta | None:
    """How long an answer asks us to stay away, between a second and a day; None where it does not say."""
    written = answer.headers.get("retry-after")
    if not written:
        return None
    try:
        wait = (
            timedelta(seconds=min(int(written), 10**6))
            if written.isascii() and written.isdigit()
            else parsedate_to_datetime(written) - timezone.now()
        )
    except (ValueError, TypeError):  # neither a number nor a date with its zone
        return None
    return min(max(wait, timedelta(seconds=1)), MAX_REST)


def _wants_get(result: Result) -> bool:
    """Whether a HEAD proved nothing, because hosts may answer it worse than a GET."""
    if isinstance(result, Refused):
        return result.outcome in _NO_ANSWER
    if result.status == 503 and result.headers.get("retry-after"):
        return False
    return result.status in _NO_HEAD or 500 <= result.status < 600


def _attempts(walks: Iterable[Walk], missing: Collection[str]) -> list[Attempt]:
    """What each walk that came to an end makes of its link; `missing` is where hosts lead from random paths."""
    ended = [
        (walk, _as_read(walk, seen(walk.link.url, walk.result), missing))
        for walk in walks
        if walk.result is not None
    ]
    of_host: dict[int, list[Seen]] = defaultdict(list)
    for walk, one in ended:
        of_host[walk.link.host_id].append(one)
    whole = {
        host
        for host, ones in of_host.items()
        if len(ones) > 1 and all(one.outcome in TROUBLE for one in ones)
    }
    return [_attempt(walk, one, whole_host=walk.link.host_id in whole) for walk, one in ended]


def _as_read(walk: Walk, one: Seen, missing: Collection[str]) -> Seen:
    """What an attempt saw, with what only reading tells: an opt-out, and a page for "not found" that is called a success."""
    if one.outcome in _REDIRECTED and one.target in missing:
        return replace(one, outcome=Outcome.SOFT_404)
    if isinstance(walk.reading, Unread):
        if walk.reading.why is Evidence.NOT_FOUND_PAGE:
            return replace(one, outcome=Outcome.SOFT_404)
        return replace(one, opt_outs=tuple(sorted({*one.opt_outs, *walk.reading.opt_outs})))
    return one


def _attempt(walk: Walk, one: Seen, *, whole_host: bool) -> Attempt:
    link, at = walk.link, walk.at or timezone.now()
    before = Standing(LinkState(link.state), link.failures, link.host_failures, link.failed_at, link.due_at)
    return Attempt(
        link.pk,
        at,
        one,
        after(before, one.outcome, at, whole_host=whole_host),
        round(walk.seconds * 1000),
        walk.reading,
    )
