"""The machine's question: is this version, shard or release affected? After OSV's `POST /v1/query`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.db.models import Q

from registry.datasets.models import Version
from takedowns.lookup.selectors import standings
from takedowns.releases.models import Release

if TYPE_CHECKING:
    from takedowns.lookup.selectors import Standing


@dataclass(frozen=True, slots=True)
class Question:
    """Either a version by dataset and name, or the SHA-256 of a shard, a version's root or a release's root."""

    dataset: str = ""
    version: str = ""
    sha256: str = ""


def query_answer(question: Question) -> dict[str, Any]:
    """Answer for the public versions that the question names; none of them known is an answer too.

    `affected` is null when nothing here is called so: that something is not known does not make it clean.
    """
    seen = Version.objects.visible_to(None).select_related("dataset", "base")
    if question.sha256:
        released = Release.objects.published().filter(root=question.sha256).values("version")
        by_digest = Q(root=question.sha256) | Q(pk__in=released) | Q(version_shards__shard=question.sha256)
        versions = list(seen.filter(by_digest).distinct())
    else:
        versions = list(seen.filter(dataset__slug=question.dataset, name=question.version))
    found = sorted(standings(versions).values(), key=lambda each: str(each.version))
    return {
        "known": bool(found),
        "affected": any(standing.affected for standing in found) if found else None,
        "versions": [_version(standing) for standing in found],
    }


def _version(standing: Standing) -> dict[str, Any]:
    version = standing.version
    return {
        "dataset": version.dataset.slug,
        "version": version.name,
        "status": version.status,
        "affected": standing.affected,
        "rows": version.rows,
        "rows_affected": standing.rows,
        "rows_affected_exact": standing.exact,
        "advisories": [{"id": removal.advisory_id, "rows": rows} for removal, rows in standing.advisories],
        "fixed": standing.fix.version.name if standing.fix else None,
        "fixed_root": standing.fix.root if standing.fix else None,
    }
