"""What a member's role reaches. Services ask here; what may be *seen* is each model's `visible_to`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from registry.accounts.models import Membership, Role, User
from registry.lib.errors import NotAllowed

if TYPE_CHECKING:
    from uuid import UUID

    from django.contrib.auth.models import AnonymousUser
    from django.db.models import QuerySet

    from registry.accounts.models import Organisation

# From the least to the most; each role may do all that those before it may.
LADDER = (Role.STAFF, Role.MAINTAINER, Role.APPROVER)


def roles_from(role: Role) -> tuple[Role, ...]:
    """This role and those that reach further."""
    return LADDER[LADDER.index(role) :]


def has_role(user: User | AnonymousUser | None, organisation: Organisation, role: Role) -> bool:
    """Whether the user is a member with at least this role. Being a superuser gives no role."""
    return organisation.pk in set(organisations_of(user, role))


def require_role(user: User | AnonymousUser | None, organisation: Organisation, role: Role) -> User:
    """Return the user, or raise NotAllowed when he lacks the role."""
    if not isinstance(user, User) or not has_role(user, organisation, role):
        raise NotAllowed(f"This takes the role of {role.value} in {organisation.name}.")
    return user


def organisations_of(
    user: User | AnonymousUser | None, role: Role = Role.STAFF
) -> QuerySet[Membership, UUID]:
    """Ids of the organisations where the user has at least this role, as a subquery for `visible_to`."""
    memberships = Membership.objects.filter(role__in=roles_from(role)).values_list(
        "organisation_id", flat=True
    )
    if not isinstance(user, User) or not user.is_active:
        return memberships.none()
    return memberships.filter(user=user)
