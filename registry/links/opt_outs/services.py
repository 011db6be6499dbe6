"""A host opts out: by a file that its owner put there, or by hand at his wish. From then on nothing is asked of it.

Whoever names a host on the page `/about/links/` makes a worker read that file, and its robots.txt again. He may be
anybody, so all he can bring about is that: one host that links lead to is asked for one file, in its turn, once an hour at
most; everybody gets the same answer; and the process that answers him contacts nobody. Where the host does not say whether
the file is there, it is asked again an hour later, until GIVEN_UP. The page of the host tells its owner so; it tells
nobody whether the host was asked, for one that is excluded is not.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from expunge.keys import is_public_suffix, registrable_domain
from registry.auditlog.services import audit_append
from registry.lib.errors import NotAllowed, Refused
from registry.lib.safe_http import Client, Request, Response
from registry.lib.safe_http.crowds import Crowds
from registry.links.last_look import LastLook, hosts_opted_out
from registry.links.leases import Holding, LeaseLostError, database_thread, lease_free
from registry.links.models import Host, Link, RobotsFile
from registry.links.opt_outs.files import LIMITS, PATH, SUBDOMAINS, read_opt_out
from registry.links.outcomes import Outcome
from registry.links.robots import origin_of
from registry.links.schedule import Batch, batch_release, hosts_take, links_set
from registry.links.states import LinkState
from registry.links.turns import Round, Turn, policy

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from django.db.models import QuerySet

    from registry.accounts.models import User

logger = logging.getLogger(__name__)

ASKED_AGAIN = timedelta(hours=1)
GIVEN_UP = timedelta(days=3)  # longer than a host may want to rest
HOSTS_AT_ONCE = 50
SECONDS = 30.0  # meanwhile no batch of links begins, so nobody may make it last


def may_opt_out(user: User) -> bool:
    """Whether the user may opt hosts out by hand: for all datasets of the site, so its operators alone."""
    return user.is_superuser


def host_opt_out(*, actor: User, name: str, subdomains: bool = False) -> Host:
    """Never ask a host again, nor with `subdomains` any below it, as its owner wishes. Raises NotAllowed or Refused."""
    name = name.strip().lower().removesuffix(".")
    if not may_opt_out(actor):
        raise NotAllowed("Only its owner, by a file, and operators of this site opt a host out.")
    if subdomains and is_public_suffix(name):
        raise Refused(f"Everybody may have a name below {name}: it cannot speak for them.")
    return _opt_out(name, subdomains=subdomains, actor=actor)


def opt_out_ask(name: str) -> None:
    """Have a host's robots.txt and its opt-out file read again. Nothing is done for one that no link leads to."""
    now = timezone.now()
    if not _is_known(name):
        return
    with transaction.atomic():
        Host.objects.get_or_create(name=name)
        asked = Host.objects.filter(
            Q(opt_out_asked_at=None) | Q(opt_out_asked_at__lt=now - ASKED_AGAIN), name=name
        ).update(opt_out_asked_at=now)
        if asked:
            # Before anything else is asked of it, it is asked for its robots.txt.
            RobotsFile.objects.filter(host__name=name).delete()


def opt_out_until(host: Host) -> datetime | None:
    """Until when its opt-out file is looked for, or was; None where nobody said lately that it is there."""
    return host.opt_out_asked_at + GIVEN_UP if host.opt_out_asked_at else None


def opt_outs_waiting() -> QuerySet[Host]:
    """Hosts whose opt-out file is to be read: those first that were never asked for it, and of them the newest first.

    So whoever names very many hosts, or the same again and again, does not keep an owner waiting who names his now.
    """
    unread = Q(opt_out_read_at=None) | Q(opt_out_read_at__lt=F("opt_out_asked_at"))
    since = timezone.now() - GIVEN_UP
    return Host.objects.filter(unread, opt_out_asked_at__gt=since).order_by(
        F("opt_out_tried_at").asc(nulls_first=True),
        F("opt_out_read_at").asc(nulls_first=True),
        "-opt_out_asked_at",
    )


def opt_outs_due(now: datetime) -> QuerySet[Host]:
    """Those of `opt_outs_waiting` that may be asked now. Those that rest, or that a batch holds, keep no other waiting."""
    is_new = Q(opt_out_tried_at=None) | Q(opt_out_tried_at__lt=now - ASKED_AGAIN)
    return opt_outs_waiting().filter(is_new, lease_free(), next_at__lte=now)


def opt_outs_read() -> int:
    """Read the opt-out files of hosts that wait for it, and may be asked now; returns how many of them opted out."""
    now = timezone.now()
    names = list(opt_outs_due(now).values_list("name", flat=True)[:HOSTS_AT_ONCE])
    if not names or not settings.LINKS_BATCHES:
        return 0
    batch = Batch(uuid.uuid4())
    hosts = hosts_take(batch, names)
    try:
        said = asyncio.run(_read(batch, {host: _addresses(host, now) for host in hosts.values()}))
    finally:
        batch_release(batch)
    Host.objects.filter(name__in=said).update(opt_out_read_at=timezone.now())
    Host.objects.filter(name__in=hosts.keys() - said.keys()).update(opt_out_tried_at=timezone.now())
    out = {name: lines for name, lines in said.items() if lines}
    for name, lines in out.items():
        _opt_out(name, subdomains=SUBDOMAINS in lines and not is_public_suffix(name), actor=None)
    return len(out)


def opt_outs_spread() -> int:
    """Apply opt-outs to hosts and links that came since; returns how many hosts.

    Nothing waits for it: whether a host opted out is asked before every connection. It is for those who read the figures.
    """
    above = Host.objects.filter(opted_out_at__isnull=False, covers_subdomains=True)
    count = sum(_apply(_below(name)) for name in above.values_list("name", flat=True))
    _links_unverifiable(Link.objects.filter(host__opted_out_at__isnull=False, state=LinkState.UNCHECKED))
    return count


def _opt_out(name: str, *, subdomains: bool, actor: User | None) -> Host:
    """Opt a host out, whoever wishes it. Who was out alone may take the subdomains along later."""
    with transaction.atomic():
        host, _ = Host.objects.get_or_create(name=name)
        if host.opted_out_at is not None and (host.covers_subdomains or not subdomains):
            return host
        count = _apply(Host.objects.filter(pk=host.pk))
        if subdomains:
            Host.objects.filter(pk=host.pk).update(covers_subdomains=True)
            count += _apply(_below(name))
        audit_append(
            actor=actor,
            action="host_opt_out",
            subject=host,
            organisation=None,
            data={"by": "file" if actor is None else "hand", "subdomains": subdomains, "hosts": count},
        )
    host.refresh_from_db()
    return host


def _apply(hosts: QuerySet[Host]) -> int:
    """Mark these hosts as opted out, and their links as such that cannot be told; returns how many hosts."""
    new = list(hosts.filter(opted_out_at=None).order_by("pk").values_list("pk", flat=True))
    Host.objects.filter(pk__in=new).update(opted_out_at=timezone.now())
    _links_unverifiable(Link.objects.filter(host__in=new).exclude(state=LinkState.EXCLUDED))
    return len(new)


def _links_unverifiable(links: QuerySet[Link]) -> None:
    links_set(links, state=LinkState.UNVERIFIABLE, outcome=Outcome.OPTED_OUT)


def _below(name: str) -> QuerySet[Host]:
    return Host.objects.filter(name__endswith=f".{name}")


def _is_known(name: str) -> bool:
    """Whether links lead to the host, or to one below it that the census has given its registrable domain."""
    domain = Host.objects.filter(of_domain__domain__name=registrable_domain(name) or "")
    return Host.objects.filter(name=name).exists() or domain.filter(name__endswith=f".{name}").exists()


def _addresses(host: Host, now: datetime) -> list[str]:
    """Where the file may be: as links of ours reach the host, and else at its own ports.

    Each time another of them comes first, for the pauses of a host may leave time for one alone.
    """
    url = host.links.order_by("pk").values_list("url", flat=True).first()
    first = [origin_of(url)] if url else []
    found = list(dict.fromkeys([*first, f"https://{host.name}", f"http://{host.name}"]))
    turn = (now - (host.opt_out_asked_at or now)) // ASKED_AGAIN % len(found)
    return found[turn:] + found[:turn]


async def _read(batch: Batch, addresses: Mapping[Host, Sequence[str]]) -> dict[str, set[str]]:
    """What the opt-out file of each of these hosts says, nothing where there is none; who did not tell is left out."""
    with database_thread() as database:
        # Over long before the leases are, so none is renewed.
        look, holding = LastLook(database, {}, hosts_opted_out), Holding(batch, database)
        ends = timezone.now() + timedelta(seconds=SECONDS)
        shared = Round(ends, look=look, is_sure=holding.is_sure)
        # Who has many names lead to one address, and says so here, must not have us ask it for all of them at once.
        crowds = Crowds(asyncio.get_running_loop().time() + SECONDS)
        async with Client(policy(), before_dial=holding.before_dial(look), crowds=crowds) as client:
            found = await asyncio.gather(
                *(_said(client, host, shared, where) for host, where in addresses.items()),
                return_exceptions=True,
            )
    said: dict[str, set[str]] = {}
    for host, one in zip(addresses, found, strict=True):
        if isinstance(one, LeaseLostError):  # another worker's by now
            continue
        if isinstance(one, BaseException):  # one host, whatever it answers, is not the end of the others
            logger.error("the opt-out file of host %s could not be read: %s", host.pk, type(one).__name__)
        elif one is not None:
            said[host.name] = one
    return said


async def _said(client: Client, host: Host, shared: Round, addresses: Sequence[str]) -> set[str] | None:
    """What the file of one host says, at the first of these addresses that has one, or nothing where none of them has.

    None where it is not known: no address answered but with 429 or 5xx, or there was no time for all of them.
    """
    turn, answered = Turn(client, host, shared), False
    with suppress(TimeoutError):
        async with asyncio.timeout(SECONDS):
            for address in addresses:
                if host.next_at > shared.ends:
                    return None
                answer = await turn.request(Request(f"{address}{PATH}", limits=LIMITS, keeps=False))
                if not isinstance(answer, Response):
                    continue
                lines = read_opt_out(answer.body) if answer.status == 200 and not answer.cut else None
                if lines is not None:
                    return lines
                answered |= answer.status != 429 and answer.status < 500
            return set() if answered else None
    return None
