"""Own initiative: what the checks of a version's links found becomes a report of ours, and so a case.

1. `preview` counts what would be reported: the links, and their rows in every version that the case would concern.
2. `own_initiative_open` does it, with a reason, unless anything changed since the preview.

A link that is excluded is left out, and so is one that another report about the dataset names and whose rows were not
kept by its decision: it is worked on already.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

import numpy as np
from django.db import models, transaction

from expunge.errors import ExpungeError
from expunge.keys import KeyKind
from registry.accounts.models import Role
from registry.accounts.permissions import require_role
from registry.auditlog.services import audit_append
from registry.datasets.key_index import index_is_missing
from registry.datasets.locating import rows_named
from registry.datasets.models import VersionShard
from registry.datasets.selectors import versions_in_reach
from registry.lib.errors import Refused
from registry.links.content.selectors import content_is
from registry.links.content.states import ContentState
from registry.links.exclusion import excluded_rows, excluded_urls
from registry.links.models import Link, PanelRow
from registry.links.states import IS_DEAD
from takedowns.reports.models import Category, Item, Outcome, Source
from takedowns.reports.services import MAX_ITEMS, report_create
from takedowns.reports.targets import read_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from expunge.lists import Entry
    from registry.accounts.models import User
    from registry.datasets.models import Version
    from takedowns.cases.models import Case

_AT_ONCE = 2_000  # links whose exclusion is asked for at a time
_READ_AT_ONCE = 1_000_000  # rows of a version that is not indexed that may be read while somebody waits


class Finding(models.TextChoices):
    """What the checks found of the links that are to be reported."""

    DEAD = "dead", "dead links"
    REPLACED = "replaced", "links whose content was replaced"


CATEGORY = {Finding.DEAD: "dead_link", Finding.REPLACED: "poisoning"}
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
    """What a case about these links would rest on. `digest` changes with any of it."""

    finding: Finding
    links: list[int]
    lines: list[str]
    versions: list[InVersion]
    digest: str

    @property
    def rows(self) -> int | None:
        """Rows in all versions, a release's apart from its base's; None where it is not known of every one."""
        counts = [one.rows for one in self.versions if one.version.base_id is None]
        return None if None in counts else sum(count or 0 for count in counts)


def preview(version: Version, finding: Finding) -> Preview:
    """Count what a case about these links of the version would concern. Asks the key index; raises BadShard as `rows_named` does."""
    links = sorted(_links(version, finding), key=lambda link: link.url)
    lines = {link.pk: _line(link) for link in links}
    versions = _count(version, [_entry(line) for line in lines.values()]) if lines else []
    digest = sha256(f"{finding} {version.pk}\n".encode())
    for pk in sorted(lines):
        digest.update(f"link {pk}\n".encode())
    for one in sorted(versions, key=lambda one: one.version.pk):
        digest.update(f"version {one.version.pk} {one.version.root} {one.rows}\n".encode())
    return Preview(finding, list(lines), list(lines.values()), versions, digest.hexdigest())


def own_initiative_open(
    *, actor: User | None, version: Version, finding: Finding, reason: str, seen: str
) -> Case:
    """Report these links of the version on our own initiative and return the case. Staff and up.

    `seen` is the digest of the preview that the actor saw. Raises NotAllowed, or Refused where the reason is missing,
    there is nothing to report, or anything changed since the preview; nothing is kept then.
    """
    actor = require_role(actor, version.dataset.organisation, Role.STAFF)
    if not reason.strip():
        raise Refused("Say why these rows should go: those who decide read it.")
    with transaction.atomic():
        # Held until the end: two people who confirm at once open one case, and no check changes a state meanwhile.
        list(
            Link.objects.select_for_update().filter(pk__in=_ids(version, finding)).values("pk").order_by("pk")
        )
        now = preview(version, finding)
        if now.digest != seen:
            raise Refused(
                "The links or the versions that hold them changed since you looked. Nothing was opened: look again."
            )
        if not now.lines:
            raise Refused(f"There are no {finding.label} of {version} that are not reported already.")
        report, _ = report_create(
            actor=actor,
            dataset=version.dataset,
            category=Category.objects.get(pk=CATEGORY[finding]),
            description=f"{reason.strip()}\n\nFound by checking links of {version}.",
            lines=now.lines,
            versions=[version],
            source=Source.OWN_INITIATIVE,
        )
        case: Case = report.cases.get()
        audit_append(
            actor=actor,
            action="own_initiative_open",
            subject=case,
            organisation=version.dataset.organisation,
            data={"finding": finding.value, "links": len(now.lines), "version": str(version)},
        )
    return case


def _ids(version: Version, finding: Finding) -> models.QuerySet[PanelRow, int]:
    return (
        PanelRow.objects.filter(_FOUND[finding], panel__version=version)
        .exclude(link__state="excluded")
        .values_list("link", flat=True)
    )


def _links(version: Version, finding: Finding) -> list[Link]:
    """The links found to be so that are neither excluded nor reported already, at most MAX_ITEMS."""
    found = list(Link.objects.filter(pk__in=_ids(version, finding)).order_by("pk")[:MAX_ITEMS])
    rows = {
        (shard, row): link
        for shard, row, link in PanelRow.objects.filter(panel__version=version, link__in=found).values_list(
            "shard", "row", "link"
        )
    }
    hidden = {rows[row] for row in excluded_rows(rows.keys())}
    kept = []
    for start in range(0, len(found), _AT_ONCE):
        page = [link for link in found[start : start + _AT_ONCE] if link.pk not in hidden]
        urls = excluded_urls({link.url for link in page})
        entries = {link.pk: _entry(_line(link)) for link in page}
        named = {
            (kind, bytes(key or b""))
            for kind, key in Item.objects.filter(
                report__dataset=version.dataset, key__in=[entry.key for entry in entries.values()]
            )
            .exclude(outcome__in=[Outcome.REJECT, Outcome.INVALID, Outcome.DUPLICATE])
            .values_list("kind", "key")
        }
        kept += [
            link
            for link in page
            if link.url not in urls and (entries[link.pk].kind.value, entries[link.pk].key) not in named
        ]
    return kept


def _line(link: Link) -> str:
    """How a report names the link: by its URL, or by its key where a line cannot hold the URL as it is."""
    url = link.url
    by_key = f"{KeyKind.URL_RAW.value}:{bytes(link.key).hex()}"
    if url != url.strip() or not url.lower().startswith(("http://", "https://")):
        return by_key
    try:
        read_line(url)
    except ExpungeError:
        return by_key
    return url


def _entry(line: str) -> Entry:
    return read_line(line)[1]


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
