"""One host's turn: the only one who asks it, one request at a time and `delay` apart, its robots.txt first.

`HEAD` first. Where a host will not answer that (403, 404, 405, 501, 5xx, silence), one `GET` for a single byte. A host
that asks us to come later, or is silent three times, is left alone; what was not asked stays due.

What a host answers may be anything. Should it be something that we cannot cope with, that is one link's and its host's:
the link is in doubt, the host rests, and all others of the batch go on.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import traceback
from dataclasses import dataclass, field, replace
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.utils import timezone

from registry.lib.safe_http import (
    REDIRECTS,
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
from registry.lib.safe_http.crowds import CROWDED
from registry.links import robots
from registry.links.content.reading import Contents, Reader
from registry.links.content.states import Evidence, Unread
from registry.links.errands import Errand, Errands
from registry.links.last_look import EXCLUDED, OPTED_OUT
from registry.links.leases import LEASE_LOST, LeaseLostError
from registry.links.models import MAX_DELAY
from registry.links.outcomes import Outcome, opt_outs, seen
from registry.links.states import ALIVE, MOVED

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from datetime import datetime

    from registry.links.content.states import Reading
    from registry.links.models import Host, Link
    from registry.links.outcomes import Seen
    from registry.links.robots import Robots

logger = logging.getLogger(__name__)

MAX_HOPS = 5
SILENCES = 3  # in a row, and a host is left alone
REST = timedelta(minutes=15)  # after a silence, or a limit without a time; doubled each time
MAX_REST = timedelta(hours=24)

_LIMITS = Limits(redirects=0, body_bytes=0)
_ONE_BYTE = {"Range": "bytes=0-0"}
_NO_HEAD = frozenset({403, 404, 405, 501})
_NO_ANSWER = frozenset({Failure.READ_TIMEOUT, Failure.RESET, Failure.PROTOCOL_ERROR})
_CUT_OFF = frozenset({Failure.READ_TIMEOUT, Failure.RESET})
_SILENT = _CUT_OFF | {
    Failure.DNS_NXDOMAIN, Failure.DNS_NODATA, Failure.DNS_FAILURE, Failure.CONNECT_REFUSED, Failure.CONNECT_TIMEOUT,
    Failure.TLS_ERROR,
}  # fmt: skip
_NO_NAME = frozenset({Failure.DNS_NXDOMAIN, Failure.DNS_NODATA})
_ROBOTS = Refused(Failure.POLICY_NO_FETCH, "robots", (), 0.0)
_OPTED_OUT = Refused(Failure.POLICY_NO_FETCH, OPTED_OUT, (), 0.0)
_FAULT = Refused(Failure.PROTOCOL_ERROR, "fault", (), 0.0)
# Of this process, and so no host's: the batch ends.
_OURS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


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
    cookies: bool = False  # whether an answer on the way wanted to be known by one
    opt_outs: set[str] = field(default_factory=set)  # that answers on the way declared

    def __str__(self) -> str:
        """Of what a log may speak: no URL is in it."""
        return f"link {self.link.pk}"

    def step(self, result: Result) -> bool:
        """Take what one request brought; returns whether another hop is to be asked."""
        self.seconds += result.seconds
        self.at = timezone.now()
        location = None
        if isinstance(result, Response) and result.status in REDIRECTS:
            self.cookies |= bool(result.headers.get("set-cookie"))
            self.opt_outs.update(opt_outs(result.headers))
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
            # Who carries cookies, as people do, might have come through.
            rule = "cookie_wall" if self.cookies else "again"
            self.result = Refused(Failure.REDIRECT_LOOP, rule, tuple(self.hops), 0.0)
            return False
        self.url = onward
        return True

    def with_opt_outs(self, one: Seen) -> Seen:
        """What was seen in the end, with what answers on the way objected to; of what is excluded nothing is kept."""
        if not self.opt_outs or one.outcome is Outcome.POLICY_NO_FETCH:
            return one
        return replace(one, opt_outs=tuple(sorted(self.opt_outs.union(one.opt_outs))))


def policy() -> Policy:
    """The door's policy, with who we are and where that is explained."""
    return replace(Policy.from_settings(), user_agent=f"{robots.AGENT} (+{settings.SITE_URL}/about/links/)")


def _redirected(url: str, location: str) -> str:
    """Where a redirect from `url` leads. Raises Stop, also where nothing may be asked for: its host is not even noted."""
    door = policy()
    onward = redirected(check(url, door), location)
    check(onward, door)
    return onward


class _CrowdedError(Exception):
    """So many of our requests go to the address of the host that there was no place for one more in this round."""


async def _nothing_said(_url: str) -> str | None:
    return None


async def _not_kept(_host: Host) -> None:
    return None


def _is_ever_sure(_host: str) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Round:
    """What the turns of a round share.

    `ends` is when the batch does, `pauses` when a turn leaves the rest to the next round, or None: never. `files` is what
    is known of robots.txt, `errands` those that are fetched from other hosts. `look(url)` is the last look, as the door's
    `before_dial`; `keep(host)` writes at once how a host is to be asked; `is_sure(name)` tells whether a host is still the batch's.
    """

    ends: datetime
    pauses: datetime | None = None
    contents: Contents | None = None
    files: Robots = field(default_factory=dict)
    errands: Errands = field(default_factory=Errands)
    look: Callable[[str], Awaitable[str | None]] = _nothing_said
    keep: Callable[[Host], Awaitable[None]] = _not_kept
    is_sure: Callable[[str], bool] = _is_ever_sure


class Turn:
    """One host's turn in a round: the only one who asks it, and who waits between two requests."""

    def __init__(self, client: Client, host: Host, shared: Round) -> None:
        self._client = client
        self._contents = shared.contents
        self._host = host
        self._ends = shared.ends
        self._round = shared
        self._origins = robots.Origins(host, shared.files, self.request, _redirected, shared.errands)
        self._silences = 0
        self._is_last = False  # whether the walk that is asked for is the last of the turn
        self._failed: Refused | None = None  # why no link of the host can be reached

    async def ask(self, walks: Sequence[Walk | Errand]) -> list[Walk | Errand]:
        """Ask each walk's URL, and each errand's, until the host wants rest or time is over.

        Returns those that go on in the next round: to where they were redirected, with what was not asked yet, or because
        the robots.txt that holds for them is on another host.
        Raises OperationalError and InterfaceError where the database is gone, and OSError where this process can open no
        more sockets; whatever else goes wrong is the host's.
        """
        onward: list[Walk | Errand] = []
        for place, walk in enumerate(walks):
            self._is_last = place + 1 == len(walks)
            if self._host.opted_out_at:
                walk.step(_OPTED_OUT)
                continue
            if self._failed is not None:
                walk.step(self._failed)
                continue
            asks_at = max(self._host.next_at, timezone.now())
            if asks_at > self._ends:
                break
            if self._round.pauses is not None and asks_at > self._round.pauses:
                onward.extend(walks[place:])
                break
            try:
                if await self._one(walk):
                    onward.append(walk)
            except _CrowdedError:
                onward.extend(walks[place + (walk.result is not None) :])
                break
            except LeaseLostError:
                break
            except Exception as error:
                if _is_ours(error):
                    raise
                log_fault(error, walk)
                if walk.result is None:
                    walk.step(_FAULT)
                self._rest(self._next_rest())
                await self._round.keep(self._host)
                break
        return onward

    async def _one(self, walk: Walk | Errand) -> bool:
        """Ask for a walk's URL; returns whether more is to be asked. Where the host wants rest, nothing ends."""
        if isinstance(walk, Errand):
            return await self._origins.fetch(walk)
        rules = await self._origins.rules(walk.url)
        if rules is None:
            return True
        if isinstance(rules, Refused):
            # Its robots.txt may be excluded, and it not: then nobody knows what may be asked for.
            is_free = rules.rule == EXCLUDED and await self._round.look(walk.url) is None
            walk.step(_ROBOTS if is_free else rules)
            return False
        if self._host.next_at > self._ends:
            return False
        if not rules.allow(walk.url):
            walk.step(_ROBOTS)
            return False
        result = await self.request(Request(walk.url, method="HEAD", limits=_LIMITS))
        if _wants_get(result):
            if self._host.next_at > self._ends:
                return False  # HEAD alone proved nothing
            result = await self.request(
                Request(walk.url, headers=_ONE_BYTE, limits=_LIMITS, keeps=not self._is_last)
            )
        if walk.step(result):
            return True
        await self._read(walk, rules)
        return False

    async def _read(self, walk: Walk, rules: robots.Rules) -> None:
        """Read the content of a link that answered, where its datasets want that and its answer does not object."""
        plan = self._contents.plans.get(walk.link.pk) if self._contents else None
        if self._contents is None or plan is None or walk.result is None:
            return
        one = walk.with_opt_outs(seen(walk.link.url, walk.result))
        if one.outcome not in ALIVE | MOVED:
            return
        if one.opt_outs:
            walk.reading = Unread(Evidence.OPTED_OUT, one.opt_outs)
            return
        signature = self._contents.signatures[self._host.pk, robots.origin_of(walk.url)]
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
        return await self.request(request)

    async def request(self, request: Request) -> Result:
        """Wait for the host's turn, ask, and learn how to go on with it.

        Raises LeaseLostError where the host may be another's by now.
        """
        host = self._host
        await self._wait()
        result = await self._client.fetch(request)
        now = timezone.now()
        if isinstance(result, Response):
            self._silences = 0
            if result.status in robots.RESTS:
                host.delay = min(host.delay * 2, MAX_DELAY)
                self._rest(retry_after(result) or self._next_rest())
                await self._round.keep(host)  # whatever becomes of the batch
                return result
            if result.status >= 500:
                host.delay = min(host.delay * 2, MAX_DELAY)
            else:
                host.fails = 0
                host.delay = max(host.delay * 0.9, self._origins.delay, 1.0)
        elif result.rule == LEASE_LOST or not self._round.is_sure(host.name):
            raise LeaseLostError  # what a process saw that stood still says nothing of the host
        elif result.outcome in _SILENT:
            self._silences += 1
            self._failed = result if result.outcome in _NO_NAME else None
            if result.outcome in _CUT_OFF and self._silences > 1:  # the first may only be a dislike of HEAD
                host.delay = min(host.delay * 2, MAX_DELAY)
            if self._silences >= SILENCES or self._failed:
                self._rest(self._next_rest())
                return result
        elif result.rule == CROWDED:
            raise _CrowdedError
        elif result.rule == OPTED_OUT:  # since the batch was handed out
            host.opted_out_at = now
        host.next_at = now + timedelta(seconds=host.delay)
        return result

    async def _wait(self) -> None:
        await asyncio.sleep(max(0.0, (self._host.next_at - timezone.now()).total_seconds()))

    def _next_rest(self) -> timedelta:
        return min(REST * (1 << min(self._host.fails, 10)), MAX_REST)

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
    except (ValueError, TypeError, OverflowError):  # neither a number nor a date with its zone that can be
        return None
    return min(max(wait, timedelta(seconds=1)), MAX_REST)


def _wants_get(result: Result) -> bool:
    """Whether a HEAD proved nothing, because hosts may answer it worse than a GET."""
    if isinstance(result, Refused):
        return result.outcome in _NO_ANSWER
    return result.status in _NO_HEAD or (500 <= result.status < 600 and result.status != 503)


def _is_ours(error: Exception) -> bool:
    """Whether what went wrong is no host's: the database is gone, or this process has no more sockets."""
    if isinstance(error, OSError):
        return error.errno in _OURS
    return isinstance(error, (OperationalError, InterfaceError))


def log_fault(error: Exception, asked: Walk | Errand) -> None:
    """Say what went wrong and where, and not its message, for that may hold the URL."""
    where = traceback.extract_tb(error.__traceback__)[-1]
    logger.error(
        "%s could not be asked: %s in %s, line %s",
        asked,
        type(error).__name__,
        where.filename,
        where.lineno,
    )
