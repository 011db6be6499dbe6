"""Filters of the list of advisories, shared by the page and the API."""

from __future__ import annotations

import django_filters
from django.db.models import Q

from takedowns.removals.models import Removal, RemovalQuerySet


class AdvisoryFilter(django_filters.FilterSet):  # type: ignore[misc]  # django_filters ships no types
    """`?dataset=slug&category=opt_out&q=EXP-2026-0001`."""

    dataset = django_filters.CharFilter(
        method="filter_dataset", label="Dataset that is affected, by its slug"
    )
    category = django_filters.CharFilter(field_name="category", label="Category, by its slug")
    q = django_filters.CharFilter(method="filter_text", label="Advisory id, or name of a dataset")

    class Meta:
        model = Removal
        fields = ["dataset", "category", "q"]

    def filter_dataset(self, removals: RemovalQuerySet, _name: str, value: str) -> RemovalQuerySet:
        """Keep advisories that affect a version of the dataset."""
        found = Removal.objects.filter(affected__version__dataset__slug=value).values("pk")
        return removals.filter(Q(dataset__slug=value) | Q(pk__in=found))

    def filter_text(self, removals: RemovalQuerySet, _name: str, value: str) -> RemovalQuerySet:
        """Keep advisories whose id or dataset has the text."""
        text = value.strip().replace("\0", "")
        return removals.filter(
            Q(advisory_id__icontains=text)
            | Q(dataset__slug__icontains=text)
            | Q(dataset__name__icontains=text)
        )
