"""Keeping an eye on where a version is served: above all one that was withdrawn or quarantined.

A place is a link like any other (`Link`): it is asked for its headers on the same schedule, as politely, on the dataset's
budget, and never while it is excluded. Its states and its history are those of a link. What it serves is not compared
with the digest that it should have, for that takes the whole of it: the digest says what to expect there.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from django.db import IntegrityError, transaction

from registry.accounts.models import Role
from registry.accounts.permissions import require_role
from registry.auditlog.services import audit_append
from registry.datasets.models import VersionStatus
from registry.lib.errors import Refused
from registry.lib.safe_http import Stop, check
from registry.links.distributions.models import Distribution
from registry.links.models import Host, Link, LinkPolicy
from registry.links.schedule import links_due_now
from registry.links.services import worker_wake
from registry.links.strata import link_host
from registry.links.turns import policy

if TYPE_CHECKING:
    from registry.accounts.models import User
    from registry.datasets.models import Dataset, Version
    from registry.links.distributions.models import DistributionKind

MAX_PLACES = 100  # of one version
_DIGEST = re.compile(r"[0-9a-f]{64}")


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
    name = _host_of(url)
    if digest and (not _DIGEST.fullmatch(digest) or not _is_of(version, digest)):
        raise Refused(f"This digest is neither the root of {version} nor that of one of its shards.")
    if version.distributions.count() >= MAX_PLACES:
        raise Refused(f"At most {MAX_PLACES} places of a version are watched. Remove one first.")
    try:
        with transaction.atomic():
            host, _ = Host.objects.get_or_create(name=name)
            key = hashlib.sha256(url.encode()).digest()
            link, _ = Link.objects.get_or_create(key=key, defaults={"url": url, "host": host})
            LinkPolicy.objects.get_or_create(dataset=dataset)
            added = Distribution.objects.create(
                version=version, link=link, kind=kind, digest=digest, added_by=actor
            )
            links_due_now(Link.objects.filter(pk=link.pk), asked_by=dataset)
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
    """Let the places of a dataset come first that were not checked within the last hour; returns how many.

    Maintainer and up. Raises Refused.
    """
    require_role(actor, dataset.organisation, Role.MAINTAINER)
    with transaction.atomic():
        places = Distribution.objects.filter(version__dataset=dataset)
        hurried = links_due_now(Link.objects.filter(pk__in=places.values("link")), asked_by=dataset)
        if not any(hurried):
            raise Refused(f"No place that serves {dataset} can be checked.")
        if not hurried.links:
            raise Refused(f"Every place that serves {dataset} was checked within the last hour.")
        audit_append(
            actor=actor,
            action="distributions_check_now",
            subject=dataset,
            organisation=dataset.organisation,
            data={"links": hurried.links},
        )
        transaction.on_commit(worker_wake, robust=True)
    return hurried.links


def _host_of(url: str) -> str:
    """The host that serves a place. Raises Refused for an address that the door would not ask for."""
    rules = policy()
    try:
        target = check(url, rules)
    except Stop as stop:
        raise Refused(
            f"This address cannot be watched ({stop.rule.replace('_', ' ')}). Give one that begins with https:// or "
            "http:// and names a public host, without a user name, an odd port or a space in it."
        ) from None
    if target.literal and (rule := rules.refuses(target.literal, target.port)):
        raise Refused(
            f"{target.literal} is no public address, so it is never asked: {rule.replace('_', ' ')}."
        )
    host = link_host(url.encode())
    if host is None:
        raise Refused("This address leads to no host.")
    return host


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
