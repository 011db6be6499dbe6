"""Accounts as JSON."""

from __future__ import annotations

from rest_framework import serializers

from registry.accounts.models import Membership, Organisation, User


class MembershipOut(serializers.ModelSerializer[Membership]):
    """One of one's own roles."""

    organisation = serializers.CharField(source="organisation.slug", read_only=True, help_text="Short name")

    class Meta:
        model = Membership
        fields = ["organisation", "role"]


class MeOut(serializers.ModelSerializer[User]):
    """Who the request was signed in as."""

    memberships = MembershipOut(many=True)

    class Meta:
        model = User
        fields = ["id", "username", "memberships"]


class MemberOut(serializers.ModelSerializer[Membership]):
    """A member of an organisation."""

    username = serializers.CharField(source="user.username")

    class Meta:
        model = Membership
        fields = ["username", "role"]


class OrganisationOut(serializers.ModelSerializer[Organisation]):
    """An organisation, to its members."""

    class Meta:
        model = Organisation
        fields = ["slug", "name", "created_at"]
