"""Asking one host for the content of its links, after each has answered: politely, within bounds, and keeping hashes only.

1. `/.well-known/tdmrep.json`, once a day: what is reserved there is not asked for.
2. A random path, once a month: what an origin answers where nothing is, is no content anywhere else on it.
3. Whether the link may still be read, asked of the database immediately before each request for its content.
4. `GET` for the first 64 KiB. An opt-out in the answer ends it: nothing of it is hashed.
5. All of it, where the dataset recorded a hash of it or it is a picture to be looked at, and if it is 10 MiB at most.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit, urlunsplit

from django.utils import timezone

from registry.lib.safe_http import REDIRECTS, Limits, Outcome, Refused, Request, Response, Stop
from registry.links.content import reservation, states
from registry.links.content.states import Evidence, Facts, Unread
from registry.links.outcomes import opt_outs

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, Mapping

    from registry.links.content.models import OriginSignature
    from registry.links.content.pictures import Pictures
    from registry.links.content.states import Reading
    from registry.links.robots import Redirected, Rules

    class Ask(Protocol):
        """Waits for the host's turn and asks; None where the host wants rest, time is over, or content is not allowed.

        Whether the content of `link` may be read is asked of the database after the wait, immediately before the request.
        """

        async def __call__(self, request: Request, *, link: int | None = None) -> Response | Refused | None:
            """Ask, for content of `link` or for what concerns its host."""


PROBED = timedelta(days=30)
WHOLE_AT_ONCE = 2  # of one worker: each takes twice WHOLE_BYTES for a moment

_BEGINNING = Limits(redirects=0, body_bytes=states.PREFIX_BYTES)
_WHOLE = Limits(redirects=0, body_bytes=states.WHOLE_BYTES)
_RANGE = {"Range": f"bytes=0-{states.PREFIX_BYTES - 1}"}
_SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,5}$")


@dataclass(frozen=True, slots=True)
class Plan:
    """How the content of one link is to be read.

    `recorded` are the hashes that versions recorded, as (kind, digest); `images` whether pictures are looked at; the
    validators are those of what was read last, where "not modified" would be an answer.
    """

    recorded: frozenset[tuple[str, bytes]] = frozenset()
    images: bool = False
    etag: str = ""
    modified: str = ""


@dataclass(frozen=True, slots=True)
class Contents:
    """What all hosts of a round share: how links are to be read, what is known of origins, and what reading takes.

    `may_read(link)` asks the database; `bodies` is how many may be held in memory at once.
    """

    plans: Mapping[int, Plan]
    signatures: Mapping[tuple[int, str], OriginSignature]
    may_read: Callable[[int], Awaitable[bool]]
    pictures: Pictures
    bodies: asyncio.Semaphore


class Reader:
    """Reads content of one origin, whose `signature` and `rules` these are, within the turn of its host.

    `redirected(url, location)` is where a redirect leads; it raises Stop.
    """

    def __init__(
        self,
        signature: OriginSignature,
        rules: Rules,
        *,
        ask: Ask,
        redirected: Redirected,
        contents: Contents,
    ) -> None:
        self.signature = signature
        self._rules = rules
        self._ask = ask
        self._redirected = redirected
        self._contents = contents

    async def read(self, link: int, url: str, plan: Plan) -> Reading | Refused | None:
        """Read the content of a link at `url`, which answered just now.

        Returns what was read, or None where it is not the time to; a `Refused` says that the link is excluded.
        """
        if not await self._tdm_known(url):
            return None
        if reservation.is_reserved(self.signature.tdm_rules, url):
            return Unread(Evidence.OPTED_OUT, (reservation.TDM,))
        if not await self._probed(url):
            return None
        validators = {
            name: value
            for name, value in [("If-None-Match", plan.etag), ("If-Modified-Since", plan.modified)]
            if value
        }
        reading, body = await self._one(Request(url, headers=_RANGE | validators, limits=_BEGINNING), link)
        if not isinstance(reading, Facts):
            return reading
        if self._is_missing(reading) and plan.recorded.isdisjoint(reading.digests.items()):
            return Unread(Evidence.NOT_FOUND_PAGE)
        if states.is_worth_reading_whole(reading, recorded=plan.recorded, images=plan.images):
            async with self._contents.bodies:
                whole, body = await self._one(Request(url, limits=_WHOLE), link)
                if not isinstance(whole, Facts):
                    return whole
                return await self._looked_at(whole, body, plan)
        return await self._looked_at(reading, body, plan)

    async def _one(self, request: Request, link: int) -> tuple[Reading | Refused | None, bytes]:
        """One request for content; returns what it says, and the bytes, which go no further than here."""
        answer = await self._ask(request, link=link)
        if answer is None:
            return None, b""
        if isinstance(answer, Refused):
            excluded = answer.outcome is Outcome.POLICY_NO_FETCH
            return (answer if excluded else Unread(Evidence.NO_CONTENT)), b""
        if declared := opt_outs(answer.headers):
            return Unread(Evidence.OPTED_OUT, declared), b""
        return states.facts(answer), answer.body

    async def _looked_at(self, reading: Facts, body: bytes, plan: Plan) -> Facts:
        if not plan.images or reading.kind != "image" or not reading.digests:
            return reading
        return replace(reading, pdq=await self._contents.pictures.pdq(body))

    async def _tdm_known(self, url: str) -> bool:
        """Make sure that the origin's reservations are known; False where it cannot be asked now."""
        signature, now = self.signature, timezone.now()
        if signature.tdm_at is not None and now - signature.tdm_at < reservation.REMEMBERED:
            return True
        answer = await self._ask(Request(reservation.tdmrep_url(url), limits=reservation.LIMITS))
        if not isinstance(answer, Response) or answer.status == 429 or answer.status >= 500:
            return False
        signature.tdm_rules = reservation.read_rules(answer.body) if answer.status == 200 else []
        signature.tdm_at = now
        return True

    async def _probed(self, url: str) -> bool:
        """Make sure that we know what the origin answers where nothing is; False where it cannot be asked now."""
        signature, now = self.signature, timezone.now()
        if signature.probed_at is not None and now - signature.probed_at < PROBED:
            return True
        parts = urlsplit(url)
        suffix = _SUFFIX.search(parts.path)
        path = f"/{secrets.token_hex(16)}{suffix[0] if suffix else ''}"
        nowhere = urlunsplit((parts.scheme, parts.netloc, path, "", ""))
        signature.missing_body, signature.missing_target = None, ""
        if self._rules.allow(nowhere):
            answer = await self._ask(Request(nowhere, headers=_RANGE, limits=_BEGINNING))
            if answer is None:
                return False
            if isinstance(answer, Response):
                self._learn(answer)
        signature.probed_at = now
        return True

    def _learn(self, answer: Response) -> None:
        location = answer.headers.get("location")
        if answer.status in REDIRECTS and location:
            try:
                self.signature.missing_target = self._redirected(answer.url, location)
            except Stop:
                return
        else:
            reading = states.facts(answer)
            if isinstance(reading, Facts):
                self.signature.missing_body = reading.prefix

    def _is_missing(self, reading: Facts) -> bool:
        missing = self.signature.missing_body
        return missing is not None and bytes(missing) == reading.prefix
