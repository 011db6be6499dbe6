"""Who acts: users, the organisations they work for, and the keys their programs sign in with."""

from __future__ import annotations

from django.contrib.auth.models import AbstractUser
from django.db import models
from django.utils import timezone

from registry.lib.ids import uuid7


class Role(models.TextChoices):
    """What a member may do; each role may do all that the one before it may."""

    STAFF = "staff", "Staff: read the queue, claim and triage cases"
    MAINTAINER = "maintainer", "Maintainer: register versions, propose decisions, build and publish releases"
    APPROVER = "approver", "Approver: approve what somebody else proposed"


class User(AbstractUser):
    """A person who signs in."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)


class FailedSignIn(models.Model):
    """One wrong password. `key` is a keyed digest of the name typed and the address it came from, 32 bytes."""

    id = models.BigAutoField(primary_key=True)
    key = models.BinaryField(max_length=32)
    at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        # How many lately, for this name and address?
        indexes = [models.Index(fields=["key", "at"], name="failedsignin_lately")]

    def __str__(self) -> str:
        return f"failed sign-in at {self.at:%Y-%m-%d %H:%M}"


class Organisation(models.Model):
    """Who keeps datasets and answers for them."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    slug = models.SlugField(unique=True)
    name = models.CharField(max_length=200)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    members = models.ManyToManyField(User, through="Membership", related_name="organisations")

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Membership(models.Model):
    """One user's role in one organisation."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    organisation = models.ForeignKey(Organisation, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=20, choices=Role)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["user", "organisation"], name="membership_one_per_user"),
            models.CheckConstraint(condition=models.Q(role__in=Role.values), name="membership_role_known"),
        ]

    def __str__(self) -> str:
        return f"{self.user} in {self.organisation}: {self.role}"


class ApiKey(models.Model):
    """A key a user's program sends; only its digest is kept, the key itself is shown once."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="api_keys")
    name = models.CharField(max_length=100)
    prefix = models.CharField(max_length=8, help_text="The key's first characters, to tell keys apart.")
    digest = models.BinaryField(max_length=32, unique=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    last_used_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"
