"""Filters of the queue and of a case's items, shared by the pages and the API."""

from __future__ import annotations

from typing import TYPE_CHECKING

import django_filters
from django.db.models import Q
from django.utils import timezone

from takedowns.cases.models import Case
from takedowns.cases.selectors import ITEM_FILTERS, queue_filters
from takedowns.cases.states import CaseState
from takedowns.reports.models import Item

if TYPE_CHECKING:
    from django.db.models import QuerySet

QUEUES = [
    ("open", "All open"),
    ("mine", "Mine"),
    ("unclaimed", "Unclaimed"),
    ("second", "Waiting for a second person"),
    ("overdue", "Overdue"),
    ("closed", "Closed"),
]
ITEMS = [
    ("all", "All"),
    ("located", "Located"),
    ("unlocated", "Found nowhere"),
    ("kept", "Marked to be kept"),
    ("redacted", "Redacted"),
    ("unreadable", "Unreadable or repeated"),
]


class CaseFilter(django_filters.FilterSet):  # type: ignore[misc]  # django_filters ships no types
    """`?queue=overdue&dataset=slug&q=CASE-2026-0001`."""

    queue = django_filters.ChoiceFilter(choices=QUEUES, method="filter_queue", label="Part of the queue")
    state = django_filters.ChoiceFilter(choices=CaseState.choices, label="State")
    dataset = django_filters.CharFilter(field_name="dataset__slug", label="Dataset, by its slug")
    category = django_filters.CharFilter(field_name="category", label="Category, by its slug")
    q = django_filters.CharFilter(
        method="filter_text", label="Number of a case or report, or name of a dataset"
    )

    class Meta:
        model = Case
        fields = ["queue", "state", "dataset", "category", "q"]

    def filter_queue(self, cases: QuerySet[Case], _name: str, value: str) -> QuerySet[Case]:
        """Keep one part of the queue."""
        return cases.filter(queue_filters(self.request.user, timezone.now())[value])

    def filter_text(self, cases: QuerySet[Case], _name: str, value: str) -> QuerySet[Case]:
        """Keep cases whose number, report or dataset has the text."""
        text = value.strip().replace("\0", "")
        numbers = Q(number__icontains=text) | Q(
            pk__in=Case.objects.filter(reports__number__iexact=text).values("pk")
        )
        return cases.filter(numbers | Q(dataset__name__icontains=text) | Q(dataset__slug__icontains=text))


class ItemFilter(django_filters.FilterSet):  # type: ignore[misc]  # django_filters ships no types
    """`?show=located`, on what `items_with_rows` returns."""

    show = django_filters.ChoiceFilter(choices=ITEMS, method="filter_show", label="Which items")

    class Meta:
        model = Item
        fields = ["show"]

    def filter_show(self, items: QuerySet[Item], _name: str, value: str) -> QuerySet[Item]:
        """Keep items by what was found of them."""
        return items.filter(ITEM_FILTERS[value])
