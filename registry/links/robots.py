"""The robots.txt of a host's origins (RFC 9309): what each says to us, and for how long we remember it.

Its address is "scheme:[//authority]/robots.txt" (section 2.3), the authority being host and port: each origin has its own.
One that redirects to another host is fetched there (`errands.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import ada_url
from django.db import connection
from django.utils import timezone
from protego import Protego

from expunge.keys import url_host
from registry.lib.among import among_ids
from registry.lib.safe_http import REDIRECTS, Limits, Refused, Request, Response, Stop
from registry.lib.storable import storable
from registry.links.models import MAX_DELAY, MIN_DELAY, RobotsFile

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from registry.links.errands import Errand, Errands
    from registry.links.models import Host

    Ask = Callable[[Request], Awaitable[Response | Refused]]
    Redirected = Callable[[str, str], str]

Robots = dict[tuple[int, str], RobotsFile]  # by primary key of the host, and origin

AGENT = "Expunge"
REMEMBERED = timedelta(hours=24)
READ_BYTES = 512 * 1024  # the standard asks for 500 KiB at least
LIMITS = Limits(body_bytes=READ_BYTES, redirects=0)
MAX_REDIRECTS = 5
# Of a host that was asked too much: that says nothing of its rules, as a server's error does not.
LIMITED = 429
RESTS = frozenset({LIMITED, 503})  # of a host that wants rest


def origin_of(url: str) -> str:
    """Scheme, host and port of a URL that has a host, in the one way that the URL standard writes them."""
    found: str = ada_url.parse_url(url, attributes=("origin",))["origin"]
    return found


def is_robots_url(url: str) -> bool:
    """Whether a URL is that of the robots.txt of its origin."""
    return url == f"{origin_of(url)}/robots.txt"


def robots_known(wanted: Iterable[tuple[int, str]]) -> Robots:
    """Of these hosts and origins, the robots.txt of those that were asked for it within a day."""
    wanted = set(wanted)
    files = RobotsFile.objects.filter(
        among_ids("host_id", {host for host, _ in wanted}), asked_at__gt=timezone.now() - REMEMBERED
    )
    return {key: file for file in files if (key := (file.host_id, file.origin)) in wanted}


def robots_read(host: int, origin: str, answer: Response) -> RobotsFile:
    """What an answer to a request for the robots.txt of an origin says; not saved yet."""
    text = answer.body.decode(errors="replace") if 200 <= answer.status < 300 else ""
    return RobotsFile(
        host_id=host,
        origin=origin,
        text=storable(text),
        status=answer.status,
        asked_at=timezone.now(),
    )


def robots_record(files: Iterable[RobotsFile]) -> None:
    """Write those of these files that are not saved yet, in one statement.

    One that is older than its owner's wish that it be read again is not remembered.
    """
    new = [file for file in files if file.pk is None]
    if not new:
        return
    columns: list[list[object]] = [
        [file.host_id for file in new],
        [file.origin for file in new],
        [file.text for file in new],
        [file.status for file in new],
        [file.asked_at for file in new],
    ]
    with connection.cursor() as cursor:
        cursor.execute(_RECORD, columns)


_RECORD = """
INSERT INTO registry_robotsfile (host_id, origin, text, status, asked_at)
SELECT file.* FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::int[], %s::timestamptz[])
    AS file (host_id, origin, text, status, asked_at) JOIN registry_host AS host ON host.id = file.host_id
WHERE host.opt_out_asked_at IS NULL OR host.opt_out_asked_at <= file.asked_at
ON CONFLICT (host_id, origin) DO UPDATE SET text = EXCLUDED.text, status = EXCLUDED.status, asked_at = EXCLUDED.asked_at
"""


@dataclass(frozen=True, slots=True)
class Rules:
    """What an origin allows us. Raises nothing for what it may have written."""

    parsed: Protego | None
    status: int

    @classmethod
    def of(cls, file: RobotsFile) -> Rules:
        """The rules as remembered."""
        return cls(Protego.parse(file.text) if file.text else None, file.status)

    def allow(self, url: str) -> bool:
        """Whether we may ask for `url`: yes where there is no robots.txt, no where the server would not give it just now."""
        if self.parsed is None:
            return not (500 <= self.status < 600 or self.status == LIMITED)
        return bool(self.parsed.can_fetch(url, AGENT))

    @property
    def delay(self) -> float:
        """Seconds between requests that it asks for, within what a host may ask."""
        asked = self.parsed.crawl_delay(AGENT) if self.parsed else None
        return min(max(float(asked or 0), MIN_DELAY), MAX_DELAY)


# Of an origin whose robots.txt is where we cannot, or may not, ask for it.
_NOTHING = Rules(None, 503)


@dataclass(frozen=True, slots=True)
class Away:
    """A robots.txt that redirects led to another host: to `url`, by `used` redirects, the last of them with `status`."""

    url: str
    used: int
    status: int


class Origins:
    """What the origins of one host allow, within its turn: what is known of them, and else what they answer to `ask`.

    `files` is what is known; what is asked for is added. `redirected(url, location)` is where a redirect leads; it raises
    Stop. What is on another host is left to `errands`. `delay` is the longest pause in seconds that any of them asked for.
    """

    def __init__(self, host: Host, files: Robots, ask: Ask, redirected: Redirected, errands: Errands) -> None:
        self._host = host
        self._files = files
        self._ask = ask
        self._redirected = redirected
        self._errands = errands
        self._rules: dict[str, Rules | Refused] = {}
        self.delay = 0.0

    async def rules(self, url: str) -> Rules | Refused | None:
        """What the origin of `url` allows, or why it cannot be reached: then nothing of it may be asked for.

        None where its robots.txt is fetched from another host: nothing may be asked for before that came.
        """
        origin = origin_of(url)
        if origin not in self._rules:
            rules = await self._learn(origin)
            if rules is None:
                return None
            self._rules[origin] = rules
        return self._rules[origin]

    async def fetch(self, errand: Errand) -> bool:
        """Take an errand one step further on this host; returns whether it goes on.

        A host that wants rest (429, 503) has said nothing: then the errand is not at its end, and does not go on either.
        """
        origin = origin_of(errand.url)
        self._known(origin)
        said = self._errands.said(errand.url)
        if said is None:
            answer = await self._ask(Request(errand.url, limits=LIMITS))
            if isinstance(answer, Refused):
                return errand.step(answer)
            if answer.status in RESTS:
                return False
            said = self._errands.heard(self._host.pk, errand, answer)
        goes_on = errand.step(said)
        self._known(origin)
        return goes_on

    async def _learn(self, origin: str) -> Rules | Refused | None:
        if (rules := self._known(origin)) or self._errands.holds(origin):
            return rules
        answer = await self._follow(f"{origin}/robots.txt")
        if isinstance(answer, Refused):
            return answer
        if isinstance(answer, Away):
            self._errands.send(self._host.pk, origin, answer, self._redirected)
        else:
            self._files[self._host.pk, origin] = robots_read(self._host.pk, origin, answer)
        return self._known(origin)

    def _known(self, origin: str) -> Rules | None:
        """What is known of an origin without asking; from now on its pause holds for the host."""
        self._errands.settle(self._files, [origin])
        if self._errands.is_unknown(origin):
            return _NOTHING
        file = self._files.get((self._host.pk, origin))
        if file is None:
            return None
        rules = Rules.of(file)
        self.delay = max(self.delay, rules.delay)
        self._host.delay = max(self._host.delay, rules.delay)
        return rules

    async def _follow(self, url: str) -> Response | Refused | Away:
        """Ask for a robots.txt; returns what came at the end of its redirects, the redirect that was not followed, or Away.

        RFC 9309, section 2.3.1.2: after five redirects a crawler "MAY assume that the robots.txt file is unavailable", and
        by section 2.3.1.3 it then "MAY access any resources".
        """
        for used in range(MAX_REDIRECTS + 1):
            answer = await self._ask(Request(url, limits=LIMITS))
            location = answer.headers.get("location") if isinstance(answer, Response) else None
            if (
                isinstance(answer, Refused)
                or answer.status not in REDIRECTS
                or not location
                or used == MAX_REDIRECTS
            ):
                break
            try:
                url = self._redirected(answer.url, location)
            except Stop:
                break
            host = url_host(url)
            if not host:
                break
            if host != self._host.name:
                return Away(url, used + 1, answer.status)
        return answer
