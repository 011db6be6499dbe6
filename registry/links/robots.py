"""The robots.txt of a host's origins (RFC 9309): what each says to us, and for how long we remember it.

Its address is "scheme:[//authority]/robots.txt" (section 2.3), the authority being host and port: each origin has its own.
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
from registry.lib.safe_http import Limits, Refused, Request, Response, Stop
from registry.lib.storable import storable
from registry.links.models import MAX_DELAY, MIN_DELAY, RobotsFile

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from registry.links.models import Host

    Ask = Callable[[Request], Awaitable[Response | Refused]]
    Redirected = Callable[[str, str], str]

Robots = dict[tuple[int, str], RobotsFile]  # by primary key of the host, and origin

AGENT = "Expunge"
REMEMBERED = timedelta(hours=24)
READ_BYTES = 512 * 1024  # the standard asks for 500 KiB at least
LIMITS = Limits(body_bytes=READ_BYTES, redirects=0)
MAX_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


def origin_of(url: str) -> str:
    """Scheme, host and port of a URL that has a host, in the one way that the URL standard writes them."""
    found: str = ada_url.parse_url(url, attributes=("origin",))["origin"]
    return found


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
    """Write those of these files that are not saved yet, in one statement."""
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
SELECT * FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::int[], %s::timestamptz[])
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
        """Whether we may ask for `url`: yes where there is no robots.txt, no where the server failed to give it."""
        if self.parsed is None:
            return not 500 <= self.status < 600
        return bool(self.parsed.can_fetch(url, AGENT))

    @property
    def delay(self) -> float:
        """Seconds between requests that it asks for, within what a host may ask."""
        asked = self.parsed.crawl_delay(AGENT) if self.parsed else None
        return min(max(float(asked or 0), MIN_DELAY), MAX_DELAY)


class Origins:
    """What the origins of one host allow, within its turn: what is known of them, and else what they answer to `ask`.

    `files` is what is known; what is asked for is added. `redirected(url, location)` is where a redirect leads; it raises
    Stop. `delay` is the longest pause in seconds that any of them asked for.
    """

    def __init__(self, host: Host, files: Robots, ask: Ask, redirected: Redirected) -> None:
        self._host = host
        self._files = files
        self._ask = ask
        self._redirected = redirected
        self._rules: dict[str, Rules | Refused] = {}
        self.delay = 0.0

    async def rules(self, url: str) -> Rules | Refused:
        """What the origin of `url` allows, or why it cannot be reached: then nothing of it may be asked for."""
        origin = origin_of(url)
        if origin not in self._rules:
            self._rules[origin] = await self._learn(origin)
        return self._rules[origin]

    async def _learn(self, origin: str) -> Rules | Refused:
        key = self._host.pk, origin
        if key not in self._files:
            answer = await self._follow(f"{origin}/robots.txt")
            if isinstance(answer, Refused):
                return answer
            self._files[key] = robots_read(*key, answer)
        rules = Rules.of(self._files[key])
        self.delay = max(self.delay, rules.delay)
        self._host.delay = max(self._host.delay, rules.delay)
        return rules

    async def _follow(self, url: str) -> Response | Refused:
        """Ask for a robots.txt; returns what came at the end of its redirects, or the redirect that was not followed.

        RFC 9309, section 2.3.1.2: after five redirects a crawler "MAY assume that the robots.txt file is unavailable", and
        by section 2.3.1.3 it then "MAY access any resources". It also "SHOULD" follow redirects to other hosts. Those have
        turns of their own, perhaps with another worker, and a turn that waits for another might wait for ever: so a
        redirect to another host name counts as one too many. A link that leads there is asked by that host's own rules.
        """
        for left in reversed(range(MAX_REDIRECTS + 1)):
            answer = await self._ask(Request(url, limits=LIMITS))
            location = answer.headers.get("location") if isinstance(answer, Response) else None
            if isinstance(answer, Refused) or answer.status not in _REDIRECTS or not location or not left:
                break
            try:
                url = self._redirected(answer.url, location)
            except Stop:
                break
            if url_host(url) != self._host.name:
                break
        return answer
