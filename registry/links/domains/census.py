"""The census of domains: which registrable domains links lead to, and whether each is still there and whose it was.

1. Hosts of panels are enrolled: each gets its registrable domain, once.
2. A worker that is woken claims domains that are due (`FOR UPDATE SKIP LOCKED`, a lease on each), asks the resolvers
   for all of them, and writes what came of it in one statement where the lease is still its own. Whoever dies leaves
   leases that run out; until the end of a batch nothing was written, so it is asked again as a whole.
3. What changed goes into `DomainChange`, candidates are left for their registries (`registrations.py`), and the links of
   a domain that is gone follow it, as they do when it comes back.

Only resolvers are asked, never a host of the domain, so exclusion has nothing to say here and a census tells nothing of it.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from expunge.keys import registrable_domain
from registry.lib.safe_http.records import Presence, presences_of, records_of
from registry.links.domains.models import ChangeKind, Domain, DomainChange, DomainHost, DomainState
from registry.links.domains.states import Found, after_census
from registry.links.models import OUT_OF_USE, Host, Link, PanelRow
from registry.links.outcomes import Outcome
from registry.links.schedule import links_set
from registry.links.states import LinkState

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from datetime import datetime

    from django.db.models import QuerySet

DOMAINS_AT_ONCE = 5_000
LEASE = timedelta(minutes=15)  # longer than a batch takes of which no question is answered (8 minutes)
_HOSTS_AT_ONCE = 5_000
_MAX_NAME, _MAX_LABEL = 253, 63
_COMPARED = ("name", "state", "missed_at", "name_servers", "addresses", "seen_at", "expires_at", "unusable")


@dataclass(slots=True)
class DomainBatch:
    """Domains that one worker asks for, until `lease` runs out."""

    lease: uuid.UUID
    domains: list[Domain]


def hosts_enrol() -> int:
    """Give hosts that have none yet their registrable domain; returns how many hosts were looked at."""
    looked = 0
    while hosts := list(
        Host.objects.filter(of_domain=None).order_by("pk").values_list("pk", "name")[:_HOSTS_AT_ONCE]
    ):
        names = {pk: domain_of(name) for pk, name in hosts}
        wanted = sorted({name for name in names.values() if name})
        Domain.objects.bulk_create(
            [Domain(name=name, suffix=name.rpartition(".")[2]) for name in wanted], ignore_conflicts=True
        )
        domains = dict(Domain.objects.filter(name__in=wanted).values_list("name", "pk"))
        DomainHost.objects.bulk_create(
            [DomainHost(host_id=pk, domain_id=domains[name] if name else None) for pk, name in names.items()],
            ignore_conflicts=True,
        )
        looked += len(hosts)
    return looked


def domain_of(host: str) -> str | None:
    """The registrable domain of a host, by its name as in the key `host.c1`; None where no such domain can be.

    A row may list any URL: DNS has no label of more than 63 bytes and no name of more than 253.
    """
    domain = registrable_domain(host)
    if domain is None or len(domain) > _MAX_NAME or max(map(len, domain.split("."))) > _MAX_LABEL:
        return None
    return domain


def domains_ready(now: datetime) -> QuerySet[Domain]:
    """Domains whose census is due and nobody's: of links that some panel asks after.

    That is one of a dataset that is not paused, and of a version that is in use.
    """
    rows = PanelRow.objects.filter(
        link__host__of_domain__domain=OuterRef("pk"),
        panel__version__dataset__link_policy__paused_at__isnull=True,
    ).exclude(panel__version__status__in=OUT_OF_USE)
    return Domain.objects.filter(
        Q(lease=None) | Q(lease_until__lt=now), Exists(rows.order_by()), due_at__lte=now
    )


def domains_claim(now: datetime | None = None) -> DomainBatch | None:
    """Take domains that are due, the longest first; None when none is."""
    now = now or timezone.now()
    with transaction.atomic():
        ready = domains_ready(now).order_by("due_at", "pk").only(*_COMPARED)
        domains = list(ready.select_for_update(of=("self",), skip_locked=True)[:DOMAINS_AT_ONCE])
        if not domains:
            return None
        batch = DomainBatch(uuid.uuid4(), domains)
        Domain.objects.filter(pk__in=[one.pk for one in domains]).update(
            lease=batch.lease, lease_until=now + LEASE
        )
    return batch


def domains_census() -> int:
    """Claim one batch, ask for it and write what was found; returns how many domains, 0 when none is due."""
    batch = domains_claim()
    if batch is None:
        return 0
    names = [one.name for one in batch.domains]
    records = records_of(names, settings.NAME_SERVERS)
    absent = [name for name, one in zip(names, records, strict=True) if one.presence is Presence.ABSENT]
    second: dict[str, Presence] = {}
    if absent and settings.NAME_SERVERS_SECOND:
        second = dict(zip(absent, presences_of(absent, settings.NAME_SERVERS_SECOND), strict=True))
    now = timezone.now()
    found = [
        after_census(domain, one, second.get(domain.name), now)
        for domain, one in zip(batch.domains, records, strict=True)
    ]
    return batch_record(batch, found, now)


def batch_record(batch: DomainBatch, found: Sequence[Found], now: datetime) -> int:
    """Write what a batch found, in the order of its domains, and end its leases; returns of how many domains."""
    pairs = list(zip(batch.domains, found, strict=True))
    with transaction.atomic():
        written = set(_domains_update(batch.lease, pairs, now))
        mine = [(domain, one) for domain, one in pairs if domain.pk in written]
        DomainChange.objects.bulk_create(
            [
                DomainChange(
                    domain=domain,
                    kind=change.kind,
                    at=now,
                    before=list(change.before),
                    after=list(change.after),
                )
                for domain, one in mine
                for change in one.changes
            ],
            ignore_conflicts=True,
        )
        links_gone([domain.pk for domain, one in mine if one.state == DomainState.GONE])
        links_back([domain.pk for domain, one in mine if _came_back(domain, one)])
    return len(written)


def links_gone(domains: Collection[int]) -> int:
    """Let the links of these domains be gone with them, and off the schedule; returns how many."""
    links = _links_of(domains).exclude(state__in=[LinkState.EXCLUDED, LinkState.DOMAIN_GONE])
    return links_set(links, state=LinkState.DOMAIN_GONE, outcome=Outcome.DNS_NXDOMAIN, due_at=None, status=0)


def links_back(domains: Collection[int]) -> int:
    """Let links that had gone with their domain be checked again; returns how many."""
    links = _links_of(domains).filter(state=LinkState.DOMAIN_GONE)
    return links_set(
        links,
        state=LinkState.UNCHECKED,
        outcome="",
        due_at=timezone.now(),
        failures=0,
        host_failures=0,
        failed_at=None,
    )


def changes_expire(now: datetime) -> int:
    """Forget changes that no takeover rests on and that are too old; returns how many."""
    before = now - timedelta(days=31 * settings.LINKS_KEEP_MONTHS)
    return DomainChange.objects.filter(at__lt=before, takeovers=None).delete()[0]


def _came_back(domain: Domain, found: Found) -> bool:
    return domain.state == DomainState.GONE and found.state == DomainState.PRESENT


def _links_of(domains: Collection[int]) -> QuerySet[Link]:
    """Links on these domains, but for those of hosts whose owners want no requests: these stay as they are."""
    hosts = Host.objects.filter(of_domain__domain__in=list(domains), opted_out_at=None)
    return Link.objects.filter(host__in=hosts.values("pk"))


# Text arrays go as text with a separator that no name or address holds, for arrays of arrays must be of one length.
_UPDATE = """
UPDATE registry_domain AS domain
SET state = v.state, missed_at = v.missed_at, name_servers = string_to_array(v.name_servers, ' '),
    addresses = string_to_array(v.addresses, ' ')::inet[], due_at = v.due_at, checked_at = %(now)s,
    seen_at = CASE WHEN v.state = 'present' THEN COALESCE(domain.seen_at, %(now)s) ELSE domain.seen_at END,
    asks_registry_at = CASE WHEN v.asks IS NULL THEN domain.asks_registry_at
                            ELSE LEAST(domain.asks_registry_at, v.asks) END,
    parked_at = CASE WHEN v.parked THEN %(now)s ELSE domain.parked_at END, unusable = v.unusable,
    lease = NULL, lease_until = NULL
FROM unnest(%(ids)s::bigint[], %(states)s::text[], %(missed)s::timestamptz[], %(servers)s::text[],
            %(addresses)s::text[], %(due)s::timestamptz[], %(asks)s::timestamptz[], %(parked)s::bool[],
            %(unusable)s::int[])
    AS v (id, state, missed_at, name_servers, addresses, due_at, asks, parked, unusable)
WHERE domain.id = v.id AND domain.lease = %(lease)s
RETURNING domain.id
"""


def _domains_update(lease: uuid.UUID, pairs: Iterable[tuple[Domain, Found]], now: datetime) -> list[int]:
    """Write every domain in one statement; returns the ids of those that were still this lease's."""
    pairs = list(pairs)
    found = [one for _, one in pairs]
    values: dict[str, Any] = {
        "lease": lease,
        "now": now,
        "ids": [domain.pk for domain, _ in pairs],
        "states": [one.state.value for one in found],
        "missed": [one.missed_at for one in found],
        "servers": [" ".join(one.name_servers) for one in found],
        "addresses": [" ".join(one.addresses) for one in found],
        "due": [one.due_at for one in found],
        "asks": [one.asks_registry for one in found],
        "parked": [any(change.kind == ChangeKind.PARKED for change in one.changes) for one in found],
        "unusable": [one.unusable for one in found],
    }
    with connection.cursor() as cursor:
        cursor.execute(_UPDATE, values)
        return [pk for (pk,) in cursor.fetchall()]
