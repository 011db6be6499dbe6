"""Writing who acts: organisations, members and API keys.

Nobody gives a role that reaches further than his own, or touches a member who has one: else a maintainer could
make the second person of a two-person decision himself.
"""

from __future__ import annotations

import re

from django.db import IntegrityError, transaction
from django.utils import timezone

from registry.accounts.authentication import KEY_PREFIX
from registry.accounts.models import ApiKey, Membership, Organisation, Role, User
from registry.accounts.permissions import LADDER, has_role, require_role
from registry.auditlog.services import audit_append
from registry.lib.errors import NotAllowed, Refused
from registry.lib.ids import new_secret, secret_digest

MAX_API_KEYS = 20


def organisation_create(*, actor: User, slug: str, name: str) -> Organisation:
    """Create an organisation with the actor (a superuser) as its first approver. Raises Refused."""
    if not actor.is_superuser:
        raise NotAllowed("An operator of this site creates organisations.")
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,49}", slug) or not name.strip():
        raise Refused("An organisation needs a name, and a short name of a-z, 0-9, _ and -, at most 50.")
    try:
        with transaction.atomic():
            organisation = Organisation.objects.create(slug=slug, name=name.strip())
            Membership.objects.create(user=actor, organisation=organisation, role=Role.APPROVER)
            audit_append(
                actor=actor, action="organisation_create", subject=organisation, organisation=organisation
            )
    except IntegrityError as error:
        raise Refused(f"The short name {slug} is taken.") from error
    return organisation


def member_add(*, actor: User, organisation: Organisation, username: str, role: str) -> Membership:
    """Make an existing user a member (maintainer and up). Raises Refused."""
    _check_reach(actor, organisation, role)
    user = User.objects.filter(username=username, is_active=True).first()
    if user is None:
        raise Refused("No user has this name. The operator of this site creates users.")
    with transaction.atomic():
        member, new = Membership.objects.get_or_create(
            user=user, organisation=organisation, defaults={"role": role}
        )
        if not new:
            raise Refused(f"{username} is a member already. Change the role in the list.")
        _audit(actor, "member_add", member, role=role)
    return member


def member_role_change(*, actor: User, member: Membership, role: str) -> Membership:
    """Give a member another role (maintainer and up). Raises Refused for the last approver."""
    _check_reach(actor, member.organisation, member.role)
    _check_reach(actor, member.organisation, role)
    with transaction.atomic():
        before = member.role
        if role != Role.APPROVER:
            _keep_an_approver(member)
        if not Membership.objects.filter(pk=member.pk, role=before).update(role=role):
            raise Refused("Somebody else changed this member meanwhile. Look again.")
        member.role = role
        _audit(actor, "member_role_change", member, before=before, role=role)
    return member


def member_remove(*, actor: User, member: Membership) -> None:
    """End a membership: one's own, or another's (maintainer and up). Raises Refused for the last approver."""
    if member.user_id != actor.pk:
        _check_reach(actor, member.organisation, member.role)
    with transaction.atomic():
        _keep_an_approver(member)
        _audit(actor, "member_remove", member, role=member.role)
        member.delete()


def api_key_create(*, actor: User, name: str) -> tuple[ApiKey, str]:
    """Make a key; returns (its record, the key itself, which is not kept and cannot be shown again)."""
    if not name.strip() or len(name) > 100:
        raise Refused("Name the key after the program that will use it, in at most 100 characters.")
    secret = KEY_PREFIX + new_secret()
    with transaction.atomic():
        # Lock the owner, so that two requests at once do not both pass the limit.
        User.objects.select_for_update().get(pk=actor.pk)
        if actor.api_keys.filter(revoked_at=None).count() >= MAX_API_KEYS:
            raise Refused(f"You have {MAX_API_KEYS} keys. Revoke one that is no longer used.")
        key = ApiKey.objects.create(
            user=actor, name=name.strip(), prefix=secret[:8], digest=secret_digest(secret)
        )
        audit_append(actor=actor, action="api_key_create", subject=key, organisation=None)
    return key, secret


def api_key_revoke(*, actor: User, key: ApiKey) -> ApiKey:
    """End one's own key at once; revoking it again changes nothing."""
    if key.user_id != actor.pk:
        raise NotAllowed("Only its owner revokes a key.")
    with transaction.atomic():
        if ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=timezone.now()):
            audit_append(actor=actor, action="api_key_revoke", subject=key, organisation=None)
    key.refresh_from_db()
    return key


def _check_reach(actor: User, organisation: Organisation, role: str) -> None:
    """The actor must be a maintainer and reach at least as far as the role he gives or takes."""
    if role not in Role.values:
        raise Refused(f"Choose a role: {', '.join(LADDER)}.")
    require_role(actor, organisation, Role.MAINTAINER)
    if not has_role(actor, organisation, Role(role)):
        raise NotAllowed(f"Only an approver of {organisation.name} gives or takes the role of {role}.")


def _keep_an_approver(member: Membership) -> None:
    """Refuse to lose the last approver: without one, nothing could be decided and nobody could appoint one."""
    # Locked together: of two approvers who remove each other at once, the second finds himself the last.
    approvers = list(
        Membership.objects.select_for_update()
        .filter(organisation=member.organisation_id, role=Role.APPROVER)
        .order_by("pk")
    )
    if [approver.pk for approver in approvers] == [member.pk]:
        raise Refused(
            f"{member.user} is the last approver of {member.organisation.name}. Appoint another first."
        )


def _audit(actor: User, action: str, member: Membership, **data: str) -> None:
    audit_append(
        actor=actor,
        action=action,
        subject=member.organisation,
        organisation=member.organisation,
        data={"user": str(member.user_id), **data},
    )
