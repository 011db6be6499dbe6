"""The work on one matter: cases, the rows their items were located in, and the decision of two people."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pgtrigger
from django.conf import settings
from django.db import models
from django.utils import timezone

from registry.accounts.permissions import organisations_of
from registry.lib.ids import uuid7
from registry.lib.words import counted
from takedowns.cases.states import TRANSITIONS, CaseState
from takedowns.removals.models import Removal
from takedowns.reports.models import Category, Item, Report

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser

    from registry.accounts.models import User


class CaseQuerySet(models.QuerySet["Case"]):
    """Cases, and who may see them."""

    def visible_to(self, user: User | AnonymousUser | None) -> CaseQuerySet:
        """Cases about datasets of the organisations where the user is a member; none for a stranger."""
        return self.filter(dataset__organisation__in=organisations_of(user))


class Case(models.Model):
    """Work on one matter about one dataset; many reports may feed it."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    number = models.CharField(max_length=20, unique=True, help_text="CASE-2026-0001")
    dataset = models.ForeignKey("registry.Dataset", on_delete=models.PROTECT, related_name="cases")
    category = models.ForeignKey(Category, on_delete=models.PROTECT, related_name="cases")
    reports = models.ManyToManyField(Report, related_name="cases")
    state = models.CharField(max_length=12, choices=CaseState, default=CaseState.OPEN)
    claimed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="claimed_cases"
    )
    claimed_until = models.DateTimeField(null=True, help_text="A claim lapses, so that nobody blocks a case")
    located_at = models.DateTimeField(
        null=True, help_text="When its items were last located in every version"
    )
    scope = models.JSONField(default=list, help_text="Ids of the versions that they were located in")
    gaps = models.JSONField(
        default=list,
        help_text="Where items could not be looked up, a sentence each: no column carries their key",
    )
    removal = models.OneToOneField(Removal, on_delete=models.PROTECT, null=True, related_name="case")
    merged_into = models.ForeignKey(
        "self", on_delete=models.PROTECT, null=True, related_name="merged", help_text="The case that goes on"
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    due_at = models.DateTimeField(help_text="The earliest clock of its reports")
    decided_at = models.DateTimeField(null=True)
    closed_at = models.DateTimeField(null=True)

    objects = CaseQuerySet.as_manager()

    class Meta:
        ordering = ["due_at"]
        constraints = [
            models.CheckConstraint(condition=models.Q(state__in=CaseState.values), name="case_state_known"),
            models.CheckConstraint(
                condition=models.Q(merged_into__isnull=True) | models.Q(state="closed"),
                name="case_merged_is_closed",
            ),
        ]
        indexes = [
            # The queue: cases that are not closed, by clock.
            models.Index(fields=["due_at"], condition=~models.Q(state="closed"), name="case_queue"),
        ]
        triggers = [
            # The table of states.py, also for whoever writes to the database without our code.
            pgtrigger.Protect(
                name="starts_open",
                operation=pgtrigger.Insert,
                condition=pgtrigger.Condition("NEW.state <> 'open'"),
            ),
            pgtrigger.FSM(name="state_table", field="state", transitions=TRANSITIONS),
            # Nothing is decided that a second person did not approve.
            pgtrigger.Trigger(
                name="decided_is_approved",
                when=pgtrigger.Before,
                operation=pgtrigger.Update,
                condition=pgtrigger.Condition("NEW.state = 'decided' AND OLD.state <> 'decided'"),
                func="""
                IF NOT EXISTS (
                    SELECT 1 FROM takedowns_decision WHERE case_id = NEW.id AND approved_at IS NOT NULL
                ) THEN
                    RAISE EXCEPTION 'case %: no approved decision', NEW.number;
                END IF;
                RETURN NEW;
                """,
            ),
        ]

    def __str__(self) -> str:
        return self.number


class Location(models.Model):
    """The rows of one shard that one item names; a shard is shared by every version that holds it."""

    id = models.BigAutoField(primary_key=True)
    case = models.ForeignKey(Case, on_delete=models.CASCADE, related_name="locations")
    item = models.ForeignKey(Item, on_delete=models.CASCADE, related_name="locations")
    shard = models.ForeignKey("registry.Shard", on_delete=models.PROTECT, related_name="+")
    rows = models.BigIntegerField()
    positions = models.BinaryField(help_text="Row indexes, a portable 32-bit roaring bitmap")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["case", "item", "shard"], name="location_once"),
            models.CheckConstraint(condition=models.Q(rows__gt=0), name="location_has_rows"),
        ]

    def __str__(self) -> str:
        return f"{self.item}: {counted(self.rows, 'row')} of {self.shard_id}"


class Consequence(models.Model):
    """How many distinct rows of one version would go, and of how many others cells, unless their item is marked to be kept.

    Written whenever items are located or marked, so that a page of 100,000 items need not add them up.
    """

    case = models.ForeignKey(Case, on_delete=models.CASCADE, related_name="consequences")
    version = models.ForeignKey("registry.Version", on_delete=models.PROTECT, related_name="+")
    shards = models.IntegerField(help_text="Shards of the version that hold such a row")
    rows = models.BigIntegerField()
    redacted_rows = models.BigIntegerField(
        default=0, db_default=0, help_text="Rows that stay and of which a cell or an element goes"
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["case", "version"], name="consequence_once"),
            models.CheckConstraint(
                condition=models.Q(rows__gt=0, redacted_rows__gte=0)
                | models.Q(rows__gte=0, redacted_rows__gt=0),
                name="consequence_has_rows",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.case}: {counted(self.rows + self.redacted_rows, 'row')} of {self.version}"


class Decision(models.Model):
    """What one person proposes and another approves or returns.

    `preview` is the digest of what the proposer saw (items, outcomes, located rows): approval is refused when
    anything changed since.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    case = models.ForeignKey(Case, on_delete=models.CASCADE, related_name="decisions")
    proposer = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    proposed_at = models.DateTimeField(default=timezone.now, editable=False)
    statement = models.TextField(help_text="Statement of reasons, sent to the reporter")
    summary = models.TextField(help_text="Public summary of the advisory, without naming any item")
    preview = models.CharField(max_length=64)
    rows = models.BigIntegerField(help_text="Rows that it removes, over every base in scope")
    redacted_rows = models.BigIntegerField(
        default=0, db_default=0, help_text="Rows of which it redacts cells, over every base in scope"
    )
    approver = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+"
    )
    approved_at = models.DateTimeField(null=True)
    returned_at = models.DateTimeField(null=True)
    return_reason = models.TextField(blank=True)

    class Meta:
        ordering = ["-proposed_at"]
        constraints = [
            # Two people: the database refuses the proposer, whatever the code above it does.
            models.CheckConstraint(
                condition=~models.Q(approver=models.F("proposer")), name="decision_two_people"
            ),
            models.CheckConstraint(
                condition=models.Q(approved_at__isnull=True) | models.Q(approver__isnull=False),
                name="decision_approved_by_someone",
            ),
            models.UniqueConstraint(
                fields=["case"],
                condition=models.Q(approved_at__isnull=True, returned_at__isnull=True),
                name="decision_one_open_per_case",
            ),
        ]
        triggers = [
            # What was proposed stays as it was: nobody takes the proposer's name off and then approves.
            pgtrigger.ReadOnly(
                name="proposal_fixed",
                fields=[
                    "case",
                    "proposer",
                    "proposed_at",
                    "statement",
                    "summary",
                    "preview",
                    "rows",
                    "redacted_rows",
                ],
            ),
            # And nothing begins as approved: it is proposed first, by somebody else.
            pgtrigger.Protect(
                name="starts_proposed",
                operation=pgtrigger.Insert,
                condition=pgtrigger.Condition(
                    "NEW.approver_id IS NOT NULL OR NEW.approved_at IS NOT NULL OR NEW.returned_at IS NOT NULL"
                ),
            ),
            # A decision that was approved or returned is history.
            pgtrigger.Protect(
                name="settled",
                operation=pgtrigger.Update | pgtrigger.Delete,
                condition=pgtrigger.Condition("OLD.approved_at IS NOT NULL OR OLD.returned_at IS NOT NULL"),
            ),
        ]

    def __str__(self) -> str:
        return f"Decision on {self.case.number}"


class DomainReport(models.Model):
    """The report of one takeover: the primary key sees to it that there is never a second."""

    takeover = models.OneToOneField(
        "registry.Takeover", on_delete=models.PROTECT, primary_key=True, related_name="domain_report"
    )
    report = models.ForeignKey(Report, on_delete=models.CASCADE, related_name="domain_reports")

    def __str__(self) -> str:
        return f"{self.report_id} of {self.takeover_id}"
