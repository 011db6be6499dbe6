"""Hosts with their politeness, links with their standing, the panel of each version, and what each attempt saw."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils import timezone

from registry.accounts.permissions import organisations_of
from registry.datasets.models import Version, VersionStatus
from registry.links.content.states import ContentChecks
from registry.links.outcomes import Outcome
from registry.links.states import LinkState

if TYPE_CHECKING:
    from registry.datasets.models import Viewer

MIN_DELAY, MAX_DELAY = 1.0, 60.0  # seconds between two requests to one host
# Nobody should be led to these, nor be told by their links what is missing since; who keeps the dataset has to know.
OUT_OF_USE = (VersionStatus.WITHDRAWN, VersionStatus.QUARANTINED)


class Host(models.Model):
    """A host that links lead to, and how politely it is asked: for every dataset together.

    A batch holds a host, and with it all of its links, by writing a lease: no two workers ever ask a host at a time.
    """

    id = models.BigAutoField(primary_key=True)
    name = models.CharField(max_length=255, unique=True, help_text="As in the key host.c1")
    due_at = models.DateTimeField(null=True, help_text="When the first of its links is due; null: none is")
    next_at = models.DateTimeField(default=timezone.now, help_text="Not asked before, whoever is due")
    delay = models.FloatField(default=MIN_DELAY, help_text="Seconds between requests; only errors raise it")
    fails = models.PositiveSmallIntegerField(default=0, help_text="Times in a row that it failed as a whole")
    opted_out_at = models.DateTimeField(null=True, help_text="Since when its owner wants no requests of ours")
    covers_subdomains = models.BooleanField(
        default=False, help_text="Whether its owner opted out for all hosts below it too"
    )
    opt_out_asked_at = models.DateTimeField(
        null=True, help_text="When somebody wanted its opt-out file to be read"
    )
    opt_out_tried_at = models.DateTimeField(
        null=True, help_text="When it was last asked for in vain: nobody could say whether it is there"
    )
    opt_out_read_at = models.DateTimeField(
        null=True, help_text="When that was read, or found not to be there"
    )
    lease = models.UUIDField(null=True, help_text="The batch that asks it now")
    lease_until = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(delay__gte=MIN_DELAY, delay__lte=MAX_DELAY), name="host_delay_polite"
            ),
            models.CheckConstraint(
                condition=models.Q(lease__isnull=True, lease_until__isnull=True)
                | models.Q(lease__isnull=False, lease_until__isnull=False),
                name="host_lease_has_end",
            ),
            models.CheckConstraint(
                condition=models.Q(covers_subdomains=False) | models.Q(opted_out_at__isnull=False),
                name="host_covers_when_out",
            ),
        ]
        indexes = [
            # The schedule: hosts with something due, the longest due first.
            models.Index(fields=["due_at"], condition=models.Q(due_at__isnull=False), name="host_schedule"),
            # Leases that are held now, and those that ran out.
            models.Index(fields=["lease_until"], condition=models.Q(lease__isnull=False), name="host_leased"),
            # Opt-out files to be read.
            models.Index(
                fields=["opt_out_asked_at"],
                condition=models.Q(opt_out_asked_at__isnull=False),
                name="host_opt_out_asked",
            ),
            # Opt-outs that hold for hosts which are not known yet.
            models.Index(fields=["id"], condition=models.Q(covers_subdomains=True), name="host_covers"),
        ]

    def __str__(self) -> str:
        return self.name


class RobotsFile(models.Model):
    """The robots.txt of one origin of a host, which holds for that scheme, host and port alone (`robots.py`)."""

    id = models.BigAutoField(primary_key=True)
    # Without an index of its own: that of the constraint begins with the host.
    host = models.ForeignKey(Host, on_delete=models.CASCADE, related_name="robots_files", db_index=False)
    origin = models.CharField(
        max_length=270, help_text="As a URL begins: the port is left out where it is the scheme's own"
    )
    text = models.TextField(blank=True, help_text="As far as we read it; empty where there is none")
    status = models.PositiveSmallIntegerField(help_text="HTTP status with which it came")
    asked_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["host", "origin"], name="robotsfile_origin_once"),
            models.CheckConstraint(
                condition=models.Q(origin__regex=r"^https?://[^/]+$"), name="robotsfile_origin_is_one"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.origin}/robots.txt"


class Link(models.Model):
    """One URL, once for all versions and datasets that hold it, and how it stands (`states.py`)."""

    id = models.BigAutoField(primary_key=True)
    key = models.BinaryField(max_length=32, unique=True, help_text="url.raw.sha256")
    url = models.TextField(help_text="As the row has it")
    host = models.ForeignKey(Host, on_delete=models.PROTECT, related_name="links")
    state = models.CharField(max_length=12, choices=LinkState, default=LinkState.UNCHECKED)
    outcome = models.CharField(max_length=20, choices=Outcome, blank=True, help_text="Of the last attempt")
    status = models.PositiveSmallIntegerField(default=0, help_text="HTTP status of the last answer; 0: none")
    target = models.TextField(blank=True, help_text="Where redirects led at last")
    opt_outs = ArrayField(
        models.CharField(max_length=20), default=list, help_text="Directives that its answer declared"
    )
    failures = models.PositiveSmallIntegerField(default=0)
    host_failures = models.PositiveSmallIntegerField(default=0)
    failed_at = models.DateTimeField(null=True, help_text="The last failure that counted")
    checked_at = models.DateTimeField(null=True)
    due_at = models.DateTimeField(
        null=True, default=timezone.now, help_text="1970: somebody asked for it now"
    )
    # Without an index: nobody looks for the links of one.
    asked_by = models.ForeignKey(
        "registry.Dataset",
        on_delete=models.SET_NULL,
        null=True,
        related_name="+",
        db_index=False,
        help_text="Whose members asked for it last and wait for it still: that dataset's budget pays",
    )

    class Meta:
        constraints = [
            models.CheckConstraint(condition=models.Q(state__in=LinkState.values), name="link_state_known"),
            models.CheckConstraint(
                condition=models.Q(outcome="") | models.Q(outcome__in=Outcome.values),
                name="link_outcome_known",
            ),
            # Excluded links are never due, so no schedule can hand one out.
            models.CheckConstraint(
                condition=~models.Q(state="excluded") | models.Q(due_at__isnull=True),
                name="link_excluded_is_not_due",
            ),
            models.CheckConstraint(
                condition=~models.Q(state="dead") | models.Q(failures__gte=3), name="link_dead_failed_often"
            ),
        ]
        indexes = [
            # What of a host is due.
            models.Index(
                fields=["host", "due_at"], condition=models.Q(due_at__isnull=False), name="link_schedule"
            ),
            models.Index(fields=["id"], condition=models.Q(state="excluded"), name="link_excluded"),
        ]

    def __str__(self) -> str:
        return bytes(self.key).hex()


class PanelQuerySet(models.QuerySet["Panel"]):
    """Panels, and who may see them."""

    def visible_to(self, user: Viewer) -> PanelQuerySet:
        """Those of the versions that the user may see; of versions out of use those of the user's own organisations."""
        mine = models.Q(version__dataset__organisation__in=organisations_of(user))
        seen = self.filter(version__in=Version.objects.visible_to(user))
        return seen.filter(~models.Q(version__status__in=OUT_OF_USE) | mine)


class Panel(models.Model):
    """The rows of one version that are asked after: those with the smallest keyed hash of their URL (`sample.py`)."""

    version = models.OneToOneField(Version, on_delete=models.CASCADE, primary_key=True, related_name="panel")
    size = models.PositiveIntegerField(help_text="Links drawn of all kinds; of rare kinds there may be more")
    rows_read = models.BigIntegerField(default=0, help_text="Rows of the version that it was drawn from")
    urls_unusable = models.BigIntegerField(default=0, help_text="Drawn, but of no host: never asked for")
    limits = models.JSONField(
        default=dict,
        blank=True,
        help_text="By stratum: below this number, written in decimal, it holds every link; empty before there were strata",
    )
    drawn_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+"
    )
    drawn_at = models.DateTimeField(null=True, help_text="Null: it is being drawn for the first time")

    objects = PanelQuerySet.as_manager()

    def __str__(self) -> str:
        return f"panel of {self.version}"


class PanelRowQuerySet(models.QuerySet["PanelRow"]):
    """Rows of panels, and who may see them one by one; figures of a version are for whoever may see that."""

    def visible_to(self, user: Viewer) -> PanelRowQuerySet:
        """Those of the versions of the user's own organisations."""
        return self.filter(panel__version__dataset__organisation__in=organisations_of(user))


class PanelRow(models.Model):
    """One link of a panel, at the first row of the version that holds it."""

    id = models.BigAutoField(primary_key=True)
    panel = models.ForeignKey(Panel, on_delete=models.CASCADE, related_name="panel_rows")
    link = models.ForeignKey(Link, on_delete=models.PROTECT, related_name="panel_rows")
    shard = models.ForeignKey("registry.Shard", on_delete=models.PROTECT, related_name="+")
    row = models.BigIntegerField(help_text="Row index in the shard")
    hashes = models.JSONField(
        default=dict, help_text="Of its content, as the dataset recorded them: hex by kind of key"
    )

    objects = PanelRowQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["panel", "link"], name="panelrow_link_once"),
            models.CheckConstraint(condition=models.Q(row__gte=0), name="panelrow_row_positive"),
        ]

    def __str__(self) -> str:
        return f"{self.shard_id}:{self.row}"


class LinkPolicy(models.Model):
    """How a dataset's links are checked. Without one they are not: drawing its first panel makes one."""

    dataset = models.OneToOneField(
        "registry.Dataset", on_delete=models.CASCADE, primary_key=True, related_name="link_policy"
    )
    daily_budget = models.PositiveIntegerField(default=20_000, help_text="Links checked a day (UTC) at most")
    paused_at = models.DateTimeField(null=True)
    content = models.CharField(
        max_length=6,
        choices=ContentChecks,
        default=ContentChecks.OFF,
        help_text="Whether more than headers may be asked for",
    )
    day = models.DateField(null=True, help_text="The day that `spent` is of")
    spent = models.PositiveIntegerField(default=0, help_text="Links handed out on that day")

    class Meta:
        verbose_name_plural = "link policies"
        constraints = [
            models.CheckConstraint(
                condition=models.Q(content__in=ContentChecks.values), name="linkpolicy_content_known"
            ),
        ]

    def __str__(self) -> str:
        return f"links of {self.dataset_id}"


class Observation(models.Model):
    """What one attempt saw. Partitioned by month (`history.py`): a month that is past its time is dropped whole."""

    pk = models.CompositePrimaryKey("link_id", "at")
    link = models.ForeignKey(Link, on_delete=models.CASCADE, related_name="observations")
    at = models.DateTimeField()
    outcome = models.CharField(max_length=20, choices=Outcome)
    status = models.PositiveSmallIntegerField(default=0)
    milliseconds = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(outcome__in=Outcome.values), name="observation_outcome_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.outcome} at {self.at}"
