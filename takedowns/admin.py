"""The operator's view of the records, to look and not to touch: every change is a service's, with its log entry.

Only categories are edited here: they are configuration.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin

from takedowns.cases.models import Case, Decision
from takedowns.removals.models import Removal
from takedowns.reports.models import Category, Report

if TYPE_CHECKING:
    from django.http import HttpRequest

    RecordAdmin = admin.ModelAdmin[Any]
    EditedCategories = admin.ModelAdmin[Category]
else:  # only the stubs know ModelAdmin by the model it is for
    RecordAdmin = EditedCategories = admin.ModelAdmin


class ReadOnly(RecordAdmin):
    """Records that services write."""

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002  Django's signature
        """Nobody adds one by hand."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002  Django's signature
        """Nobody changes one by hand."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002  Django's signature
        """Nobody deletes one by hand."""
        return False


@admin.register(Category)
class CategoryAdmin(EditedCategories):
    """Categories and their clocks."""

    list_display = ["slug", "label", "sensitivity", "clock_hours", "position"]
    # A site that cannot keep sealed material must not be told that it can.
    readonly_fields = ["sensitivity"]

    def has_delete_permission(self, request: HttpRequest, obj: Category | None = None) -> bool:  # noqa: ARG002  Django's signature
        """Reports refer to it."""
        return False


@admin.register(Report)
class ReportAdmin(ReadOnly):
    """Reports, without their items, description and contact: those are for the people who decide."""

    list_display = ["number", "dataset", "category", "source", "items_total", "created_at", "due_at"]
    search_fields = ["number"]
    fields = [
        "number",
        "dataset",
        "category",
        "source",
        "items_total",
        "items_readable",
        "created_at",
        "due_at",
    ]


@admin.register(Case)
class CaseAdmin(ReadOnly):
    """Cases."""

    list_display = ["number", "dataset", "category", "state", "claimed_by", "due_at"]
    search_fields = ["number"]
    exclude = ["scope"]


@admin.register(Decision)
class DecisionAdmin(ReadOnly):
    """Decisions, and the two people behind each."""

    list_display = ["case", "proposer", "proposed_at", "approver", "approved_at", "returned_at", "rows"]
    search_fields = ["case__number"]


@admin.register(Removal)
class RemovalAdmin(ReadOnly):
    """Removals and their advisories, without keys."""

    list_display = ["id", "advisory_id", "dataset", "category", "created_at", "published_at", "withdrawn_at"]
    search_fields = ["advisory_id"]
