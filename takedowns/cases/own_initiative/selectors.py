"""What the checks of a version's links found, and what a case about it would rest on.

Dead or replaced links are named one by one, for a sample does not say which others are like them. A domain that is gone or
changed hands is named by a rule, which takes every row on it in every version, sampled or not.

A link that is excluded is left out, and so is one that another report about the dataset names and whose rows were not
kept by its decision: it is worked on already.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import numpy as np
from django.db import models

from expunge.errors import ExpungeError
from expunge.keys import KeyKind
from registry.datasets.key_index import index_is_missing
from registry.datasets.locating import rows_named
from registry.datasets.models import VersionShard
from registry.datasets.selectors import versions_in_reach
from registry.links.content.selectors import content_is
from registry.links.content.states import ContentState
from registry.links.content.store import recorded_keys
from registry.links.domains.selectors import DomainKind, domain_rows
from registry.links.exclusion import excluded_links
from registry.links.models import Link, PanelRow
from registry.links.states import IS_DEAD, LinkState
from takedowns.reports.models import Item, Outcome
from takedowns.reports.services import MAX_ITEMS
from takedowns.reports.targets import read_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from expunge.lists import Entry
    from registry.datasets.models import Version, Viewer
    from registry.links.domains.models import Domain

_AT_ONCE = 2_000  # links whose exclusion is asked for at a time
_READ_AT_ONCE = 1_000_000  # rows of a version that is not indexed that may be read while somebody waits


class Finding(models.TextChoices):
    """What the checks found of the links that are to be reported."""

    DEAD = "dead", "dead links"
    REPLACED = "replaced", "links whose content was replaced"


CATEGORY = {Finding.DEAD: "dead_link", Finding.REPLACED: "poisoning"}
# Who owns a domain now may serve what he likes there; of one that is gone nobody has anything.
DOMAIN_CATEGORY = {DomainKind.OWNERSHIP_CHANGED: "poisoning", DomainKind.GONE: "dead_link"}
KEPT = (Outcome.REJECT, Outcome.INVALID, Outcome.DUPLICATE)  # with these an item takes nothing out
_FOUND = {
    Finding.DEAD: models.Q(link__state__in=IS_DEAD),
    Finding.REPLACED: content_is(ContentState.REPLACED),
}


@dataclass(frozen=True, slots=True)
class InVersion:
    """Rows of one version that the links name; None where that is known only once the case has located them."""

    version: Version
    rows: int | None


@dataclass(frozen=True, slots=True)
class Preview:
    """What a case about a finding would rest on. `digest` changes with any of it."""

    finding: Finding | DomainKind
    about: str  # what it is about, in words
    category: str
    lines: list[str]  # of the report, one a link, or that of the domain
    versions: list[InVersion]
    digest: str

    @property
    def rows(self) -> int | None:
        """Rows in all versions, a release's apart from its base's; None where it is not known of every one."""
        counts = [one.rows for one in self.versions if one.version.base_id is None]
        return None if None in counts else sum(count or 0 for count in counts)


def preview(version: Version, finding: Finding) -> Preview:
    """Count what a case about these links of the version would concern.

    Asks the key index; raises BadShard as `rows_named` does.
    """
    found = _unreported(version, finding)
    versions = _count(version, [entry for _, entry in found.values()]) if found else []
    digest = sha256(f"{finding} {version.pk}\n".encode())
    for pk in sorted(found):
        digest.update(f"link {pk}\n".encode())
    return _preview(
        finding=finding,
        about=finding.label,
        category=CATEGORY[finding],
        found=list(found.values()),
        versions=versions,
        digest=digest,
    )


def domain_preview(version: Version, domain: Domain) -> Preview:
    """Count the rows that a case about this domain, one of `finding_domains`, would concern: all on it, in every version.

    There is nothing to report where a report about the dataset names the domain already. Raises as `preview`.
    """
    kind: DomainKind = DomainKind(domain.kind)  # type: ignore[attr-defined]  # annotated by domain_rows
    line = f"domain:{domain.name}"
    entry = read_line(line)[1]
    is_reported = (entry.kind.value, entry.key) in _reported(version, [entry.key])
    found = [] if is_reported else [(line, entry)]
    versions = _count(version, [entry]) if found else []
    digest = sha256(f"{kind} {version.pk} {found and line}\n".encode())
    return _preview(
        finding=kind,
        about=f"every row of {domain.name}",
        category=DOMAIN_CATEGORY[kind],
        found=found,
        versions=versions,
        digest=digest,
    )


def finding_domains(user: Viewer, version: Version) -> models.QuerySet[Domain]:
    """The domains behind the version's links that are gone or changed hands since, for members; none for others."""
    return domain_rows(user, version, tuple(DOMAIN_CATEGORY))


def _preview(
    *,
    finding: Finding | DomainKind,
    about: str,
    category: str,
    found: Sequence[tuple[str, Entry]],
    versions: list[InVersion],
    digest: Any,
) -> Preview:
    """`digest` has what was found; what holds it is added here."""
    for one in sorted(versions, key=lambda one: one.version.pk):
        digest.update(f"version {one.version.pk} {one.version.root} {one.rows}\n".encode())
    return Preview(finding, about, category, [line for line, _ in found], versions, digest.hexdigest())


def finding_links(version: Version, finding: Finding) -> models.QuerySet[Link]:
    """The links of the version's panel that the checks found to be so, reported already or not, by primary key."""
    rows = PanelRow.objects.filter(_FOUND[finding], panel__version=version)
    return Link.objects.filter(pk__in=rows.values("link")).exclude(state=LinkState.EXCLUDED).order_by("pk")


def _unreported(version: Version, finding: Finding) -> dict[int, tuple[str, Entry]]:
    """The lines that would report the links, and what they name, by link and in the order of the lines, at most MAX_ITEMS."""
    found = list(finding_links(version, finding)[:MAX_ITEMS])
    kept: dict[int, tuple[str, Entry]] = {}
    for start in range(0, len(found), _AT_ONCE):
        page = found[start : start + _AT_ONCE]
        excluded = excluded_links(page, recorded_keys(page))
        lines = {link.pk: _line(link) for link in page if link.pk not in excluded}
        reported = _reported(version, [entry.key for _, entry in lines.values()])
        kept |= {
            pk: (line, entry)
            for pk, (line, entry) in lines.items()
            if (entry.kind.value, entry.key) not in reported
        }
    return dict(sorted(kept.items(), key=lambda one: one[1][0]))


def _reported(version: Version, keys: Sequence[bytes]) -> set[tuple[str, bytes]]:
    """Of these keys, as (kind, key), those that reports about the dataset name and no decision kept."""
    named = Item.objects.filter(report__dataset=version.dataset_id, key__in=keys).exclude(outcome__in=KEPT)
    return {(kind, bytes(key or b"")) for kind, key in named.values_list("kind", "key")}


def _line(link: Link) -> tuple[str, Entry]:
    """How a report names the link, and what that names: by its URL, or by its key where a line cannot hold the URL as it is."""
    url = link.url
    if url == url.strip() and url.lower().startswith(("http://", "https://")):
        with suppress(ExpungeError):
            return url, read_line(url)[1]
    by_key = f"{KeyKind.URL_RAW.value}:{bytes(link.key).hex()}"
    return by_key, read_line(by_key)[1]


def _count(version: Version, entries: Sequence[Entry]) -> list[InVersion]:
    """Rows that the entries name in each version in reach; large ones that are not indexed are left to the case."""
    reach = versions_in_reach(version.dataset)
    quick = [one for one in reach if one.rows <= _READ_AT_ONCE or not index_is_missing(one)]
    distinct = list({(entry.kind, entry.key): entry for entry in entries}.values())
    rows = {digest: len(np.unique(hits.rows)) for digest, hits in rows_named(quick, distinct).items()}
    counts = dict.fromkeys((one.pk for one in quick), 0)
    held = VersionShard.objects.filter(version__in=quick, shard__in=rows)
    for pk, shard in held.values_list("version_id", "shard_id"):
        counts[pk] += rows[shard]
    return [InVersion(one, counts.get(one.pk)) for one in reach if counts.get(one.pk) != 0]
