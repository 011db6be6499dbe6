"""One box for everything that has a name: datasets, versions, advisories, shards, release roots."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django.db.models import Q
from django.urls import reverse

from registry.datasets.models import Dataset, Shard, Version
from registry.lib.words import counted
from takedowns.releases.models import Release
from takedowns.removals.models import Removal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registry.datasets.models import Viewer

MOST_OF_A_KIND = 20
MOST_CHARACTERS = 200
# Shorter beginnings of a digest match by chance.
DIGEST_BEGINNING = re.compile(r"[0-9a-f]{8,64}")


@dataclass(frozen=True, slots=True)
class Match:
    """One thing found: what it is, how it is called, a line on it, and its page."""

    kind: str
    name: str
    about: str
    url: str


@dataclass(slots=True)
class Found:
    """What was found for a query; `exact` is the one thing that is called precisely so, if there is just one."""

    query: str
    matches: list[Match] = field(default_factory=list)
    exact: Match | None = None

    def groups(self) -> Iterator[tuple[str, list[Match]]]:
        """The matches by kind, as they are shown."""
        for kind, title in (
            ("dataset", "Datasets"), ("version", "Versions"), ("advisory", "Advisories"), ("shard", "Shards"),
        ):  # fmt: skip
            group = [match for match in self.matches if match.kind == kind]
            if group:
                yield title, group


def search(query: str, user: Viewer) -> Found:
    """Find what the user may see and the query names; at most MOST_OF_A_KIND of each kind."""
    text = query.strip().replace("\0", "")[:MOST_CHARACTERS]
    found = Found(text)
    if not text:
        return found
    pairs = [*_datasets(text, user), *_versions(text, user), *_advisories(text), *_digests(text, user)]
    found.matches = [match for match, _ in pairs]
    exact = [match for match, is_exact in pairs if is_exact]
    if len(exact) == 1:
        found.exact = exact[0]
    elif len(found.matches) == 1:
        found.exact = found.matches[0]
    return found


def _datasets(text: str, user: Viewer) -> list[tuple[Match, bool]]:
    rows = Dataset.objects.visible_to(user).filter(Q(slug__icontains=text) | Q(name__icontains=text))
    return [
        (
            Match(
                "dataset",
                dataset.name,
                f"kept by {dataset.organisation}",
                reverse("dataset_detail", args=[dataset.slug]),
            ),
            text.lower() in (dataset.slug, dataset.name.lower()),
        )
        for dataset in rows.select_related("organisation")[:MOST_OF_A_KIND]
    ]


def _versions(text: str, user: Viewer) -> list[tuple[Match, bool]]:
    """By name, by `dataset@name`, or by the root of the version or of its release."""
    slug, at, name = text.rpartition("@")
    wanted = Q(dataset__slug__iexact=slug, name__icontains=name) if at else Q(name__icontains=text)
    if DIGEST_BEGINNING.fullmatch(text.lower()):
        released = Release.objects.visible_to(user).filter(root__startswith=text.lower()).values("version")
        wanted |= Q(root__startswith=text.lower()) | Q(pk__in=released)
    rows = Version.objects.visible_to(user).filter(wanted).select_related("dataset", "release")
    matches = []
    for version in rows[:MOST_OF_A_KIND]:
        release = getattr(version, "release", None)
        exact = text.lower() in {
            str(version).lower(), version.name.lower(), version.root, release.root if release else version.root,
        }  # fmt: skip
        matches.append((_version_match(version), exact))
    return matches


def _version_match(version: Version) -> Match:
    url = reverse("version_detail", args=[version.dataset.slug, version.name])
    return Match(
        "version", str(version), f"{version.get_status_display()}, {counted(version.rows, 'row')}", url
    )


def _advisories(text: str) -> list[tuple[Match, bool]]:
    rows = (
        Removal.objects.published().filter(advisory_id__icontains=text).select_related("dataset", "category")
    )
    return [
        (
            Match(
                "advisory",
                removal.advisory_id or "",
                f"{removal.category.label}, {removal.dataset.name}",
                reverse("advisory_detail", args=[removal.advisory_id]),
            ),
            text.upper() == removal.advisory_id,
        )
        for removal in rows.order_by("-published_at")[:MOST_OF_A_KIND]
    ]


def _digests(text: str, user: Viewer) -> list[tuple[Match, bool]]:
    """Shards by their SHA-256, each with the newest version that holds it."""
    if not DIGEST_BEGINNING.fullmatch(text.lower()):
        return []
    seen = Version.objects.visible_to(user).values("pk")
    rows = Shard.objects.filter(digest__startswith=text.lower(), version_shards__version__in=seen).distinct()
    matches = []
    for shard in rows.order_by("digest")[:MOST_OF_A_KIND]:
        held = shard.version_shards.filter(version__in=seen).select_related("version__dataset")
        newest: Any = held.order_by("-version__dated", "path").first()
        url = reverse("version_detail", args=[newest.version.dataset.slug, newest.version.name])
        about = f"{newest.path} in {newest.version}, {counted(shard.rows, 'row')}"
        matches.append(
            (
                Match("shard", shard.digest, about, f"{url}?shard={shard.digest}#shards"),
                text.lower() == shard.digest,
            )
        )
    return matches
