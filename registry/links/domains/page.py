"""What pages show of the domains behind a version's links (`_domains.html`, `version_domains.html`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from registry.hooks import hooks
from registry.links.domains.selectors import (
    NOTEWORTHY,
    DomainKind,
    collected_on,
    domain_rows,
    version_domains,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from typing import Any

    from registry.datasets.models import Version, Viewer
    from registry.hooks import WorkedOn
    from registry.links.domains.models import Domain
    from registry.links.domains.selectors import DomainHealth

SHOWN = 10  # domains in the table of the page of links; a page of their own has all
MEANINGS = {
    DomainKind.OWNERSHIP_CHANGED: (
        "danger",
        "registered, or given to a reseller, after the rows were collected",
    ),
    DomainKind.GONE: ("danger", "two resolvers found no such domain, twice, at least 24 hours apart"),
    DomainKind.MISSING: ("attention", "two resolvers found no such domain, once so far"),
    DomainKind.MOVED: ("neutral", "other name servers or addresses, which happens for good reasons too"),
    DomainKind.UNCHECKED: ("neutral", "no resolver told anything yet"),
    DomainKind.REGISTERED_LATER: (
        "neutral",
        "registered after the date of this version; that date is doubted, so this says nothing of them",
    ),
    DomainKind.PRESENT: ("good", "there, and nothing is known to have changed"),
}
_DOUBTED_MEANING = "given to a reseller after the rows were collected"
# What is told of a domain of which no change was seen.
_NO_CHANGE = {
    DomainKind.OWNERSHIP_CHANGED: "Registered or parked after the rows were collected",
    DomainKind.UNCHECKED: "No resolver told anything yet",
    DomainKind.REGISTERED_LATER: "Registered after the date of this version, which is doubted",
}


def domains_context(user: Viewer, version: Version, *, is_member: bool) -> dict[str, Any]:
    """The context of the fragment; the domains themselves, the gravest of those that matter, for members only."""
    health = version_domains(version)
    if health is None:
        return {"domains": None}
    doubted = health.is_date_doubted
    found = domain_rows(user, version, NOTEWORTHY, is_doubted=doubted)[:SHOWN] if is_member else []
    return {
        "domains": health,
        "domain_kinds": _kinds(health),
        "collected_on": collected_on(version),
        "domains_found": sum(health.domains[kind] for kind in NOTEWORTHY),
        "domain_rows": rows_told(version, found),
    }


def rows_told(version: Version, rows: Iterable[Domain]) -> list[tuple[Domain, str, str, WorkedOn | None]]:
    """For members: each of these `domain_rows` with its kind and what is known beside its changes, and the case about it."""
    found = list(rows)
    cases = cases_about(version, [one.name for one in found])
    told = []
    for one in found:
        kind = DomainKind(one.kind)  # type: ignore[attr-defined]  # annotated by domain_rows
        told.append((one, kind.label, _NO_CHANGE.get(kind, ""), cases.get(one.name)))
    return told


def cases_about(version: Version, domains: Collection[str]) -> dict[str, WorkedOn]:
    """For members: the case about the version's dataset that names each of these domains, where there is one."""
    cases: dict[str, WorkedOn] = {}
    for ask in hooks.domains_worked_on:
        cases |= ask(version, domains)
    return cases


def _kinds(health: DomainHealth) -> list[dict[str, Any]]:
    """The lines of the table: kinds with their counts. One that comes with a doubted date alone is left out elsewhere."""
    lines = []
    for kind, (meaning, text) in MEANINGS.items():
        if kind is DomainKind.REGISTERED_LATER and not health.is_date_doubted:
            continue
        is_parked = kind is DomainKind.OWNERSHIP_CHANGED and health.is_date_doubted
        lines.append(
            {
                "kind": kind.value,
                "label": kind.label,
                # Where there is none of a kind, nothing calls for attention.
                "meaning": meaning if health.domains[kind] else "neutral",
                "text": _DOUBTED_MEANING if is_parked else text,
                "domains": health.domains[kind],
                "links": health.links[kind],
                "alive": health.alive[kind],
                "dead": health.dead[kind],
                "unknown": health.unknown[kind],
            }
        )
    return lines
