"""Reading who acts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from registry.accounts.models import Membership, Organisation
from registry.accounts.permissions import organisations_of

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser
    from django.db.models import QuerySet

    from registry.accounts.models import User


def organisation_list(user: User | AnonymousUser | None) -> QuerySet[Organisation]:
    """The organisations that the user is a member of; who works where is not public."""
    return Organisation.objects.filter(pk__in=organisations_of(user))


def member_list(organisation: Organisation) -> QuerySet[Membership]:
    """The members of an organisation with their users, by name."""
    return organisation.memberships.select_related("user").order_by("user__username")
