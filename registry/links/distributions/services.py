"""Where a version is served, and whether it still is: above all one that was withdrawn or quarantined.

A place is a link like any other (`Link`): it is asked for its headers on the same schedule, as politely, on the dataset's
budget, and never while it is excluded. Its states and its history are those of a link. What it serves is not compared
with the digest that it should have, for that takes the whole of it: the digest says what to expect there.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db import IntegrityError, transaction
from django.db.models import Prefetch

from expunge.keys import url_host
from registry.accounts.models import Role
from registry.accounts.permissions import has_role, require_role
from registry.auditlog.services import audit_append
from registry.datasets.models import VersionStatus
from registry.lib.errors import Refused
from registry.lib.safe_http.results import Stop
from registry.lib.safe_http.urls import check
from registry.links.checker import policy
from registry.links.distributions.models import Distribution
from registry.links.models import Host, Link, LinkPolicy, Observation
from registry.links.schedule import NOW, hosts_due
from registry.links.services import worker_wake
from registry.links.states import LinkState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from registry.accounts.models import User
    from registry.datasets.models import Dataset, Version, Viewer
    from registry.links.distributions.models import DistributionKind

MAX_PLACES = 100  # of one version
HISTORY = 10  # attempts that are shown of a place
# Nobody should be led to these; who keeps the dataset has to know where they still are.
OUT_OF_USE = (VersionStatus.WITHDRAWN, VersionStatus.QUARANTINED)
SERVED = (LinkState.ALIVE, LinkState.MOVED)
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Place:
    """One place as a reader may see it. `url` is None where the version is out of use and the reader no member."""

    distribution: Distribution
    url: str | None
    state: LinkState
    is_flagged: bool  # still served, though the version is out of use
    history: list[Observation]  # the last attempts, newest first; for members only


def distribution_add(
    *, actor: User, version: Version, url: str, kind: DistributionKind, digest: str = ""
) -> Distribution:
    """Keep an eye on one place that serves a version or a shard of it. Maintainer and up. Raises Refused.

    `digest` is the SHA-256 of what it should serve: the version's root or one of its shards, or "".
    """
    dataset = version.dataset
    require_role(actor, dataset.organisation, Role.MAINTAINER)
    url, digest = url.strip(), digest.strip().lower()
    if version.status == VersionStatus.DRAFT:
        raise Refused(f"{version} is a draft: nobody serves it yet.")
    _check_url(url)
    if digest and (not _DIGEST.fullmatch(digest) or not _is_of(version, digest)):
        raise Refused(f"This digest is neither the root of {version} nor that of one of its shards.")
    if version.distributions.count() >= MAX_PLACES:
        raise Refused(f"At most {MAX_PLACES} places of a version are watched. Remove one first.")
    try:
        with transaction.atomic():
            host, _ = Host.objects.get_or_create(name=url_host(url))
            key = hashlib.sha256(url.encode()).digest()
            link, _ = Link.objects.get_or_create(key=key, defaults={"url": url, "host": host})
            LinkPolicy.objects.get_or_create(dataset=dataset)
            added = Distribution.objects.create(
                version=version, link=link, kind=kind, digest=digest, added_by=actor
            )
            Link.objects.filter(pk=link.pk, due_at__isnull=False).update(due_at=NOW)
            hosts_due([link.host_id])
            _audit(actor, "distribution_add", added)
            transaction.on_commit(worker_wake, robust=True)
    except IntegrityError:
        raise Refused(f"This address of {version} is watched already.") from None
    return added


def distribution_remove(*, actor: User, distribution: Distribution) -> None:
    """Watch a place no longer; what was seen of it stays with its link. Maintainer and up. Raises Refused."""
    require_role(actor, distribution.version.dataset.organisation, Role.MAINTAINER)
    with transaction.atomic():
        _audit(actor, "distribution_remove", distribution)
        distribution.delete()


def distributions_check_now(*, actor: User, dataset: Dataset) -> int:
    """Let every place of a dataset come first; returns how many. Maintainer and up. Raises Refused."""
    require_role(actor, dataset.organisation, Role.MAINTAINER)
    with transaction.atomic():
        places = Distribution.objects.filter(version__dataset=dataset)
        links = Link.objects.filter(pk__in=places.values("link"), due_at__isnull=False)
        count = links.update(due_at=NOW)
        if not count:
            raise Refused(f"No place that serves {dataset} can be checked.")
        hosts_due(places.values_list("link__host", flat=True).distinct())
        audit_append(
            actor=actor,
            action="distributions_check_now",
            subject=dataset,
            organisation=dataset.organisation,
            data={"links": count},
        )
        transaction.on_commit(worker_wake, robust=True)
    return count


def places(user: Viewer, dataset: Dataset, version: Version | None = None) -> list[Place]:
    """The places of a dataset's versions, or of one, those first that should not serve what they do."""
    found = Distribution.objects.visible_to(user).filter(version__dataset=dataset)
    if version is not None:
        found = found.filter(version=version)
    is_member = has_role(user, dataset.organisation, Role.STAFF)
    found = found.select_related("version__dataset", "link").order_by("-version__dated", "kind", "pk")
    if is_member:
        attempts = Observation.objects.order_by("-at")
        found = found.prefetch_related(Prefetch("link__observations", attempts, to_attr="attempts"))
    return sorted((_place(one, is_member=is_member) for one in found), key=lambda one: not one.is_flagged)


def warnings(found: Iterable[Place]) -> list[str]:
    """A sentence for each version that is out of use and still served."""
    counts: dict[str, tuple[Version, int]] = {}
    for one in found:
        if one.is_flagged:
            version = one.distribution.version
            counts[version.name] = version, counts.get(version.name, (version, 0))[1] + 1
    return [
        f"{version.name} is {version.get_status_display().lower()} and still served at {count:,} "
        f"{'place' if count == 1 else 'places'}."
        for version, count in counts.values()
    ]


def _place(one: Distribution, *, is_member: bool) -> Place:
    out_of_use = one.version.status in OUT_OF_USE
    state = LinkState(one.link.state)
    return Place(
        distribution=one,
        url=one.link.url if is_member or not out_of_use else None,
        # That a place was reported is nobody's business.
        state=LinkState.UNVERIFIABLE if state is LinkState.EXCLUDED else state,
        is_flagged=out_of_use and state in SERVED,
        history=getattr(one.link, "attempts", [])[:HISTORY] if state is not LinkState.EXCLUDED else [],
    )


def _check_url(url: str) -> None:
    try:
        target = check(url, policy())
    except Stop as stop:
        raise Refused(f"This address cannot be watched: {stop.rule.replace('_', ' ')}.") from None
    if not url_host(url) or len(target.host) > 255:
        raise Refused("This address leads to no host.")


def _is_of(version: Version, digest: str) -> bool:
    return digest == version.root or version.version_shards.filter(shard=digest).exists()


def _audit(actor: User, action: str, distribution: Distribution) -> None:
    dataset = distribution.version.dataset
    audit_append(
        actor=actor,
        action=action,
        subject=distribution,
        organisation=dataset.organisation,
        data={"version": distribution.version.name, "kind": distribution.kind},
    )
