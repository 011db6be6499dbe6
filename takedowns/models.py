"""The app's models, gathered for Django; each lives with its noun."""

from takedowns.cases.models import Case, Consequence, Decision, Location
from takedowns.releases.models import Release
from takedowns.removals.models import AffectedVersion, Removal, RemovalKey
from takedowns.reports.models import Category, Counter, Item, Report

__all__ = [
    "AffectedVersion",
    "Case",
    "Category",
    "Consequence",
    "Counter",
    "Decision",
    "Item",
    "Location",
    "Release",
    "Removal",
    "RemovalKey",
    "Report",
]
