"""Since when a domain is registered: asked of its registry (RDAP, RFC 9083), for candidates only.

Which registry answers for which top-level domain stands in IANA's bootstrap file, which is kept for a week. A registry is
a host like any other: `Host` holds its lease, its pauses and its rests, so it is asked by one worker at a time, a second
apart or more, and left alone for as long as it says. Its answer about a domain is kept too.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from expunge.keys import url_host
from registry.lib.safe_http import Client, Limits, Refused, Request, Response
from registry.lib.storable import storable
from registry.links.domains.models import Domain, Registry
from registry.links.domains.states import REGISTRY_KEPT
from registry.links.last_look import LastLook, hosts_opted_out
from registry.links.leases import Holding, LeaseLostError, database_thread
from registry.links.models import OUT_OF_USE, PanelRow
from registry.links.schedule import Batch, batch_release, hosts_take
from registry.links.turns import Round, Turn, policy

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from django.db.models import QuerySet

    from registry.links.models import Host

DOMAINS_AT_ONCE = 100  # of one registry, before another gets its turn
BATCH_SECONDS = 240.0
BOOTSTRAP_KEPT = timedelta(days=7)
AGAIN = timedelta(days=1)  # after an answer that could not be used
_LIMITS = Limits(redirects=0, body_bytes=256 * 1024)
_BOOTSTRAP_LIMITS = Limits(redirects=0, body_bytes=4 * 1024 * 1024)
_HEADERS = {"Accept": "application/rdap+json, application/json"}
_MAX_STATUSES, _MAX_URL = 20, 500
_TOLD = frozenset({"ok", "not_found"})
_AHEAD = timedelta(days=1)  # that a registry's clock may be before ours

Result = Response | Refused


@dataclass(frozen=True, slots=True)
class Registration:
    """What a registry says of a domain; times are None where it does not say. `answer` is `ok`, or why there is nothing."""

    answer: str
    registered_at: datetime | None = None
    expires_at: datetime | None = None
    statuses: tuple[str, ...] = ()


def registries_ask(now: datetime | None = None) -> int:
    """Ask one registry that may be asked about the candidates of its domains; returns about how many it told something.

    Whoever is killed here leaves a lease on the registry's host that runs out, and a batch that is asked again.
    """
    now = now or timezone.now()
    if not settings.RDAP_BOOTSTRAP:
        return 0
    waiting = candidates(now).order_by("asks_registry_at", "pk")
    if not waiting.exists() or not _bootstrap(now):
        return 0
    known = dict(Registry.objects.values_list("suffix", "url"))
    waiting.exclude(suffix__in=known).update(
        asks_registry_at=None, registry_answer="no_registry", registry_at=now
    )
    with_registry = waiting.filter(suffix__in=known)
    for suffix in dict.fromkeys(with_registry.values_list("suffix", flat=True)[:10_000]):
        suffixes = [other for other, url in known.items() if url_host(url) == url_host(known[suffix])]
        domains = list(waiting.filter(suffix__in=suffixes)[:DOMAINS_AT_ONCE])
        urls = {f"{known[domain.suffix]}domain/{domain.name}": domain for domain in domains}
        answers = _ask(list(urls), _LIMITS)
        if answers is None:  # it rests, or somebody else asks it
            continue
        said = {url: read_answer(urls[url].name, answer) for url, answer in answers.items()}
        with transaction.atomic():
            for url, one in said.items():
                _write(urls[url], one)
        return sum(one.answer in _TOLD for one in said.values())
    return 0


def candidates(now: datetime) -> QuerySet[Domain]:
    """Domains whose registry is to be asked now. What it said within REGISTRY_KEPT still counts.

    Those that only panels of versions out of use list are not asked after.
    """
    kept = Q(registry_at__isnull=False, registry_at__gt=now - REGISTRY_KEPT)
    rows = PanelRow.objects.filter(link__host__of_domain__domain=OuterRef("pk")).order_by()
    wanted = ~Exists(rows) | Exists(rows.exclude(panel__version__status__in=OUT_OF_USE))
    return Domain.objects.filter(wanted, asks_registry_at__lte=now).exclude(kept)


def read_answer(domain: str, answer: Response | Refused) -> Registration:
    """What an answer says about `domain`. Raises nothing, whatever a registry writes."""
    if isinstance(answer, Refused):
        return Registration("no_answer")
    if answer.status == 404:
        return Registration("not_found")
    if answer.status != 200 or answer.cut:
        return Registration("refused" if answer.status in {401, 403, 429} else "no_answer")
    try:
        told = json.loads(answer.body)
    except (ValueError, RecursionError):
        return Registration("unreadable")
    if not isinstance(told, dict) or not _is_about(told, domain):
        return Registration("unreadable")
    events: dict[str, datetime] = {}
    for event in _dicts(told.get("events")):
        action, at = event.get("eventAction"), _time(event.get("eventDate"))
        if isinstance(action, str) and at is not None:
            events[action.lower()] = max(at, events.get(action.lower(), at))
    # A name that was dropped and registered again carries either event, by the registry.
    begun = [events[action] for action in ("registration", "reregistration") if action in events]
    # None is yet to come, and nobody is accused by a registry that says so.
    begun = [at for at in begun if at <= timezone.now() + _AHEAD]
    status = told.get("status")
    statuses = (
        tuple(text[:60] for text in status if isinstance(text, str)) if isinstance(status, list) else ()
    )
    printable = tuple(text for text in statuses if text.isprintable())[:_MAX_STATUSES]
    return Registration("ok", max(begun, default=None), events.get("expiration"), printable)


def read_bootstrap(text: bytes) -> dict[str, str]:
    """The registry of each top-level domain, as its base URL with a slash at the end. Raises ValueError."""
    try:
        told = json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    found: dict[str, str] = {}
    services = told.get("services") if isinstance(told, dict) else None
    for service in services if isinstance(services, list) else []:
        if not (
            isinstance(service, list) and len(service) == 2 and all(isinstance(one, list) for one in service)
        ):
            continue
        texts = [storable(url) for url in service[1] if isinstance(url, str) and len(url) <= _MAX_URL]
        urls = [url for url in texts if url.startswith(("https://", "http://")) and url_host(url)]
        best = next((url for url in urls if url.startswith("https://")), next(iter(urls), None))
        if best is None:
            continue
        for suffix in service[0]:
            if isinstance(suffix, str) and len(suffix) <= 63:
                found[storable(suffix.lower())] = best if best.endswith("/") else f"{best}/"
    if not found:
        raise ValueError("no registry in it")
    return found


def _bootstrap(now: datetime) -> bool:
    """Make sure that the registries are known; returns whether they are. Those of last week do until there are others."""
    newest = Registry.objects.order_by("-fetched_at").values_list("fetched_at", flat=True).first()
    if newest is not None and now - newest < BOOTSTRAP_KEPT:
        return True
    where: str = settings.RDAP_BOOTSTRAP
    text: bytes | None = None
    if where.startswith(("https://", "http://")):
        answer = (_ask([where], _BOOTSTRAP_LIMITS) or {}).get(where)
        if isinstance(answer, Response) and answer.status == 200 and not answer.cut:
            text = answer.body
    else:
        text = Path(where).read_bytes()
    try:
        found = read_bootstrap(text) if text is not None else {}
    except ValueError:
        found = {}
    if not found:
        return newest is not None
    with transaction.atomic():
        Registry.objects.exclude(suffix__in=found).delete()
        Registry.objects.bulk_create(
            [Registry(suffix=suffix, url=url, fetched_at=now) for suffix, url in sorted(found.items())],
            update_conflicts=True,
            unique_fields=["suffix"],
            update_fields=["url", "fetched_at"],
        )
    return True


def _ask(urls: Sequence[str], limits: Limits) -> dict[str, Result] | None:
    """Ask for these URLs of one host, as many as time and the host allow; returns what came of each that was asked for.

    None where the host rests or another worker asks it.
    """
    name = url_host(urls[0]) or ""
    batch = Batch(uuid.uuid4())
    host = hosts_take(batch, {name}).get(name)
    ends = timezone.now() + timedelta(seconds=BATCH_SECONDS)

    answers: dict[str, Result] = {}

    async def turn(its: Turn, host: Host) -> None:
        with suppress(LeaseLostError):
            for url in urls:
                if host.next_at > ends or timezone.now() > ends:
                    break
                answers[url] = await its.request(Request(url, headers=_HEADERS, limits=limits))

    async def ask(host: Host) -> None:
        with database_thread() as database:
            holding = Holding(batch, database)
            dial = holding.before_dial(LastLook(database, {}, hosts_opted_out))
            async with Client(policy(), concurrency=1, before_dial=dial) as client:
                await holding.during(turn(Turn(client, host, Round(ends, is_sure=holding.is_sure)), host))

    try:
        if host is None or host.opted_out_at is not None:
            return None
        asyncio.run(ask(host))
        return answers
    finally:
        batch_release(batch)


def _write(domain: Domain, said: Registration) -> None:
    """Keep what a registry said. Where it said nothing now, what it said before stays, and it is asked again in a day."""
    now, row = timezone.now(), Domain.objects.filter(pk=domain.pk)
    if said.answer not in _TOLD:
        row.update(registry_answer=said.answer, asks_registry_at=now + AGAIN)
        return
    row.update(
        registry_answer=said.answer,
        registry_at=now,
        asks_registry_at=None,
        registered_at=said.registered_at or F("registered_at"),
        expires_at=said.expires_at or F("expires_at"),
        registry_statuses=list(said.statuses),
    )


def _is_about(told: dict[str, Any], domain: str) -> bool:
    """Whether an answer is about the domain that was asked for, as far as it says."""
    name = told.get("ldhName")
    return told.get("objectClassName", "domain") == "domain" and (
        not isinstance(name, str) or name.lower().removesuffix(".") == domain
    )


def _dicts(value: object) -> Iterable[dict[str, Any]]:
    found: Sequence[object] = value if isinstance(value, list) else ()
    return (one for one in found if isinstance(one, dict))


def _time(value: object) -> datetime | None:
    """A time that somebody else wrote, None for what is none."""
    try:
        at = parse_datetime(value) if isinstance(value, str) else None
        return None if at is None else (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
