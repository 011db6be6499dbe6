"""What one census makes of a domain, beside what the one before saw.

A name that a resolver does not know may be a mistake of that resolver, or of a day. So a domain is gone only when two
resolvers say so, twice, a day apart. Name servers and addresses change for many good reasons, so a change alone proves
nothing: it makes the domain a candidate, whose registry is asked. So does what would blind the census: answers that cannot
be used, for who buys a domain may see to that, and a registration that ran out. Only two things say that a domain is
another's now: that it was registered after the rows were collected, or that its name servers became those of a reseller of
domains.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from expunge.keys import registrable_domain
from registry.lib.safe_http.records import Presence
from registry.links.domains.models import ChangeKind, DomainState

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from registry.lib.safe_http.records import Records
    from registry.links.domains.models import Domain

APART = timedelta(hours=24)  # between the two censuses that find no such name
AGAIN = timedelta(days=7)
UNUSABLE = 3  # censuses in a row that brought nothing to compare
EXPIRED = timedelta(days=1)  # since its registration ran out
REGISTRY_KEPT = timedelta(days=7)  # an answer of a registry is not asked for again sooner
FIRST = datetime(1970, 1, 1, tzinfo=UTC)  # due since then: before those that merely were never asked

# Where name servers of domains stand that are for sale or show nothing but advertisements. Those of a company that hosts
# sites on them stay out, whatever they are called: all customers of Hostinger have theirs below dns-parking.com.
PARKING = frozenset({
    "above.com", "afternic.com", "bodis.com", "cashparking.com", "dan.com", "dan.hosting",
    "domainmarket.com", "domainparking.ru", "dsredirection.com", "hugedomains.com", "huge-domains.com", "ibspark.com",
    "namefind.com", "parklogic.com", "parkingcrew.net", "parkingpage.com", "rookdns.com", "sav.com", "sedoparking.com",
    "skenzo.com", "smartname.com", "undeveloped.com", "uniregistrymarket.link", "voodoo.com",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Change:
    """What differs from the census before."""

    kind: ChangeKind
    before: Sequence[str] = ()
    after: Sequence[str] = ()


@dataclass(slots=True)
class Found:
    """How a domain stands after a census. `asks_registry`: when its registry is to be asked, None where nothing new says so.

    `unusable`: how many censuses in a row brought nothing to compare, since its registry was asked for that reason.
    """

    state: DomainState
    missed_at: datetime | None
    name_servers: Sequence[str]
    addresses: Sequence[str]
    due_at: datetime
    asks_registry: datetime | None = None
    unusable: int = 0
    changes: list[Change] = field(default_factory=list)


def after_census(domain: Domain, records: Records, second: Presence | None, now: datetime) -> Found:
    """What a census makes of `domain`. `second` is what the other resolver says where the first found no such name.

    Where nothing could be learnt (no answer, no second resolver, or two that disagree) the domain stays as it was.
    """
    found = Found(
        DomainState(domain.state), domain.missed_at, domain.name_servers, domain.addresses, now + APART
    )
    if records.presence is Presence.THERE:
        _there(found, domain, records, now)
    elif records.presence is Presence.ABSENT and second is Presence.ABSENT:
        _absent(found, domain, now)
    if not _is_usable(records):
        found.unusable = (domain.unusable + 1) % UNUSABLE
        if not found.unusable:
            found.asks_registry = found.asks_registry or now
    return found


def is_parked(name_servers: Iterable[str]) -> bool:
    """Whether one of these name servers is a reseller's."""
    return not PARKING.isdisjoint(_operators(name_servers))


def _is_usable(records: Records) -> bool:
    """Whether a census learned something to compare: that there is no such name, or both its servers and addresses."""
    answers = (records.name_servers, records.addresses)
    return records.presence is Presence.ABSENT or (records.presence is Presence.THERE and None not in answers)


def _absent(found: Found, domain: Domain, now: datetime) -> None:
    if domain.missed_at is None:
        found.state, found.missed_at = DomainState.MISSING, now
    elif domain.state != DomainState.GONE and now - domain.missed_at >= APART:
        found.state, found.asks_registry = DomainState.GONE, FIRST
        found.changes.append(Change(ChangeKind.GONE, domain.name_servers))
    if found.state == DomainState.GONE:
        found.due_at = now + AGAIN


def _there(found: Found, domain: Domain, records: Records, now: datetime) -> None:
    found.state, found.missed_at, found.due_at = DomainState.PRESENT, None, now + AGAIN
    if records.name_servers is not None:
        found.name_servers = records.name_servers
    if records.addresses is not None:
        found.addresses = records.addresses
    if domain.seen_at is None and domain.state != DomainState.GONE:
        # Nothing to compare with: only its registry knows what happened before.
        found.asks_registry = now
        return
    if domain.state == DomainState.GONE:
        found.changes.append(Change(ChangeKind.BACK, domain.name_servers, found.name_servers))
    moved = _moved(_operators(domain.name_servers), _operators(found.name_servers))
    if moved:
        parked = is_parked(found.name_servers) and not is_parked(domain.name_servers)
        kind = ChangeKind.PARKED if parked else ChangeKind.NAME_SERVERS
        found.changes.append(Change(kind, domain.name_servers, found.name_servers))
    if _moved(_networks(domain.addresses), _networks(found.addresses)):
        found.changes.append(Change(ChangeKind.ADDRESSES, domain.addresses, found.addresses))
    if found.changes:
        found.asks_registry = FIRST
    elif domain.expires_at is not None and now - domain.expires_at >= EXPIRED:
        found.asks_registry = now


def _moved(before: set[str], after: set[str]) -> bool:
    """Whether nothing is left of what was there. One server more or less is daily life."""
    return bool(before) and bool(after) and before.isdisjoint(after)


def _operators(name_servers: Iterable[str]) -> set[str]:
    return {registrable_domain(name) or name for name in name_servers}


def _networks(addresses: Iterable[str]) -> set[str]:
    """The /16 of each address: within one, machines of the same place take turns."""
    return {address.rsplit(".", 2)[0] for address in addresses}
