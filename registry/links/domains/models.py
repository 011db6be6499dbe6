"""Registrable domains that links lead to, what changed about them, and the datasets that such a change concerns."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils import timezone


class DomainState(models.TextChoices):
    """What the census knows of a domain."""

    UNCHECKED = "unchecked", "Not asked yet"
    PRESENT = "present", "There"
    MISSING = "missing", "Not found once"
    GONE = "domain_gone", "Gone"


class ChangeKind(models.TextChoices):
    """What one census saw that the one before did not, or what the registry said."""

    GONE = "domain_gone", "The domain is gone"
    BACK = "back", "It is there again"
    NAME_SERVERS = "name_servers", "Its name servers changed"
    ADDRESSES = "addresses", "Its addresses changed"
    PARKED = "parked", "It is parked: its name servers are a reseller's"
    REGISTERED = "registered", "It was registered anew"


class Domain(models.Model):
    """A registrable domain, once for all datasets: what the last census saw of it and what its registry says."""

    id = models.BigAutoField(primary_key=True)
    name = models.CharField(max_length=253, unique=True, help_text="As in the key domain.c1")
    suffix = models.CharField(max_length=63, help_text="Its top-level domain, by which its registry is found")
    state = models.CharField(max_length=12, choices=DomainState, default=DomainState.UNCHECKED)
    missed_at = models.DateTimeField(
        null=True, help_text="Since when two resolvers say that there is no such name"
    )
    name_servers = ArrayField(models.CharField(max_length=253), default=list)
    addresses = ArrayField(models.GenericIPAddressField(), default=list, help_text="IPv4")
    seen_at = models.DateTimeField(
        null=True, help_text="When it was first found there: nothing is compared before"
    )
    checked_at = models.DateTimeField(null=True)
    unusable = models.PositiveSmallIntegerField(
        default=0, help_text="Censuses in a row that brought nothing to compare (`states.UNUSABLE`)"
    )
    due_at = models.DateTimeField(default=timezone.now, help_text="Of the next census")
    lease = models.UUIDField(null=True, help_text="The batch of the census that asks for it now")
    lease_until = models.DateTimeField(null=True)
    # What its registry says (RDAP). Asked only where something makes it a candidate.
    asks_registry_at = models.DateTimeField(
        null=True, help_text="When its registry is to be asked; null: no reason to"
    )
    registry_at = models.DateTimeField(null=True, help_text="When its registry answered last")
    registry_answer = models.CharField(
        max_length=20, blank=True, help_text="ok, not_found, no_registry, or why not"
    )
    registered_at = models.DateTimeField(null=True, help_text="By its registry")
    expires_at = models.DateTimeField(null=True, help_text="By its registry")
    registry_statuses = ArrayField(models.CharField(max_length=60), default=list)
    parked_at = models.DateTimeField(
        null=True, help_text="When a census saw its name servers become a reseller's"
    )

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(state__in=DomainState.values), name="domain_state_known"
            ),
            models.CheckConstraint(
                condition=~models.Q(state="domain_gone") | models.Q(missed_at__isnull=False),
                name="domain_gone_was_missed",
            ),
            models.CheckConstraint(
                condition=models.Q(lease__isnull=True, lease_until__isnull=True)
                | models.Q(lease__isnull=False, lease_until__isnull=False),
                name="domain_lease_has_end",
            ),
        ]
        indexes = [
            models.Index(fields=["due_at"], name="domain_schedule"),
            models.Index(
                fields=["suffix", "asks_registry_at"],
                condition=models.Q(asks_registry_at__isnull=False),
                name="domain_registry_schedule",
            ),
            # Those that a page lists and a sweep looks at: few among many.
            models.Index(
                fields=["state"],
                condition=models.Q(state__in=["missing", "domain_gone"]),
                name="domain_not_there",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class DomainHost(models.Model):
    """The registrable domain of a host. A host is looked at once; null: it is an address or a public suffix."""

    host = models.OneToOneField(
        "registry.Host", on_delete=models.CASCADE, primary_key=True, related_name="of_domain"
    )
    domain = models.ForeignKey(Domain, on_delete=models.PROTECT, null=True, related_name="domain_hosts")

    def __str__(self) -> str:
        return f"{self.host_id} of {self.domain_id}"


class DomainChange(models.Model):
    """One change of a domain, with what was seen before and after: the evidence."""

    id = models.BigAutoField(primary_key=True)
    domain = models.ForeignKey(Domain, on_delete=models.CASCADE, related_name="changes")
    kind = models.CharField(max_length=12, choices=ChangeKind)
    at = models.DateTimeField(help_text="When it was seen, or when the registry says that it happened")
    before = models.JSONField(default=list)
    after = models.JSONField(default=list)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(kind__in=ChangeKind.values), name="domainchange_kind_known"
            ),
            # A batch that is repeated, or a registry that says the same again, writes nothing twice.
            models.UniqueConstraint(fields=["domain", "kind", "at"], name="domainchange_once"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} of {self.domain_id}"


class Takeover(models.Model):
    """A domain that changed hands after versions of a dataset with rows on it were published: once for each change."""

    id = models.BigAutoField(primary_key=True)
    dataset = models.ForeignKey("registry.Dataset", on_delete=models.CASCADE, related_name="takeovers")
    domain = models.ForeignKey(Domain, on_delete=models.PROTECT, related_name="takeovers")
    change = models.ForeignKey(DomainChange, on_delete=models.PROTECT, related_name="takeovers")
    found_at = models.DateTimeField(default=timezone.now, editable=False)
    told_at = models.DateTimeField(null=True, help_text="When the hook domain_taken_over was called for it")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["dataset", "change"], name="takeover_once"),
        ]
        indexes = [
            models.Index(fields=["id"], condition=models.Q(told_at__isnull=True), name="takeover_untold"),
        ]

    def __str__(self) -> str:
        return f"{self.domain_id} in {self.dataset_id}"


class Registry(models.Model):
    """Where the registry of a top-level domain answers (RDAP), as IANA's bootstrap file says."""

    suffix = models.CharField(max_length=63, primary_key=True)
    url = models.CharField(max_length=500)
    fetched_at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "registries"

    def __str__(self) -> str:
        return self.suffix
