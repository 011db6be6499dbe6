"""What a maintainer does with the links of a dataset, and what the clock does.

Drawing a panel is in `panel.py`; checking itself in `schedule.py` and `checker.py`.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING

from celery import current_app
from django.db import DatabaseError, transaction
from django.db.models import Q
from django.utils import timezone

from registry.accounts.models import Role
from registry.accounts.permissions import require_role
from registry.auditlog.services import audit_append
from registry.lib.errors import Refused
from registry.links.checker import NoResolverError, batch_check
from registry.links.content.recorded import recorded_read
from registry.links.content.selectors import content_consequence
from registry.links.content.states import ContentChecks
from registry.links.content.store import content_forget, content_forget_of, recorded_keys
from registry.links.exclusion import excluded_links
from registry.links.history import observations_expire, partition_make, partitions_ahead
from registry.links.models import OUT_OF_USE, Link, LinkPolicy, PanelRow
from registry.links.schedule import batch_claim, batch_release, links_due_now, links_give_back, links_set
from registry.links.states import LinkState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from registry.accounts.models import User
    from registry.datasets.models import Dataset, Version
    from registry.links.schedule import Hurried

MAX_BUDGET = 1_000_000
_AT_ONCE = 1_000


def links_pause(*, actor: User, dataset: Dataset) -> LinkPolicy:
    """Hand out no more links of a dataset; a batch under way ends. Maintainer and up. Raises Refused."""
    is_so = Q(paused_at__isnull=False)
    return _policy_change(actor, dataset, "links_pause", is_so, paused_at=timezone.now())


def links_resume(*, actor: User, dataset: Dataset) -> LinkPolicy:
    """Hand out links of a dataset again. Maintainer and up. Raises Refused."""
    return _policy_change(actor, dataset, "links_resume", Q(paused_at=None), paused_at=None)


def links_budget(*, actor: User, dataset: Dataset, daily_budget: int) -> LinkPolicy:
    """Set how many links of a dataset are checked a day at most. Maintainer and up. Raises Refused."""
    if not 1 <= daily_budget <= MAX_BUDGET:
        raise Refused(f"A day's budget is between 1 and {MAX_BUDGET:,} links. To check none, pause.")
    is_so = Q(daily_budget=daily_budget)
    return _policy_change(actor, dataset, "links_budget", is_so, daily_budget=daily_budget)


def links_content(*, actor: User, dataset: Dataset, checks: ContentChecks, links: int) -> LinkPolicy:
    """Set how far the content of a dataset's links is read. Maintainer and up. Raises Refused.

    `links` is how many it concerned when the actor looked: where that changed, nothing is. Turned off, all that was
    learned of content is forgotten, unless another dataset reads the same link. Turned on, panels that lack the hashes
    which their versions recorded get them first.
    """
    require_role(actor, dataset.organisation, Role.MAINTAINER)
    with transaction.atomic():
        policy = LinkPolicy.objects.select_for_update().filter(dataset=dataset).first()
        if policy is None:
            raise Refused(f"No links of {dataset} are checked. Draw those of a version first.")
        concerned = content_consequence(dataset).links
        if concerned != links:
            raise Refused(f"The links changed since you looked: now it concerns {concerned:,}. Look again.")
        if policy.content == checks:
            return policy
        policy.content = checks
        policy.save(update_fields=["content"])
        forgotten = content_forget_of(dataset) if checks == ContentChecks.OFF else 0
        if checks != ContentChecks.OFF:
            recorded_read(actor=actor, dataset=dataset)
        audit_append(
            actor=actor,
            action="links_content",
            subject=policy,
            organisation=dataset.organisation,
            data={"content": checks.value, "links": links, "forgotten": forgotten},
        )
    return policy


def links_check_now(*, actor: User, version: Version) -> Hurried:
    """Let the links of a version's panel come first, but for those that were checked within the last hour.

    Hosts are asked as politely as ever, and the day's budget holds: that of the version's dataset, also for links that others
    hold too. Excluded links stay so. Maintainer and up. Raises Refused.
    """
    organisation = version.dataset.organisation
    require_role(actor, organisation, Role.MAINTAINER)
    if version.status in OUT_OF_USE:
        raise Refused(f"{version} is {version.get_status_display().lower()}: its links are not checked.")
    with transaction.atomic():
        rows = PanelRow.objects.filter(panel__version=version)
        hurried = links_due_now(Link.objects.filter(pk__in=rows.values("link")), asked_by=version.dataset)
        if not any(hurried):
            raise Refused(f"No link of {version} can be checked. Draw its panel first.")
        if hurried.links:
            audit_append(
                actor=actor,
                action="links_check_now",
                subject=version,
                organisation=organisation,
                data={"links": hurried.links},
            )
            transaction.on_commit(worker_wake, robust=True)
    return hurried


def worker_wake() -> None:
    """Let a worker look for what is due; without a broker beat does so later."""
    # By name, because tasks.py imports this module.
    current_app.send_task("registry.links.tasks.links_check", expires=60)


def links_check() -> int:
    """Claim one batch, check it and write what was seen; returns how many links, 0 when nothing is due."""
    partition_make(timezone.now())  # where that cannot be, nothing could be written: so nobody is asked
    batch = batch_claim()
    if batch is None:
        return 0
    try:
        return batch_check(batch)
    except Exception as error:
        with suppress(DatabaseError):  # gone with the database: then the leases run out
            batch_release(batch)
            if isinstance(error, NoResolverError):
                links_give_back(batch, batch.paid)
        raise


def links_review() -> int:
    """Let excluded links be due again that no report or removal excludes any more; returns how many."""
    freed, last = 0, 0
    while page := list(Link.objects.filter(state=LinkState.EXCLUDED, pk__gt=last).order_by("pk")[:_AT_ONCE]):
        last = page[-1].pk
        freed += _review(page)
    return freed


def history_expire() -> list[str]:
    """Drop the months of observations that are too old, returning their names, and make the next."""
    now = timezone.now()
    partitions_ahead(now)
    return observations_expire(now)


def _review(page: Sequence[Link]) -> int:
    out = excluded_links(page, recorded_keys(page))
    # One with a status redirected to what is excluded: where it leads now is not looked at before long.
    recent = timezone.now() - timedelta(days=30)
    led = {link.pk for link in page if link.status and link.checked_at and link.checked_at > recent}
    freed = {link.pk for link in page} - out - led
    content_forget(freed)  # the hashes by which they were excluded
    free = Link.objects.filter(pk__in=freed)
    return links_set(free, state=LinkState.UNCHECKED, outcome="", status=0, due_at=timezone.now())


def _policy_change(actor: User, dataset: Dataset, action: str, is_so: Q, **fields: object) -> LinkPolicy:
    """Write `fields`, unless `is_so` holds of the policy already: the log holds changes only."""
    require_role(actor, dataset.organisation, Role.MAINTAINER)
    with transaction.atomic():
        same = LinkPolicy.objects.filter(is_so, dataset=dataset).first()
        if same is not None:
            return same
        policy, _ = LinkPolicy.objects.update_or_create(dataset=dataset, defaults=fields)
        data = {"daily_budget": policy.daily_budget, "paused": policy.paused_at is not None}
        audit_append(actor=actor, action=action, subject=policy, organisation=dataset.organisation, data=data)
    return policy
