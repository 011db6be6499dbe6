"""The app's models, gathered for Django; each lives with its noun."""

from takedowns.cases.models import Case, Consequence, Decision, DomainReport, Location
from takedowns.releases.models import Release
from takedowns.removals.models import AffectedVersion, RedactionKey, Removal, RemovalKey
from takedowns.reports.models import Category, Counter, Item, Report

__all__ = [
    "AffectedVersion",
    "Case",
    "Category",
    "Consequence",
    "Counter",
    "Decision",
    "DomainReport",
    "Item",
    "Location",
    "RedactionKey",
    "Release",
    "Removal",
    "RemovalKey",
    "Report",
]
