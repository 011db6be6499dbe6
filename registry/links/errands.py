"""A robots.txt that redirects to another host is fetched there: in that host's own turn, of a later round.

RFC 9309, section 2.3.1.2: what is reached within five redirects, "even across authorities", is followed "in the context of
the initial authority". So what comes in the end becomes the robots.txt of the origin that led there. Until then the links of
that origin are held back, and nobody waits for anybody: a turn leaves an errand behind and goes on, and an errand waits
for no other, only for hosts, of which one that another worker has or that rests is not waited for.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from django.utils import timezone

from expunge.keys import url_host
from registry.lib.safe_http import REDIRECTS, Outcome, Refused, Response, Stop
from registry.links.models import RobotsFile
from registry.links.robots import (
    LIMITED,
    MAX_REDIRECTS,
    REMEMBERED,
    is_robots_url,
    origin_of,
    robots_read,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from registry.links.robots import Away, Redirected, Robots

# The door does not go there, and so nobody of ours can: as good as no file.
_NO_PLACE = frozenset({Outcome.SSRF_BLOCKED, Outcome.INVALID_URL})


@dataclass(frozen=True, slots=True)
class Said:
    """What `url` answered: as a robots.txt, and where it redirects to, if it does."""

    url: str
    file: RobotsFile
    location: str | None


@dataclass(slots=True, eq=False)
class Errand:
    """One robots.txt on its way over several hosts: the URL to ask now, those before it, and what came in the end.

    `redirected(url, location)` is where a redirect leads; it raises Stop.
    """

    url: str
    redirected: Redirected
    before: list[str] = field(default_factory=list)
    result: RobotsFile | Refused | None = None

    def __str__(self) -> str:
        """Of what a log may speak: no URL is in it."""
        return "a robots.txt elsewhere"

    def step(self, result: Said | Refused) -> bool:
        """Take what came of one request; returns whether another hop is to be asked."""
        if isinstance(result, Said) and (onward := self._onward(result)):
            self.before.append(self.url)
            self.url = onward
            return True
        self.result = result.file if isinstance(result, Said) else result
        return False

    def _onward(self, said: Said) -> str | None:
        """Where an answer leads, if that is followed; the redirect that led here first is one of the five."""
        if not said.location or len(self.before) + 1 >= MAX_REDIRECTS:
            return None
        try:
            url = self.redirected(said.url, said.location)
        except Stop:
            return None
        return url if url_host(url) and url not in {*self.before, self.url} else None


@dataclass(frozen=True, slots=True)
class _Wish:
    """An origin whose robots.txt an errand brings.

    Mostly the origin sent it: `used` redirects, the last of them with `status`, led away from its host. But an errand that
    comes by the robots.txt of another origin serves that too: then the `passed` URLs before it are not that origin's matter.
    """

    host: int
    origin: str
    errand: Errand
    status: int
    used: int = 0
    passed: int = 0

    @property
    def redirects(self) -> int:
        """How many were followed for this origin."""
        return self.used + len(self.errand.before) - self.passed

    @property
    def is_open(self) -> bool:
        """Whether the errand gave up for who sent it, and so perhaps too early for this origin."""
        result = self.errand.result
        return self.used == 0 and isinstance(result, RobotsFile) and result.status in REDIRECTS

    def file(self) -> RobotsFile | None:
        """What came of the errand, in the context of the origin; None where nobody can say what may be asked for."""
        result = self.errand.result
        if result is None or (isinstance(result, Refused) and result.outcome not in _NO_PLACE):
            return None
        if isinstance(result, Refused) or self.redirects > MAX_REDIRECTS:
            now = timezone.now()
            return RobotsFile(host_id=self.host, origin=self.origin, status=self.status, asked_at=now)
        return RobotsFile(
            host_id=self.host,
            origin=self.origin,
            text=result.text,
            status=result.status,
            asked_at=result.asked_at,  # so no rules hold for longer than a day after they were read
        )


class Errands:
    """The errands of a batch, one for each URL that redirects led to, and the origins that wait for what they bring."""

    def __init__(self) -> None:
        self._by_url: dict[str, Errand] = {}
        self._wishes: dict[str, _Wish] = {}  # by origin
        self._said: dict[str, Said] = {}  # by URL, so that none is asked twice where several ways meet
        self._unknown: set[str] = set()
        self._new: list[Errand] = []

    def __bool__(self) -> bool:
        """Whether any origin waits."""
        return bool(self._wishes)

    def holds(self, url: str) -> bool:
        """Whether the origin of a URL waits for its robots.txt."""
        wish = self._wishes.get(origin_of(url))
        return wish is not None and wish.errand.result is None

    def is_unknown(self, origin: str) -> bool:
        """Whether the robots.txt of an origin was on a host that cannot be reached, or that we may not ask."""
        return origin in self._unknown

    def send(self, host: int, origin: str, away: Away, redirected: Redirected) -> None:
        """Have the robots.txt of an origin fetched where its redirects led away from its host."""
        errand = self._by_url.get(away.url)
        if errand is None:
            errand = self._by_url[away.url] = Errand(away.url, redirected)
            self._new.append(errand)
        self._wishes[origin] = _Wish(host, origin, errand, away.status, used=away.used)

    def said(self, url: str) -> Said | None:
        """What a URL answered to another errand of the batch; None where it was not asked."""
        return self._said.get(url)

    def heard(self, host: int, errand: Errand, answer: Response) -> Said:
        """Note what an errand's present URL answered; if that is an origin's own robots.txt, it goes on for that origin too."""
        origin = origin_of(errand.url)
        location = answer.headers.get("location") if answer.status in REDIRECTS else None
        said = Said(answer.url, robots_read(host, origin, answer), location)
        self._said[errand.url] = said
        if is_robots_url(errand.url) and origin not in self._wishes:
            passed = len(errand.before)
            self._wishes[origin] = _Wish(host, origin, errand, answer.status, passed=passed)
        return said

    def taken_new(self) -> list[Errand]:
        """The errands that came up since this was last asked."""
        new, self._new = self._new, []
        return new

    def settle(self, files: Robots, origins: Iterable[str] | None = None) -> None:
        """Add to `files` what ended errands brought to these origins, or to all."""
        for origin in list(self._wishes) if origins is None else origins:
            wish = self._wishes.get(origin)
            if wish is None or wish.errand.result is None:
                continue
            del self._wishes[origin]
            if wish.is_open:  # it is asked by itself, should a link of it want that
                continue
            file = wish.file()
            if file is None:
                self._unknown.add(origin)
            else:
                files.setdefault((wish.host, origin), file)


def errands_known(errands: Iterable[Errand], files: Robots) -> list[Errand]:
    """End those errands that want what is known already, from `files` or read within a day; returns the others."""
    errands = list(errands)
    wanted = {origin_of(errand.url) for errand in errands if is_robots_url(errand.url)}
    found = {origin: file for (_, origin), file in files.items() if origin in wanted}
    if missing := wanted - found.keys():
        stored = RobotsFile.objects.filter(
            host__name__in={url_host(origin) for origin in missing},
            origin__in=missing,
            asked_at__gt=timezone.now() - REMEMBERED,
        )
        found |= {file.origin: file for file in stored}
    for errand in errands:
        file = found.get(origin_of(errand.url)) if is_robots_url(errand.url) else None
        if file is not None and file.status != LIMITED:
            errand.result = file
    return [errand for errand in errands if errand.result is None]
