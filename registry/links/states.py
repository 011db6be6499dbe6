"""What many attempts make of a link.

One failure says little: servers restart, networks break, and every naive checker calls living links dead. So a link is
dead only after `FAILURES` failures, each at least `APART` after the one before. Of these at most one may be a silence
of the whole host, for then it is not the link that failed. Any answer that it is there makes it alive again, and
whoever refuses *us* (403, 451, a challenge, a limit, robots) has not said that the link is dead.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from django.db import models

from registry.links.outcomes import Outcome

FAILURES = 3
APART = timedelta(hours=72)
WHOLE_HOST_COUNTS = 1  # at most so many of the failures may be a host's that failed as a whole


class LinkState(models.TextChoices):
    """What is known of a link."""

    UNCHECKED = "unchecked", "Not checked yet"
    ALIVE = "alive", "Alive"
    MOVED = "moved", "Moved"
    FAILING = "failing", "Failing"
    DEAD = "dead", "Dead"
    DOMAIN_GONE = "domain_gone", "Domain gone"
    UNVERIFIABLE = "unverifiable", "Cannot be told"
    EXCLUDED = "excluded", "Excluded"


# What any figure counts as alive, and as dead: of one the link failed often enough, of the other its domain is gone.
IS_ALIVE = frozenset({LinkState.ALIVE, LinkState.MOVED})
IS_DEAD = frozenset({LinkState.DEAD, LinkState.DOMAIN_GONE})
# Whose times everybody may be told: of what cannot be told, a time would say that it is not excluded, which has none.
KEEPS_TIME = IS_ALIVE | IS_DEAD | {LinkState.FAILING}
# What readers are told. Who could see that a link is excluded would learn that somebody reported it.
SHOWN = tuple(state for state in LinkState if state is not LinkState.EXCLUDED)
ALIVE = frozenset({Outcome.OK, Outcome.NOT_MODIFIED, Outcome.REDIRECT_SAME_SITE})
MOVED = frozenset({Outcome.REDIRECT_CROSS_SITE})
# The link itself is not there, or its host is gone for good.
ABSENT = frozenset({
    Outcome.SOFT_404, Outcome.NOT_FOUND, Outcome.GONE, Outcome.DNS_NXDOMAIN, Outcome.DNS_NODATA, Outcome.CONNECT_REFUSED, Outcome.TLS_ERROR, Outcome.PROTOCOL_ERROR,
    Outcome.REDIRECT_LOOP,
})  # fmt: skip
# Trouble, which may pass; a host may have it as a whole.
TROUBLE = frozenset(
    {Outcome.SERVER_ERROR, Outcome.DNS_FAILURE, Outcome.CONNECT_TIMEOUT, Outcome.READ_TIMEOUT, Outcome.RESET}
)
# What the whole host may have had, if nothing else of it answered.
OF_HOST = TROUBLE | {Outcome.CONNECT_REFUSED, Outcome.TLS_ERROR}
# With these no answer came from the host at all, so it is the host's whichever link was asked for.
SILENCE = frozenset({Outcome.DNS_FAILURE, Outcome.CONNECT_TIMEOUT})
REFUSES_US = frozenset({
    Outcome.AUTH_REQUIRED, Outcome.FORBIDDEN, Outcome.LEGAL_BLOCK, Outcome.BOT_CHALLENGE, Outcome.RATE_LIMITED, Outcome.CLIENT_ERROR, Outcome.TOO_LARGE,
    Outcome.INVALID_URL, Outcome.SSRF_BLOCKED, Outcome.ROBOTS_DISALLOWED, Outcome.OPTED_OUT,
})  # fmt: skip
EXCLUDED = frozenset({Outcome.POLICY_NO_FETCH})

_DEAD_AGAIN = (timedelta(days=30), timedelta(days=90), timedelta(days=180))
_AGAIN: dict[str, timedelta] = {
    LinkState.ALIVE: timedelta(days=7),
    LinkState.MOVED: timedelta(days=7),
    LinkState.FAILING: APART,
    LinkState.UNVERIFIABLE: timedelta(days=14),
}


@dataclass(frozen=True, slots=True)
class Standing:
    """How a link stands. `failures` counts those that are `APART`; `host_failures` of them were a whole host's."""

    state: LinkState = LinkState.UNCHECKED
    failures: int = 0
    host_failures: int = 0
    failed_at: datetime | None = None  # the last failure that counted
    due_at: datetime | None = None


def shown(state: str) -> LinkState:
    """The state that readers are told: one of SHOWN, for an excluded link "cannot be told"."""
    return LinkState.UNVERIFIABLE if state == LinkState.EXCLUDED else LinkState(state)


def after(
    standing: Standing, outcome: Outcome, at: datetime, *, whole_host: bool = False, in_doubt: bool = False
) -> Standing:
    """Return how the link stands after an attempt at `at`.

    `whole_host`: whatever was asked of the host had trouble. `in_doubt`: the trouble may as well be ours.
    """
    if outcome in EXCLUDED:
        return Standing(LinkState.EXCLUDED)
    if outcome in ALIVE or outcome in MOVED:
        state = LinkState.MOVED if outcome in MOVED else LinkState.ALIVE
        return Standing(state, due_at=at + _AGAIN[state])
    if outcome in REFUSES_US or in_doubt:
        return replace(standing, state=LinkState.UNVERIFIABLE, due_at=at + _AGAIN[LinkState.UNVERIFIABLE])
    failures, host_failures, failed_at = standing.failures, standing.host_failures, standing.failed_at
    if failed_at is None or at - failed_at >= APART:
        of_host = outcome in SILENCE or (whole_host and outcome in OF_HOST)
        failures, host_failures, failed_at = failures + 1, host_failures + of_host, at
    counted = failures - max(0, host_failures - WHOLE_HOST_COUNTS)
    if counted >= FAILURES:
        later = _DEAD_AGAIN[min(counted - FAILURES, len(_DEAD_AGAIN) - 1)]
        return Standing(LinkState.DEAD, failures, host_failures, failed_at, at + later)
    return Standing(LinkState.FAILING, failures, host_failures, failed_at, at + _AGAIN[LinkState.FAILING])
