"""Asking the links of a batch, politely.

Each host is asked by one task of the event loop: one request at a time, `delay` apart, its robots.txt first. Redirects
are not followed by the door but here, a round later, for the next hop is a request like any other: it waits for its
host, whose robots.txt and opt-out hold, and which must not be another worker's just now. Meanwhile the leases are renewed.

1. In each round every host gets the URLs that are to be asked of it: first the links, then where they redirected to.
2. `HEAD` first. Where a host will not answer that (403, 404, 405, 501, 5xx, silence), one `GET` for a single byte.
3. Immediately before every connection the URL's keys are looked up once more: an excluded link is never contacted.
4. A host that asks us to come later, or is silent three times, is left alone; what was not asked stays due.
5. Links whose robots.txt redirects to another host are held back until it was fetched there (`errands.py`).
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from django.conf import settings
from django.utils import timezone

from expunge.keys import url_host
from registry.lib.safe_http import Client, Refused
from registry.lib.safe_http import Outcome as Failure
from registry.lib.safe_http.crowds import Crowds
from registry.lib.safe_http.records import Presence, presences_of
from registry.links import robots
from registry.links.content.pictures import Pictures
from registry.links.content.reading import WHOLE_AT_ONCE, Contents
from registry.links.content.states import Evidence, Unread
from registry.links.content.store import content_may_be_read, content_plans, origin_signatures
from registry.links.errands import Errand, Errands, errands_known
from registry.links.last_look import LastLook, hosts_opted_out
from registry.links.leases import Holding, database_thread
from registry.links.models import Link
from registry.links.outcomes import Outcome, Seen, seen
from registry.links.schedule import Attempt, batch_record, host_keep, hosts_take
from registry.links.states import APART, IS_ALIVE, OF_HOST, LinkState, Standing, after
from registry.links.turns import Round, Turn, Walk, log_fault, policy

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from registry.links.content.reading import Plan
    from registry.links.exclusion import Key
    from registry.links.models import Host
    from registry.links.robots import Robots
    from registry.links.schedule import Batch
    from registry.links.turns import Result

BATCH_SECONDS = 240.0
ROUND_SECONDS = 60.0
SURE_NAMES = ("com", "net", "org")  # delegated for as long as there is a DNS
MANY_HOSTS = 50  # enough to tell our resolver's failure from theirs
_REDIRECTED = frozenset({Outcome.REDIRECT_SAME_SITE, Outcome.REDIRECT_CROSS_SITE})


class NoResolverError(Exception):
    """Our resolver does not answer, so that not one name of a whole batch could be looked up: no link is to blame."""


def _is_our_own_fault(walks: Sequence[Walk]) -> bool:
    """Whether every lookup of many failed for want of an answer, and so do those of names that there must be."""
    results = [walk.result for walk in walks if walk.result is not None]
    hosts = {walk.link.host_id for walk in walks if walk.result is not None}
    if len(hosts) < MANY_HOSTS or not all(
        isinstance(result, Refused) and result.outcome == Failure.DNS_FAILURE for result in results
    ):
        return False
    return Presence.THERE not in presences_of(SURE_NAMES, policy().name_servers)


def batch_check(batch: Batch) -> int:
    """Ask every link of the batch, or as many as time allows, and write what was seen; returns how many.

    Raises NoResolverError, with nothing written, where no name of many could be looked up and the resolver is to blame.
    """
    walks = [Walk(link, link.url) for link in batch.links]
    pending: list[Walk | Errand] = [*walks]
    errands, ends = Errands(), timezone.now() + timedelta(seconds=BATCH_SECONDS)
    known = {host.name: host for host in batch.hosts.values()}
    paces = {host.pk: (host.next_at, host.delay, host.fails) for host in batch.hosts.values()}
    plans = content_plans(batch.links)
    while pending and timezone.now() < ends:
        pending, held = _held_back(pending, errands, batch.robots) if errands else (pending, [])
        if not pending:  # what the others wait for is not to be had in this batch
            break
        by_host: dict[str, list[Walk | Errand]] = defaultdict(list)
        for walk in pending:
            by_host[url_host(walk.url) or ""].append(walk)
        for walk in by_host.pop("", []):  # redirected to what is no URL of ours; the door says what it is
            hops = tuple(walk.hops) if isinstance(walk, Walk) else ()
            walk.result = Refused(Failure.INVALID_URL, "no_host", hops, 0.0)
        known |= hosts_take(batch, by_host.keys() - known.keys())
        # Links that lead to a host which another worker asks now, or which rests, wait.
        turns = {known[name]: of_host for name, of_host in by_host.items() if name in known}
        origins = {
            (host.pk, robots.origin_of(walk.url)) for host, of_host in turns.items() for walk in of_host
        }
        batch.robots |= robots.robots_known(origins - batch.robots.keys())
        if plans:
            batch.signatures |= origin_signatures(origins - batch.signatures.keys())
        onward = asyncio.run(_round(batch, plans, errands, turns, ends))
        pending = [*onward, *errands.taken_new(), *held]
    errands.settle(batch.robots)
    if _is_our_own_fault(walks):
        for pk, pace in paces.items():  # not one was asked, so none has to rest
            batch.hosts[pk].next_at, batch.hosts[pk].delay, batch.hosts[pk].fails = pace
        raise NoResolverError
    waiting = [
        walk.link.pk
        for walk in walks
        if walk.result is None and (walk.hops or (errands and errands.holds(walk.url)))
    ]
    missing = {
        origin: one.missing_target for (_, origin), one in batch.signatures.items() if one.missing_target
    }
    return batch_record(batch, _attempts(walks, missing), waiting=waiting)


def _held_back(
    pending: Sequence[Walk | Errand], errands: Errands, files: Robots
) -> tuple[list[Walk | Errand], list[Walk]]:
    """Part what is to be asked now, errands first, from walks that wait until the robots.txt of their origin came."""
    going = errands_known((one for one in pending if isinstance(one, Errand)), files)
    errands.settle(files)
    held: list[Walk] = []
    free: list[Walk | Errand] = [*going]
    for one in pending:
        if isinstance(one, Walk):
            (held if errands.holds(one.url) else free).append(one)
    return free, held


async def _round(
    batch: Batch,
    plans: Mapping[int, Plan],
    errands: Errands,
    turns: Mapping[Host, Sequence[Walk | Errand]],
    ends: datetime,
) -> list[Walk | Errand]:
    """Ask one hop of each walk, and for the content of those that arrived, by their plans; returns those that go on."""
    recorded: dict[str, set[Key]] = defaultdict(set)
    for walk in (walk for walks in turns.values() for walk in walks):
        if isinstance(walk, Walk):
            recorded[walk.url] |= batch.recorded.get(walk.link.pk, set())
    loop = asyncio.get_running_loop()
    # However long a host takes, what the others redirected goes on. Somebody can be asked before that, or nobody could.
    soon = timezone.now() + timedelta(seconds=ROUND_SECONDS)
    pauses = max(soon, min((host.next_at for host in turns), default=soon))
    # The database is asked in a thread of its own, before every connection: the only way to be sure.
    with database_thread() as database:
        last_look = LastLook(database, recorded, hosts_opted_out)
        holding = Holding(batch, database)

        async def may_read(link: int) -> bool:
            return await loop.run_in_executor(database, content_may_be_read, link)

        async def keep(host: Host) -> None:
            await loop.run_in_executor(database, host_keep, batch.lease, host)

        closes = loop.time() + (min(pauses, ends) - timezone.now()).total_seconds()
        crowds = Crowds(closes, sharers=max(1, settings.LINKS_BATCHES))
        before_dial = holding.before_dial(last_look)
        async with Client(policy(), before_dial=before_dial, crowds=crowds) as client, Pictures() as pictures:
            bodies = asyncio.Semaphore(WHOLE_AT_ONCE)
            contents = Contents(plans, batch.signatures, may_read, pictures, bodies)
            shared = Round(
                ends, pauses, contents, batch.robots, errands, last_look, keep, is_sure=holding.is_sure
            )
            onward = await holding.during(
                *(Turn(client, host, shared).ask(walks) for host, walks in turns.items())
            )
    return [walk for walks in onward for walk in walks]


def _attempts(walks: Iterable[Walk], missing: Mapping[str, str]) -> list[Attempt]:
    """What each walk that came to an end makes of its link; `missing` is where origins lead from random paths."""
    ended = [(walk, _saw(walk, walk.result, missing)) for walk in walks if walk.result is not None]
    of_host: dict[int, list[Seen]] = defaultdict(list)
    for walk, one in ended:
        of_host[walk.link.host_id].append(one)
    whole = {host for host, ones in of_host.items() if all(one.outcome in OF_HOST for one in ones)}
    # Where only one link was asked, it is the host's only one or another tells whose trouble it is.
    single = {host for host in whole if len(of_host[host]) == 1}
    if single:
        asked = [walk.link.pk for walk, _ in ended]
        others = Link.objects.filter(
            host__in=single, state__in=IS_ALIVE, checked_at__gt=timezone.now() - APART
        )
        whole -= set(others.exclude(pk__in=asked).values_list("host", flat=True))
    return [_attempt(walk, one, whole_host=walk.link.host_id in whole) for walk, one in ended]


def _saw(walk: Walk, result: Result, missing: Mapping[str, str]) -> Seen:
    """What an attempt saw; in doubt where its answer is more than we can cope with."""
    try:
        return _as_read(walk, walk.with_opt_outs(seen(walk.link.url, result)), missing)
    except Exception as error:  # noqa: BLE001  -- one link's answer, whatever it is, must not be the end of the batch
        log_fault(error, walk)
        return Seen(Outcome.PROTOCOL_ERROR, in_doubt=True)


def _as_read(walk: Walk, one: Seen, missing: Mapping[str, str]) -> Seen:
    """What an attempt saw, with what only reading tells: an opt-out, and a page for "not found" that is called a success."""
    if (
        missing
        and one.outcome in _REDIRECTED
        and any(missing.get(robots.origin_of(hop.url)) == one.target for hop in walk.hops)
    ):
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
        after(before, one.outcome, at, whole_host=whole_host, in_doubt=one.in_doubt),
        round(walk.seconds * 1000),
        walk.reading,
    )
