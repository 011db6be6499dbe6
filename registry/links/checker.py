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
from registry.lib.safe_http import Client, Hop, Limits, Policy, Refused, Request, Response
from registry.lib.safe_http import Outcome as Failure
from registry.lib.safe_http.results import Stop
from registry.lib.safe_http.urls import check, redirected
from registry.links import robots
from registry.links.exclusion import excluded_urls
from registry.links.models import MAX_DELAY
from registry.links.outcomes import seen
from registry.links.schedule import Attempt, batch_record, hosts_take
from registry.links.states import TROUBLE, LinkState, Standing, after

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from registry.links.models import Host, Link
    from registry.links.outcomes import Seen
    from registry.links.schedule import Batch

BATCH_SECONDS = 240.0
MAX_HOPS = 5
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
            onward = redirected(check(result.url, policy()), location)
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


def batch_check(batch: Batch) -> int:
    """Ask every link of the batch, or as many as time allows, and write what was seen; returns how many."""
    walks = [Walk(link, link.url) for link in batch.links]
    pending, ends = walks, timezone.now() + timedelta(seconds=BATCH_SECONDS)
    known = {host.name: host for host in batch.hosts.values()}
    while pending and timezone.now() < ends:
        by_host: dict[str, list[Walk]] = defaultdict(list)
        for walk in pending:
            by_host[url_host(walk.url) or ""].append(walk)
        for walk in by_host.pop("", []):  # redirected to what is no URL of ours; the door says what it is
            walk.result = Refused(Failure.INVALID_URL, "no_host", tuple(walk.hops), 0.0)
        known |= hosts_take(batch, by_host.keys() - known.keys())
        # Links that lead to a host which another worker asks now, or which rests, wait.
        turns = {known[name]: of_host for name, of_host in by_host.items() if name in known}
        pending = asyncio.run(_round(turns, ends))
    waiting = [walk.link.pk for walk in walks if walk.hops and walk.result is None]
    return batch_record(batch, _attempts(walks), waiting=waiting)


async def _round(turns: dict[Host, list[Walk]], ends: datetime) -> list[Walk]:
    """Ask one hop of each walk; returns those that go on."""
    # The database is asked in a thread of its own, and waited for: a millisecond, and the only way to be sure.
    with ThreadPoolExecutor(1) as database:

        def before_dial(url: str) -> str | None:
            return "excluded" if database.submit(excluded_urls, [url]).result() else None

        try:
            async with Client(policy(), before_dial=before_dial) as client:
                onward = await asyncio.gather(
                    *(_Turn(client, host, ends).ask(walks) for host, walks in turns.items())
                )
        finally:
            database.submit(lambda: connection.close()).result()  # noqa: PLW0108  -- of that thread, so looked up there
    return [walk for walks in onward for walk in walks]


class _Turn:
    """One host's turn in a round: the only one who asks it, and who waits between two requests."""

    def __init__(self, client: Client, host: Host, ends: datetime) -> None:
        self._client = client
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
            result = await self._request(Request(walk.url, method="HEAD", limits=_LIMITS), rules.delay)
            if _wants_get(result) and self._host.next_at <= self._ends:
                headers = {"Range": "bytes=0-0"}
                result = await self._request(Request(walk.url, headers=headers, limits=_LIMITS), rules.delay)
            if walk.step(result):
                onward.append(walk)
        return onward

    async def _robots(self, url: str) -> Refused | None:
        """Make sure that the host's robots.txt is known; returns why the host cannot be reached, if it cannot."""
        if robots.is_known(self._host, timezone.now()):
            return None
        asked, result = robots.robots_url(url), None
        for _ in range(MAX_HOPS + 1):
            result = await self._request(Request(asked, limits=robots.LIMITS), 0)
            if not isinstance(result, Response):
                return result
            location = result.headers.get("location") if result.status in _REDIRECTS else None
            if location is None:
                break
            try:
                asked = redirected(check(result.url, policy()), location)
            except Stop:
                break
        if isinstance(result, Response):
            robots.remember(self._host, result, timezone.now())
        return None

    async def _request(self, request: Request, floor: float) -> Result:
        """Wait for the host's turn, ask, and learn how to go on with it."""
        host = self._host
        await asyncio.sleep(max(0.0, (host.next_at - timezone.now()).total_seconds()))
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


def _attempts(walks: Iterable[Walk]) -> list[Attempt]:
    """What each walk that came to an end makes of its link."""
    ended = [(walk, seen(walk.link.url, walk.result)) for walk in walks if walk.result is not None]
    of_host: dict[int, list[Seen]] = defaultdict(list)
    for walk, one in ended:
        of_host[walk.link.host_id].append(one)
    whole = {
        host
        for host, ones in of_host.items()
        if len(ones) > 1 and all(one.outcome in TROUBLE for one in ones)
    }
    return [_attempt(walk, one, whole_host=walk.link.host_id in whole) for walk, one in ended]


def _attempt(walk: Walk, one: Seen, *, whole_host: bool) -> Attempt:
    link, at = walk.link, walk.at or timezone.now()
    before = Standing(LinkState(link.state), link.failures, link.host_failures, link.failed_at, link.due_at)
    return Attempt(
        link.pk, at, one, after(before, one.outcome, at, whole_host=whole_host), round(walk.seconds * 1000)
    )
