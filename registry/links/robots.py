"""A host's robots.txt (RFC 9309): what it says to us, and for how long we remember it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from protego import Protego

from registry.lib.safe_http import Limits, Response
from registry.links.models import MAX_DELAY, MIN_DELAY

if TYPE_CHECKING:
    from registry.links.models import Host

AGENT = "Expunge"
REMEMBERED = timedelta(hours=24)
READ_BYTES = 512 * 1024  # the standard asks for 500 KiB at least
LIMITS = Limits(body_bytes=READ_BYTES, redirects=0)


def robots_url(url: str) -> str:
    """Where the robots.txt for `url` is."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc, "/robots.txt", "", ""))


def is_known(host: Host, now: datetime) -> bool:
    """Whether its robots.txt was asked for within a day."""
    return host.robots_at is not None and now - host.robots_at < REMEMBERED


def remember(host: Host, answer: Response, now: datetime) -> None:
    """Keep what an answer to a request for robots.txt says."""
    host.robots_at, host.robots_status = now, answer.status
    text = answer.body.decode(errors="replace") if 200 <= answer.status < 300 else ""
    host.robots = text.replace("\0", "\ufffd")


@dataclass(frozen=True, slots=True)
class Rules:
    """What a host allows us. Raises nothing for what it may have written."""

    parsed: Protego | None
    status: int

    @classmethod
    def of(cls, host: Host) -> Rules:
        """The rules as remembered."""
        return cls(Protego.parse(host.robots) if host.robots else None, host.robots_status)

    def allow(self, url: str) -> bool:
        """Whether we may ask for `url`: yes where there is no robots.txt, no where the host failed to give it."""
        if self.parsed is None:
            return not 500 <= self.status < 600
        return bool(self.parsed.can_fetch(url, AGENT))

    @property
    def delay(self) -> float:
        """Seconds between requests that it asks for, within what a host may ask."""
        asked = self.parsed.crawl_delay(AGENT) if self.parsed else None
        return min(max(float(asked or 0), MIN_DELAY), MAX_DELAY)
