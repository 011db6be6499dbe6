"""Who may do what with a case. Services ask here, and pages, so that a button is there when it would work."""

from __future__ import annotations

from typing import TYPE_CHECKING

from registry.accounts.models import Role, User
from registry.accounts.permissions import has_role, require_role
from registry.lib.errors import NotAllowed

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser

    from takedowns.cases.models import Case, Decision


def require_staff(user: User | None, case: Case) -> User:
    """Return the user, or raise NotAllowed: reading the queue, claiming, marking and merging take staff."""
    return require_role(user, case.dataset.organisation, Role.STAFF)


def require_proposer(user: User | None, case: Case) -> User:
    """Return the user, or raise NotAllowed: proposing takes a maintainer."""
    return require_role(user, case.dataset.organisation, Role.MAINTAINER)


def require_approver(user: User | None, case: Case, decision: Decision) -> User:
    """Return the user, or raise NotAllowed: approving takes an approver who is not the proposer."""
    user = require_role(user, case.dataset.organisation, Role.APPROVER)
    if decision.proposer_id == user.pk:
        raise NotAllowed(
            "You proposed this decision, so another approver must approve it. Nothing was changed."
        )
    return user


def may_propose(user: User | AnonymousUser, case: Case) -> bool:
    """Whether the user's role lets him propose."""
    return has_role(user, case.dataset.organisation, Role.MAINTAINER)


def may_approve(user: User | AnonymousUser, case: Case, decision: Decision) -> bool:
    """Whether the user is a second person to this decision, with the role for it."""
    return decision.proposer_id != user.pk and has_role(user, case.dataset.organisation, Role.APPROVER)
