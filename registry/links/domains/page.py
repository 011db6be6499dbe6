"""What the page of a version's links shows of its domains (`_domains.html`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from registry.links.domains.selectors import NOTEWORTHY, DomainKind, domain_rows, version_domains

if TYPE_CHECKING:
    from typing import Any

    from registry.datasets.models import Version, Viewer

SHOWN = 20  # domains in the table of the page; the API has all
MEANINGS = {
    DomainKind.OWNERSHIP_CHANGED: (
        "danger",
        "registered, or given to a reseller, after the rows were collected",
    ),
    DomainKind.GONE: ("danger", "two resolvers found no such domain, twice, at least 24 hours apart"),
    DomainKind.MISSING: ("attention", "two resolvers found no such domain, once so far"),
    DomainKind.MOVED: ("neutral", "other name servers or addresses, which happens for good reasons too"),
    DomainKind.UNCHECKED: ("neutral", "no resolver told anything yet"),
    DomainKind.PRESENT: ("good", "there, and nothing is known to have changed"),
}


def domains_context(user: Viewer, version: Version, *, is_member: bool) -> dict[str, Any]:
    """The context of the fragment; the domains themselves for members only."""
    health = version_domains(version)
    if health is None:
        return {"domains": None}
    rows = list(domain_rows(user, version, NOTEWORTHY)[:SHOWN]) if is_member else []
    for row in rows:
        row.kind_label = DomainKind(row.kind).label  # type: ignore[attr-defined]  # annotated by domain_rows, read by the page
    kinds = [
        {
            "label": kind.label,
            "meaning": meaning,
            "text": text,
            "domains": health.domains[kind],
            "links": health.links[kind],
            "alive": health.alive[kind],
            "dead": health.dead[kind],
            "unknown": health.unknown[kind],
        }
        for kind, (meaning, text) in MEANINGS.items()
    ]
    return {"domains": health, "domain_kinds": kinds, "domain_rows": rows}
